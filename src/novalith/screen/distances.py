"""The distance rule: no two atoms nearer than a fraction of the sum of their covalent radii.

For sites i, j at fractional positions f_i, f_j in a cell with rows A, the distance over all periodic images m is
d_ij = min_m |(f_j - f_i + m) A|, and the crystal passes when d_ij >= fraction * (r_i + r_j) for every pair and for
every atom with its own images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, Crystal, Verdict
from novalith.screen.base import Rule

#: Largest number of image vectors looked at for one pair; a cell that needs more is a needle or a sheet thinner than
#: any bond and fails at once.
_MAX_IMAGES = 4000


@dataclass(frozen=True)
class Contact:
    """The tightest contact of a crystal.

    Attributes:
        first: index of one site.
        second: index of the other; equal to `first` for an atom and its own image.
        distance_a: their distance, Å.
        ratio: distance over the sum of covalent radii.
    """

    first: int
    second: int
    distance_a: float
    ratio: float


@dataclass(frozen=True)
class Distances(Rule):
    """No two atoms may be nearer than `fraction` of the sum of their covalent radii.

    Attributes:
        fraction: smallest allowed distance over the sum of the radii. The tightest contact of a relaxed crystal of
            the Materials Project has 0.65 (`python benchmarks/novelty.py --limits`), so a proposal below the default
            holds a collision rather than a bond.
    """

    fraction: float = 0.6

    name: ClassVar[str] = "distances"
    source: ClassVar[str] = "covalent radii: Cordero et al., Dalton Trans. 2832, 2008"

    def check(self, crystal: Crystal) -> Verdict:
        """Judge the tightest contact of a crystal."""
        contact = tightest_contact(crystal, self.fraction)
        if contact is None or contact.ratio >= self.fraction:
            return Verdict(True, self.name, source=self.source)
        pair = "-".join(sorted((crystal.species[contact.first], crystal.species[contact.second])))
        return Verdict(
            False,
            self.name,
            f"{pair} {contact.distance_a:.2f} Å apart, {contact.ratio:.2f} of the sum of their covalent radii; "
            f"at least {self.fraction:g} is needed.",
            self.source,
        )


def tightest_contact(crystal: Crystal, up_to: float) -> Contact | None:
    """The pair with the smallest distance over sum of radii, among pairs below `up_to` at least.

    Args:
        crystal: any cell, however skewed.
        up_to: ratio up to which the answer is exact; None or a contact above it says that no pair is below it.
    """
    lattice = np.asarray(crystal.lattice)
    frac = np.asarray(crystal.frac_coords)
    radii = _radii()[[ATOMIC_NUMBERS[s] for s in crystal.species]]
    images = _images(lattice, up_to * 2.0 * float(radii.max()))
    if images is None:
        return Contact(0, 0, 0.0, 0.0)
    best: Contact | None = None
    vectors = images @ lattice
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    lengths[lengths < 1e-9] = np.inf
    own = float(lengths.min())
    if np.isfinite(own):
        largest = int(np.argmax(radii))
        best = Contact(largest, largest, own, own / (2.0 * float(radii[largest])))
    first, second = np.triu_indices(len(radii), k=1)
    if len(first) == 0:
        return best
    delta = frac[second] - frac[first]
    delta -= np.round(delta)
    # |p + v|^2 = |p|^2 + 2 p.v + |v|^2 over (pairs, images): one matrix product instead of a large difference array.
    pairs = delta @ lattice
    lengths[~np.isfinite(lengths)] = 0.0
    squares = 2.0 * (pairs @ vectors.T)
    squares += np.einsum("ij,ij->i", pairs, pairs)[:, None]
    squares += lengths**2
    distances = np.sqrt(np.maximum(squares.min(axis=1), 0.0))
    ratios = distances / (radii[first] + radii[second])
    k = int(np.argmin(ratios))
    if best is None or ratios[k] < best.ratio:
        best = Contact(int(first[k]), int(second[k]), float(distances[k]), float(ratios[k]))
    return best


def _images(lattice: NDArray[np.float64], cutoff_a: float) -> NDArray[np.float64] | None:
    """Integer image vectors (m, 3) that any distance up to `cutoff_a` may need; None where they are too many.

    With differences wrapped to [-1/2, 1/2], a vector with image number m along an axis is at least
    (|m| - 1/2) h long, h being the spacing of the lattice planes of that axis.
    """
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    # At least the nearest shell, so that atoms always meet their own images.
    reach = np.maximum(np.floor(cutoff_a / spacing + 0.5), 1.0)
    if float(np.prod(2.0 * reach + 1.0)) > _MAX_IMAGES:
        return None
    a, b, c = (np.arange(-n, n + 1.0) for n in reach)
    return np.stack(np.meshgrid(a, b, c, indexing="ij"), axis=-1).reshape(-1, 3)


@cache
def _radii() -> NDArray[np.float64]:
    """Covalent radii by atomic number, Å; elements without one take the largest radius of the table."""
    from ase.data import covalent_radii

    radii = np.asarray(covalent_radii, dtype=float).copy()
    known = radii[1:97]  # Cordero's table ends with curium
    radii[97:] = known.max()
    return radii
