"""Whether a conditioned generator of formulas gives what it is asked for, judged by tabulated values alone.

For each asked value t, N formulas are drawn and reduced to distinct ones. Those that stand in a table of known values y
need no predictor:

    mean y and |y - t| over the tabulated draws, of all and of those that the generator never trained on.

A generator that ignores its condition has the same mean for every t; the slope of mean y against t is 0 for it and 1
for one that obeys. The tabulated value of a formula is the lowest of its entries. Draws outside the table are counted
and not judged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.training_table import TrainingTable, read_training_table
from novalith.errors import EmptyResultError
from novalith.propose.compositions import CompositionModel, FormulaRequest
from novalith.recipes.composition_bench import BenchModel, FormulaSplit, draw_and_count, read_data_set, trained_model
from novalith.recipes.composition_figures import rule_shares
from novalith.represent.formula_sets import Keys, among, pack, unpack
from novalith.represent.formula_table import read_formulas
from novalith.store.files import write_atomic

#: The property, and the values beyond which entries of the table are absurd, eV/atom.
TARGET, WITHIN = "formation_energy", (-5.0, 5.0)
#: Asked values, eV/atom: from the strongly bound to the unbound.
GRID = (-3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5)


@dataclass(frozen=True, eq=False)
class TabulatedValues:
    """Known values of formulas.

    Attributes:
        keys: sorted.
        values: (n,) the lowest of each formula.
    """

    keys: Keys
    values: NDArray[np.float64]

    def of(self, keys: Keys) -> NDArray[np.float64]:
        """Values of formulas; NaN where there is none."""
        found = among(keys, self.keys)
        values = np.full(len(keys), np.nan)
        values[found] = self.values[np.searchsorted(self.keys, keys[found])]
        return values


def read_conditioned_set(folder: Path) -> tuple[FormulaSplit, TabulatedValues, TrainingTable]:
    """The OQMD set: its split, the values of all its formulas, and the training part with values."""
    split = read_data_set("oqmd", folder)
    table = read_training_table(folder / "oqmd_compositions.parquet", "formula", (TARGET,), {TARGET: WITHIN})
    formulas = read_formulas(table.formulas)
    small = ((formulas.atomic_numbers > 0).sum(axis=1) <= 8) & (formulas.counts.max(axis=1) < 512)
    keys, values = pack(formulas.select(np.flatnonzero(small))), table.targets[TARGET][small]
    tabulated = lowest(keys, values)
    known = tabulated.of(split.training)
    training = replace(split.table, targets={TARGET: known}).select(np.isfinite(known))
    return split, tabulated, training


def lowest(keys: Keys, values: NDArray[np.float64]) -> TabulatedValues:
    """The lowest value of each key."""
    order = np.lexsort((values, keys))
    keys, values = keys[order], values[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    return TabulatedValues(keys[first], values[first])


def condition_records(
    model: CompositionModel,
    split: FormulaSplit,
    tabulated: TabulatedValues,
    n_samples: int,
    *,
    grid: Sequence[float] = GRID,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """One record an asked value."""
    records = []
    for asked in grid:
        draws = draw_and_count(model, n_samples, FormulaRequest(targets=((TARGET, asked),)), rng=rng)
        keys = draws.distinct.keys
        values = tabulated.of(keys)
        here = np.isfinite(values)
        fresh = here & ~among(keys, split.training)
        records.append({
            "asked": asked,
            "n_draws": n_samples,
            "decoded": draws.decoded / n_samples,
            "n_distinct": len(keys),
            "n_tabulated": int(here.sum()),
            "mean": _mean(values[here]),
            "mean_absolute_error": _mean(np.abs(values[here] - asked)),
            "n_left_out": int(fresh.sum()),
            "mean_left_out": _mean(values[fresh]),
            "mean_absolute_error_left_out": _mean(np.abs(values[fresh] - asked)),
            "balanced": rule_shares(unpack(keys))["balanced"],
        })  # fmt: skip
    return records


def slope(records: Sequence[dict[str, Any]]) -> float:
    """Of mean y against t, by least squares: 0 for a model that ignores its condition, 1 for one that obeys.

    Raises:
        EmptyResultError: fewer than two asked values have tabulated draws.
    """
    points = np.array([(r["asked"], r["mean"]) for r in records if r["n_tabulated"]])
    if len(points) < 2:
        raise EmptyResultError("Fewer than two asked values have draws with tabulated values; draw more.")
    return float(np.polyfit(points[:, 0], points[:, 1], 1)[0])


def run_condition(
    model: BenchModel,
    folder: Path,
    n_samples: int,
    cache: Path,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Train or load a conditioned model on the OQMD and measure it over the grid; one record, written below `cache`."""
    stem = cache / "oqmd" / model.name
    stem.parent.mkdir(parents=True, exist_ok=True)
    result = stem.with_name(f"{model.name}.condition.{n_samples}.json")
    if not result.exists():
        split, tabulated, training = read_conditioned_set(folder)
        say(f"oqmd, {model.name}: training on {len(training):,} formulas with {TARGET}")
        trained, spent = trained_model(model, training, stem, seed)
        say(f"oqmd, {model.name}: {n_samples:,} draws at each of {len(GRID)} values")
        records = condition_records(trained, split, tabulated, n_samples, rng=np.random.default_rng(seed))
        values = training.targets[TARGET]
        whole = {
            "model": model.name, "about": model.about, "seed": seed, "n_training": len(training),
            "training_mean": float(values.mean()), "training_run": spent, "slope": slope(records), "grid": records,
        }  # fmt: skip
        write_atomic(result, json.dumps(whole, indent=1))
    record: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return record


def condition_text(record: dict[str, Any]) -> str:
    """The record as a table."""
    spent = record["training_run"]["cpu_seconds"]
    lines = [
        f"{record['model']} on OQMD ({record['about']}); training {spent:.0f} CPU s; mean of the training values "
        f"{record['training_mean']:.3f} eV/atom; slope of drawn against asked {record['slope']:.2f}",
        "asked, eV/atom  distinct  tabulated  mean    mean |y - t|  left out  mean    mean |y - t|  balanced, %",
    ]
    lines += [
        f"{r['asked']:14.2f}  {r['n_distinct']:8,}  {r['n_tabulated']:9,}  {r['mean']:6.2f}  "
        f"{r['mean_absolute_error']:12.2f}  {r['n_left_out']:8,}  {r['mean_left_out']:6.2f}  "
        f"{r['mean_absolute_error_left_out']:12.2f}  {100 * r['balanced']:11.1f}"
        for r in record["grid"]
    ]
    return "\n".join(lines)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")
