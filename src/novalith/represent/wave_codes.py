"""Codes of iMatGen's images without a network: the longest waves of a basis image, the logarithm of a cell's metric.

    basis   z_0 = n,  z_k = sum_i cos(2 pi k . r_i / L),  z'_k = sum_i sin(2 pi k . r_i / L),   0 < |k|^2 <= 13
            r_i (Å) the n atoms of an element about the middle of the image, L = 13 Å, k whole, one of each +-k
    image   z = W p: the same sums over the voxels p of a 64^3 image, divided by the transform of one Gaussian
    cell    log(A A^T), six numbers of a symmetric matrix; A the cell vectors as rows, Å; exp of any such is a cell

203 numbers an image, where the published network has 200. That so few suffice is no accident: n atoms are 3 n numbers,
and points whose distances are above half the shortest wave, L / (2 sqrt(13)) = 1.8 Å, are determined by these sums
(Candès and Fernandez-Granda, Commun. Pure Appl. Math. 67, 906, 2014); atoms of one element in a crystal hardly come
nearer. Decoding finds them: n = z_0 says how many, each in turn is put where the waves not yet explained are in phase,
and all are moved by Gauss-Newton until the sums agree,

    minimise  sum_k (z_k - sum_i cos(k r_i))^2 + (z'_k - sum_i sin(k r_i))^2.

Codes that no set of points has, such as those of a network, decode to the points that come nearest to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Verdict
from novalith.represent.cell_images import AXIS_A, MAX_SITES, basis_image
from novalith.represent.point_cloud import cell_parameters
from novalith.represent.voxels import Floats

RULE = "imatgen"
#: Period of the waves (Å) and the longest wave vector squared; atoms must lie well inside of one period.
PERIOD_A, LARGEST_SQUARE = 13.0, 13
REACH_A = 6.2
#: Places tried for a new atom, Å apart; Gauss-Newton does the rest.
GRID_STEP_A = 0.6
#: Codes decoded together, moves of all atoms after each new one and at the end, the longest move (Å) and when to stop.
_TOGETHER, _MOVES_BETWEEN, _MOVES, _LONGEST_MOVE_A, _CONVERGED_A = 128, 3, 30, 0.4, 1e-5
#: Rounds in which single atoms are moved elsewhere, and the error of a wave above which that is tried.
_ARRANGEMENTS, _FAR_OFF = 24, 0.2
#: Damping of Gauss-Newton, as a share of the mean curvature.
_DAMPING = 1e-3
#: Edges outside of these (Å) are no cell that images can show.
EDGES_A = (1.5, 15.0)


def _wave_vectors() -> Floats:
    side = np.arange(-3, 4)
    k = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    square = (k**2).sum(axis=1)
    # One of each pair +-k: the first component that is not zero is positive.
    first = np.array([next((c for c in row if c), 0) for row in k.tolist()])
    kept = k[(first > 0) & (square <= LARGEST_SQUARE)]
    order = np.lexsort((*kept.T, (kept**2).sum(axis=1)))
    return 2.0 * np.pi / PERIOD_A * kept[order].astype(float)


#: (101, 3) wave vectors, 1/Å, the longest waves first.
WAVES = _wave_vectors()
#: How many waves have each length, the longest first.
SHELLS = tuple(int(n) for n in np.unique(np.round((WAVES**2).sum(axis=1), 9), return_counts=True)[1])
N_BASIS_CODE, N_CELL_CODE = 1 + 2 * len(WAVES), 6


def waves_of_points(positions_a: Floats) -> Floats:
    """Code (203,) of positions (n, 3), Å about the middle."""
    phases = positions_a @ WAVES.T
    return np.concatenate([[len(positions_a)], np.cos(phases).sum(axis=0), np.sin(phases).sum(axis=0)])


def waves_of_image(image: NDArray[np.floating]) -> Floats:
    """Code (203,) of a basis image (64, 64, 64), a linear map of its voxels."""
    single = _transform(basis_image(np.zeros((1, 3))))
    found = _transform(image) / np.concatenate([single[: 1 + len(WAVES)], single[1 : 1 + len(WAVES)]])
    return np.asarray(found)


def _transform(image: NDArray[np.floating]) -> Floats:
    """Sums of an image over the constant, the cosines and the sines."""
    # A wave is a product along the axes: three small products of matrices instead of 64^3 cosines a wave.
    factors = np.exp(1j * WAVES[:, :, None] * AXIS_A)  # (w, 3, 64)
    sums = np.einsum("ijk,wk->ijw", np.asarray(image, dtype=float), factors[:, 2])
    sums = np.einsum("ijw,wj->iw", sums, factors[:, 1])
    whole = np.einsum("iw,wi->w", sums, factors[:, 0])
    return np.concatenate([[float(np.sum(image, dtype=float))], whole.real, whole.imag])


def image_of_waves(code: NDArray[np.floating], n: int = 32) -> NDArray[np.float32]:
    """What a code says before atoms are looked for: its waves summed on n^3 voxels over the 15 Å cube.

    Each wave is weighted by the transform of a Gaussian of 1 Å, so that what is drawn has no ripples of its own.
    """
    axis = np.linspace(AXIS_A[0], -AXIS_A[0], n, endpoint=False)
    factors = np.exp(-1j * WAVES[:, :, None] * axis)
    weight = np.exp(-(WAVES**2).sum(axis=1) / 2.0)
    real, imaginary = np.split(np.asarray(code, dtype=float)[1:], 2)
    amplitude = 2.0 * weight * (real + 1j * imaginary)
    planes = np.einsum("w,wi,wj->ijw", amplitude, factors[:, 0], factors[:, 1], optimize=True)
    image = (planes.reshape(n * n, -1) @ factors[:, 2]).real.reshape(n, n, n) + float(code[0])
    return np.asarray(image / PERIOD_A**3, dtype=np.float32)


def points_of_waves(codes: NDArray[np.floating]) -> list[Floats | Verdict]:
    """Positions (n, 3) in Å of each code (b, 203), or why it shows no atoms."""
    codes = np.asarray(codes, dtype=float)
    finite = np.isfinite(codes).all(axis=1)
    counts = np.where(finite, np.rint(np.where(finite, codes[:, 0], 0.0)), -1).astype(np.int64)
    answers: list[Floats | Verdict] = [_no_points(bool(f), int(n)) for f, n in zip(finite, counts, strict=True)]
    usable = np.flatnonzero(finite & (counts >= 1) & (counts <= MAX_SITES))
    # Codes with equal numbers of atoms are decoded together: their arrays have no gaps.
    for n in np.unique(counts[usable]).tolist():
        rows = usable[counts[usable] == n]
        for start in range(0, len(rows), _TOGETHER):
            part = rows[start : start + _TOGETHER]
            for row, points in zip(part.tolist(), _found_points(codes[part], n), strict=True):
                answers[row] = points
    return answers


def _no_points(finite: bool, count: int) -> Floats | Verdict:
    if not finite:
        return Verdict(False, RULE, "The code holds numbers that are not finite.")
    if count > MAX_SITES:
        return Verdict(False, RULE, f"The code counts {count} atoms of one element; at most {MAX_SITES} fit.")
    return np.zeros((0, 3))


@cache
def _grid() -> tuple[Floats, NDArray[np.float32]]:
    axis = np.arange(-REACH_A, REACH_A + 1e-9, GRID_STEP_A)
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    phases = places @ WAVES.T
    return places, np.concatenate([np.cos(phases), np.sin(phases)], axis=1).astype(np.float32)


def _found_points(codes: Floats, n: int) -> Floats:
    """(b, n, 3) positions of codes that all count n atoms."""
    places, waves = _grid()
    wanted = codes[:, 1:]
    points = np.zeros((len(codes), 0, 3))
    for _ in range(n):
        left = (wanted - _sums(points)).astype(np.float32)
        best = np.argmax(left @ waves.T, axis=1)
        points = _moved(np.concatenate([points, places[best][:, None]], axis=1), wanted, _MOVES_BETWEEN)
    return _moved(_rearranged(points, wanted, places, waves), wanted, _MOVES)


def _rearranged(points: Floats, wanted: Floats, places: Floats, waves: NDArray[np.float32]) -> Floats:
    """Where a sum is far off, take an atom from where the waves say too much to where they miss one, if that helps.

    The first, second, third ... most superfluous atom is tried in turn, until one helps and the turn starts again.
    """
    points, turn = points.copy(), np.zeros(len(points), dtype=np.int64)
    error = _error(points, wanted)
    for _ in range(_ARRANGEMENTS):
        rows = np.flatnonzero((error > _FAR_OFF) & (turn < points.shape[1]))
        if not len(rows):
            break
        left = wanted[rows] - _sums(points[rows])
        phases = points[rows] @ WAVES.T
        at_atoms = (np.concatenate([np.cos(phases), np.sin(phases)], axis=2) @ left[:, :, None])[:, :, 0]
        superfluous = np.argsort(at_atoms, axis=1, kind="stable")[np.arange(len(rows)), turn[rows]]
        # Without that atom its own waves are missing too, and the best place is where the rest of them points.
        own = np.take_along_axis(phases, superfluous[:, None, None], axis=1)[:, 0]
        missing = left + np.concatenate([np.cos(own), np.sin(own)], axis=1)
        best = np.argmax(missing.astype(np.float32) @ waves.T, axis=1)
        same = np.linalg.norm(places[best] - points[rows, superfluous], axis=1) < GRID_STEP_A
        second = np.argmax(left.astype(np.float32) @ waves.T, axis=1)
        tried = points[rows].copy()
        tried[np.arange(len(rows)), superfluous] = places[np.where(same, second, best)]
        tried = _moved(tried, wanted[rows], 2 * _MOVES_BETWEEN)
        now = _error(tried, wanted[rows])
        better = now < 0.98 * error[rows]
        points[rows[better]], error[rows[better]] = tried[better], now[better]
        turn[rows] = np.where(better, 0, turn[rows] + 1)
    return points


def _error(points: Floats, wanted: Floats) -> Floats:
    """(b,) root mean square of what the waves of points miss."""
    return np.asarray(np.sqrt(((wanted - _sums(points)) ** 2).mean(axis=1)))


def _sums(points: Floats) -> Floats:
    phases = points @ WAVES.T  # (b, n, w)
    return np.concatenate([np.cos(phases).sum(axis=1), np.sin(phases).sum(axis=1)], axis=1)


def _moved(points: Floats, wanted: Floats, rounds: int) -> Floats:
    """Gauss-Newton on all positions together, damped, no atom further than `_LONGEST_MOVE_A` at once."""
    n = 3 * points.shape[1]
    for _ in range(rounds):
        phases = points @ WAVES.T
        cosine, sine = np.cos(phases), np.sin(phases)
        residual = wanted - np.concatenate([cosine.sum(axis=1), sine.sum(axis=1)], axis=1)
        both = np.concatenate([-sine, cosine], axis=2)  # (b, n, 2w)
        slopes = (both[:, :, None] * np.tile(WAVES.T, 2)).reshape(len(points), n, -1)  # (b, 3n, 2w)
        normal = slopes @ slopes.transpose(0, 2, 1)
        diagonal = np.trace(normal, axis1=1, axis2=2) / n
        normal += _DAMPING * diagonal[:, None, None] * np.eye(n)
        change = np.linalg.solve(normal, (slopes @ residual[:, :, None]))[:, :, 0].reshape(points.shape)
        length = np.linalg.norm(change, axis=2, keepdims=True)
        change *= np.minimum(1.0, _LONGEST_MOVE_A / np.maximum(length, 1e-12))
        points = np.clip(points + change, -PERIOD_A / 2, PERIOD_A / 2)
        if length.max() < _CONVERGED_A:
            break
    return points


def metric_code(lattice: Floats) -> Floats:
    """Code (6,) of cell vectors (3, 3) as rows, Å: the logarithm of their metric."""
    values, vectors = np.linalg.eigh(lattice @ lattice.T)
    logarithm = (vectors * np.log(values)) @ vectors.T
    return np.asarray(logarithm[np.triu_indices(3)])


def cells_of_metric_codes(codes: NDArray[np.floating]) -> list[Floats | Verdict]:
    """Edges (Å) and angles (degrees), (6,), of each code (b, 6), or why it is no cell."""
    return [_cell_of(np.asarray(code, dtype=float)) for code in codes]


def _cell_of(code: Floats) -> Floats | Verdict:
    low, high = EDGES_A
    if not np.isfinite(code).all() or np.abs(code).max() > 4.0 * np.log(high):
        return Verdict(False, RULE, f"The code of the cell, {_shown(code)}, is that of none with edges up to {high} Å.")
    matrix = np.zeros((3, 3))
    matrix[np.triu_indices(3)] = code
    values, vectors = np.linalg.eigh(matrix + np.triu(matrix, 1).T)
    # Any root of the metric has its edges and angles.
    lengths, angles = cell_parameters((vectors * np.exp(values / 2.0)) @ vectors.T)
    if lengths.min() < low or lengths.max() > high:
        return Verdict(False, RULE, f"Edges of {_shown(lengths)} Å; a cell from {low} to {high} Å was expected.")
    return np.concatenate([lengths, angles])


def _shown(numbers: Sequence[float] | Floats) -> str:
    return " ".join(f"{float(x):.3g}" for x in numbers)
