"""Density, species and the coordinates of every voxel over a padded cell: the images of Court et al.

    grid         n^3 voxels at fractional f = -1/4 + 3/2 (i + 1/2) / n: the cell with a quarter of it on every side
    density      sum over all sites and all their periodic images of Z (2 pi)^(-3/2) s^(-3) exp(-d^2 / 2 s^2), s the
                 mean ionic radius of the element (1.20 Å where none is known)
    species      Z of the nearest site with d < s, else 0; d < (D - h) / 2 where the next site of the element is at D
                 and a step of the grid is h, so that no two regions of one element share a face
    coordinates  Cartesian x, y, z of every voxel, Å, shifted so that none is negative

Court, Yildirim, Jain, Cole, J. Chem. Inf. Model. 60, 4518 (2020), for orthogonal cells, without periodic images; here
for all cells, since x(f) = o + f L is linear in f and its least-squares slopes are the cell vectors L, whatever their
angles. The periodic sum is a Fourier series, sum over G of (Z / V) exp(-G^2 s^2 / 2) exp(i G (r - r_j)), and on a grid
of fractional positions a product of three matrices. Regions that never touch are ours too: as pieces they are atoms.

The cell is taken as it comes; the method asks for the conventional one (`conventional`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Crystal, Verdict
from novalith.represent.gene import symmetrised
from novalith.represent.voxels import (
    Floats,
    VoxelCodec,
    Whole,
    check_arrays,
    check_limits,
    images_in_box,
    nearest_labels,
    sites_of_species,
    untouching_radii,
    upright,
)

#: Share of the cell added on each side, and what it is of the whole.
PADDING = 0.25
SPAN = 1.0 + 2.0 * PADDING
#: Radius of elements without one, Å (as published).
DEFAULT_RADIUS_A = 1.20
MAX_SITES, MAX_EDGE_A = 40, 10.0
#: Fourier components below exp(-G^2 s^2 / 2) = 8e-7 are left out.
_LARGEST_GS = 5.3
#: Coordinate channels further from linear than this (root mean square, Å) are no cell.
MOST_CROOKED_A = 1.0
#: Cells flatter than this (Å3) hold no atom.
_LEAST_VOLUME = 1.0
#: Two regions of one element nearer than this are copies of one site, Å.
SAME_SITE_A = 0.5
_ROUNDS, _LONGEST_MOVE_A = 20, 0.2


@dataclass(frozen=True)
class DensityCoordinates(VoxelCodec):
    """Court's images: "density" (n, n, n), "coordinates" (3, n, n, n) in Å, "species" (n, n, n), atomic numbers.

    Attributes:
        n: voxels an edge.
        max_sites: the most sites of a cell.
        max_edge_a: the longest edge, Å.
    """

    name: ClassVar[str] = "court"
    n: int = 32
    max_sites: int = MAX_SITES
    max_edge_a: float = MAX_EDGE_A

    def check(self, crystal: Crystal) -> Verdict:
        """At most 40 sites and edges of 10 Å."""
        return check_limits(crystal, self.name, max_sites=self.max_sites, max_edge_a=self.max_edge_a)

    def encode(self, crystal: Crystal) -> dict[str, NDArray[Any]] | Verdict:
        """Images of a crystal in the cell in which it comes, turned to the standard setting."""
        said = self.check(crystal)
        if not said.passed:
            return said
        lattice, frac = upright(crystal), np.asarray(crystal.frac_coords)
        numbers = np.array([ATOMIC_NUMBERS[s] for s in crystal.species])
        return {
            "density": density(lattice, frac, numbers, axis_fractions(self.n)).astype(np.float32),
            "coordinates": coordinates(lattice, self.n),
            "species": species_image(lattice, frac, numbers, self.n),
        }

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Crystal | Verdict:
        """The crystal: cell from the coordinates, sites from the species, positions fitted to the density."""
        cube = [self.n] * 3
        said = check_arrays(arrays, {"density": cube, "coordinates": [3, *cube], "species": cube}, self.name)
        if not said.passed:
            return said
        lattice = fit_lattice(arrays["coordinates"])
        if isinstance(lattice, Verdict):
            return lattice
        edge = float(np.linalg.norm(lattice, axis=1).max())
        if edge > 2.0 * self.max_edge_a:
            return Verdict(False, self.name, f"The coordinates span an edge of {edge:.1f} Å: too long.")
        found = sites_of_species(
            arrays["species"], lattice * SPAN / self.n, -PADDING * lattice.sum(axis=0), lattice, self.name
        )
        if isinstance(found, Verdict):
            return found
        frac, numbers = found
        if len(numbers) > 2 * self.max_sites:
            return Verdict(False, self.name, f"{len(numbers)} regions of species; at most {self.max_sites} sites fit.")
        frac = refine_sites(np.asarray(arrays["density"], dtype=float), lattice, frac, numbers)
        return Crystal.from_arrays(lattice, [ELEMENTS[z - 1] for z in numbers], frac)


def conventional(crystal: Crystal, symprec: float = 0.01) -> Crystal:
    """The standard conventional cell of the symmetry found at a tolerance (Å)."""
    return symmetrised(crystal, symprec)


@lru_cache(maxsize=128)
def ionic_radius_a(number: int) -> float:
    """Mean over the oxidation states of the ionic radius (Shannon, by pymatgen) of an element, Å; 1.20 if unknown."""
    from pymatgen.core import Element

    return float(Element(ELEMENTS[number - 1]).average_ionic_radius) or DEFAULT_RADIUS_A


def axis_fractions(n: int) -> Floats:
    """Fractional position of the n voxels along an axis."""
    return np.asarray((np.arange(n) + 0.5) / n * SPAN - PADDING)


def density(lattice: Floats, frac: Floats, numbers: Whole, axis: Floats) -> Floats:
    """Periodic density (n, n, n) at all triples of fractional positions (n,), e/Å3."""
    summed = np.zeros([len(axis)] * 3)
    for z in np.unique(numbers):
        indices, spectrum = _spectrum(lattice, int(z))
        x, y, w = (np.exp(-2j * np.pi * np.outer(f, m)) for f, m in zip(frac[numbers == z].T, indices, strict=True))
        phases = (x.T @ (y[:, :, None] * w[:, None, :]).reshape(len(y), -1)).reshape(spectrum.shape)
        summed += _transformed(spectrum * phases, [np.exp(2j * np.pi * np.outer(axis, m)) for m in indices])
    return summed


def _spectrum(lattice: Floats, number: int) -> tuple[list[Whole], Floats]:
    """Miller indices h, k, l >= 0 and the Fourier components of an atom at the origin, those of -l counted with l."""
    radius = ionic_radius_a(number)
    most = np.ceil(_LARGEST_GS / radius * np.linalg.norm(lattice, axis=1) / (2.0 * np.pi)).astype(int)
    indices = [np.arange(-most[0], most[0] + 1), np.arange(-most[1], most[1] + 1), np.arange(most[2] + 1)]
    h, k, l = np.meshgrid(*indices, indexing="ij", sparse=True)  # noqa: E741  Miller indices
    inverse = np.linalg.inv(lattice)
    m = inverse.T @ inverse * (2.0 * np.pi * radius) ** 2 / 2.0
    exponent = m[0, 0] * h * h + m[1, 1] * k * k + m[2, 2] * l * l
    exponent = exponent + 2.0 * (m[0, 1] * h * k + m[0, 2] * h * l + m[1, 2] * k * l)
    spectrum = np.exp(-exponent) * number / abs(np.linalg.det(lattice))
    spectrum[:, :, 1:] *= 2.0
    return indices, spectrum


def _transformed(series: NDArray[Any], waves: list[NDArray[np.complexfloating]]) -> Floats:
    """Real part of sum over h, k, l of the series times a wave along each axis (voxels, indices)."""
    part = np.matmul(waves[1], np.tensordot(waves[0], series, axes=1))
    return np.asarray(part.real @ waves[2].real.T - part.imag @ waves[2].imag.T)


def coordinates(lattice: Floats, n: int) -> NDArray[np.float32]:
    """(3, n, n, n) Cartesian positions of the voxels, Å, least of each 0."""
    axis = axis_fractions(n)
    channels = np.empty((3, n, n, n), dtype=np.float32)
    for channel, (a, b, c) in zip(channels, lattice.T, strict=True):
        x, y, z = axis * a, axis * b, axis * c
        x, y, z = (part - part.min() for part in (x, y, z))
        channel[:] = x[:, None, None] + (y[:, None] + z)
    return channels


def species_image(lattice: Floats, frac: Floats, numbers: Whole, n: int) -> NDArray[np.int16]:
    """(n, n, n) atomic numbers of the regions of sites, periodic images included, 0 between them."""
    radii = np.array([ionic_radius_a(int(z)) for z in numbers])
    step = lattice * SPAN / n
    radii = untouching_radii(radii, numbers, frac, lattice, step)
    margin = radii.max() * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    site, shift = images_in_box(frac, -PADDING - margin, 1.0 + PADDING + margin)
    places = (frac[site] + shift + PADDING) / SPAN * n - 0.5
    return nearest_labels(places, numbers[site], radii[site], step, (n, n, n))


def fit_lattice(channels: NDArray[Any]) -> Floats | Verdict:
    """Cell vectors as rows, Å: least-squares slopes of coordinate channels (3, n, n, n) along the axes of the grid."""
    values = np.asarray(channels, dtype=float)
    n = values.shape[1]
    centred = np.arange(n) - (n - 1) / 2.0
    weights = centred / (centred @ centred) / n**2
    slopes = np.stack([np.tensordot(values, weights, axes=([axis], [0])).sum(axis=(1, 2)) for axis in (1, 2, 3)])
    lattice = np.asarray(slopes * n / SPAN)
    fitted = sum(
        slopes[axis][:, None, None, None] * centred.reshape([n if a == axis else 1 for a in range(3)])
        for axis in range(3)
    )
    residual = values - values.mean(axis=(1, 2, 3), keepdims=True) - fitted
    crooked = float(np.sqrt((residual**2).mean()))
    if crooked > MOST_CROOKED_A:
        return Verdict(
            False, DensityCoordinates.name, f"The coordinates are {crooked:.2f} Å (rms) from those of a cell."
        )
    if not np.linalg.det(lattice) > _LEAST_VOLUME:
        return Verdict(False, DensityCoordinates.name, "The coordinates span no right-handed cell of more than 1 Å3.")
    return lattice


def refine_sites(image: Floats, lattice: Floats, frac: Floats, numbers: Whole) -> Floats:
    """Fractional positions for which the model density is nearest to an image, from starts that are near.

    Gauss-Newton over all sites together on the voxels of one cell; a round that does not help is taken back and tried
    with more damping. Sites that ran away from their start by more than their radius are put back.
    """
    n = image.shape[0]
    axis = axis_fractions(n)
    inside = np.flatnonzero((axis >= 0.0) & (axis < 1.0))
    window = slice(int(inside[0]), int(inside[-1]) + 1)
    values, axis = image[window, window, window], axis[window]
    radii = np.array([ionic_radius_a(int(z)) for z in numbers])
    inverse = np.linalg.inv(lattice)
    current, residual = frac.astype(float), values - density(lattice, frac, numbers, axis)
    damping = 1e-3
    for _ in range(_ROUNDS):
        jacobian = _slopes(current, numbers, lattice, axis)
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ residual.reshape(-1)
        normal[np.diag_indices_from(normal)] *= 1.0 + damping
        normal[np.diag_indices_from(normal)] += 1e-12 * np.trace(normal) + 1e-30
        moves = np.linalg.solve(normal, gradient).reshape(-1, 3) @ lattice
        moves *= np.minimum(1.0, _LONGEST_MOVE_A / np.maximum(np.linalg.norm(moves, axis=1), 1e-12))[:, None]
        trial = current + moves @ inverse
        left = values - density(lattice, trial, numbers, axis)
        if (left**2).sum() < (residual**2).sum():
            current, residual, damping = trial, left, max(damping / 10.0, 1e-9)
            if np.abs(moves).max() < 1e-5:
                break
        elif damping > 1e3:
            break
        else:
            damping = max(damping, 1e-4) * 10.0
    away = np.linalg.norm((current - frac) @ lattice, axis=1) > radii
    return np.where(away[:, None], frac, current)


def _slopes(frac: Floats, numbers: Whole, lattice: Floats, axis: Floats) -> Floats:
    """(voxels, 3 sites) derivatives of the density by the fractional positions of the sites."""
    spectra = {int(z): _spectrum(lattice, int(z)) for z in np.unique(numbers)}
    jacobian = np.empty((len(axis) ** 3, len(frac), 3))
    for site, z in enumerate(numbers.tolist()):
        indices, spectrum = spectra[z]
        waves = [np.exp(2j * np.pi * np.outer(axis - x, m)) for x, m in zip(frac[site], indices, strict=True)]
        for c, m in enumerate(indices):
            moved = [wave * (-2j * np.pi * m) if a == c else wave for a, wave in enumerate(waves)]
            jacobian[:, site, c] = _transformed(spectrum, moved).reshape(-1)
    return jacobian.reshape(len(jacobian), -1)
