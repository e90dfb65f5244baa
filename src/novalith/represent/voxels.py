"""Crystals as three-dimensional images: the contract of a codec, and the arithmetic that all of them share.

    grid       voxel (i, j, k) stands at o + i u + j v + k w, step vectors u, v, w (rows of a 3 x 3 matrix, Å), o its
               corner (Å); shape (n_a, n_b, n_c)
    Gaussian   g(r) = A exp(-|r - m|^2 / 2 s^2), of known width s (Å) and of unknown mean m (Å) and height A
    log space  ln g + |r|^2 / 2 s^2 = r . m / s^2 + const, linear in m: three points an axis give the mean exactly

A peak voxel alone says where an atom is to half a voxel diagonal: 0.20 Å at 15 Å / 64, before any network. The mean of
the known Gaussian is found far below that: by log space where a peak stands alone, by least squares over all peaks
together where they overlap (`fit_gaussians`). Rasterising touches only what lies near an atom: on Cartesian grids a
Gaussian is a product of three, and a sum of n of them one matrix product (`cartesian_gaussians`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ELEMENTS, Crystal, Verdict
from novalith.represent.point_cloud import cell_parameters, lattice_matrix

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

#: Images with more peaks than this are noise: no codec takes half as many sites.
MOST_PEAKS = 120
#: Rounds of least squares, the longest move of a peak in one, and where they stop, Å.
_ROUNDS, _LONGEST_MOVE_A, _CONVERGED_A = 25, 0.1, 1e-6
#: The 26 neighbours of a voxel.
_NEIGHBOURS = np.array([step for step in np.ndindex(3, 3, 3) if step != (1, 1, 1)]) - 1


class VoxelCodec(ABC):
    """Turns crystals into named arrays and back.

    Nothing is raised for a crystal or an image: what has no answer has a `Verdict` with the reason.
    """

    name: ClassVar[str]

    @abstractmethod
    def check(self, crystal: Crystal) -> Verdict:
        """Whether the crystal is inside the limits of the codec: edges, sites, elements."""

    @abstractmethod
    def encode(self, crystal: Crystal) -> dict[str, NDArray[Any]] | Verdict:
        """Named arrays of a crystal, or why it has none."""

    @abstractmethod
    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Crystal | Verdict:
        """The crystal that arrays show, or why they show none."""


def upright(crystal: Crystal) -> Floats:
    """The cell turned to the standard setting: rows in Å, a along x, b in the xy plane, right-handed."""
    lattice = lattice_matrix(*cell_parameters(np.asarray(crystal.lattice)))
    return np.asarray(crystal.lattice) if lattice is None else lattice


def check_limits(crystal: Crystal, rule: str, *, max_sites: int, max_edge_a: float, max_elements: int = 0) -> Verdict:
    """Whether a cell has few enough sites and elements (0: any number) and short enough edges (Å)."""
    edge = float(np.linalg.norm(np.asarray(crystal.lattice), axis=1).max())
    if crystal.n_atoms > max_sites:
        return Verdict(False, rule, f"{crystal.n_atoms} sites in the cell; at most {max_sites} fit.")
    if edge > max_edge_a + 1e-9:
        return Verdict(False, rule, f"The longest edge is {edge:.2f} Å; at most {max_edge_a:g} Å fit the grid.")
    n_elements = len(set(crystal.species))
    if max_elements and n_elements > max_elements:
        return Verdict(False, rule, f"{n_elements} elements; at most {max_elements} have an image.")
    return Verdict(True, rule)


def check_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, Sequence[int]], rule: str) -> Verdict:
    """Whether every named array is there, has its shape (-1: any length) and holds finite numbers."""
    for name, shape in shapes.items():
        if name not in arrays:
            there = ", ".join(sorted(arrays)) or "none"
            return Verdict(False, rule, f"The array {name!r} is missing; there are {there}.")
        array = np.asarray(arrays[name])
        wanted = tuple(a if w < 0 else w for a, w in zip(array.shape, shape, strict=False))
        if array.ndim != len(shape) or array.shape != wanted:
            shown = ", ".join("any" if w < 0 else str(w) for w in shape)
            return Verdict(False, rule, f"{name!r} has the shape {array.shape}; expected ({shown}).")
        if array.dtype.kind not in "fiub":
            return Verdict(False, rule, f"{name!r} holds {array.dtype}; expected numbers.")
        if not np.isfinite(array).all():
            return Verdict(False, rule, f"{name!r} holds numbers that are not finite.")
    return Verdict(True, rule)


def cartesian_gaussians(positions_a: Floats, weights: Floats, sigma_a: float, axis_a: Floats) -> Floats:
    """Sum of weighted Gaussians of one width on a cube of voxels, (n, n, n).

    Args:
        positions_a: (m, 3) means, Å.
        weights: (m,) heights.
        sigma_a: width, Å.
        axis_a: (n,) positions of the voxels along each axis, Å.
    """
    n = len(axis_a)
    factors = np.exp(-((positions_a[:, :, None] - axis_a) ** 2) / (2.0 * sigma_a**2))  # (m, 3, n)
    planes = (factors[:, 1, :, None] * factors[:, 2, None, :]).reshape(-1, n * n)
    return ((weights[:, None] * factors[:, 0]).T @ planes).reshape(n, n, n)


def voxels_within(
    positions: Floats, radii_a: Floats, step_a: Floats, shape: tuple[int, int, int]
) -> tuple[Whole, Whole, Floats]:
    """Pairs of a point and a voxel no further from it than its radius.

    Args:
        positions: (m, 3) in units of voxels, voxel (i, j, k) at (i, j, k); may lie outside of the grid.
        radii_a: (m,) Å.
        step_a: (3, 3) step vectors as rows, Å.
        shape: of the grid.

    Returns:
        index of the point (p,), flat index of the voxel (p,), voxel minus point (p, 3) in Å.
    """
    if not len(positions):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3))
    reach = float(radii_a.max()) * np.linalg.norm(np.linalg.inv(step_a), axis=0)  # voxels along each axis
    half = np.ceil(reach).astype(int)
    block = np.stack(np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij"), axis=-1).reshape(-1, 3)
    shifts = block @ step_a
    near = np.linalg.norm(shifts, axis=1) <= radii_a.max() + np.linalg.norm(np.abs(step_a).sum(axis=0)) / 2
    block, shifts = block[near], shifts[near]
    centres = np.rint(positions).astype(np.int64)
    off = (centres - positions) @ step_a  # (m, 3) from the point to the voxel nearest to it
    square = (off**2).sum(axis=1)[:, None] + 2.0 * off @ shifts.T + (shifts**2).sum(axis=1)
    point, place = np.nonzero(square <= radii_a[:, None] ** 2)
    voxels = centres[point] + block[place]
    inside = ((voxels >= 0) & (voxels < np.array(shape))).all(axis=1)
    point, place, voxels = point[inside], place[inside], voxels[inside]
    return point, np.ravel_multi_index(tuple(voxels.T), shape), off[point] + shifts[place]


def nearest_labels(
    positions: Floats, labels: Whole, radii_a: Floats, step_a: Floats, shape: tuple[int, int, int]
) -> NDArray[np.int16]:
    """Label of the nearest point whose radius reaches the voxel, 0 where none does; arguments as in `voxels_within`.

    The voxel nearest to a point carries its label even where the radius is too small to reach any.
    """
    point, voxel, apart = voxels_within(positions, radii_a, step_a, shape)
    order = np.argsort(-(apart**2).sum(axis=1), kind="stable")  # the nearest is written last
    image = np.zeros(int(np.prod(shape)), dtype=np.int16)
    image[voxel[order]] = labels[point[order]]
    own = np.rint(positions).astype(np.int64)
    inside = ((own >= 0) & (own < np.array(shape))).all(axis=1)
    image[np.ravel_multi_index(tuple(own[inside].T), shape)] = labels[inside]
    return image.reshape(shape)


def images_in_box(frac: Floats, low: Floats, high: Floats) -> tuple[Whole, Whole]:
    """Periodic images whose fractional position lies in a fractional box: site (m,) and translation (m, 3)."""
    least = np.floor(low - frac.max(axis=0)).astype(int)
    most = np.ceil(high - frac.min(axis=0)).astype(int)
    shifts = np.stack(np.meshgrid(*map(np.arange, least, most + 1), indexing="ij"), axis=-1).reshape(-1, 3)
    places = frac[:, None, :] + shifts
    site, which = np.nonzero(((places >= low) & (places <= high)).all(axis=2))
    return site, shifts[which]


def untouching_radii(radii_a: Floats, numbers: Whole, frac: Floats, lattice: Floats, step_a: Floats) -> Floats:
    """(n,) radii cut so that regions of two sites of one element never share a face of a voxel.

    Voxels that share a face are at most a step apart, so that less than half of (distance - step) keeps regions apart.
    """
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    delta = frac[:, None] - frac
    delta -= np.round(delta)
    apart = np.linalg.norm((delta[:, :, None, :] + shifts) @ lattice, axis=3)
    apart[(apart < 1e-6) | (numbers[:, None] != numbers)[:, :, None]] = np.inf
    longest_step = 1.01 * float(np.linalg.norm(step_a, axis=1).max())
    return np.asarray(np.clip((apart.min(axis=(1, 2)) - longest_step) / 2.0, 0.0, radii_a))


def sites_of_species(
    species: NDArray[Any], step_a: Floats, corner_a: Floats, lattice: Floats, rule: str
) -> tuple[Floats, Whole] | Verdict:
    """Fractional positions (m, 3) and atomic numbers (m,) of the sites that an image of species (n, n, n) shows.

    Pieces of one element are connected over faces of voxels. Whole pieces go before those cut by the border of the
    image and large ones before small ones; a piece whose centre lies within the reach of one that went before it, or of
    an image of that by the lattice, is a copy of it.

    Args:
        species: atomic numbers, 0 between sites.
        step_a: (3, 3) step vectors as rows, Å.
        corner_a: (3,) corner of the first voxel, Å.
        lattice: (3, 3) cell vectors as rows, Å.
        rule: of the verdict where there are no sites.
    """
    from scipy import ndimage

    values = np.rint(np.asarray(species, dtype=float))
    least, most = float(values.min()), float(values.max())
    if least < 0 or most > len(ELEMENTS):
        return Verdict(False, rule, f"The species image holds {least:g} to {most:g}; atomic numbers are needed.")
    labels = values.astype(int)
    kinds = [z for z in np.unique(labels).tolist() if z != 0]
    if not kinds:
        return Verdict(False, rule, "The species image is empty.")
    longest_step = float(np.linalg.norm(step_a, axis=1).max())
    inverse = np.linalg.inv(lattice)
    pieces: list[tuple[bool, int, int, Floats, float]] = []
    for z in kinds:
        parts, number = ndimage.label(labels == z)
        for i, window in enumerate(ndimage.find_objects(parts, number)):
            inside = np.argwhere(parts[window] == i + 1) + np.array([s.start for s in window])
            cut = bool((inside == 0).any() or (inside == np.array(labels.shape) - 1).any())
            middle = inside.mean(axis=0)
            reach = float(np.linalg.norm((inside - middle) @ step_a, axis=1).max()) + longest_step
            pieces.append((cut, -len(inside), z, ((middle + 0.5) @ step_a + corner_a) @ inverse, reach))
    pieces.sort(key=lambda p: (p[0], p[1], p[2], *p[3]))
    frac, numbers, reaches = np.zeros((0, 3)), np.zeros(0, dtype=np.int64), np.zeros(0)
    for _, _, z, centre, reach in pieces:
        delta = frac - centre
        near = np.linalg.norm((delta - np.round(delta)) @ lattice, axis=1) < reaches
        if not (near & (numbers == z)).any():
            frac = np.concatenate([frac, centre[None]])
            numbers, reaches = np.append(numbers, z), np.append(reaches, reach)
    return frac, numbers


def local_maxima(image: NDArray[Any], threshold: float) -> Whole:
    """Voxels (m, 3) above a threshold and not below any of their 26 neighbours; of equal neighbours the first."""
    shape = np.array(image.shape)
    found = np.argwhere(image > threshold)
    if not len(found):
        return found
    own = image[tuple(found.T)]
    beside = found[:, None, :] + _NEIGHBOURS
    inside = ((beside >= 0) & (beside < shape)).all(axis=2)
    clipped = np.clip(beside, 0, shape - 1)
    values = np.where(inside, image[tuple(np.moveaxis(clipped, 2, 0))], -np.inf)
    first = np.arange(26) < 13  # neighbours that come before in the order of the array
    beaten = (values > own[:, None]) | ((values == own[:, None]) & first)
    return found[~beaten.any(axis=1)]


def parabola_peaks(image: NDArray[Any], peaks: Whole) -> Floats:
    """Peak voxels (m, 3) shifted by the parabola of the logarithm along each axis, in voxels."""
    shape, moved = np.array(image.shape), peaks.astype(float)
    floor = 1e-6
    centre = np.log(np.maximum(image[tuple(peaks.T)], floor))
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        before, after = peaks - step, peaks + step
        inner = (before[:, axis] >= 0) & (after[:, axis] < shape[axis])
        low = np.log(np.maximum(image[tuple(np.clip(before, 0, shape - 1).T)], floor))
        high = np.log(np.maximum(image[tuple(np.clip(after, 0, shape - 1).T)], floor))
        curve = 2.0 * centre - low - high
        shift = np.where(inner & (curve > 1e-9), (high - low) / np.maximum(2.0 * curve, 1e-9), 0.0)
        moved[:, axis] += np.clip(shift, -0.5, 0.5)
    return moved


def fit_gaussians(
    image: NDArray[Any], peaks: Floats, sigma_a: float, step_a: float, *, radius: float = 2.2
) -> tuple[Floats, Floats]:
    """Means and heights of Gaussians of known width on a cubic grid, by least squares over all of them together.

    Args:
        image: (n, n, n).
        peaks: (m, 3) where to start, in voxels.
        sigma_a: width, Å.
        step_a: distance of voxels, Å.
        radius: voxels within so many widths of a start count.

    Returns:
        means (m, 3) in voxels and heights (m,).
    """
    sigma = sigma_a / step_a
    _, voxels, _ = voxels_within(peaks, np.full(len(peaks), radius * sigma_a), np.eye(3) * step_a, image.shape)
    voxels = np.unique(voxels)
    points = np.stack(np.unravel_index(voxels, image.shape), axis=1).astype(float)
    values = image.reshape(-1)[voxels].astype(float)
    means = peaks.astype(float).copy()
    heights = np.ones(len(means))
    limit = _LONGEST_MOVE_A / step_a
    for turn in range(_ROUNDS):
        apart = points[:, None, :] - means  # (v, m, 3)
        shapes = np.exp(-(apart**2).sum(axis=2) / (2.0 * sigma**2))
        slopes = (heights * shapes)[:, :, None] * apart / sigma**2
        jacobian = np.concatenate([slopes.reshape(len(points), -1), shapes], axis=1)
        residual = values - shapes @ heights
        normal = jacobian.T @ jacobian
        normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal) / len(normal)
        change = np.linalg.solve(normal, jacobian.T @ residual)
        moves = np.clip(change[: 3 * len(means)].reshape(-1, 3), -limit, limit)
        means += moves
        heights = np.clip(heights + change[3 * len(means) :], 0.05, 5.0)
        if turn and np.abs(moves).max() * step_a < _CONVERGED_A:
            break
    return means, heights
