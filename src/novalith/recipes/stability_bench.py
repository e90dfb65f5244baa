"""Can a model of compositions tell stable from unstable? The benchmark of Bartel et al. (2020) on their ground states.

The truth is the decomposition energy of 12,752 held-out formulas of the Materials Project. Four ways to say it:

* ``direct``: a model trained on decomposition energies;
* ``hull, all predicted``: formation energies predicted for the formula and for every competitor;
* ``hull, reference competitors``: only the formula's own energy is predicted;
* ``reference energies``: no model at all; the table lacks some of the competitors that the authors had, and what that
  costs is the floor of every hull drawn here.

beside the two answers that need no chemistry: every formula is unstable, and every formula has the mean. The figures
are the error of E_d, the classification at E_d <= 0, and how many of the k formulas said to be most stable are not.
Competitors among the training rows are predicted by a model that has seen them, which flatters the second way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.training_table import read_training_table
from novalith.predict.composition import CompositionPredictor
from novalith.predict.forest import ForestSettings
from novalith.recipes.bench_tables import Table, existing, table_of_records
from novalith.recipes.composition_predictors import WEIGHTS, load_predictor
from novalith.recipes.composition_rows import CompositionRows, rows_of
from novalith.recipes.magpie_forest import train_forest
from novalith.recipes.set_network import SIZES, train_on_rows
from novalith.stability.formula_hull import FormulaHull

Floats = NDArray[np.float64]
TARGETS = ("formation_energy", "decomposition_energy")
TOP = (100, 500, 1000)
EPOCHS = 30


@dataclass(frozen=True)
class GroundStates:
    """The published rows.

    Attributes:
        rows: formulas with both energies, eV/atom.
        train: rows of the training part.
    """

    rows: CompositionRows
    train: NDArray[np.bool_]


def read_ground_states(data: Path) -> GroundStates:
    """Read the table with its published split.

    Raises:
        StorageError: the file is missing.
    """
    import pandas as pd

    path = existing(data / "mp_ground_states.parquet")
    labels = pd.read_parquet(path, columns=["split"])["split"].to_numpy()
    table = read_training_table(path, "formula", TARGETS)
    return GroundStates(rows_of(table), labels[np.array(table.lines) - 1] == "train")


def stability_table(data: Path, seed: int, tell: Callable[[str], None]) -> Table:
    """Train on the training rows, judge the others in every way, and print them beside each other."""
    states = read_ground_states(data)
    held = states.rows.select(~states.train)
    truth = held.values[:, 1]
    answers = _answers(states, seed, tell)
    records: list[dict[str, Any]] = [
        {
            "model": name,
            "way": "formation energy",
            "mae": round(float(np.abs(v - states.rows.values)[~states.train, 0].mean()), 4),
        }
        for name, v in answers.items()
    ]
    for name, said in _stabilities(states, answers, tell).items():
        records.append(stability_record(name, said, truth))
    title = (
        f"Decomposition energies of {len(held):,} held-out ground states ({int(states.train.sum()):,} trained on); "
        f"{(truth <= 0).mean():.1%} are stable; energies in eV/atom"
    )
    return table_of_records(title, records)


def _answers(states: GroundStates, seed: int, tell: Callable[[str], None]) -> dict[str, Floats]:
    """Model -> (n, 2) predicted formation and decomposition energies of every row of the table."""
    training = states.rows.select(states.train)
    settings = SIZES["default"]
    settings = replace(settings, training=replace(settings.training, n_epochs=EPOCHS))
    tell(f"set network on {len(training)} ground states, {EPOCHS} epochs")
    network = train_on_rows(training, settings, rng=np.random.default_rng(seed))[0]
    tell("magpie forest on the same")
    forest = train_forest(training, ForestSettings(), rng=np.random.default_rng(seed))
    models: dict[str, CompositionPredictor] = {"set-network": network, "magpie-forest": forest}
    return {
        name: np.stack([model.values(states.rows.table, t).value for t in TARGETS], axis=1)
        for name, model in models.items()
    }


def _stabilities(
    states: GroundStates, answers: Mapping[str, Floats], tell: Callable[[str], None]
) -> dict[tuple[str, str], Floats]:
    """(model, way) -> (n,) decomposition energies of the held-out rows."""
    held = np.flatnonzero(~states.train)
    table, reference = states.rows.table, states.rows.values[:, 0]
    held_table = table.select(held)
    mean = float(states.rows.values[states.train, 1].mean())
    ways: dict[tuple[str, str], Floats] = {
        ("none", "mean of the training rows: all unstable"): np.full(len(held), mean)
    }
    tell("hulls")
    computed = FormulaHull(table, reference)
    ways["none", "reference energies"] = computed.decomposition_energies(held_table, reference[held])
    if WEIGHTS.exists():
        ways["shipped", "direct"] = load_predictor(WEIGHTS).values(held_table, "decomposition_energy").value
    for name, values in answers.items():
        predicted = values[:, 0]
        ways[name, "direct"] = values[held, 1]
        hull = FormulaHull(table, predicted)
        ways[name, "hull, all predicted"] = hull.decomposition_energies(held_table, predicted[held])
        ways[name, "hull, reference competitors"] = computed.decomposition_energies(held_table, predicted[held])
    return ways


def stability_record(name: tuple[str, str], said: Floats, truth: Floats) -> dict[str, Any]:
    """Error, classification at E_d <= 0 and false discoveries among the most stable."""
    stable, called = truth <= 0, said <= 0
    hits = int((stable & called).sum())
    precision = hits / max(1, int(called.sum()))
    recall = hits / max(1, int(stable.sum()))
    record: dict[str, Any] = {
        "model": name[0],
        "way": name[1],
        "mae": round(float(np.abs(said - truth).mean()), 4),
        "accuracy": round(float((stable == called).mean()), 3),
        "f1": round(2 * precision * recall / max(1e-12, precision + recall), 3),
        "false_discovery": round(1 - precision, 3) if called.any() else None,
    }
    constant = np.ptp(said) == 0
    order = np.argsort(said, kind="stable")
    for k in TOP:
        record[f"false_top_{k}"] = None if constant else round(float((~stable[order[:k]]).mean()), 3)
    return record
