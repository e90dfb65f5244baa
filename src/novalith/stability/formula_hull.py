r"""Decomposition energies of many formulas at once: how far each lies below, or above, the hull of all *others*.

.. math:: E_d(c) = E(c) - \min_x \sum_j x_j E_j,\quad \sum_j c_{ij} x_j = c_i,\; x_j \ge 0,

where j runs over the competing formulas other than c itself, with energies per atom relative to the elements, and over
the elements at zero. It is negative for a stable formula (what would be lost without it) and the energy above the hull
for any other. This is the decomposition energy of Bartel et al., npj Comput. Mater. 6, 97 (2020); with energies that a
model predicts for the formula *and* for its competitors it says whether the model can tell stable from unstable.

All energies must be of one origin: what is compared are differences of a hundredth of an eV.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from novalith.represent.composition_features import fractions_of
from novalith.represent.formula_table import FormulaTable, formula_keys

Floats = NDArray[np.float64]
_System = tuple[int, ...]


class FormulaHull:
    """Competing formulas with energies, found by their elements.

    Args:
        table: the competitors; rows with a problem or without a finite energy take no part.
        energies: (n,) eV/atom relative to the elements, all of one origin.
    """

    def __init__(self, table: FormulaTable, energies: Floats) -> None:
        self._table, self._energies = table, energies
        self._keys = formula_keys(table)
        self._fractions = fractions_of(table)
        self._by_system: dict[_System, list[int]] = defaultdict(list)
        # A mixture of elements has energy zero, so a formula above zero is never part of a cheapest mixture.
        for row in np.flatnonzero(np.isfinite(energies) & (energies < 0)).tolist():
            self._by_system[_system(table, row)].append(row)

    def decomposition_energies(self, table: FormulaTable, energies: Floats) -> Floats:
        """(n,) E_d of formulas at these energies, eV/atom; NaN where the formula or the energy is missing."""
        keys, fractions = formula_keys(table), fractions_of(table)
        if table.atomic_numbers.shape[1] != self._table.atomic_numbers.shape[1]:
            keys = _keys_of_width(table, self._table.atomic_numbers.shape[1])
        out = np.full(len(table), np.nan)
        for row in np.flatnonzero(np.isfinite(energies)).tolist():
            system = _system(table, row)
            if system:
                target = np.array([fractions[row][table.atomic_numbers[row] == z][0] for z in system])
                out[row] = energies[row] - self._cheapest(system, target, keys[row])
        return out

    def _cheapest(self, system: _System, target: Floats, own: bytes) -> float:
        """Energy of the cheapest mixture at a composition, its own formula left out."""
        from scipy.optimize import linprog

        rows = [
            row
            for size in range(2, len(system) + 1)
            for part in combinations(system, size)
            for row in self._by_system.get(part, ())
            if self._keys[row] != own
        ]
        if not rows:
            return 0.0
        z, x = self._table.atomic_numbers[rows], self._fractions[rows]
        matrix = np.stack([(x * (z == element)).sum(axis=1) for element in system])
        matrix = np.concatenate([matrix, np.eye(len(system))], axis=1)
        costs = np.concatenate([self._energies[rows], np.zeros(len(system))])
        answer = linprog(costs, A_eq=matrix, b_eq=target, bounds=(0, None), method="highs-ds")
        if answer.x is None:
            raise ValueError(f"The linear programme of the hull has no solution: {answer.message}")
        return float(answer.fun)


def _system(table: FormulaTable, row: int) -> _System:
    return tuple(sorted(z for z, _ in table.parts(row)))


def _keys_of_width(table: FormulaTable, width: int) -> NDArray[np.bytes_]:
    """Keys comparable with those of a table of another width: a formula that does not fit there equals none of it."""
    have = table.atomic_numbers.shape[1]
    z = np.zeros((len(table), width), dtype=np.int64)
    n = np.zeros((len(table), width), dtype=np.int64)
    ordered = np.argsort(table.atomic_numbers == 0, axis=1, kind="stable")
    shared = min(width, have)
    z[:, :shared] = np.take_along_axis(table.atomic_numbers, ordered, axis=1)[:, :shared]
    n[:, :shared] = np.take_along_axis(table.counts, ordered, axis=1)[:, :shared]
    fits = (table.atomic_numbers > 0).sum(axis=1) <= width
    return formula_keys(FormulaTable(np.where(fits[:, None], z, 0), np.where(fits[:, None], n, 0), {}))
