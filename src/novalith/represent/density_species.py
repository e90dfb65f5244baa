"""Density and species of a repeating crystal in a box of 10 Å: the images of Hoffmann et al.

    density   rho(r) = sum over all atoms and images of Z (2 pi s^2)^(-3/2) exp(-|r - r_a|^2 / 2 s^2), s = 1 Å
    species   Z of the nearest atom within 0.65 Å, else 0; less where two atoms of one element would share a face
    grid      30^3 voxels at (i + 1/2) / 3 Å, whatever the cell; the origin of the cell stands at an offset

Hoffmann, Maestrati, Sawada, Tang, Sellier, Bengio, arXiv:1909.00949 (2019). There is no cell in the box: it is found
again as the shifts that map the density onto itself (`novalith.represent.box_lattice`). Lattice and sites are then
fitted together, all voxels at once, which makes them as exact as the numbers stored. What comes back is the primitive
crystal in its Niggli cell. The variant of the authors that shows a single cell and its atoms without images holds no
lattice, so that no crystal can be made of it; it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Crystal, Verdict
from novalith.represent.box_lattice import fitted as lattice_through
from novalith.represent.box_lattice import lattice_shifts, spanned
from novalith.represent.density_box import SIGMA_A, SPECIES_RADIUS_A, Box, atoms_in_box, box_density
from novalith.represent.gene import primitive as standard_primitive
from novalith.represent.gene import spglib_quietly
from novalith.represent.point_cloud import cell_parameters, lattice_matrix
from novalith.represent.voxels import (
    Floats,
    VoxelCodec,
    Whole,
    check_arrays,
    check_limits,
    nearest_labels,
    sites_of_species,
    untouching_radii,
)

#: The published grid.
BOX = Box(30, 1 / 3)
MAX_SITES, MAX_EDGE_A = 40, 8.0
#: Differences of a box and its model (root mean square over that of the density): below the first the cell is right,
#: above the second there is none.
EXACT, MOST_DIFFERENT = 5e-5, 0.5
#: Tolerance (Å) at which a cell found is a multiple of a smaller one.
_SAME_A = 0.02
#: Shifts are lattice vectors for the species when this share of the atoms at most lands on none of their kind (Å).
_MISMATCHES, _LANDED_A = (0.02, 0.1, 0.25), 0.6
#: Pieces nearer to the border of the box may be of atoms outside of it.
_BORDER_A = 0.4
#: Cells are spanned by so many of the best shifts, and then by more.
_SHIFTS = (3, 4, 6, 9, 14, 20, 30, 45, 70, 100, 1000)
_MOST_CELLS = 8
#: Of cells that leave at most this much more than the best one, the one with the fewest sites is taken.
_AS_GOOD = 1.1
#: Range of a density that shows nothing, e/Å3.
_FLAT = 1e-6
#: Cells smaller than this hold no atom, Å3.
_LEAST_VOLUME = 6.0
_STEP = np.eye(3) * BOX.voxel_a
#: A lattice by which no two atoms of the box are images of each other, Å.
_ALONE = np.eye(3) * 1e3
_ROUNDS, _LONGEST_MOVE_A, _CONVERGED_A = 15, 0.15, 1e-5


@dataclass(frozen=True)
class DensitySpecies(VoxelCodec):
    """Hoffmann's images of a repeating lattice: "density" and "species" (30, 30, 30).

    Attributes:
        offset_a: where the origin of the cell stands in the box, Å.
        max_sites: the most sites of a cell.
        max_edge_a: the longest edge of the Niggli cell, Å.
    """

    name: ClassVar[str] = "hoffmann"
    offset_a: tuple[float, float, float] = (0.0, 0.0, 0.0)
    max_sites: int = MAX_SITES
    max_edge_a: float = MAX_EDGE_A

    def check(self, crystal: Crystal) -> Verdict:
        """At most 40 sites, edges of the Niggli cell of 8 Å, and an image of every site in the box."""
        return self._placed(crystal)[0]

    def _placed(self, crystal: Crystal) -> tuple[Verdict, Floats, Floats]:
        """Verdict, Niggli cell and fractional positions."""
        lattice, frac = niggli_setting(crystal)
        turned = Crystal.from_arrays(lattice, crystal.species, frac)
        said = check_limits(turned, self.name, max_sites=self.max_sites, max_edge_a=self.max_edge_a)
        if said.passed:
            numbers = np.arange(len(frac))
            positions, owner = atoms_in_box(lattice, frac @ lattice, numbers, np.asarray(self.offset_a), BOX)
            inside = ((positions >= 0.0) & (positions < BOX.edge_a)).all(axis=1)
            unseen = len(frac) - len(np.unique(owner[inside]))
            if unseen:
                said = Verdict(False, self.name, f"{unseen} sites have no image in the box of {BOX.edge_a:g} Å.")
        return said, lattice, frac

    def encode(self, crystal: Crystal) -> dict[str, NDArray[Any]] | Verdict:
        """Images of a crystal in its Niggli cell, a along x and b in the xy plane."""
        said, lattice, frac = self._placed(crystal)
        if not said.passed:
            return said
        numbers = np.array([ATOMIC_NUMBERS[s] for s in crystal.species])
        site = np.arange(len(frac))
        positions, owner = atoms_in_box(lattice, frac @ lattice, site, np.asarray(self.offset_a), BOX)
        radii = untouching_radii(np.full(len(frac), SPECIES_RADIUS_A), numbers, frac, lattice, _STEP)
        near = ((positions > -SPECIES_RADIUS_A) & (positions < BOX.edge_a + SPECIES_RADIUS_A)).all(axis=1)
        places, mine = positions[near] / BOX.voxel_a - 0.5, owner[near]
        return {
            "density": box_density(positions, numbers[owner], BOX).astype(np.float32),
            "species": nearest_labels(places, numbers[mine], radii[mine], _STEP, (BOX.n, BOX.n, BOX.n)),
        }

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Crystal | Verdict:
        """The primitive crystal in its Niggli cell."""
        cube = [BOX.n] * 3
        said = check_arrays(arrays, {"density": cube, "species": cube}, self.name)
        if not said.passed:
            return said
        density = np.asarray(arrays["density"], dtype=float)
        if float(np.ptp(density)) < _FLAT:
            return Verdict(False, self.name, "The density is flat: no atoms, no lattice.")
        shown = sites_of_species(arrays["species"], _STEP, np.zeros(3), _ALONE, self.name)
        if isinstance(shown, Verdict):
            return shown
        fits: list[_Fit] = []
        for lattice in repeating_cells(density, shown[0] @ _ALONE, shown[1]):
            found = sites_of_species(arrays["species"], _STEP, np.zeros(3), lattice, self.name)
            if isinstance(found, Verdict) or len(found[1]) > self.max_sites:
                continue
            cell, positions, left = fit_box(density, lattice, found[0] @ lattice, found[1])
            fits.append(_Fit(left, cell, positions, found[1]))
            if left < EXACT:
                break
        if not fits:
            return Verdict(False, self.name, f"No lattice of at most {self.max_sites} sites maps the box onto itself.")
        least = min(f.left for f in fits)
        if least > MOST_DIFFERENT:
            return Verdict(False, self.name, f"The best lattice leaves {least:.0%} of the density unexplained.")
        best = min((f for f in fits if f.left <= EXACT + _AS_GOOD * least), key=lambda f: (len(f.numbers), f.left))
        frac = best.positions_a @ np.linalg.inv(best.lattice)
        return primitive(Crystal.from_arrays(best.lattice, [ELEMENTS[z - 1] for z in best.numbers], frac))


@dataclass(frozen=True, eq=False)
class _Fit:
    """A cell that was tried: what it leaves of the density, vectors and positions (Å), atomic numbers."""

    left: float
    lattice: Floats
    positions_a: Floats
    numbers: Whole


def repeating_cells(density: Floats, atoms: Floats, kinds: Whole) -> Iterator[Floats]:
    """Cells (3, 3) in Å that map the box onto itself, those of the surest shifts first.

    Shifts are minima of the difference of the density from itself (its autocorrelation) that also take atoms to atoms
    of their kind: two elements next to each other in the periodic table look almost alike in the density. Surest are
    those that take the most atoms along; a long shift may be good only because little of the box overlaps itself.

    Args:
        density: (n, n, n).
        atoms: (m, 3) all that the box shows, Å.
        kinds: (m,) their atomic numbers.
    """
    shifts, _ = lattice_shifts(density, BOX)
    if not len(shifts):
        return
    evidence = np.array([_atoms_moved(atoms, kinds, shift) for shift in shifts])
    missed = (evidence[:, 0] - evidence[:, 1]) / np.maximum(evidence[:, 0], 1)
    cells: list[Floats] = []
    for most in _MISMATCHES:
        for order in (np.argsort(-evidence[:, 0], kind="stable"), np.arange(len(shifts))):
            good = shifts[order[missed[order] <= most]]
            for number in _SHIFTS:
                cell = spanned(good[:number])
                if cell is not None and np.linalg.det(cell) > _LEAST_VOLUME:
                    cell = lattice_through(cell, good[:number])
                    if not any(_same_lattice(cell, other) for other in cells):
                        cells.append(cell)
                        yield cell
                if len(cells) >= _MOST_CELLS:
                    return
                if number >= len(good):
                    break


def _atoms_moved(atoms: Floats, kinds: Whole, shift: Floats) -> tuple[int, int]:
    """How many atoms a shift takes to places inside the box, and how many of them to one of their kind.

    Of atoms outside of the box, a piece in the outermost voxels is seen, which says little of where they are.
    """
    landed = atoms + shift
    inside = ((atoms > _BORDER_A) & (atoms < BOX.edge_a - _BORDER_A)).all(axis=1)
    inside &= ((landed > _BORDER_A) & (landed < BOX.edge_a - _BORDER_A)).all(axis=1)
    near = np.linalg.norm(landed[inside][:, None] - atoms, axis=2) < _LANDED_A
    return int(inside.sum()), int((near & (kinds[inside][:, None] == kinds)).any(axis=1).sum())


def _same_lattice(cell: Floats, other: Floats) -> bool:
    """Whether two cells span the same lattice, each vector of one a whole combination of those of the other."""
    change = cell @ np.linalg.inv(other)
    return bool(np.abs(change - np.rint(change)).max() < 0.1 and abs(abs(np.linalg.det(change)) - 1.0) < 0.1)


def niggli_setting(crystal: Crystal) -> tuple[Floats, Floats]:
    """Niggli cell in the standard setting, rows in Å, and fractional positions (n, 3) in it."""
    import spglib

    given = np.asarray(crystal.lattice)
    reduced = spglib_quietly(spglib.niggli_reduce, given)
    reduced = given if reduced is None else np.asarray(reduced)
    if np.linalg.det(reduced) < 0:
        reduced = -reduced
    frac = np.asarray(crystal.frac_coords) @ given @ np.linalg.inv(reduced)
    turned = lattice_matrix(*cell_parameters(reduced))
    return (reduced if turned is None else turned), frac - np.floor(frac)


def primitive(crystal: Crystal) -> Crystal:
    """The primitive crystal in its Niggli cell; no atom is moved where the cell given is primitive."""
    smaller = standard_primitive(crystal, _SAME_A)
    chosen = smaller if smaller.n_atoms < crystal.n_atoms else crystal
    lattice, frac = niggli_setting(chosen)
    return Crystal.from_arrays(lattice, chosen.species, frac)


def fit_box(density: Floats, lattice: Floats, positions_a: Floats, numbers: Whole) -> tuple[Floats, Floats, float]:
    """Cell and positions for which the repeating crystal is nearest to a density, from a start that is near.

    Gauss-Newton over 9 + 3 n numbers on every other voxel an axis: the density is far smoother than the grid.

    Returns:
        lattice (3, 3) Å, positions (n, 3) Å, and the root-mean-square difference over that of the density.
    """
    axis, smallest = BOX.axis_a[::2], 0.5 * float(np.linalg.det(lattice))
    values = density[::2, ::2, ::2].reshape(-1)
    spread = max(float(values.std()), 1e-9)
    residual, damping = values - _model(lattice, positions_a, numbers, axis, slopes=False)[0], 1e-4
    for _ in range(_ROUNDS):
        _, jacobian = _model(lattice, positions_a, numbers, axis, slopes=True)
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ residual
        normal[np.diag_indices_from(normal)] *= 1.0 + damping
        normal[np.diag_indices_from(normal)] += 1e-12 * np.trace(normal) + 1e-30
        moves = np.linalg.solve(normal, gradient).reshape(-1, 3)
        moves *= min(1.0, _LONGEST_MOVE_A / max(float(np.abs(moves).max()), 1e-12))
        trial = lattice + moves[:3], positions_a + moves[3:]
        if np.linalg.det(trial[0]) < smallest:
            break
        left = values - _model(*trial, numbers, axis, slopes=False)[0]
        if (left**2).sum() < (residual**2).sum():
            (lattice, positions_a), residual, damping = trial, left, max(damping / 10.0, 1e-9)
            if np.abs(moves).max() < _CONVERGED_A:
                break
        elif damping > 1e3:
            break
        else:
            damping = max(damping, 1e-4) * 10.0
    return lattice, positions_a, float(np.sqrt((residual**2).mean())) / spread


def _model(
    lattice: Floats, positions_a: Floats, numbers: Whole, axis: Floats, *, slopes: bool
) -> tuple[Floats, Floats]:
    """Density (voxels,) and, if asked for, its derivatives (voxels, 9 + 3 n) by the cell and the positions."""
    images, owner = atoms_in_box(lattice, positions_a, np.arange(len(positions_a)), np.zeros(3), BOX)
    shifts = np.rint((images - positions_a[owner]) @ np.linalg.inv(lattice))
    apart = axis - images[:, :, None]  # (m, 3, n)
    waves = np.exp(-(apart**2) / (2.0 * SIGMA_A**2))
    heights = numbers[owner] * (2.0 * np.pi * SIGMA_A**2) ** -1.5
    rising = apart / SIGMA_A**2 * waves
    size, n = len(axis), len(positions_a)

    def summed(first: Floats, second: Floats, third: Floats) -> Floats:
        """(..., n, m) times (m, n) times (m, n), summed over images."""
        return np.asarray(first @ (second[:, :, None] * third[:, None, :]).reshape(len(images), -1))

    x, y, z = (np.ascontiguousarray(waves[:, c]) for c in range(3))
    density = summed((heights[:, None] * x).T, y, z).reshape(-1)
    if not slopes:
        return density, np.zeros((0, 0))
    jacobian = np.empty((3 + n, 3, size, size * size))
    weights = np.concatenate([shifts.T, owner == np.arange(n)[:, None]])  # (3 + n, m)
    for c in range(3):
        factors = [rising[:, a] if a == c else waves[:, a] for a in range(3)]
        first = (weights * heights)[:, None, :] * factors[0].T  # (3 + n, size, m)
        jacobian[:, c] = summed(first.reshape(-1, len(images)), factors[1], factors[2]).reshape(3 + n, size, -1)
    return density, jacobian.reshape(3 * (3 + n), -1).T
