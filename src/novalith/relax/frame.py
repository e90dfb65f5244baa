"""Positions and cell of a crystal as one vector, so that an optimiser needs to know nothing of crystals.

With the lattice L0 and the fractional coordinates S0 of the start, a crystal is given by

    S = q L0^-1            q: (n, 3), Å: where the atoms would lie in the cell of the start
    L = L0 (1 + U)         U: symmetric, so that the cell strains but never turns

and x = (q, u), u = (Uxx, Uyy, Uzz, √2 Uyz, √2 Uxz, √2 Uxy) times `BOND_A`, which makes every entry a length. With
forces f and stress sigma, and F = 1 + U, the gradient of the energy is

    dE/dq = -f F           dE/dU = V (F^-1 sigma + sigma F^-1) / 2
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.materials import Crystal
from novalith.relax.base import Evaluated

Array = NDArray[np.float64]

#: A strain is weighed by what it does to a bond of this length, Å.
BOND_A = 3.0
_ROOT2 = np.sqrt(2.0)


@dataclass(frozen=True)
class Frame:
    """The cell of the start, to which every vector x refers.

    Attributes:
        lattice: (3, 3), rows, Å.
        species: one symbol a site.
        fixed_cell: whether x has no entries for the cell.
    """

    lattice: Array
    species: tuple[str, ...]
    fixed_cell: bool

    @classmethod
    def of(cls, crystal: Crystal, fixed_cell: bool) -> Frame:
        """The frame in which `crystal` is the start."""
        return cls(np.array(crystal.lattice, dtype=np.float64), crystal.species, fixed_cell)

    def start(self, crystal: Crystal) -> Array:
        """Give x of the crystal that the frame was made from."""
        q = np.array(crystal.frac_coords, dtype=np.float64) @ self.lattice
        return np.concatenate([q.ravel(), np.zeros(0 if self.fixed_cell else 6)])

    def crystal(self, x: Array) -> Crystal | None:
        """The crystal at x; None where the cell has turned inside out."""
        deformation = self._deformation(x)
        frac_coords = self._q(x) @ np.linalg.inv(self.lattice)
        try:
            return Crystal.from_arrays(self.lattice @ deformation, self.species, frac_coords)
        except InputError:
            return None

    def gradient(self, x: Array, evaluated: Evaluated, volume_a3: float) -> Array:
        """dE/dx in eV/Å."""
        deformation = self._deformation(x)
        by_q = -evaluated.forces_ev_per_a @ deformation
        if self.fixed_cell:
            return by_q.ravel()
        half = np.linalg.solve(deformation, evaluated.stress_ev_per_a3) * volume_a3
        by_strain = (half + half.T) / 2 / BOND_A
        return np.concatenate([by_q.ravel(), pack(by_strain)])

    def longest(self, step: Array) -> float:
        """The farthest that a step moves an atom or stretches a bond of `BOND_A`, Å."""
        atoms = float(np.linalg.norm(self._q(step), axis=1).max())
        return atoms if self.fixed_cell else max(atoms, float(np.linalg.norm(step[-6:])))

    def _q(self, x: Array) -> Array:
        return x[: 3 * len(self.species)].reshape(-1, 3)

    def _deformation(self, x: Array) -> Array:
        if self.fixed_cell:
            return np.eye(3)
        return np.eye(3) + unpack(x[-6:]) / BOND_A


def pack(matrix: Array) -> Array:
    """Six numbers of a symmetric matrix (..., 3, 3) whose scalar product is that of the matrices."""
    m = matrix
    return np.stack(
        [m[..., 0, 0], m[..., 1, 1], m[..., 2, 2], _ROOT2 * m[..., 1, 2], _ROOT2 * m[..., 0, 2], _ROOT2 * m[..., 0, 1]],
        axis=-1,
    )


def unpack(six: Array) -> Array:
    """The inverse of `pack` for one matrix."""
    xx, yy, zz, yz, xz, xy = six
    yz, xz, xy = yz / _ROOT2, xz / _ROOT2, xy / _ROOT2
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
