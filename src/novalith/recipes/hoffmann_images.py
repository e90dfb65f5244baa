"""What the networks of the recipe `hoffmann` are shown: crystals in boxes, made as they are asked for.

    x = (log(1 + rho / b) - m) / s,   rho = b (exp(s x + m) - 1),   b = 0.2 electrons/Å3,  m = 2.1,  s = 0.7

The logarithm gives oxygen a voice beside lead: a share of an atom's height counts the same for both. Crystals stand
in their Niggli cell, a along x and b in the xy plane. Where the origin lies is either drawn at random, as Hoffmann et
al. have it, or such that an atom of the heaviest element sits in the middle of the box, which leaves the autoencoder
less to remember. For the network that names the atoms, elements are replaced now and then by neighbours in the
periodic table, so that it must look at heights and not only remember which compounds there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Crystal, Verdict
from novalith.represent.density_box import Box, atoms_in_box, box_density, box_species
from novalith.represent.point_cloud import niggli_reduced

Floats = NDArray[np.float32]

#: Density at which the logarithm bends (electrons/Å3), and mean and deviation of the logarithm over voxels of the
#: bundled crystals, by which images are standardised: the autoencoder diverges on images far from zero.
BEND, MEAN, SCALE = 0.2, 2.1, 0.7
#: Images are cut here before the exponential: 80 electrons/Å3, ten times any crystal.
HIGHEST = 6.0
ORIGINS = ("heaviest", "random")
#: Share of crystals with replaced elements, and the farthest neighbour (in atomic numbers) that one is replaced by.
REPLACED_SHARE, REPLACED_REACH = 0.3, 4
#: Beyond curium no compound of the tables has coordinates that anybody relaxed.
HEAVIEST = 96


@dataclass(frozen=True, eq=False)
class BoxedCrystal:
    """A crystal ready to be drawn.

    Attributes:
        crystal: in its Niggli cell.
        lattice: (3, 3) Å, a along x and b in the xy plane.
        positions: (atoms, 3) Cartesian, Å.
        numbers: (atoms,) atomic numbers.
    """

    crystal: Crystal
    lattice: NDArray[np.float64]
    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, crystal: Crystal) -> BoxedCrystal:
        """The crystal in its Niggli cell."""
        reduced = niggli_reduced(crystal)
        lattice = standing(np.array(reduced.lattice))
        positions = np.array(reduced.frac_coords) @ lattice
        return cls(reduced, lattice, positions, np.array([ATOMIC_NUMBERS[s] for s in reduced.species]))

    def offset(self, box: Box, origin: str, *, rng: np.random.Generator) -> NDArray[np.float64]:
        """Where the origin of the cell goes in the box, Å."""
        if origin == "random":
            shift: NDArray[np.float64] = rng.random(3) @ self.lattice
            return shift
        heaviest = np.flatnonzero(self.numbers == self.numbers.max())
        centred: NDArray[np.float64] = box.edge_a / 2 - self.positions[heaviest[rng.integers(len(heaviest))]]
        return centred


def standing(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same cell turned so that a lies along x and b in the xy plane."""
    q, r = np.linalg.qr(lattice.T)
    del q
    turned: NDArray[np.float64] = (np.sign(np.diag(r))[:, None] * r).T
    return turned


def to_image(density: Floats) -> Floats:
    """Density -> what the autoencoder sees."""
    image: Floats = ((np.log1p(np.maximum(density, 0.0) / BEND) - MEAN) / SCALE).astype(np.float32)
    return image


def to_density(image: Floats) -> Floats:
    """The inverse of `to_image`."""
    logarithm = np.clip(SCALE * image + MEAN, 0.0, SCALE * HIGHEST + MEAN)
    density: Floats = (BEND * np.expm1(logarithm)).astype(np.float32)
    return density


@dataclass(frozen=True, eq=False)
class DensityImages:
    """Densities as a source of images for the autoencoder.

    Attributes:
        crystals: one row each.
        box: the grid.
        origin: one of `ORIGINS`.
    """

    crystals: Sequence[BoxedCrystal]
    box: Box
    origin: str

    def __len__(self) -> int:
        return len(self.crystals)

    def images(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """(b,) rows -> (b, 1, n, n, n)."""
        return to_image(self.densities(rows, rng))

    def densities(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """(b,) rows -> (b, 1, n, n, n), electrons/Å3."""
        made = []
        for row in rows:
            crystal = self.crystals[int(row)]
            offset = crystal.offset(self.box, self.origin, rng=rng)
            atoms = atoms_in_box(crystal.lattice, crystal.positions, crystal.numbers, offset, self.box)
            made.append(box_density(*atoms, self.box))
        return np.stack(made)[:, None]


@dataclass(frozen=True, eq=False)
class SpeciesImages:
    """Densities with the atomic number of each voxel, for the network that names the atoms.

    Attributes:
        crystals: one row each.
        box: the grid.
        origin: one of `ORIGINS`.
        replaced: share of crystals whose elements are replaced by neighbours.
    """

    crystals: Sequence[BoxedCrystal]
    box: Box
    origin: str = "random"
    replaced: float = REPLACED_SHARE

    def __len__(self) -> int:
        return len(self.crystals)

    def pairs(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """(b,) rows -> densities (b, 1, n, n, n) and atomic numbers (b, n, n, n)."""
        densities, species = [], []
        for row in rows:
            crystal = self.crystals[int(row)]
            numbers = crystal.numbers
            if rng.random() < self.replaced:
                numbers = with_neighbours(numbers, rng=rng)
            offset = crystal.offset(self.box, self.origin, rng=rng)
            atoms = atoms_in_box(crystal.lattice, crystal.positions, numbers, offset, self.box)
            density = box_density(*atoms, self.box)
            densities.append(density)
            species.append(box_species(*atoms, self.box))
        return np.stack(densities)[:, None], np.stack(species)


def with_neighbours(numbers: NDArray[np.int64], *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Atomic numbers with every element replaced by another one near it, distinct elements staying distinct."""
    present = np.unique(numbers)
    for _ in range(8):
        moved = np.clip(present + rng.integers(-REPLACED_REACH, REPLACED_REACH + 1, len(present)), 1, HEAVIEST)
        if len(np.unique(moved)) == len(present):
            return np.asarray(moved[np.searchsorted(present, numbers)])
    return numbers


def heaviest_allowed(crystal: Crystal) -> Verdict:
    """Whether the networks have a class for every element."""
    beyond = sorted({s for s in crystal.species if ATOMIC_NUMBERS[s] > HEAVIEST})
    reason = f"{', '.join(beyond)} is heavier than {ELEMENTS[HEAVIEST - 1]}, the last element the model knows"
    return Verdict(not beyond, "elements", reason if beyond else "")
