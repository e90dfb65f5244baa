"""Atoms from a box of density without any network: the known Gaussian undone in the cell, atom after atom.

    F r = G / (G^2 + lambda) F fold(rho - model),   G = exp(-k^2 s^2 / 2)    Wiener's filter, periodic in the cell
    atoms += the highest maxima of r
    model  = sum_a n_a g(. - r_a), electrons n_a and positions r_a by least squares over the whole box

repeated until nothing is left or nothing is gained; then atoms that explain next to nothing are dropped, the lightest
first: a fit that has not settled leaves waves beside heavy atoms, and a maximum of these is no atom. What the UNet of
`novalith.recipes.hoffmann` has to be compared with: it knows the shape of an atom and the lattice, and nothing of
chemistry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Verdict
from novalith.represent.box_folding import (
    MERGED_A,
    MOST_ATOMS,
    Floats,
    folded,
    periodic_distance,
    reciprocal_squares,
    shown_share,
)
from novalith.represent.density_box import SIGMA_A, Box, atoms_in_box, box_density

RULE = "atoms in the density"
#: Wiener's lambda.
NOISE = 1e-3
#: Maxima of a round that are taken, over its highest; fewest electrons of an atom; what is left of an exact density.
TAKEN, LEAST_ELECTRONS, EXACT_LEFT = 0.5, 0.8, 2e-3
#: A round has gained when it leaves less than this of what the round before left.
GAINED = 0.93
#: Without an atom that is none, at most so much more of the density is left.
NEEDLESS = 1.05
#: Rounds, steps of least squares in each, the longest move of an atom in one, and the move that ends them, Å.
ROUNDS, STEPS, LONGEST_MOVE_A, SETTLED_A = 12, 12, 0.25, 1e-3


#: Fractional positions (m, 3), electrons (m,), and what of the density they leave (root mean square over its spread).
Sites = tuple[Floats, Floats, float]


def sites_of_density(density: NDArray[np.floating], lattice: Floats, box: Box) -> Sites | Verdict:
    """The atoms that explain a density, or why there are none.

    Args:
        density: (n, n, n), electrons/Å3.
        lattice: (3, 3) Å, in the orientation of the box.
        box: the grid.
    """
    shown = shown_share(lattice, box)
    if not shown.passed:
        return shown
    positions = np.zeros((0, 3))
    best: tuple[Floats, Floats, float] | None = None
    residual = np.asarray(density, dtype=np.float64)
    for _ in range(ROUNDS):
        cell, _ = folded(residual, lattice, box)
        positions = _with_maxima(positions, sharpened_cell(cell, lattice), lattice)
        positions, heights = fit_atoms(density, lattice, positions, box)
        if not len(positions):
            break
        residual, left = _rest(density, lattice, positions, heights, box)
        if best is not None and left > GAINED * best[2]:
            break
        best = positions, heights, left
        if left < EXACT_LEFT or len(positions) >= MOST_ATOMS:
            break
    if best is None:
        return Verdict(False, RULE, "The density has no atom.")
    return _without_needless(density, lattice, best, box)


def _rest(
    density: NDArray[np.floating], lattice: Floats, positions: Floats, heights: Floats, box: Box
) -> tuple[Floats, float]:
    """What atoms leave of a density, and its deviation over that of the density."""
    images, owner = atoms_in_box(lattice, positions @ lattice, np.arange(len(positions)), np.zeros(3), box)
    residual = np.asarray(density - box_density(images, heights[owner], box), dtype=np.float64)
    return residual, float(residual.std() / max(float(density.std()), 1e-9))


def _without_needless(density: NDArray[np.floating], lattice: Floats, sites: Sites, box: Box) -> Sites:
    """The sites less those without which the others explain the density as well."""
    needed = False
    while not needed and len(sites[0]) > 1:
        needed = True
        for lightest in np.argsort(sites[1], kind="stable")[: -(-len(sites[0]) // 2)]:
            positions, heights = fit_atoms(density, lattice, np.delete(sites[0], lightest, axis=0), box)
            left = _rest(density, lattice, positions, heights, box)[1] if len(positions) else np.inf
            if left <= max(EXACT_LEFT, NEEDLESS * sites[2]):
                sites, needed = (positions, heights, left), False
                break
    return sites


def sharpened_cell(cell: Floats, lattice: Floats) -> Floats:
    """A folded density (m_a, m_b, m_c) with its Gaussians narrowed as far as `NOISE` lets them."""
    response = np.exp(-reciprocal_squares(cell.shape, lattice) * SIGMA_A**2 / 2)
    out: Floats = np.fft.ifftn(np.fft.fftn(cell) * response / (response**2 + NOISE)).real
    return out


def _with_maxima(positions: Floats, field: Floats, lattice: Floats) -> Floats:
    """Fractional positions with those of the highest maxima of a periodic field that are at none of them."""
    from scipy.ndimage import maximum_filter

    shape = np.array(field.shape)
    highest = field == maximum_filter(field, size=3, mode="wrap")
    places = np.argwhere(highest & (field > TAKEN * float(field.max())))
    kept = list(positions)
    for place in places[np.argsort(-field[tuple(places.T)], kind="stable")]:
        fraction = place / shape
        if len(kept) < MOST_ATOMS and all(periodic_distance(fraction, k, lattice) >= MERGED_A for k in kept):
            kept.append(fraction)
    return np.array(kept).reshape(-1, 3)


def fit_atoms(density: NDArray[np.floating], lattice: Floats, positions: Floats, box: Box) -> tuple[Floats, Floats]:
    """Least squares over electrons and positions, images moving together; atoms without electrons are dropped.

    Every other voxel of an axis counts: the density is far smoother than the grid.

    Returns:
        fractional positions (m, 3) and electrons (m,).
    """
    rho = np.asarray(density[::2, ::2, ::2], dtype=np.float64).reshape(-1)
    moved = 0
    while len(positions):
        values, slopes = _columns(lattice, positions @ lattice, box)
        heights = _solved(values, rho)
        if heights.min() < LEAST_ELECTRONS:
            positions = np.delete(positions, int(heights.argmin()), axis=0)
            continue
        if moved == STEPS:
            return positions, heights
        moves = _solved((slopes * heights[:, None]).reshape(len(rho), -1), rho - values @ heights).reshape(-1, 3)
        positions = (positions + np.clip(moves, -LONGEST_MOVE_A, LONGEST_MOVE_A) @ np.linalg.inv(lattice)) % 1.0
        moved = STEPS if float(np.abs(moves).max()) < SETTLED_A else moved + 1
    return positions, np.zeros(0)


def _columns(lattice: Floats, positions_a: Floats, box: Box) -> tuple[Floats, Floats]:
    """Densities of one electron at each atom and its images (voxels, atoms), and their slopes (voxels, atoms, 3)."""
    n, axis = len(positions_a), box.axis_a[::2]
    values, slopes = np.zeros((len(axis) ** 3, n)), np.zeros((len(axis) ** 3, n, 3))
    images, labels = atoms_in_box(lattice, positions_a, np.arange(n), np.zeros(3), box)
    for site in range(n):
        apart = axis - images[labels == site][:, :, None]
        waves: Floats = np.exp(-(apart**2) / (2 * SIGMA_A**2)) * (2 * np.pi * SIGMA_A**2) ** -0.5
        rising = waves * apart / SIGMA_A**2
        values[:, site] = _product(waves[:, 0], waves[:, 1], waves[:, 2])
        slopes[:, site, 0] = _product(rising[:, 0], waves[:, 1], waves[:, 2])
        slopes[:, site, 1] = _product(waves[:, 0], rising[:, 1], waves[:, 2])
        slopes[:, site, 2] = _product(waves[:, 0], waves[:, 1], rising[:, 2])
    return values, slopes


def _product(x: Floats, y: Floats, z: Floats) -> Floats:
    return np.asarray((x.T @ (y[:, :, None] * z[:, None, :]).reshape(len(x), -1)).reshape(-1))


def _solved(columns: Floats, target: Floats) -> Floats:
    normal = columns.T @ columns
    normal[np.diag_indices_from(normal)] += 1e-7 * max(float(np.trace(normal)), 1e-12) / max(len(normal), 1)
    return np.asarray(np.linalg.solve(normal, columns.T @ target))
