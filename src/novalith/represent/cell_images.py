"""One image of the cell and one of the atoms of each element: the images of iMatGen.

    Gaussian    p(d) = exp(-d^2 / 2 s^2), s = 0.26 Å; below 0.02 it is 0: it reaches s sqrt(2 ln 50) = 0.727 Å
    cell        32^3 voxels at fractional f = i / 32, d = |(f - 1/2) L| from one pseudo-atom in the middle of the cell;
                log p is a quadratic form in f, whose matrix L L^T gives edges and angles
    basis       64^3 voxels 15 Å / 64 apart per element, sum of p over its atoms at Cartesian positions, origin in the
                middle, a along x and b in the xy plane

Noh, Kim, Stein, Sanchez-Lengeling, Gregoire, Aspuru-Guzik, Jung, Matter 1, 1370 (2019). Limits as published: at most 20
sites and 5 elements, edges at most 10 Å.

The origin is the circular mean of the fractional positions, which does not care where the cell was cut, and each atom
is shown at its image nearest to the origin. The published decoder takes peak voxels, good to 0.20 Å; here the known
Gaussian is fitted, which leaves the rounding of single precision. The origin of the crystal and its turn in space are
not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Crystal, Verdict
from novalith.represent.point_cloud import lattice_matrix
from novalith.represent.voxels import (
    MOST_PEAKS,
    Floats,
    VoxelCodec,
    check_arrays,
    check_limits,
    fit_gaussians,
    local_maxima,
    parabola_peaks,
    upright,
)

Image = NDArray[np.float32]

#: Width of the Gaussians, Å, and what is cut off.
SIGMA_A, CUT = 0.26, 0.02
N_CELL, N_BASIS, BOX_A = 32, 64, 15.0
STEP_A = BOX_A / N_BASIS
MAX_SITES, MAX_EDGE_A, MAX_ELEMENTS = 20, 10.0, 5
#: A local maximum lower than this is no atom; an atom anywhere between the voxels shows at least 0.74.
LEAST_PEAK = 0.3
#: Atoms of one element nearer than this are one atom shown twice, Å; the shortest bond, H-H, is 0.74 Å.
SAME_ATOM_A = 0.5
#: An origin is where the circular mean is at least this long (of 1); otherwise the first atom is.
_LEAST_MEAN = 1e-3
#: Least number of voxels in a cell image: six numbers are read off them.
_LEAST_VOXELS = 7
#: Voxels that start the fit of the cell are above this: noise rarely is.
_SURE = 0.1
#: Voxels beside an atom that are drawn: beyond, a Gaussian is below 3e-4.
_REACH = 5
#: Places of the voxels along an edge of the basis image from its middle, Å.
AXIS_A = (np.arange(N_BASIS) - N_BASIS / 2) * STEP_A
_X, _Y, _Z = (np.indices([N_CELL] * 3) / N_CELL - 0.5).reshape(3, -1)
#: (32^3, 6) products of fractions from the middle: d^2 is linear in them, with the numbers of the metric as factors.
_FORMS = np.stack([_X * _X, _Y * _Y, _Z * _Z, 2 * _X * _Y, 2 * _X * _Z, 2 * _Y * _Z], axis=1)


@dataclass(frozen=True)
class CellImages(VoxelCodec):
    """iMatGen's images: "cell" (32, 32, 32), "basis" (k, 64, 64, 64) and "elements" (k,), atomic numbers ascending.

    Attributes:
        least_peak: height below which a local maximum of a basis image is no atom.
    """

    name: ClassVar[str] = "imatgen"
    least_peak: float = LEAST_PEAK

    def check(self, crystal: Crystal) -> Verdict:
        """At most 20 sites, 5 elements, edges of 10 Å, and every atom in the 15 Å cube."""
        said = check_limits(crystal, self.name, max_sites=MAX_SITES, max_edge_a=MAX_EDGE_A, max_elements=MAX_ELEMENTS)
        if said.passed and np.abs(basis_positions(crystal)).max() > BOX_A / 2 - STEP_A:
            return Verdict(False, self.name, f"The cell is so oblique that an atom lies outside the {BOX_A:g} Å cube.")
        return said

    def encode(self, crystal: Crystal) -> dict[str, NDArray[Any]] | Verdict:
        """Images of a crystal."""
        said = self.check(crystal)
        if not said.passed:
            return said
        positions, numbers = basis_positions(crystal), np.array([ATOMIC_NUMBERS[s] for s in crystal.species])
        elements = np.unique(numbers)
        basis = np.stack([basis_image(positions[numbers == z]) for z in elements])
        return {"cell": cell_image(upright(crystal)), "basis": basis, "elements": elements.astype(np.int16)}

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Crystal | Verdict:
        """The crystal of images, its middle at the middle of the cell."""
        shapes = {"cell": [N_CELL] * 3, "basis": [-1, *[N_BASIS] * 3], "elements": [-1]}
        said = check_arrays(arrays, shapes, self.name)
        if not said.passed:
            return said
        elements = np.asarray(arrays["elements"])
        if len(elements) != len(arrays["basis"]):
            return Verdict(False, self.name, f"{len(arrays['basis'])} basis images for {len(elements)} elements.")
        cell = decode_cell(arrays["cell"])
        if isinstance(cell, Verdict):
            return cell
        positions, species = [], []
        for number, image in zip(elements.tolist(), arrays["basis"], strict=True):
            if number != int(number) or not 1 <= number <= len(ELEMENTS):
                return Verdict(False, self.name, f"{number} is no atomic number.")
            found = decode_basis(image, self.least_peak)
            if isinstance(found, Verdict):
                return found
            positions.append(found)
            species += [ELEMENTS[int(number) - 1]] * len(found)
        return join(cell, np.concatenate([np.zeros((0, 3)), *positions]), species)


def basis_positions(crystal: Crystal) -> Floats:
    """Cartesian positions (n, 3) in Å about the circular mean, each at its nearest image, cell in standard setting."""
    lattice, frac = upright(crystal), np.asarray(crystal.frac_coords)
    mean = np.exp(2j * np.pi * frac).mean(axis=0)
    origin = np.where(np.abs(mean) < _LEAST_MEAN, frac[0], np.angle(mean) / (2.0 * np.pi))
    frac = frac - origin
    frac -= np.round(frac - 1e-9)  # an atom at half an edge goes to the same side whatever the rounding
    shifts = np.stack(np.meshgrid(*[[0, -1, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    images = (frac[:, None, :] + shifts) @ lattice
    nearest = np.argmin(np.round((images**2).sum(axis=2), 6), axis=1)
    return np.asarray(images[np.arange(len(frac)), nearest])


def cell_image(lattice: Floats) -> Image:
    """(32, 32, 32) image of a cell with vectors as rows, Å."""
    metric = lattice @ lattice.T
    form = np.concatenate([np.diag(metric), metric[[0, 0, 1], [1, 2, 2]]])
    values = np.exp((_FORMS @ (-form / (2.0 * SIGMA_A**2))).astype(np.float32))
    return np.where(values < CUT, np.float32(0.0), values).reshape([N_CELL] * 3)


def basis_image(positions_a: Floats) -> Image:
    """(64, 64, 64) image of Cartesian positions (n, 3), Å from the middle of the cube."""
    image = np.zeros([N_BASIS] * 3, dtype=np.float32)
    if not len(positions_a):
        return image
    centres = np.clip(np.rint(positions_a / STEP_A).astype(int) + N_BASIS // 2, _REACH, N_BASIS - 1 - _REACH)
    near = centres[:, :, None] + np.arange(-_REACH, _REACH + 1)  # (n, 3, 2 reach + 1) voxels along each axis
    x, y, z = np.moveaxis(np.exp(-((AXIS_A[near] - positions_a[:, :, None]) ** 2) / (2.0 * SIGMA_A**2)), 1, 0)
    values = x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :]
    i, j, k = np.moveaxis(near, 1, 0)
    place = (i[:, :, None, None], j[:, None, :, None], k[:, None, None, :])
    np.add.at(image, place, values.astype(np.float32))
    image[place] = np.where(image[place] < CUT, np.float32(0.0), image[place])
    return image


def decode_cell(image: NDArray[Any]) -> Floats | Verdict:
    """(a, b, c, alpha, beta, gamma) in Å and degrees.

    The metric L L^T and the height are fitted to all voxels near the middle: first to the logarithm, weighted by the
    square of the value, then to the values.
    """
    values = np.asarray(image, dtype=float).reshape(-1)
    seen = _middle(np.asarray(image, dtype=float))
    if len(seen) < _LEAST_VOXELS:
        return Verdict(False, CellImages.name, f"The cell image shows {len(seen)} voxels; a cell needs at least 7.")
    weights = values[seen]
    design = np.concatenate([_FORMS[seen], np.ones((len(seen), 1))], axis=1) * weights[:, None]
    fitted = np.linalg.lstsq(design, np.log(weights) * weights, rcond=None)[0]
    fitted = _fit_metric(values, fitted)
    metric = np.array([[fitted[0], fitted[3], fitted[4]], [fitted[3], fitted[1], fitted[5]], fitted[[4, 5, 2]]])
    metric *= -2.0 * SIGMA_A**2
    if not np.linalg.eigvalsh(metric)[0] > 1e-2:
        return Verdict(False, CellImages.name, "The cell image is not the picture of a cell: no positive metric fits.")
    lengths = np.sqrt(np.diag(metric))
    cosines = np.array([metric[1, 2], metric[0, 2], metric[0, 1]]) / lengths[[1, 0, 0]] / lengths[[2, 2, 1]]
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))])


def decode_basis(image: NDArray[Any], least_peak: float = LEAST_PEAK) -> Floats | Verdict:
    """Cartesian positions (n, 3) of the atoms in a basis image, Å from its middle; (0, 3) for an empty one."""
    values = np.asarray(image, dtype=float)
    peaks = local_maxima(values, least_peak)
    if not len(peaks):
        return np.zeros((0, 3))
    if len(peaks) > MOST_PEAKS:
        return Verdict(False, CellImages.name, f"A basis image has {len(peaks)} peaks; at most {MAX_SITES} atoms fit.")
    start = parabola_peaks(values, peaks)
    means, _ = fit_gaussians(values, start, SIGMA_A, STEP_A)
    stayed = np.linalg.norm(means - peaks, axis=1) < 2.0
    return np.asarray((np.where(stayed[:, None], means, start) - N_BASIS / 2) * STEP_A)


def join(cell: Floats, positions_a: Floats, species: list[str]) -> Crystal | Verdict:
    """The crystal of edges and angles (6,) and Cartesian positions about the middle, copies of an atom merged."""
    lattice = lattice_matrix(cell[:3], cell[3:])
    if lattice is None:
        return Verdict(False, CellImages.name, f"Edges and angles {np.round(cell, 2).tolist()} make no cell.")
    if not species:
        return Verdict(False, CellImages.name, "No basis image shows an atom.")
    frac = positions_a @ np.linalg.inv(lattice)
    delta = frac[:, None] - frac
    delta -= np.round(delta)
    same = np.array(species)
    copies = (np.linalg.norm(delta @ lattice, axis=2) < SAME_ATOM_A) & (same[:, None] == same)
    first = ~np.tril(copies, -1).any(axis=1)
    return Crystal.from_arrays(lattice, same[first].tolist(), frac[first] + 0.5)


def _middle(image: Floats) -> NDArray[np.int64]:
    """Flat indices of the voxels that are connected to the highest one, above `_SURE` or else `CUT`."""
    from scipy import ndimage

    peak = np.unravel_index(int(np.argmax(image)), image.shape)
    found = np.zeros(0, dtype=np.int64)
    for least in (_SURE, CUT):
        parts, _ = ndimage.label(image >= least, structure=np.ones((3, 3, 3)))
        found = np.flatnonzero(parts.reshape(-1) == parts[peak]) if parts[peak] else found
        if len(found) >= _LEAST_VOXELS + 3:
            break
    return found


def _fit_metric(values: Floats, start: Floats, rounds: int = 6) -> Floats:
    """Refine the six numbers of log p and its height on the values themselves, where the model is not negligible."""
    current = start
    for _ in range(rounds):
        model = np.exp(np.clip(_FORMS @ current[:6] + current[6], -50.0, 3.0))
        near = model >= 2.0 * CUT
        jacobian = np.concatenate([_FORMS[near], np.ones((int(near.sum()), 1))], axis=1) * model[near][:, None]
        if len(jacobian) < _LEAST_VOXELS:
            return start
        change = np.linalg.lstsq(jacobian, values[near] - model[near], rcond=None)[0]
        if not np.isfinite(change).all() or np.abs(change).max() > np.abs(start).max():
            return start
        current = current + change
    return current
