"""The benchmark of composition predictors: errors, calibration, other splits, stability, and a public leaderboard.

    tables = run(PredictorBench(data_folder, models_folder), tell)

Parts, each a table of text and records:

* ``oqmd``: mean and median absolute error on the validation rows of the split published with CrabNet. Models are
  trained on its training rows; a twentieth of *those* decides when to stop, and the validation rows are looked at once.
  Rows with a formation energy beyond 5 eV/atom are faults of the source and left out of both (82 of 290,445); the table
  prints how many.
* ``calibration``: how often the truth lies within the stated uncertainty on the same rows.
* ``groups``: the set network with a smaller budget on random rows, on chemical systems that it never saw, and on
  formulas of an element that it never saw. The three figures compare with one another and with nothing else.
* ``stability``: see `novalith.recipes.stability_bench`.
* ``leaderboard``: the forest on the official folds of matbench_expt_gap and matbench_glass.

Models are read from the folder of models and trained into it where they are missing, which takes an hour or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.targets import TARGETS
from novalith.data.training_table import read_training_table
from novalith.errors import UnknownNameError
from novalith.predict.composition import CompositionPrediction, CompositionPredictor
from novalith.predict.element_baseline import fit_element_baseline
from novalith.predict.forest import ForestSettings, fit_forest
from novalith.recipes.bench_tables import Table, existing, table_of_records
from novalith.recipes.composition_predictors import WEIGHTS, load_predictor
from novalith.recipes.composition_rows import WITHIN, CompositionRows, rows_of
from novalith.recipes.stability_bench import stability_table
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.represent.composition_features import magpie_features
from novalith.represent.formula_table import FormulaTable, element_keys, table_of

Floats = NDArray[np.float64]

PARTS = ("oqmd", "calibration", "groups", "stability", "leaderboard")
OQMD_TARGETS = ("formation_energy", "energy_per_atom", "volume_per_atom", "band_gap")
#: Name of a model and of its file -> recipe and size.
MODELS = {
    "elemnet": ("elemnet", "default"),
    "magpie-forest": ("magpie-forest", "default"),
    "set-network": ("set-network", "paper"),
}
#: The element that no training formula holds in the part "groups": neither rare nor like all others.
HELD_ELEMENT = "Ge"
GROUP_ROWS, GROUP_EPOCHS = 60_000, 12


@dataclass(frozen=True)
class PredictorBench:
    """What to run.

    Attributes:
        data: folder with the tables (`oqmd_compositions.parquet` and so on).
        models: folder of the models.
        parts: some of `PARTS`.
        names: some of `MODELS`; the shipped predictor is always measured as well.
        seed: of every training and every split.
    """

    data: Path
    models: Path
    parts: tuple[str, ...] = PARTS
    names: tuple[str, ...] = tuple(MODELS)
    seed: int = 1


def run(request: PredictorBench, tell: Callable[[str], None] = lambda _: None) -> list[Table]:
    """Run the parts in their order.

    Raises:
        UnknownNameError: a part or a model does not exist.
        StorageError: a data file is missing.
    """
    for part in request.parts:
        if part not in PARTS:
            raise UnknownNameError("part of the benchmark", part, PARTS)
    tables: list[Table] = []
    if {"oqmd", "calibration"} & set(request.parts):
        tables += _oqmd_tables(request, tell)
    if "groups" in request.parts:
        tables.append(_groups_table(request, tell))
    if "stability" in request.parts:
        tables.append(stability_table(request.data, request.seed, tell))
    if "leaderboard" in request.parts:
        tables.append(_leaderboard_table(request, tell))
    return tables


def oqmd_rows(data: Path) -> tuple[CompositionRows, CompositionRows, int]:
    """Training and validation rows of the published split, and the number of rows that the filter leaves out.

    Raises:
        StorageError: the file is missing.
    """
    import pandas as pd

    path = existing(data / "oqmd_compositions.parquet")
    labels = pd.read_parquet(path, columns=["crabnet_eform_split"])["crabnet_eform_split"].to_numpy()
    table = read_training_table(path, "formula", OQMD_TARGETS, WITHIN)
    rows = rows_of(table)
    train = labels[np.array(table.lines) - 1] == "train"
    return rows.select(train), rows.select(~train), len(labels) - len(rows)


def model_of(name: str, request: PredictorBench, tell: Callable[[str], None]) -> CompositionPredictor:
    """A model from the folder; trained on the training rows and written there where it is missing."""
    import pandas as pd

    if name not in MODELS:
        raise UnknownNameError("model", name, MODELS)
    path = request.models / f"{name}.safetensors"
    if not path.exists():
        recipe, size = MODELS[name]
        source = pd.read_parquet(existing(request.data / "oqmd_compositions.parquet"))
        rows = request.models / "oqmd_train.parquet"
        request.models.mkdir(parents=True, exist_ok=True)
        source[source["crabnet_eform_split"] == "train"].to_parquet(rows)
        tell(f"training {name}")
        order = TrainingOrder(
            rows, path, targets=OQMD_TARGETS, size=size, seed=request.seed,
            watch=lambda r: tell(f"{name}, epoch {r.epoch}: {r.training_loss:.4f} {r.validation_loss:.4f}"),
        )  # fmt: skip
        train_recipe(recipe, order)
    return load_predictor(path)


def _oqmd_tables(request: PredictorBench, tell: Callable[[str], None]) -> list[Table]:
    train, val, n_left_out = oqmd_rows(request.data)
    errors: list[dict[str, Any]] = []
    widths: list[dict[str, Any]] = []
    for name, values in _floors(train, val).items():
        errors += [_error_record(name, t, values[:, i], val.values[:, i]) for i, t in enumerate(OQMD_TARGETS)]
    models: dict[str, CompositionPredictor] = {name: model_of(name, request, tell) for name in request.names}
    if WEIGHTS.exists():
        models["shipped"] = load_predictor(WEIGHTS)
    for name, model in models.items():
        tell(f"measuring {name}")
        for i, target in enumerate(OQMD_TARGETS):
            said = model.predict(val.table, target)
            errors.append(_error_record(name, target, said.value, val.values[:, i]))
            if said.uncertainty is not None:
                widths.append(_width_record(name, target, said, val.values[:, i]))
    tables = []
    if "oqmd" in request.parts:
        title = (
            f"OQMD, split published with CrabNet: {len(train):,} training and {len(val):,} validation rows "
            f"(|formation energy| up to 5 eV/atom; {n_left_out} rows left out)"
        )
        tables.append(table_of_records(title, errors))
    if "calibration" in request.parts:
        title = "Share of validation errors within the stated uncertainty (one deviation: 0.683; two: 0.954)"
        tables.append(table_of_records(title, widths))
    return tables


def _floors(train: CompositionRows, val: CompositionRows) -> dict[str, Floats]:
    """What needs no model: the mean, and a sum over elements."""
    mean = np.tile(np.nanmean(train.values, axis=0), (len(val), 1))
    return {"mean": mean, "sum over elements": fit_element_baseline(train.table, train.values).values(val.table)}


def _error_record(name: str, target: str, value: Floats, truth: Floats) -> dict[str, Any]:
    error = np.abs(value - truth)
    error = error[np.isfinite(error)]
    return {
        "model": name,
        "target": target,
        "unit": TARGETS[target].unit,
        "rows": len(error),
        "mae": round(float(error.mean()), 4),
        "median": round(float(np.median(error)), 4),
        "p90": round(float(np.quantile(error, 0.9)), 4),
    }


def _width_record(name: str, target: str, said: CompositionPrediction, truth: Floats) -> dict[str, Any]:
    from scipy.stats import spearmanr

    error = np.abs(said.value - truth)
    keep = np.isfinite(error)
    uncertainty = np.asarray(said.uncertainty)[keep]
    error = error[keep]
    surest = uncertainty <= np.median(uncertainty)
    return {
        "model": name,
        "target": target,
        "within_one": round(float((error <= uncertainty).mean()), 3),
        "within_two": round(float((error <= 2 * uncertainty).mean()), 3),
        "rank_correlation": round(float(spearmanr(error, uncertainty).statistic), 3),
        "mae_surest_half": round(float(error[surest].mean()), 4),
        "mae_other_half": round(float(error[~surest].mean()), 4),
        "in_range": round(float(said.in_range.mean()), 4),
    }


def _groups_table(request: PredictorBench, tell: Callable[[str], None]) -> Table:
    from novalith.recipes.set_network import SIZES, train_on_rows

    rows, _, _ = oqmd_rows(request.data)
    rng = np.random.default_rng(request.seed)
    settings = SIZES["default"]
    settings = replace(settings, training=replace(settings.training, n_epochs=GROUP_EPOCHS))
    records = []
    for protocol, held in _held_groups(rows, rng).items():
        free = rng.permutation(np.flatnonzero(~held))[:GROUP_ROWS]
        tested = rng.permutation(np.flatnonzero(held))[:10_000]
        tell(f"{protocol}: {len(free)} rows, {GROUP_EPOCHS} epochs")
        model, _, _ = train_on_rows(rows.select(free), settings, rng=rng)
        test = rows.select(tested)
        for i, target in enumerate(OQMD_TARGETS):
            # Straight from the network: an element that was never seen has no prediction otherwise.
            said = model.values(test.table, target)
            records.append({"held out": protocol} | _error_record("set-network", target, said.value, test.values[:, i]))
    title = f"What is held out of {GROUP_ROWS:,} training rows, {GROUP_EPOCHS} epochs each (default size)"
    return table_of_records(title, records)


def _held_groups(rows: CompositionRows, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    from novalith.materials import ATOMIC_NUMBERS

    n = len(rows)
    _, system = np.unique(element_keys(rows.table), return_inverse=True)
    systems = rng.permutation(int(system.max()) + 1) < (int(system.max()) + 1) // 10
    return {
        "random rows": rng.permutation(n) < n // 10,
        "chemical systems": systems[system],
        f"element {HELD_ELEMENT}": (rows.table.atomic_numbers == ATOMIC_NUMBERS[HELD_ELEMENT]).any(axis=1),
    }


def _leaderboard_table(request: PredictorBench, tell: Callable[[str], None]) -> Table:
    import gzip
    import json

    import pandas as pd
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    published = {"expt_gap": 0.4461, "glass": 0.8587}
    with gzip.open(existing(request.data / "matbench_v0.1_validation.json.gz"), "rt", encoding="utf-8") as handle:
        splits = json.load(handle)["splits"]
    records = []
    for task, reference in published.items():
        frame = pd.read_parquet(existing(request.data / f"matbench_{task}.parquet"))
        features = magpie_features(multiplied_out(frame["formula"].tolist()))
        truth = frame["target"].to_numpy(dtype=float)
        scores, areas = [], []
        for fold, parts in sorted(splits[f"matbench_{task}"].items()):
            train, test = (np.array([int(i.rsplit("-", 1)[1]) - 1 for i in parts[p]]) for p in ("train", "test"))
            rng = np.random.default_rng(request.seed)
            forest = fit_forest(features[train], truth[train], ForestSettings(n_trees=200), rng=rng)
            value = forest.predict(features[test]).value
            if task == "glass":
                scores.append(balanced_accuracy_score(truth[test], value > 0.5))
                areas.append(roc_auc_score(truth[test], value))
            else:
                scores.append(float(np.abs(value - truth[test]).mean()))
            tell(f"{task}, {fold}: {scores[-1]:.4f}")
        records.append(
            {
                "task": f"matbench_{task}",
                "figure": "balanced accuracy" if task == "glass" else "MAE, eV",
                "here": round(float(np.mean(scores)), 4),
                "spread": round(float(np.std(scores)), 4),
                "published forest": reference,
                "area under ROC": round(float(np.mean(areas)), 4) if areas else None,
            }
        )
    return table_of_records("Magpie forest (200 trees) on the official folds of Matbench v0.1", records)


def multiplied_out(formulas: Iterable[str]) -> FormulaTable:
    """Formulas with fractional amounts ("Al62.5Fe12.5Cu25") as whole counts, to a ten-thousandth of the formula."""
    from pymatgen.core import Composition, Element

    amounts = [Composition(f).get_el_amt_dict() for f in formulas]
    width = max(len(a) for a in amounts)
    z, n = np.zeros((len(amounts), width), dtype=np.int64), np.zeros((len(amounts), width), dtype=np.int64)
    for row, held in enumerate(amounts):
        scale = 1 if all(float(x).is_integer() for x in held.values()) else 10_000 / sum(held.values())
        for place, (symbol, amount) in enumerate(held.items()):
            z[row, place], n[row, place] = Element(symbol).Z, max(1, round(amount * scale))
    return table_of(z, n)
