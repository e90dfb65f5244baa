r"""The part of a property that is a sum over elements, taken off before a network is trained on the rest.

    y = m + sum_i x_i w_i + r

with fractions :math:`x_i` and a weight of each element by ridge regression. Energies per atom and volumes per atom are
such sums for the most part (Vegard's rule for volumes), and what the network has to learn is several times smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ELEMENTS
from novalith.represent.composition_features import element_fractions
from novalith.represent.formula_table import FormulaTable

Floats = NDArray[np.float64]

#: Weight of the penalty, in rows: an element of a handful of formulas stays near the mean.
_RIDGE = 1.0


@dataclass(frozen=True, eq=False)
class ElementBaseline:
    """Sums over elements for t targets.

    Attributes:
        mean: (t,) m.
        weights: (118, t) w by atomic number less one.
        scale: (t,) mean absolute value of the rest r, the unit in which a network learns it.
    """

    mean: Floats
    weights: Floats
    scale: Floats

    def values(self, table: FormulaTable) -> Floats:
        """(n, t) m + sum_i x_i w_i."""
        return self.of_fractions(element_fractions(table, ELEMENTS).astype(np.float64))

    def of_fractions(self, x: Floats) -> Floats:
        """(n, 118) fractions by atomic number less one -> (n, t)."""
        return x @ self.weights + self.mean


def fit_element_baseline(table: FormulaTable, targets: Floats) -> ElementBaseline:
    """Fit to (n, t) targets; NaN stands for a missing value."""
    return fit_to_fractions(element_fractions(table, ELEMENTS).astype(np.float64), targets)


def fit_to_fractions(x: Floats, targets: Floats) -> ElementBaseline:
    """Fit to (n, 118) fractions and (n, t) targets; NaN stands for a missing value."""
    n_targets = targets.shape[1]
    weights, mean, scale = np.zeros((len(ELEMENTS), n_targets)), np.zeros(n_targets), np.ones(n_targets)
    for t in range(n_targets):
        rows = np.isfinite(targets[:, t])
        if not rows.any():
            continue
        mean[t] = targets[rows, t].mean()
        normal = x[rows].T @ x[rows] + _RIDGE * np.eye(len(ELEMENTS))
        weights[:, t] = np.linalg.solve(normal, x[rows].T @ (targets[rows, t] - mean[t]))
        rest = targets[rows, t] - mean[t] - x[rows] @ weights[:, t]
        scale[t] = max(float(np.abs(rest).mean()), 1e-9)
    return ElementBaseline(mean, weights, scale)
