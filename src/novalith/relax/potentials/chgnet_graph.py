"""The two graphs that CHGNet reads, built from a crystal with arrays instead of one Python object a bond.

A bond joins two atoms (or an atom and its periodic image) at most `ATOM_CUTOFF_A` apart; an angle joins two bonds of
one atom that are both shorter than `BOND_CUTOFF_A` (Deng et al., Nat. Mach. Intell. 5, 1031, 2023). Every bond and
every angle is listed once; the network mirrors them. Short bonds come first, so that whatever concerns angles is a
leading slice of whatever concerns bonds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

from novalith.materials import ATOMIC_NUMBERS, Crystal

#: Radii of CHGNet 0.3.0 (its checkpoint states both), Å.
ATOM_CUTOFF_A, BOND_CUTOFF_A = 6.0, 3.0
#: An atom and itself in the home cell are no bond.
_SAME_POINT_A = 1e-8


@dataclass(frozen=True)
class Graph:
    """Bonds and angles of a crystal of n atoms, with b bonds (the first `n_short` of them short) and a angles.

    Attributes:
        atomic_numbers: (n,).
        frac_coords: (n, 3).
        lattice: (3, 3), rows, Å.
        first: (b,) index of one end of each bond.
        second: (b,) index of the other end.
        image: (b, 3) cell that the other end lies in.
        n_short: number of bonds that take part in angles.
        angle_center: (a,) atom at the vertex.
        angle_bonds: (2, a) the two bonds.
        angle_sign: (a,) +1 where both bonds leave the vertex in the same sense as they are listed, else -1.
    """

    atomic_numbers: NDArray[np.int64]
    frac_coords: NDArray[np.float64]
    lattice: NDArray[np.float64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    image: NDArray[np.float64]
    n_short: int
    angle_center: NDArray[np.int64]
    angle_bonds: NDArray[np.int64]
    angle_sign: NDArray[np.float64]

    @property
    def isolated(self) -> NDArray[np.int64]:
        """Atoms without any bond."""
        bonded = np.zeros(len(self.atomic_numbers), dtype=bool)
        bonded[self.first] = bonded[self.second] = True
        return np.flatnonzero(~bonded)


def build_graph(crystal: Crystal) -> Graph:
    """List the bonds and angles of a crystal."""
    lattice = np.array(crystal.lattice, dtype=np.float64)
    frac_coords = np.array(crystal.frac_coords, dtype=np.float64)
    positions = frac_coords @ lattice
    center, neighbour, image, length = find_points_in_spheres(
        positions,
        positions,
        r=ATOM_CUTOFF_A,
        pbc=np.ones(3, dtype=np.int64),
        lattice=lattice,
        tol=_SAME_POINT_A,
    )
    once = _one_of_two(center, neighbour, image) & ((center != neighbour) | (length > _SAME_POINT_A))
    center, neighbour, image, length = center[once], neighbour[once], image[once], length[once]
    # A fixed order whatever the search returned: short bonds first, then by ends and image.
    order = np.lexsort((image[:, 2], image[:, 1], image[:, 0], neighbour, center, length >= BOND_CUTOFF_A))
    first, second, image = center[order], neighbour[order], image[order]
    n_short = int(np.count_nonzero(length < BOND_CUTOFF_A))
    vertex, bonds, sign = _angles(first[:n_short], second[:n_short])
    return Graph(
        atomic_numbers=np.array([ATOMIC_NUMBERS[s] for s in crystal.species]),
        frac_coords=frac_coords,
        lattice=lattice,
        first=first,
        second=second,
        image=image,
        n_short=n_short,
        angle_center=vertex,
        angle_bonds=bonds,
        angle_sign=sign,
    )


def _one_of_two(
    center: NDArray[np.int64], neighbour: NDArray[np.int64], image: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Mark one of the two directions in which the search meets each bond."""
    x, y, z = np.sign(image).T
    return (center < neighbour) | ((center == neighbour) & (9 * x + 3 * y + z > 0))


def _angles(
    first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every unordered pair of bond ends that meet at an atom: vertex (a,), bonds (2, a), sign (a,)."""
    n = len(first)
    vertex = np.concatenate([first, second])
    end = np.argsort(vertex, kind="stable")  # bond ends grouped by the atom they meet at; ends >= n are mirrored
    counts = np.bincount(vertex)
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    rank = np.arange(2 * n) - np.repeat(starts, counts)  # place of an end within its group
    left = np.repeat(np.arange(2 * n), rank)  # an end pairs with each end before it
    before = np.arange(len(left)) - np.repeat(np.cumsum(rank) - rank, rank)
    right = np.repeat(np.arange(2 * n) - rank, rank) + before
    a, b = end[left], end[right]
    sign = np.where((a >= n) == (b >= n), 1.0, -1.0)
    return vertex[a], np.stack([a % n, b % n]) if n else np.zeros((2, 0), dtype=np.int64), sign
