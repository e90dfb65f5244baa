"""How far generated formulas lie from the properties that were asked for, measured by a judge that had no part in it.

The published errors of DING (0.0515 eV/atom, 0.0722 eV/atom, 0.3986 A^3/atom) are errors of its predictors on held-out
compounds; they are often quoted as errors of what it generates, which they are not. Here generation is measured:

1. Training formulas are dealt to two halves by a checksum of the reduced formula (`first_half`). Generators, and the
   guide that filters for them, learn from the first half; the judge, of another family, from the second.
2. Targets: the three properties of held-out formulas (`on_manifold_targets`), and corners, where each property is drawn
   on its own from one of its two tails (`corner_targets`): many of those no compound can have.
3. For each target every generator spends the same number of draws. Unreadable, repeated and training formulas go; of
   the rest the first 100 count (*plain*), or the 100 that the guide puts closest to the target (*filtered*). Formulas
   outside of the judge's training range get no number and are counted.
4. error = |judge - target|: median and 90th percentile for each target. *Hits* are formulas in the reference table that
   were not trained on: their errors are tabulated values against targets, with no model in them.
5. *Success per draw* is the share of draws that gave a counted formula (distinct, not trained on) within
   `N_FLOORS` floors of the target in all properties; the floor of a property is the judge's own error on held-out
   formulas.

Generators: any `CompositionModel`; one without targets is asked without them, so that filtering is all that aims it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError
from novalith.materials import ELEMENTS
from novalith.predict.composition import CompositionPredictor
from novalith.propose.compositions import CompositionModel, FormulaRequest, concatenated
from novalith.represent.formula_table import FormulaTable, formula_keys
from novalith.screen.chemistry import ChemistryOptions, judge_table
from novalith.store.cache import FolderCache, cache_key

Floats = NDArray[np.float64]

#: Property -> test error of the published predictors; units as in `novalith.data.targets`.
PUBLISHED = {"formation_energy": 0.0515, "energy_per_atom": 0.0722, "volume_per_atom": 0.3986}
#: A formula is a success within so many errors of the judge.
N_FLOORS = 2
#: Share of held-out values in each of the two tails that corner targets come from.
TAIL = 0.05
CHOICES = ("plain", "filtered")


@dataclass(frozen=True, eq=False)
class KnownFormulas:
    """Formulas with all properties.

    Attributes:
        table: each formula once.
        values: property -> (n,).
    """

    table: FormulaTable
    values: Mapping[str, Floats]

    def select(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> KnownFormulas:
        """The rows of an index or a mask."""
        return KnownFormulas(self.table.select(rows), {name: y[rows] for name, y in self.values.items()})

    @property
    def matrix(self) -> Floats:
        """(n, c) values, a column a property."""
        return np.stack(list(self.values.values()), axis=1)


@dataclass(frozen=True, eq=False)
class BenchData:
    """What generation is measured against.

    Attributes:
        training: what generators and guide learned from.
        held: formulas that nothing learned from; targets and floors come from them.
        reference: all formulas with known values, for hits.
    """

    training: KnownFormulas
    held: KnownFormulas
    reference: KnownFormulas


@dataclass(frozen=True)
class BenchSettings:
    """How much to measure.

    Attributes:
        n_targets: of each kind.
        n_formulas: that count for each target.
        n_draws: that a generator spends on each target.
        seed: of targets and draws.
    """

    n_targets: int = 200
    n_formulas: int = 100
    n_draws: int = 500
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Judges:
    """Who looks at formulas.

    Attributes:
        judge: measures; learned from the second half.
        guide: filters; learned from the first half.
    """

    judge: CompositionPredictor
    guide: CompositionPredictor


def first_half(table: FormulaTable) -> NDArray[np.bool_]:
    """Which formulas belong to the first half: an even CRC-32 of the reduced formula, whatever the table.

    The formula is spelled with its symbols in alphabetical order and every count, such as Al2O3 or Cl1Na1.
    """
    even = np.zeros(len(table), dtype=bool)
    for row in range(len(table)):
        parts = sorted((ELEMENTS[z - 1], n) for z, n in table.parts(row))
        even[row] = zlib.crc32("".join(f"{symbol}{n}" for symbol, n in parts).encode()) % 2 == 0
    return even


def on_manifold_targets(held: KnownFormulas, n: int, *, rng: np.random.Generator) -> Floats:
    """(n, c) properties of n held-out formulas."""
    return held.matrix[rng.permutation(len(held.table))[:n]]


def corner_targets(held: KnownFormulas, n: int, *, rng: np.random.Generator) -> Floats:
    """(n, c) values, each property drawn on its own from its lowest or its highest `TAIL`."""
    ordered = np.sort(held.matrix, axis=0)
    size = max(1, round(TAIL * len(ordered)))
    place = rng.integers(size, size=(n, ordered.shape[1]))
    upper = rng.random((n, ordered.shape[1])) < 0.5
    return np.take_along_axis(ordered, np.where(upper, len(ordered) - 1 - place, place), axis=0)


def floors(judge: CompositionPredictor, held: KnownFormulas) -> dict[str, float]:
    """Property -> mean absolute error of the judge on held-out formulas in its range."""
    told = {}
    for name, truth in held.values.items():
        said = judge.predict(held.table, name)
        if not said.in_range.any():
            raise EmptyResultError(f"The judge finds no held-out formula in its range; it cannot judge {name}.")
        told[name] = float(np.abs(said.value - truth)[said.in_range].mean())
    return told


def run(
    models: Mapping[str, CompositionModel],
    judges: Judges,
    data: BenchData,
    settings: BenchSettings,
    cache: Path | None = None,
    watch: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Measure every model on both kinds of targets.

    Args:
        models: name as printed -> generator, trained on `data.training`.
        judges: the judge and the guide.
        data: what to measure against.
        settings: how much.
        cache: folder where the records of a model are kept under its name and the settings; remove it when a model
            or a judge of the same name has changed.
        watch: told what begins.

    Returns:
        a record for each kind of target, model and choice, errors under "error", those of each target under "targets".
    """
    names = tuple(data.held.values)
    floor = floors(judges.judge, data.held)
    stored = None if cache is None else FolderCache(cache)
    records: list[dict[str, Any]] = []
    for number, (kind, make) in enumerate((("on-manifold", on_manifold_targets), ("corner", corner_targets))):
        targets = make(data.held, settings.n_targets, rng=np.random.default_rng([settings.seed, number]))
        for name, model in models.items():
            key = cache_key(kind=kind, model=name, settings=asdict(settings), floor=floor)
            if stored is not None and key in stored:
                records += stored[key]["records"]
                continue
            watch(f"{kind} targets: {name}")
            rng = np.random.default_rng([settings.seed, number, zlib.crc32(name.encode())])
            bench = _Bench(judges, data, settings, dict.fromkeys(names, 0.0) | floor)
            fresh = bench.measure(model, targets, rng)
            fresh = [{"kind": kind, "model": name, **record} for record in fresh]
            if stored is not None:
                stored[key] = {"records": fresh}
            records += fresh
    return records


@dataclass(frozen=True, eq=False)
class _Pool:
    """Distinct new formulas of the draws for one target, and what came of the draws."""

    table: FormulaTable
    share_valid: float
    share_distinct: float
    share_known: float


class _Bench:
    """One model on one set of targets."""

    def __init__(self, judges: Judges, data: BenchData, settings: BenchSettings, floor: Mapping[str, float]) -> None:
        self.judges, self.settings, self.names = judges, settings, tuple(floor)
        self.floor = np.array(list(floor.values()))
        self.spread = data.training.matrix.std(axis=0)
        self.trained = set(formula_keys(data.training.table).tolist())
        reference = formula_keys(data.reference.table).tolist()
        self.reference = {key: row for row, key in enumerate(reference) if key not in self.trained}
        self.tabulated = data.reference.matrix

    def measure(self, model: CompositionModel, targets: Floats, rng: np.random.Generator) -> list[dict[str, Any]]:
        pools = [self._pool(model, target, rng) for target in targets]
        values = self._values(self.judges.judge, [pool.table for pool in pools])
        guided = self._values(self.judges.guide, [pool.table for pool in pools])
        records = []
        for choice in CHOICES:
            rows = []
            for pool, target, judged, said in zip(pools, targets, values, guided, strict=True):
                chosen = np.arange(len(pool.table))
                if choice == "filtered":
                    distance = np.nan_to_num((((said - target) / self.spread) ** 2).sum(axis=1), nan=np.inf)
                    chosen = np.argsort(distance, kind="stable")
                rows.append(self._target(pool, target, judged, chosen[: self.settings.n_formulas]))
            records.append({"choice": choice} | self._summary(rows, pools))
        return records

    def _pool(self, model: CompositionModel, target: Floats, rng: np.random.Generator) -> _Pool:
        aims = tuple((n, float(v)) for n, v in zip(self.names, target, strict=True) if n in model.target_ranges)
        drawn = model.draw(self.settings.n_draws, FormulaRequest(targets=aims), rng=rng)
        valid = np.ones(len(drawn), dtype=bool)
        valid[list(drawn.problems)] = False
        keys = formula_keys(drawn).tolist()
        first = {key: row for row, key in reversed(list(enumerate(keys))) if valid[row]}
        new = sorted(row for key, row in first.items() if key not in self.trained)
        share_known = 1 - len(new) / len(first) if first else 0.0
        table = drawn.select(np.array(new, dtype=np.int64))
        return _Pool(table, float(valid.mean()), len(first) / len(drawn), share_known)

    def _values(self, predictor: CompositionPredictor, tables: Sequence[FormulaTable]) -> list[Floats]:
        """(n, c) values of each table, NaN where the predictor is out of its range."""
        whole = concatenated(list(tables))
        values = np.full((len(whole), len(self.names)), np.nan)
        if len(whole):
            for column, name in enumerate(self.names):
                said = predictor.predict(whole, name)
                values[:, column] = np.where(said.in_range, said.value, np.nan)
        return np.split(values, np.cumsum([len(table) for table in tables])[:-1])

    def _target(self, pool: _Pool, target: Floats, judged: Floats, chosen: NDArray[np.int64]) -> dict[str, Any]:
        error = np.abs(judged[chosen] - target)
        inside = np.isfinite(error).all(axis=1)
        error = error[inside]
        chosen_table = pool.table.select(chosen)
        hits = [self.reference[key] for key in formula_keys(chosen_table).tolist() if key in self.reference]
        balanced = judge_table(chosen_table, ChemistryOptions()).balanced if len(chosen) else np.zeros(0)
        return {
            "target": dict(zip(self.names, target.tolist(), strict=True)),
            "n": len(chosen),
            "n_out_of_range": int((~inside).sum()),
            "n_success": int((error <= N_FLOORS * self.floor).all(axis=1).sum()),
            "balanced": float(np.mean(balanced)) if len(chosen) else 0.0,
            "errors": error,
            "hit_errors": np.abs(self.tabulated[hits] - target).reshape(-1, len(self.names)),
        }

    def _summary(self, rows: list[dict[str, Any]], pools: Sequence[_Pool]) -> dict[str, Any]:
        n_draws = self.settings.n_draws * len(rows)
        judged = [row for row in rows if len(row["errors"])]
        medians = np.array([np.median(row["errors"], axis=0) for row in judged]).reshape(-1, len(self.names))
        tails = np.array([np.quantile(row["errors"], 0.9, axis=0) for row in judged]).reshape(-1, len(self.names))
        hits = np.concatenate([row["hit_errors"] for row in rows])
        per_target = [
            {k: v for k, v in row.items() if not isinstance(v, np.ndarray)}
            | {"median": _named(self.names, _middle(row["errors"], 0.5))}
            | {"p90": _named(self.names, _middle(row["errors"], 0.9))}
            for row in rows
        ]
        return {
            "n_targets": len(rows),
            "n_without_number": len(rows) - len(judged),
            "formulas_per_target": float(np.mean([row["n"] for row in rows])),
            "error": {
                "median": _named(self.names, _middle(medians, 0.5)),
                "p90": _named(self.names, _middle(tails, 0.5)),
                "median_in_floors": _named(self.names, _middle(medians / self.floor, 0.5)),
            },
            "hits": {
                "n": len(hits),
                "median": _named(self.names, _middle(hits, 0.5)),
                "p90": _named(self.names, _middle(hits, 0.9)),
            },
            "within_floors": sum(r["n_success"] for r in rows) / max(1, sum(r["n"] for r in rows)),
            "success_per_draw": sum(r["n_success"] for r in rows) / n_draws,
            "out_of_range": sum(r["n_out_of_range"] for r in rows) / max(1, sum(r["n"] for r in rows)),
            "valid": float(np.mean([pool.share_valid for pool in pools])),
            "distinct": float(np.mean([pool.share_distinct for pool in pools])),
            "known": float(np.mean([pool.share_known for pool in pools])),
            "balanced": float(np.mean([row["balanced"] for row in rows])),
            "targets": per_target,
        }


def _middle(values: Floats, share: float) -> Floats | None:
    return np.quantile(values, share, axis=0) if len(values) else None


def _named(names: Sequence[str], values: Floats | None) -> dict[str, float] | None:
    """Name -> value, or None where there was nothing to measure."""
    return None if values is None else {n: float(v) for n, v in zip(names, values, strict=True)}
