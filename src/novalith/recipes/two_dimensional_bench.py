"""How well formulas of monolayers are told from others, measured on formulas that the forest has not seen.

Positives are the formulas of four databases (`twod_formulas.parquet`). Unlabelled are formulas of the Materials Project
(`mp_ground_states.parquet`) and of ICSD compounds (`icsd_reported_formulas.parquet`) that none of the four lists. Two
divisions into folds: by formula, and by chemical system, where no compound of the same elements helps. Negative sets:

* random: formulas of the Materials Project;
* matched: the same, weighted so that every element is as frequent as among the positives;
* ICSD: formulas of compounds that were made;
* not layered: formulas of bundled crystals of which none is a stack of layers by its bonds.

All but the last are unlabelled formulas, so an area under the curve counts missed positives as errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.data.training_table import formulas_of_table
from novalith.materials import ELEMENTS
from novalith.predict.positive_unlabelled import (
    area_under_roc,
    false_positive_rate,
    largest_prior,
    precision,
    reached,
)
from novalith.propose.compositions import concatenated
from novalith.recipes.bench_tables import Table, existing, table_of_records
from novalith.recipes.two_dimensional_classifier import (
    FEATURES,
    SIZES,
    THRESHOLDS,
    ClassifierSettings,
    grow_trees,
    without_listed,
)
from novalith.represent.bundled_layers import bundled_layers
from novalith.represent.composition_features import magpie_features
from novalith.represent.formula_table import FormulaTable, element_keys, formula_keys, read_formulas

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Report = Callable[[str], None]

DATABASES = {"2DMatPedia": "in_2dmatpedia", "C2DB": "in_c2db", "MC2D": "in_mc2d", "JARVIS": "in_jarvis2d"}
FILES = ("twod_formulas.parquet", "mp_ground_states.parquet", "icsd_reported_formulas.parquet")
#: False-positive rates of the published forest, thresholds 0.1 to 0.9 (materialsatlas.org, page of the 2D classifier).
PUBLISHED_RATE = (0.212, 0.10, 0.055, 0.033, 0.019, 0.011, 0.006, 0.003, 0.001, None)
PUBLISHED_AREA = 0.96
#: Rounds of the weights that match element frequencies; they change by less than a per cent after this many.
_ROUNDS = 20


@dataclass(frozen=True)
class ClassifierBench:
    """What to measure.

    Attributes:
        data: folder of the public tables.
        folds: how many of five folds are run.
        n_unlabelled: unlabelled formulas, two thirds of the Materials Project.
        n_trees: of every forest, a sixth of the boosted trees.
        seed: of folds, samples and forests.
    """

    data: Path
    folds: int = 5
    n_unlabelled: int = 30_000
    n_trees: int = 50
    seed: int = 0

    @property
    def settings(self) -> ClassifierSettings:
        """As the shipped classifier, with the trees asked for."""
        default = SIZES["default"]
        return replace(default, forest=replace(default.forest, n_trees=self.n_trees))


@dataclass(frozen=True, eq=False)
class Rows:
    """All formulas of the bench, the positives first.

    Attributes:
        table: of all.
        listed: database -> (n,) whether it lists the row.
        sets: negative set -> (n,) whether the row belongs to it; positives belong to none.
    """

    table: FormulaTable
    listed: dict[str, Mask]
    sets: dict[str, Mask]

    @property
    def positive(self) -> Mask:
        """(n,) whether any database lists the row."""
        return np.any(list(self.listed.values()), axis=0)


def read_rows(bench: ClassifierBench, *, rng: np.random.Generator) -> tuple[Rows, float]:
    """The formulas, and the share of listed ones in the table of the Materials Project."""
    import pandas as pd

    frame = pd.read_parquet(existing(bench.data / FILES[0]))
    positives = read_formulas(frame["reduced_formula"].tolist())
    pools: list[FormulaTable] = []
    share = 0.0
    for file, column, n in zip(FILES[1:], ("formula", "reduced_formula"), (2, 1), strict=True):
        every = read_formulas(formulas_of_table(existing(bench.data / file), column))
        fresh = without_listed(every, positives)
        if not pools:
            distinct = without_listed(every, every.select(np.zeros(len(every), dtype=bool)))
            share = 1 - len(fresh) / len(distinct)
        pools.append(fresh.select(np.sort(rng.permutation(len(fresh))[: n * bench.n_unlabelled // 3])))
    pools[1] = without_listed(pools[1], pools[0])
    solid = without_listed(_not_layered(), positives)
    keys = [set(formula_keys(t).tolist()) for t in (*pools, solid)]
    extra = without_listed(solid, concatenated(pools))
    table = concatenated([positives, *pools, extra])
    own = formula_keys(table).tolist()
    n = len(positives)
    flags = {
        name: np.concatenate([frame[column].to_numpy() > 0, np.zeros(len(table) - n, dtype=bool)])
        for name, column in DATABASES.items()
    }
    sets = {
        name: np.array([i >= n and k in keys[j] for i, k in enumerate(own)])
        for j, name in enumerate(("random", "ICSD", "not layered"))
    }
    return Rows(table, flags, sets), share


def _not_layered() -> FormulaTable:
    """Formulas of the bundle that no layered crystal has."""
    library = Library()
    kept, _ = bundled_layers(library, min_score=0.0)
    layered = {layer.formula for layer in kept}
    return read_formulas(sorted({known.formula for known in library.structures} - layered))


def out_of_fold(
    rows: Rows, features: str, groups: NDArray[Any], bench: ClassifierBench, report: Report
) -> tuple[Floats, Mask]:
    """(n,) scores of rows by trees that have seen no row of their group, and which rows were scored."""
    rng = np.random.default_rng(bench.seed)
    names, place = np.unique(groups, return_inverse=True)
    fold = rng.integers(5, size=len(names))[place]
    scores = np.full(len(rows.table), np.nan)
    settings = replace(bench.settings, features=features)
    for number in range(bench.folds):
        train = fold != number
        ours, others = (rows.table.select(train & mask) for mask in (rows.positive, ~rows.positive))
        scores[~train] = grow_trees(ours, others, settings, rng=rng).scores(rows.table.select(~train))
        report(f"fold {number + 1} of {bench.folds} done")
    return scores, np.isfinite(scores)


def matched_weights(table: FormulaTable, wanted: FormulaTable) -> Floats:
    """(n,) weights that give the elements of a table the frequencies of another, found by repeated correction."""
    held, aim = _holds(table), _holds(wanted).mean(axis=0)
    weights = np.ones(len(table))
    for _ in range(_ROUNDS):
        now = (weights[:, None] * held).sum(axis=0) / weights.sum()
        ratio = np.where(now > 0, aim / np.maximum(now, 1e-12), 1.0)
        weights *= np.exp(held @ np.log(np.maximum(ratio, 1e-3)) / held.sum(axis=1))
    return weights


def _holds(table: FormulaTable) -> Floats:
    held = np.zeros((len(table), len(ELEMENTS) + 1))
    np.put_along_axis(held, table.atomic_numbers, 1.0, axis=1)
    return held[:, 1:]


def area_records(rows: Rows, scores: Floats, scored: Mask, labels: dict[str, Any]) -> list[dict[str, Any]]:
    """Areas under the curve, a record for the union of the databases and one for each."""
    found = []
    random = rows.sets["random"] & scored
    for name, mask in {"all four": rows.positive, **rows.listed}.items():
        ours = mask & scored
        record = labels | {"positives": name, "n": int(ours.sum())}
        record |= {k: area_under_roc(scores[ours], scores[m & scored]) for k, m in rows.sets.items()}
        weights = matched_weights(rows.table.select(random), rows.table.select(ours))
        found.append(record | {"matched": area_under_roc(scores[ours], scores[random], weights)})
    return found


def threshold_records(rows: Rows, scores: Floats, scored: Mask, share: float) -> list[dict[str, Any]]:
    """Rates by threshold; precisions in a population with the share of listed formulas of the Materials Project."""
    positives = scores[rows.positive & scored]
    random = scores[rows.sets["random"] & scored]
    solid = scores[rows.sets["not layered"] & scored]
    at = np.array(THRESHOLDS)
    recall, rate = reached(positives, at), reached(random, at)
    prior = largest_prior(positives, random)
    flagged = share * recall + (1 - share) * rate
    with np.errstate(invalid="ignore"):  # nothing reaches the highest thresholds of a small forest
        low = share * recall / flagged
        high = low + (1 - share) * rate * precision(recall, rate, prior) / flagged
    columns = {
        "recall": recall,
        "rate, random": rate,
        f"rate, prior {prior:.3f}": false_positive_rate(recall, rate, prior),
        "rate, not layered": reached(solid, at),
        "precision from": low,
        "to": high,
    }
    return [
        {"s >=": t}
        | {name: float(v[i]) if np.isfinite(v[i]) else None for name, v in columns.items()}
        | {"published rate": PUBLISHED_RATE[i]}
        for i, t in enumerate(THRESHOLDS)
    ]


def database_records(rows: Rows, bench: ClassifierBench, report: Report) -> list[dict[str, Any]]:
    """Recall of the formulas that one database alone lists, by trees grown on the other three."""
    rng = np.random.default_rng(bench.seed)
    unlabelled = np.flatnonzero(~rows.positive)
    held = np.zeros(len(rows.table), dtype=bool)
    held[rng.permutation(unlabelled)[: len(unlabelled) // 5]] = True
    found = []
    for name, mask in rows.listed.items():
        others = np.any([m for other, m in rows.listed.items() if other != name], axis=0)
        alone = mask & ~others
        train_u = ~rows.positive & ~held
        trees = grow_trees(rows.table.select(others), rows.table.select(train_u), bench.settings, rng=rng)
        ours = trees.scores(rows.table.select(alone))
        rest = trees.scores(rows.table.select(held & rows.sets["random"]))
        recall = {f"recall at {t:g}": float(reached(ours, np.array([t]))[0]) for t in (0.3, 0.5, 0.7, 0.9)}
        area = {"area, random": area_under_roc(ours, rest)}
        found.append({"without": name, "n": int(alone.sum())} | recall | area)
        report(f"without {name} done")
    return found


def classifier_tables(bench: ClassifierBench, report: Report = lambda _: None) -> list[Table]:
    """Every table of the bench."""
    rows, share = read_rows(bench, rng=np.random.default_rng(bench.seed))
    report(f"{int(rows.positive.sum())} positives, {int((~rows.positive).sum())} unlabelled")
    splits = {"formula": formula_keys(rows.table), "system": element_keys(rows.table)}
    areas: list[dict[str, Any]] = []
    thresholds: list[Table] = []
    for split, groups in splits.items():
        for kind in FEATURES:
            scores, scored = out_of_fold(rows, kind, groups, bench, report)
            areas += area_records(rows, scores, scored, {"split": split, "features": kind})
            if kind == FEATURES[0]:
                records = threshold_records(rows, scores, scored, share)
                thresholds.append(table_of_records(f"Thresholds, split by {split}", records))
            report(f"split by {split}, {kind}: done")
    told = (
        f"{bench.folds} of 5 folds, {bench.n_trees} trees; class prior: {100 * share:.1f} % of the formulas of the "
        f"Materials Project are listed, the bound on unlisted ones is in the threshold table; published area "
        f"{PUBLISHED_AREA}"
    )
    left_out = database_records(rows, bench, report)
    return [
        table_of_records(f"Area under the curve by negative set ({told})", areas),
        *thresholds,
        table_of_records("Formulas that one database alone lists, by a forest without it", left_out),
    ]


def feature_groups(bench: ClassifierBench, drawn: FormulaTable, n: int = 3_000) -> dict[str, NDArray[np.float32]]:
    """(n, 132) Magpie statistics of some listed formulas, some of the Materials Project, and some drawn ones."""
    rng = np.random.default_rng(bench.seed)
    listed = read_formulas(formulas_of_table(existing(bench.data / FILES[0]), "reduced_formula"))
    bulk = without_listed(read_formulas(formulas_of_table(existing(bench.data / FILES[1]))), listed)
    fresh = without_listed(drawn, listed.select(np.zeros(len(listed), dtype=bool)))
    groups = {"listed as monolayers": listed, "bulk": bulk, "drawn": fresh}
    return {name: magpie_features(table.select(rng.permutation(len(table))[:n])) for name, table in groups.items()}
