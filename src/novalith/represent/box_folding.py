"""Atoms from a box of probabilities: everything in the box is folded into one cell of the lattice and averaged.

    p_front(r) = 1 - p(background | r)                        how much a voxel looks like part of an atom
    F(x) = mean over lattice vectors t with x + t in the box of p_front(x + t)          x in the cell
    atoms = maxima of F, blurred with a Gaussian of 0.25 Å, of at least `LEAST_FRONT`; position = centroid around them;
            of hydrogen and of all other elements on maps of their own
    species(atom) = argmax_Z sum of p(Z | r) over the voxels r nearest to the atom or one of its images

The published decoder takes the regions of the species map as they are, and a coin decides where two overlap; here a
voxel belongs to the nearest atom within reach. A cell that is no lattice of the box blurs F and lets images of one atom
disagree on their species: that is its inconsistency, by which cells are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ELEMENTS, Crystal, Verdict
from novalith.represent.density_box import SIGMA_A, SPECIES_RADIUS_A, Box, atoms_in_box, box_species

Floats = NDArray[np.float64]

RULE = "atoms in the box"
#: Distance of the points of a folded cell and blur of the folded probability, Å.
POINT_A, BLUR_A = 0.3, 0.25
#: Distance of the points by which it is judged whether the box shows a cell, Å.
COARSE_A = 0.8
#: Least blurred front at an atom. A lone atom that the network is sure of has about 0.9.
LEAST_FRONT = 0.35
#: Atoms nearer than this are one, Å: below the shortest bond (H-H, 0.74 Å).
MERGED_A = 0.7
#: Most atoms of a cell that are looked for.
MOST_ATOMS = 60
#: Least share of a folded cell that the box must show.
LEAST_SEEN = 0.98


@dataclass(frozen=True, eq=False)
class FoldedAtoms:
    """Atoms found in a cell, with what speaks against it.

    Attributes:
        crystal: the cell with its atoms.
        inconsistency: share of the probability of the front that votes for another species than its atom's, or lies
            at no atom: 0 for a cell that explains the box.
        probabilities: (atoms, classes) mean probabilities of each atom, background left out.
    """

    crystal: Crystal
    inconsistency: float
    probabilities: NDArray[np.float32]


def folded(field: NDArray[np.floating], lattice: Floats, box: Box) -> tuple[Floats, float]:
    """Average of a field over the images of each point of a cell that lie in the box.

    Args:
        field: (n, n, n).
        lattice: (3, 3) Å.
        box: the grid.

    Returns:
        (m_a, m_b, m_c) averages, 0 where the box shows no image, and the share of points that it shows.
    """
    from scipy.ndimage import map_coordinates

    shape, fractions = _cell_points(lattice, POINT_A)
    total, seen = np.zeros(len(fractions)), np.zeros(len(fractions))
    for inside, places in _images(fractions, lattice, box):
        total[inside] += map_coordinates(field, places.T / box.voxel_a - 0.5, order=1, mode="nearest")
        seen[inside] += 1
    share = float((seen > 0).mean())
    return (total / np.maximum(seen, 1)).reshape(shape), share


def _cell_points(lattice: Floats, step_a: float) -> tuple[tuple[int, ...], Floats]:
    """Numbers of points along the edges of a cell, and their fractional positions (m, 3)."""
    shape = tuple(int(np.ceil(length / step_a)) for length in np.linalg.norm(lattice, axis=1))
    grid = np.meshgrid(*(np.arange(m) / m for m in shape), indexing="ij")
    return shape, np.stack(grid, axis=-1).reshape(-1, 3)


def _images(fractions: Floats, lattice: Floats, box: Box) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """For each translation, which points it brings into the box, and where to (Å)."""
    low, high = box.axis_a[0], box.axis_a[-1]
    corners = np.array(list(product((low, high), repeat=3))) @ np.linalg.inv(lattice)
    least, most = np.floor(corners.min(axis=0) - 1).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    points = np.ascontiguousarray((fractions @ lattice).T)
    for step in product(*(range(a, b + 1) for a, b in zip(least, most, strict=True))):
        inside = np.arange(points.shape[1])
        shift = np.array(step) @ lattice
        for axis in range(3):  # one axis after the other: most points leave at the first
            along = points[axis, inside] + shift[axis]
            inside = inside[(along >= low) & (along <= high)]
        if len(inside):
            yield inside, points[:, inside].T + shift


def shown_share(lattice: Floats, box: Box) -> Verdict:
    """Whether the box shows every point of a cell or of one of its images, wherever the cell's origin lies in it."""
    _, fractions = _cell_points(lattice, COARSE_A)
    seen = np.zeros(len(fractions), dtype=bool)
    for inside, _ in _images(fractions, lattice, box):
        seen[inside] = True
    share = float(seen.mean())
    reason = "" if share >= LEAST_SEEN else f"The box of {box.edge_a:.1f} Å shows {100 * share:.0f} % of the cell."
    return Verdict(share >= LEAST_SEEN, RULE, reason)


def blurred(field: Floats, lattice: Floats, width_a: float) -> Floats:
    """A field of a cell convolved with a periodic Gaussian, (m_a, m_b, m_c)."""
    squares = reciprocal_squares(field.shape, lattice)
    out: Floats = np.fft.ifftn(np.fft.fftn(field) * np.exp(-squares * width_a**2 / 2)).real
    return out


def reciprocal_squares(shape: tuple[int, ...], lattice: Floats) -> Floats:
    """k^2 (1/Å2) of the waves of a grid of so many points in a cell."""
    waves = np.stack(np.meshgrid(*(np.fft.fftfreq(m, 1 / m) for m in shape), indexing="ij"), axis=-1)
    return np.asarray(((waves @ np.linalg.inv(lattice).T) ** 2).sum(axis=-1) * (2 * np.pi) ** 2)


def cell_peaks(field: Floats, lattice: Floats) -> Floats:
    """Fractional positions (m, 3) of the maxima of a periodic field, highest first, none nearer than `MERGED_A`."""
    from scipy.ndimage import maximum_filter

    smooth = blurred(field, lattice, BLUR_A)
    highest = (smooth == maximum_filter(smooth, size=3, mode="wrap")) & (smooth >= LEAST_FRONT)
    places = np.argwhere(highest)
    places = places[np.argsort(-smooth[tuple(places.T)], kind="stable")][: 4 * MOST_ATOMS]
    kept: list[Floats] = []
    for place in places:
        centre = _centroid(smooth, place, lattice)
        if all(periodic_distance(centre, other, lattice) >= MERGED_A for other in kept):
            kept.append(centre)
    return np.array(kept).reshape(-1, 3)


def _centroid(field: Floats, place: NDArray[np.int64], lattice: Floats) -> Floats:
    """Sub-voxel position of a maximum: the centroid of what exceeds half of it within the radius of a species."""
    shape = np.array(field.shape)
    reach = np.ceil(SPECIES_RADIUS_A * np.linalg.norm(np.linalg.inv(lattice), axis=0) * shape).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (steps / shape) @ lattice
    steps, vectors = (x[np.linalg.norm(vectors, axis=1) <= SPECIES_RADIUS_A] for x in (steps, vectors))
    values = field[tuple(((place + steps) % shape).T)]
    weights = np.maximum(values - field[tuple(place)] / 2, 0.0)
    moved = (weights[:, None] * vectors).sum(axis=0) / weights.sum()
    centre: Floats = (place / shape + moved @ np.linalg.inv(lattice)) % 1.0
    return centre


def periodic_distance(first: Floats, second: Floats, lattice: Floats) -> float:
    """Least distance of two fractional positions, Å, over the nearest images."""
    delta = first - second
    delta -= np.rint(delta)
    images = np.array(list(product((-1, 0, 1), repeat=3)))
    return float(np.linalg.norm((delta + images) @ lattice, axis=1).min())


def voxels_of_atoms(positions: Floats, lattice: Floats, box: Box) -> NDArray[np.int64]:
    """(n, n, n) numbers of the nearest atom (1, 2, ...) or image of it within the radius of a species, else 0."""
    atoms, labels = atoms_in_box(lattice, positions, np.arange(1, len(positions) + 1), np.zeros(3), box)
    return box_species(atoms, labels, box)


def atoms_in_cell(probabilities: NDArray[np.float32], lattice: Floats, box: Box) -> FoldedAtoms | Verdict:
    """The atoms of a cell of the given lattice.

    Args:
        probabilities: (n^3, classes), class 0 the background, class Z the element.
        lattice: (3, 3) Å, in the orientation of the box.
        box: the grid.
    """
    front = (1.0 - probabilities[:, 0]).reshape((box.n,) * 3)
    hydrogen = probabilities[:, 1].reshape(front.shape)
    cell, seen = folded(front - hydrogen, lattice, box)
    if seen < LEAST_SEEN:
        return Verdict(False, RULE, f"The box shows {100 * seen:.0f} % of the cell; all of it is needed.")
    peaks = cell_peaks(cell, lattice)
    if float(hydrogen.max()) >= LEAST_FRONT:  # bonded so closely that a map of all atoms shows one maximum for two
        more = cell_peaks(folded(hydrogen, lattice, box)[0], lattice)
        apart = [all(periodic_distance(h, other, lattice) >= MERGED_A for other in peaks) for h in more]
        peaks = np.concatenate([peaks, more[np.array(apart, dtype=bool)]])
    if not 1 <= len(peaks) <= MOST_ATOMS:
        return Verdict(False, RULE, f"{len(peaks)} atoms in the cell; expected 1 to {MOST_ATOMS}.")
    return named_atoms(probabilities, lattice, peaks, box)


def named_atoms(
    probabilities: NDArray[np.float32], lattice: Floats, peaks: Floats, box: Box, left: float | None = None
) -> FoldedAtoms:
    """Atoms at fractional positions, named by the probabilities around them; `left` is their inconsistency if known."""
    owner = voxels_of_atoms(peaks @ lattice, lattice, box).reshape(-1)
    owned = np.flatnonzero(owner)
    of_atom = (owner[owned] == np.arange(1, len(peaks) + 1)[:, None]).astype(np.float32)
    votes = of_atom @ probabilities[owned, 1:]
    species = 1 + votes.argmax(axis=1)
    agreed = float(votes[np.arange(len(votes)), species - 1].sum())
    crystal = Crystal.from_arrays(lattice, [ELEMENTS[z - 1] for z in species], peaks)
    means = votes / np.maximum(of_atom.sum(axis=1), 1)[:, None]
    front = float((1.0 - probabilities[:, 0]).sum())
    return FoldedAtoms(crystal, 1.0 - agreed / max(front, 1e-9) if left is None else left, means)


def most_consistent(cells: list[FoldedAtoms], slack: float = 0.02) -> FoldedAtoms:
    """The cell with the least inconsistency; of those within `slack` of it the smallest."""
    least = min(cell.inconsistency for cell in cells)
    return min((c for c in cells if c.inconsistency <= least + slack), key=lambda c: round(c.crystal.volume, 1))


def lattice_heights(density: NDArray[np.floating], lattice: Floats, positions_a: Floats, box: Box) -> Floats:
    """(atoms,) electrons of atoms, not rounded, that fit a density best; an atom and its images share one number.

    Args:
        density: (n, n, n), electrons/Å3.
        lattice: (3, 3) Å.
        positions_a: (atoms, 3) Å in the frame of the box.
        box: the grid.
    """
    n = len(positions_a)
    columns = np.zeros((box.n**3, n))
    images, labels = atoms_in_box(lattice, positions_a, np.arange(n), np.zeros(3), box)
    for site in range(n):
        waves: Floats = np.exp(-((images[labels == site][:, :, None] - box.axis_a) ** 2) / (2 * SIGMA_A**2))
        planes = (waves[:, 1, :, None] * waves[:, 2, None, :]).reshape(len(waves), -1)
        columns[:, site] = (waves[:, 0].T @ planes).reshape(-1)
    columns *= (2 * np.pi * SIGMA_A**2) ** -1.5
    normal = columns.T @ columns
    normal[np.diag_indices(n)] += 1e-9 * np.trace(normal)
    return np.asarray(np.linalg.solve(normal, columns.T @ density.reshape(-1).astype(np.float64)))
