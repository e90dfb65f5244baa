"""How far a crystal that came back from a representation is from the one that went in.

    edges, angles   greatest differences of the six numbers of the cell
    atoms           greatest move of an atom, Å, over nearest images in the given cell, atoms of an element paired for
                    the least total (Hungarian), less the shift common to all atoms: the images do not keep the origin

Where a representation also chooses the cell, the cell that came back is first laid on the given one in every proper way
that their shapes allow, and the best counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Crystal
from novalith.represent.point_cloud import cell_parameters

Floats = NDArray[np.float64]

#: What may differ between cells that are laid on one another: edges by this share, angles by degrees.
_EDGE_SHARE, _ANGLE_DEG = 0.02, 1.0
#: A pairing this good (Å) need not be bettered.
_GOOD_A = 1e-3


@dataclass(frozen=True)
class RoundTrip:
    """Errors of one crystal.

    Attributes:
        edge_a: Å.
        angle_deg: degrees.
        atom_a: Å; infinite where the atoms are not the same in kind and number.
    """

    edge_a: float
    angle_deg: float
    atom_a: float

    def within(self, edge_a: float, angle_deg: float, atom_a: float) -> bool:
        """Whether all three are."""
        return self.edge_a <= edge_a and self.angle_deg <= angle_deg and self.atom_a <= atom_a


def round_trip(given: Crystal, back: Crystal, *, same_cell: bool) -> RoundTrip:
    """Errors of a crystal that came back.

    Args:
        given: what went in.
        back: what came out.
        same_cell: the representation keeps the cell vectors and their order; otherwise any cell of the lattice may
            have come back, and nothing but infinite errors is said of cells that cannot be laid on one another.
    """
    ways = [(np.asarray(back.lattice), np.asarray(back.frac_coords))] if same_cell else _laid_on(given, back)
    best = RoundTrip(np.inf, np.inf, np.inf)
    for lattice, frac in ways:
        edges, angles = cell_parameters(np.asarray(given.lattice))
        others = cell_parameters(lattice)
        moved = greatest_move(given, frac, back.species)
        trip = RoundTrip(float(np.abs(edges - others[0]).max()), float(np.abs(angles - others[1]).max()), moved)
        if (trip.atom_a + trip.edge_a, trip.angle_deg) < (best.atom_a + best.edge_a, best.angle_deg):
            best = trip
        if best.atom_a < _GOOD_A and best.edge_a < _GOOD_A:
            break
    return best


def greatest_move(given: Crystal, frac: Floats, species: tuple[str, ...]) -> float:
    """Greatest move of an atom (Å) between a crystal and positions (n, 3) in its cell, up to a common shift."""
    from scipy.optimize import linear_sum_assignment

    if sorted(given.species) != sorted(species):
        return float("inf")
    lattice, first, kinds = np.asarray(given.lattice), np.asarray(given.frac_coords), np.array(given.species)
    theirs = np.array(species)
    rare = min(sorted(set(given.species)), key=given.species.count)
    differs, best = kinds[:, None] != theirs, float("inf")
    for j in np.flatnonzero(theirs == rare):
        delta = first[:, None] - frac - (first[kinds == rare][0] - frac[j])
        delta -= np.round(delta)
        vectors = delta @ lattice
        rows, columns = linear_sum_assignment((vectors**2).sum(axis=2) + 1e6 * differs)
        moves = vectors[rows, columns]
        best = min(best, float(np.linalg.norm(moves - moves.mean(axis=0), axis=1).max()))
        if best < _GOOD_A:
            break
    return best


def _laid_on(given: Crystal, back: Crystal) -> Iterator[tuple[Floats, Floats]]:
    """Cells of the lattice that came back which are shaped like the given one, with the positions in them."""
    from pymatgen.core import Lattice

    mine, theirs = Lattice(given.lattice), Lattice(back.lattice)
    frac = np.asarray(back.frac_coords)
    for laid, _, change in theirs.find_all_mappings(mine, _EDGE_SHARE, _ANGLE_DEG, skip_rotation_matrix=True):
        if np.linalg.det(change) > 0:
            yield np.asarray(laid.matrix), frac @ np.linalg.inv(change)
