"""The contract of predictors that see a formula and nothing else: a value, its uncertainty, and whether to believe it.

    prediction = predictor.predict(read_formulas(["LiFePO4", "Fe2O3"]), "formation_energy")

A prediction is *in range* where the formula is like those that the model was fitted to:

* every element occurs among the training formulas, and in no larger fraction than there;
* it has no more elements than the training formulas have;
* the value lies between the lowest and the highest training value, and its uncertainty, where there is one, is below
  twice the standard deviation of the training values (beyond it the mean of all of them would be as good an answer;
  twice, because nine in ten band gaps are zero and the others are spread more widely than all).

Properties that cannot be negative are never said to be: a band gap below zero is zero.

Everything else is an extrapolation: it keeps its value and says why it is one. A formula that cannot be read, or that
holds an element that no training formula holds, has no value (NaN): nothing was learned about it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.targets import TARGETS
from novalith.errors import UnknownNameError
from novalith.materials import ELEMENTS
from novalith.predict.base import Prediction
from novalith.represent.composition_features import fractions_of
from novalith.represent.formula_table import FormulaTable

#: Properties that cannot be negative.
NEVER_NEGATIVE = frozenset({"band_gap", "volume_per_atom", "energy_above_hull", "bulk_modulus", "shear_modulus"})
#: An uncertainty beyond this many standard deviations of the training values says that nothing is known.
_WIDEST = 2.0
#: Fractions are compared to this precision (they are stored as float32).
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CompositionPrediction:
    """What is predicted for the rows of a table.

    Attributes:
        value: (n,) in the unit of the target; NaN where there is no prediction.
        uncertainty: (n,) one standard deviation in the same unit (NaN with the value); None where there is none.
        in_range: (n,) whether the formula and the value are like those of the training.
        reasons: row -> why it is not in range, for exactly those rows.
    """

    value: NDArray[np.float64]
    uncertainty: NDArray[np.float64] | None
    in_range: NDArray[np.bool_]
    reasons: Mapping[int, str] = field(repr=False)


@dataclass(frozen=True)
class ValueRange:
    """Training values of a target, in its unit: lowest, highest, standard deviation."""

    low: float
    high: float
    deviation: float


@dataclass(frozen=True, eq=False)
class TrainingDomain:
    """What a model was fitted to.

    Attributes:
        largest_fractions: (119,) by atomic number, the largest fraction of the element in a training formula; zero for
            an element that none holds.
        most_elements: largest number of elements of a training formula.
        values: target -> its training values.
    """

    largest_fractions: NDArray[np.float32]
    most_elements: int
    values: Mapping[str, ValueRange]

    @classmethod
    def of(cls, table: FormulaTable, targets: Mapping[str, NDArray[np.float64]]) -> TrainingDomain:
        """The domain of training formulas and their values; NaN stands for a missing value."""
        largest = np.zeros(len(ELEMENTS) + 1, dtype=np.float32)
        np.maximum.at(largest, table.atomic_numbers.ravel(), fractions_of(table).astype(np.float32).ravel())
        largest[0] = 0
        values = {
            name: ValueRange(float(np.nanmin(y)), float(np.nanmax(y)), float(np.nanstd(y)))
            for name, y in targets.items()
        }
        return cls(largest, int((table.atomic_numbers > 0).sum(axis=1).max(initial=0)), values)

    def to_config(self) -> dict[str, Any]:
        """As plain JSON values, for a checkpoint."""
        return {
            "largest_fractions": {
                ELEMENTS[z - 1]: round(float(self.largest_fractions[z]), 6)
                for z in np.flatnonzero(self.largest_fractions).tolist()
            },
            "most_elements": self.most_elements,
            "values": {name: [v.low, v.high, v.deviation] for name, v in self.values.items()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainingDomain:
        """From `to_config`."""
        largest = np.zeros(len(ELEMENTS) + 1, dtype=np.float32)
        for z, symbol in enumerate(ELEMENTS, start=1):
            largest[z] = config["largest_fractions"].get(symbol, 0.0)
        return cls(largest, config["most_elements"], {k: ValueRange(*v) for k, v in config["values"].items()})

    def known(self, table: FormulaTable) -> NDArray[np.bool_]:
        """(n,) rows that can be read and hold only elements of the training."""
        z = table.atomic_numbers
        known: NDArray[np.bool_] = (z > 0).any(axis=1) & ((z == 0) | (self.largest_fractions[z] > 0)).all(axis=1)
        return known

    def reasons(self, table: FormulaTable, value: NDArray[np.float64], target: str) -> dict[int, str]:
        """Row -> why its formula or its value is outside of the training; the first reason that holds."""
        z, x = table.atomic_numbers, fractions_of(table)
        reasons = {row: f"the formula cannot be read: {problem}" for row, problem in table.problems.items()}
        for row in np.flatnonzero(~self.known(table)).tolist():
            foreign = [ELEMENTS[a - 1] for a, _ in table.parts(row) if not self.largest_fractions[a]]
            reasons.setdefault(row, f"no training formula holds {', '.join(foreign) or 'no element at all'}")
        n_elements = (z > 0).sum(axis=1)
        for row in np.flatnonzero(n_elements > self.most_elements).tolist():
            told = f"{n_elements[row]} elements; training formulas have at most {self.most_elements}"
            reasons.setdefault(row, told)
        above = (z > 0) & (x > self.largest_fractions[z] + _TOLERANCE)
        for row in np.flatnonzero(above.any(axis=1)).tolist():
            place = int(np.argmax(above[row]))
            symbol, limit = ELEMENTS[z[row, place] - 1], self.largest_fractions[z[row, place]]
            reasons.setdefault(
                row, f"{100 * x[row, place]:.3g} % {symbol}; training formulas have at most {100 * limit:.3g} %"
            )
        limits = self.values[target]
        for row in np.flatnonzero((value < limits.low) | (value > limits.high)).tolist():
            reasons.setdefault(
                row,
                f"the value {value[row]:.4g} is outside of the training values, {limits.low:.4g} to {limits.high:.4g}",
            )
        return reasons


class CompositionPredictor(ABC):
    """Predicts properties of formulas."""

    @property
    @abstractmethod
    def domain(self) -> TrainingDomain:
        """What the model was fitted to; its targets are the model's."""

    @abstractmethod
    def values(self, table: FormulaTable, target: str) -> Prediction:
        """What the model says of readable rows, believable or not; NaN for what it cannot represent."""

    @property
    def targets(self) -> dict[str, str]:
        """Target -> unit, for every target that the model predicts."""
        return {name: TARGETS[name].unit for name in self.domain.values}

    @property
    def training_ranges(self) -> dict[str, tuple[float, float]]:
        """Target -> lowest and highest training value, in the unit of the target."""
        return {name: (v.low, v.high) for name, v in self.domain.values.items()}

    def predict(self, table: FormulaTable, target: str) -> CompositionPrediction:
        """Predict a target for every row of a table.

        Raises:
            UnknownNameError: the model does not predict that target.
        """
        if target not in self.domain.values:
            raise UnknownNameError("target of this model", target, self.domain.values)
        value = np.full(len(table), np.nan)
        rows = np.flatnonzero(self.domain.known(table))
        said = self.values(table.select(rows), target) if len(rows) else Prediction(np.zeros(0), np.zeros(0))
        value[rows] = np.maximum(said.value, 0) if target in NEVER_NEGATIVE else said.value
        reasons = self.domain.reasons(table, value, target)
        uncertainty = None
        if said.uncertainty is not None:
            uncertainty = np.full(len(table), np.nan)
            uncertainty[rows] = said.uncertainty
            limit = _WIDEST * self.domain.values[target].deviation
            for row in np.flatnonzero(uncertainty > limit).tolist():
                told = f"the uncertainty {uncertainty[row]:.3g} exceeds {limit:.3g}, twice the training spread"
                reasons.setdefault(row, told)
        for row in np.flatnonzero(np.isnan(value)).tolist():
            reasons.setdefault(row, "the model cannot represent this formula")
        in_range = np.ones(len(table), dtype=bool)
        in_range[list(reasons)] = False
        return CompositionPrediction(value, uncertainty, in_range, reasons)
