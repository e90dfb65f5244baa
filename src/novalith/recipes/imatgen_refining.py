"""Points and cells that have a given code: what the network sees in the image, corrected by the code itself.

    code(P) = V x(P) / S,   x(P) = min(1, sum over points of exp(-|r - p|^2 / 2 s^2)) on the voxels
    P <- P + argmin |S (z - code(P) - J dP)|^2 + damping |dP|^2          (Levenberg and Marquardt)

V and S are the components and scales of `novalith.generate.principal_autoencoder`, whose encoder is linear, so that
the misfit of some points to a code is known. Where it stays large and its image, (S r) V, shows a maximum, a point is
put there, and stays if it lowers the misfit; two points nearer than about 2 s make one maximum, and this parts them.

The code of a cell is not linear, but six numbers are soon fitted to it, the logarithm of the metric of the cell:
M <- M + argmin |z - code(M) - J dM|^2 + damping |dM|^2, J by differences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Verdict
from novalith.represent.point_cloud import lattice_matrix
from novalith.represent.wave_codes import cells_of_metric_codes, metric_code

Floats = NDArray[np.float64]
#: Rounds of a fit, longest move of a point in one, and the move that ends it, Å.
ROUNDS, LONGEST_MOVE_A, SETTLED_A = 10, 0.3, 0.005
#: The same for the logarithm of the metric of a cell, whose unit is a change of an edge by half of itself, and the step
#: of its differences.
LONGEST_MOVE_LOG, SETTLED_LOG, STEP_LOG = 0.2, 1e-4, 1e-3
#: Voxels are drawn within so many widths of a point: exp(-3.2^2 / 2) is 0.006.
REACH_IN_SIGMA = 3.2
DAMPING = 1e-3
#: Misfit over the norm of the code above which a point may lack, share of it that a point must leave at most, points
#: that are added at most, and least height of the maximum where one is put.
LACKING, GAINED, MOST_ADDED, LEAST_MAXIMUM = 0.05, 0.9, 6, 0.05


@dataclass(frozen=True, eq=False)
class LinearCode:
    """A linear code of images of points.

    Attributes:
        basis: (k, n^3) components V.
        scale: (k,) S.
        sigma_a: width of the points, Å.
        step_a: edge of a voxel, Å.
        n: voxels an edge; the middle of the image is voxel n / 2.
    """

    basis: NDArray[np.float32]
    scale: NDArray[np.float32]
    sigma_a: float
    step_a: float
    n: int

    @cached_property
    def columns(self) -> NDArray[np.float32]:
        """(n^3, k): V transposed, so that the voxels about a point lie together."""
        return np.ascontiguousarray(self.basis.T)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(m, 3) steps to the voxels about a point."""
        reach = int(np.ceil(REACH_IN_SIGMA * self.sigma_a / self.step_a))
        return np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)

    def refined(self, points: Floats, code: NDArray[np.floating]) -> Floats:
        """Points (m, 3), Å about the middle, moved to fit a code (k,), with some added where it asks for them."""
        wanted = np.asarray(code, dtype=np.float64) * self.scale
        norm = max(float(np.linalg.norm(wanted)), 1e-9)
        points, misfit, rest = self._fitted(points, wanted)
        for _ in range(MOST_ADDED):
            if misfit < LACKING * norm:
                break
            image = rest @ self.basis
            place = int(image.argmax())
            if image[place] < LEAST_MAXIMUM:
                break
            more = (np.array(np.unravel_index(place, [self.n] * 3)) - self.n / 2) * self.step_a
            trial, left, beyond = self._fitted(np.concatenate([points, more[None]]), wanted)
            if left > GAINED * misfit:
                break
            points, misfit, rest = trial, left, beyond
        return points

    def _fitted(self, points: Floats, wanted: Floats) -> tuple[Floats, float, Floats]:
        """Points nearest to a code from a start that is near, their misfit, and the rest of the code."""
        best = points
        rest, slopes = self._rest(points, wanted)
        misfit, damping = float(np.linalg.norm(rest)), DAMPING
        for _ in range(ROUNDS if len(points) else 0):
            normal = slopes.T @ slopes
            normal[np.diag_indices_from(normal)] *= 1.0 + damping
            normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal) + 1e-12
            moves = np.linalg.solve(normal, slopes.T @ rest).reshape(-1, 3)
            moves *= min(1.0, LONGEST_MOVE_A / max(float(np.abs(moves).max()), 1e-12))
            trial = best + moves
            beyond, steeper = self._rest(trial, wanted)
            left = float(np.linalg.norm(beyond))
            if left < misfit:
                best, rest, slopes, misfit, damping = trial, beyond, steeper, left, damping / 10
            else:
                damping = max(damping, 1e-3) * 30
            if float(np.abs(moves).max()) < SETTLED_A:
                break
        return best, misfit, rest

    def _rest(self, points: Floats, wanted: Floats) -> tuple[Floats, Floats]:
        """What points leave of a code (k,), and the derivatives (k, 3 m) of theirs."""
        centres = np.rint(points / self.step_a).astype(int) + self.n // 2
        voxels = centres[:, None] + self.offsets
        inside = ((voxels >= 0) & (voxels < self.n)).all(axis=2)
        apart = (voxels - self.n / 2) * self.step_a - points[:, None]
        values = np.exp(-(apart**2).sum(axis=2) / (2.0 * self.sigma_a**2)) * inside
        clipped = np.clip(voxels, 0, self.n - 1)
        flat = (clipped[..., 0] * self.n + clipped[..., 1]) * self.n + clipped[..., 2]
        image = np.bincount(flat.reshape(-1), values.reshape(-1), self.n**3)
        open_ = (image < 1.0)[flat]
        code = self.basis @ np.minimum(image, 1.0).astype(np.float32)
        rising = (apart * (values * open_)[..., None] / self.sigma_a**2).astype(np.float32)
        slopes = [self.columns[flat[i]].T @ rising[i] for i in range(len(points))]
        return wanted - code, np.concatenate([np.zeros((len(wanted), 0)), *slopes], axis=1).astype(np.float64)


def refined_cell(
    cell: Floats, code: NDArray[np.floating], encode: Callable[[list[Floats]], NDArray[np.floating]]
) -> Floats:
    """Edges and angles whose code is nearest to a given one, from a start that is near.

    Args:
        cell: (6,) edges in Å, angles in degrees.
        code: (latent,).
        encode: cell vectors (3, 3), Å, of some cells -> their codes (n, latent).

    Returns:
        (6,) edges and angles; the start where its code cannot be approached.
    """
    start = lattice_matrix(cell[:3], cell[3:])
    if start is None:
        return cell
    best, damping = metric_code(start), DAMPING
    first = _metric_slopes(best, encode)
    if first is None:
        return cell
    rest, slopes = code - first[0], first[1]
    for _ in range(ROUNDS):
        normal = slopes.T @ slopes
        normal[np.diag_indices(6)] *= 1.0 + damping
        normal[np.diag_indices(6)] += 1e-9 * np.trace(normal) + 1e-12
        moves = np.linalg.solve(normal, slopes.T @ rest)
        moves *= min(1.0, LONGEST_MOVE_LOG / max(float(np.abs(moves).max()), 1e-12))
        trial = _metric_slopes(best + moves, encode)
        if trial is not None and np.linalg.norm(code - trial[0]) < np.linalg.norm(rest):
            best, rest, slopes, damping = best + moves, code - trial[0], trial[1], damping / 10
        else:
            damping = max(damping, 1e-3) * 30
        if float(np.abs(moves).max()) < SETTLED_LOG:
            break
    found = cells_of_metric_codes(best[None])[0]
    return cell if isinstance(found, Verdict) else found


def _metric_slopes(
    metric: Floats, encode: Callable[[list[Floats]], NDArray[np.floating]]
) -> tuple[Floats, Floats] | None:
    """Code (latent,) of the logarithm of a metric (6,), and its derivatives (latent, 6) by differences, if a cell."""
    near = np.concatenate([metric[None], metric + STEP_LOG * np.eye(6)])
    found = [c for c in cells_of_metric_codes(near) if not isinstance(c, Verdict)]
    lattices = [m for m in (lattice_matrix(c[:3], c[3:]) for c in found) if m is not None]
    if len(lattices) < len(near):
        return None
    codes = np.asarray(encode(lattices), dtype=np.float64)
    return codes[0], ((codes[1:] - codes[0]) / STEP_LOG).T
