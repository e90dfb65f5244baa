"""What the recipes of composition predictors share: rows to learn from, the part held out, and errors.

Rows are held out by formula, so that a formula that occurs twice is either trained on or held out, never both. The part
held out decides when to stop and how wide the uncertainties are; it is a part of the training rows, and no test row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from novalith.data.targets import column_of, target_named
from novalith.data.training_table import MIN_ROWS, TrainingTable, columns_of, read_training_table
from novalith.errors import InputError
from novalith.predict.composition import CompositionPrediction
from novalith.recipes.training import TrainingOrder
from novalith.represent.formula_table import FormulaTable, formula_keys, read_formulas

Floats = NDArray[np.float64]

#: Formation energies outside of this (eV/atom) are faults of the source: the OQMD has 82 of 290,445, down to -199.
WITHIN = {"formation_energy": (-5.0, 5.0)}
#: Targets that are learned when none is named, as far as the file has them.
DEFAULT_TARGETS = ("formation_energy", "energy_per_atom", "volume_per_atom", "band_gap", "decomposition_energy")
#: Share of the formulas that is held out of the training.
HELD_OUT = 0.05


@dataclass(frozen=True, eq=False)
class CompositionRows:
    """Formulas that can be read, and their properties.

    Attributes:
        table: n formulas without problems.
        targets: names, t of them.
        values: (n, t) in the units of the targets, NaN where missing.
        set_aside: line of the file -> why the row was left out.
    """

    table: FormulaTable
    targets: tuple[str, ...]
    values: Floats
    set_aside: Mapping[int, str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.table)

    def by_target(self) -> dict[str, Floats]:
        """Target -> (n,) values."""
        return {name: self.values[:, i] for i, name in enumerate(self.targets)}

    def select(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> CompositionRows:
        """The rows of an index or a mask."""
        return CompositionRows(self.table.select(rows), self.targets, self.values[rows], self.set_aside)


def rows_of(training: TrainingTable) -> CompositionRows:
    """The rows of a table whose formulas can be read; the others are set aside with their line.

    Raises:
        InputError: too few rows are left, or a target has no value at all.
    """
    table = read_formulas(training.formulas)
    set_aside = dict(training.set_aside) | {training.lines[row]: problem for row, problem in table.problems.items()}
    keep = np.ones(len(table), dtype=bool)
    keep[list(table.problems)] = False
    if keep.sum() < MIN_ROWS:
        line, reason = next(iter(set_aside.items()), (0, "no row at all"))
        raise InputError(
            f"{training.source} has {int(keep.sum())} formulas that can be read; training needs at least {MIN_ROWS} "
            f"(line {line}: {reason})."
        )
    values = np.stack([training.targets[name][keep] for name in training.targets], axis=1)
    for name, column in zip(training.targets, values.T, strict=True):
        if np.isfinite(column).sum() < MIN_ROWS:
            raise InputError(f"{training.source} has fewer than {MIN_ROWS} numbers for {name}; leave that target out.")
    return CompositionRows(table.select(keep), tuple(training.targets), values, set_aside)


def read_rows(order: TrainingOrder) -> CompositionRows:
    """The rows that an order names; without targets, all of `DEFAULT_TARGETS` that the file has.

    Raises:
        InputError: the order names no file, or the file has no target to learn.
    """
    if order.data is None:
        raise InputError("The bundled tables are too small to learn from; give --data FILE (CSV or Parquet).")
    targets = order.targets
    if not targets:
        columns = columns_of(order.data)
        targets = tuple(name for name in DEFAULT_TARGETS if column_of(target_named(name), columns))
        if not targets:
            raise InputError(
                f"{order.data} has no column for any of {', '.join(DEFAULT_TARGETS)}; name one with --target."
            )
    return rows_of(read_training_table(order.data, order.column, targets, WITHIN))


def hold_out(
    table: FormulaTable, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows held out, at least one each; equal formulas stay together."""
    _, formula_of = np.unique(formula_keys(table), return_inverse=True)
    n_formulas = int(formula_of.max()) + 1
    held = np.zeros(n_formulas, dtype=bool)
    held[rng.permutation(n_formulas)[: max(1, round(share * n_formulas))]] = True
    out = held[formula_of]
    return np.flatnonzero(~out), np.flatnonzero(out)


def error_figures(prediction: CompositionPrediction, truth: Floats, name: str, unit: str) -> dict[str, float]:
    """Mean and median absolute error over the rows that have both a value and a truth."""
    error = np.abs(prediction.value - truth)
    error = error[np.isfinite(error)]
    if not len(error):
        return {}
    suffix = unit.replace("Å³", "a3").replace("/", "_per_").replace("eV", "ev")
    end = f"_{suffix}" if suffix else ""
    return {f"{name}_mae{end}": float(error.mean()), f"{name}_median_error{end}": float(np.median(error))}
