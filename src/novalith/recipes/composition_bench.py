"""The table of formula generators: every model through the same splits, the same draws and the same measures.

A set of formulas is divided once: a tenth of each arity, drawn from the sorted formulas under one seed, is left out,
and every model trains on the rest. Of N draws of a model, streamed in blocks and reduced to distinct formulas,

    neutral, balanced   shares of draws, and of distinct formulas, under smact14 and icsd24, alloys not let through
    recovered           share of the left-out (and of the training) formulas of an arity that were drawn
    new                 share of distinct formulas of an arity that are in neither part
    uniqueness          distinct formulas over draws, after 10,000, 100,000, 330,000 ... draws
    distances           total variation of the frequencies of elements and arities, draws against training formulas

Trained models and results are kept in a folder, so that a bench that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.data.training_table import TrainingTable
from novalith.errors import StorageError, UnknownNameError
from novalith.materials import ELEMENTS
from novalith.propose.compositions import CompositionModel, FormulaRequest
from novalith.recipes.composition_figures import (
    PUBLISHED_RULES,
    all_metals,
    arity_counts,
    element_counts,
    rule_shares,
    total_variation,
)
from novalith.represent.composition_one_hot import REPORTED_85, OneHotLayout, encode_counts
from novalith.represent.formula_sets import FormulaSet, Keys, among, pack, unpack
from novalith.represent.formula_table import FormulaTable, read_formulas
from novalith.screen.chemistry import ChemistryOptions, judge_table
from novalith.store.files import write_atomic

#: Name -> file, column of formulas, column of a flag that a row must have (or none).
DATA_SETS = {
    "icsd": ("icsd_formulas_85x8.parquet", "reduced_formula", ""),
    "icsd-filtered": ("icsd_formulas_85x8.parquet", "reduced_formula", "cn_and_pauling_smact14"),
    "mp": ("mp_ground_states.parquet", "formula", ""),
    "oqmd": ("oqmd_compositions.parquet", "formula", ""),
}
RULES = {"smact14": PUBLISHED_RULES, "icsd24": ChemistryOptions("icsd24")}
#: Draws after which uniqueness is read off.
UNIQUENESS_AT = (10_000, 100_000, 330_000, 1_000_000, 2_000_000)
ARITIES = (2, 3, 4)
LEFT_OUT = 0.1
BLOCK = 50_000
SPLIT_SEED = 0

#: Published shares of generated formulas, neutral and balanced, per cent, and recovery of the left-out tenth, per cent,
#: by arity at two million draws of the ICSD model (Dan et al., 2020, figures 4 and 5).
PUBLISHED = {"oqmd": (56.1, 38.4), "icsd": (80.3, 70.3), "mp": (84.8, 73.4), "icsd-filtered": (92.1, 84.5)}
PUBLISHED_RECOVERY = {2: 82.7, 3: 31.2, 4: 5.2}
PUBLISHED_NOVELTY = 92.53


@dataclass(frozen=True, eq=False)
class BenchModel:
    """A generator of formulas as the bench sees it.

    Attributes:
        name: of its files and its rows in the tables.
        train: (training formulas, where its state under way may be kept, random numbers) -> model.
        load: reads what the model saved.
        learning_curve: what it keeps of its training: one mapping a look, epochs and shares.
        about: one sentence of settings, printed beside the figures.
    """

    name: str
    train: Callable[[TrainingTable, Path, np.random.Generator], CompositionModel]
    load: Callable[[Path], CompositionModel]
    learning_curve: Callable[[CompositionModel], Sequence[Mapping[str, float]]] = lambda _: ()
    about: str = ""


@dataclass(frozen=True, eq=False)
class FormulaSplit:
    """A set of distinct formulas, a tenth of each arity left out.

    Attributes:
        name: of the set.
        training: sorted keys.
        left_out: sorted keys.
    """

    name: str
    training: Keys
    left_out: Keys

    @property
    def table(self) -> TrainingTable:
        """The training part, as models take it."""
        formulas = unpack(self.training)
        texts = tuple(formulas.composition(row).formula for row in range(len(formulas)))
        return TrainingTable(self.name, texts, tuple(range(1, len(texts) + 1)), {}, {})


def read_data_set(name: str, folder: Path) -> FormulaSplit:
    """One of `DATA_SETS`: distinct reduced formulas of 2 to 8 of 85 elements with counts up to 8, split.

    Raises:
        UnknownNameError: there is no such set.
        StorageError: the file cannot be read.
    """
    import pyarrow.parquet as pq

    if name not in DATA_SETS:
        raise UnknownNameError("set of formulas", name, DATA_SETS)
    file, column, flag = DATA_SETS[name]
    try:
        table = pq.read_table(folder / file, columns=[column, *([flag] if flag else [])])
    except OSError as error:
        raise StorageError(f"{folder / file} cannot be read: {error}. Give the folder of the data.") from None
    texts = np.array(table[column].to_pylist(), dtype=object)
    if flag:
        texts = texts[np.array(table[flag].to_pylist(), dtype=bool)]
    return split_formulas(name, read_formulas(texts.tolist()))


def split_formulas(name: str, table: FormulaTable) -> FormulaSplit:
    """Leave a tenth of each arity out of the distinct formulas that fit the published matrix."""
    fitting = encode_counts(table, OneHotLayout(REPORTED_85, 8)).rows
    arity = (table.atomic_numbers[fitting] > 0).sum(axis=1)
    keys = np.unique(pack(table.select(fitting[(arity >= 2) & (arity <= 8)])))
    arity = (unpack(keys).atomic_numbers > 0).sum(axis=1)
    rng = np.random.default_rng(SPLIT_SEED)
    out = np.zeros(len(keys), dtype=bool)
    for k in np.unique(arity).tolist():
        rows = np.flatnonzero(arity == k)
        out[rng.permutation(rows)[: round(LEFT_OUT * len(rows))]] = True
    return FormulaSplit(name, keys[~out], keys[out])


@dataclass
class Draws:
    """What is known of the draws of a model so far."""

    n: int = 0
    decoded: int = 0
    passed: dict[str, int] = field(default_factory=dict)
    metals: int = 0
    elements: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(ELEMENTS) + 1, dtype=np.int64))
    arities: NDArray[np.int64] = field(default_factory=lambda: np.zeros(13, dtype=np.int64))
    distinct: FormulaSet = field(default_factory=FormulaSet)
    uniqueness: dict[int, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: {"draw": 0.0, "rules": 0.0, "distinct": 0.0})


def draw_and_count(
    model: CompositionModel, n_samples: int, request: FormulaRequest | None = None, *, rng: np.random.Generator
) -> Draws:
    """Stream draws: each block is judged, counted and reduced to its new formulas, then forgotten."""
    request = request or FormulaRequest()
    seen = Draws()
    stops = sorted({*(k for k in UNIQUENESS_AT if k < n_samples), n_samples})
    while seen.n < n_samples:
        size = min(BLOCK, next(stop for stop in stops if stop > seen.n) - seen.n)
        start = time.perf_counter()
        table = model.draw(size, request, rng=rng)
        seen.seconds["draw"] += time.perf_counter() - start
        start = time.perf_counter()
        formulas = table.select(np.flatnonzero((table.atomic_numbers > 0).any(axis=1)))
        for name, rules in RULES.items():
            verdicts = judge_table(formulas, rules)
            for what, flags in (("neutral", verdicts.neutral), ("balanced", verdicts.balanced)):
                key = f"{what}_{name}"
                seen.passed[key] = seen.passed.get(key, 0) + int(flags.sum())
        seen.seconds["rules"] += time.perf_counter() - start
        start = time.perf_counter()
        seen.n, seen.decoded = seen.n + size, seen.decoded + len(formulas)
        seen.metals += int(all_metals(formulas).sum())
        seen.elements += element_counts(formulas)
        seen.arities += arity_counts(formulas)
        seen.distinct.add(pack(formulas))
        seen.seconds["distinct"] += time.perf_counter() - start
        if seen.n in stops:
            seen.uniqueness[seen.n] = len(seen.distinct) / seen.n
    return seen


def figures_of(draws: Draws, split: FormulaSplit, other_lists: Keys | None = None) -> dict[str, Any]:
    """The measures of the module's text as plain numbers.

    Args:
        draws: of one model.
        split: the set that it was trained on.
        other_lists: sorted keys of further known formulas, for the strictest reading of "new".
    """
    keys = draws.distinct.keys
    distinct, training = unpack(keys), unpack(split.training)
    arity = (distinct.atomic_numbers > 0).sum(axis=1)
    known = among(keys, split.training) | among(keys, split.left_out)
    recovered: dict[str, dict[str, float]] = {}
    for k in ARITIES:
        here = keys[arity == k]
        recovered[str(k)] = {
            "training": _share(among(_of_arity(split.training, k), here)),
            "left_out": _share(among(_of_arity(split.left_out, k), here)),
            "new": _share(~known[arity == k]),
            "n_left_out": len(_of_arity(split.left_out, k)),
        }
    decoded = max(1, draws.decoded)
    figures: dict[str, Any] = {
        "n_draws": draws.n,
        "decoded": draws.decoded / draws.n,
        "n_distinct": len(keys),
        **{name: count / decoded for name, count in draws.passed.items()},
        "metals": draws.metals / decoded,
        "distinct": {name: rule_shares(distinct, rules) for name, rules in RULES.items()},
        "training": {name: rule_shares(training, rules) for name, rules in RULES.items()},
        "recovered": recovered,
        "novelty": _share(~known),
        "uniqueness": {str(n): share for n, share in draws.uniqueness.items()},
        "element_tv": total_variation(_frequencies(draws.elements), _frequencies(element_counts(training))),
        "arity_tv": total_variation(_frequencies(draws.arities), _frequencies(arity_counts(training))),
        "elements": {ELEMENTS[z - 1]: int(draws.elements[z]) for z in np.flatnonzero(draws.elements).tolist()},
        "seconds": {name: round(value, 2) for name, value in draws.seconds.items()},
        "draws_per_second": draws.n / max(1e-9, draws.seconds["draw"]),
        "peak_memory_mb": peak_memory_mb(),
    }
    if other_lists is not None:
        figures["novelty_all_lists"] = _share(~(known | among(keys, other_lists)))
    return figures


def run(
    models: Sequence[BenchModel],
    data_sets: Sequence[FormulaSplit],
    n_samples: int,
    cache: Path,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Train or load each model on each set, draw, measure; one record each, also written below `cache`.

    Args:
        models: generators.
        data_sets: splits, from `read_data_set`.
        n_samples: draws a model.
        cache: folder of checkpoints and records; what lies there is not done again.
        seed: of trainings and draws.
        say: told what begins and what came of it.
    """
    lists = known_formulas()
    records = []
    for split in data_sets:
        for model in models:
            stem = cache / split.name / model.name
            stem.parent.mkdir(parents=True, exist_ok=True)
            result = stem.with_name(f"{model.name}.{n_samples}.json")
            if not result.exists():
                say(f"{split.name}, {model.name}: training on {len(split.training):,} formulas")
                trained, training = trained_model(model, split.table, stem, seed)
                say(f"{split.name}, {model.name}: {n_samples:,} draws")
                draws = draw_and_count(trained, n_samples, rng=np.random.default_rng(seed))
                record = {
                    "model": model.name,
                    "data_set": split.name,
                    "about": model.about,
                    "seed": seed,
                    "n_training": len(split.training),
                    "training_run": training,
                    "figures": figures_of(draws, split, lists),
                }
                write_atomic(result, json.dumps(record, indent=1))
            records.append(json.loads(result.read_text(encoding="utf-8")))
    return records


def trained_model(
    model: BenchModel, table: TrainingTable, stem: Path, seed: int
) -> tuple[CompositionModel, dict[str, Any]]:
    """The model of a table, from its checkpoint or trained now, with the seconds it took and its learning curve."""
    checkpoint, record = stem.with_name(stem.name + ".safetensors"), stem.with_name(stem.name + ".training.json")
    if not (checkpoint.exists() and record.exists()):
        state = stem.with_name(stem.name + ".resume")
        resumed = state.exists()
        start, cpu = time.perf_counter(), time.process_time()
        trained = model.train(table, state, np.random.default_rng(seed))
        spent = {
            "wall_seconds": round(time.perf_counter() - start, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "resumed": resumed,
            "curve": [dict(point) for point in model.learning_curve(trained)],
        }
        trained.save(checkpoint)
        write_atomic(record, json.dumps(spent))
        state.unlink(missing_ok=True)
    return model.load(checkpoint), json.loads(record.read_text(encoding="utf-8"))


def known_formulas() -> Keys:
    """Sorted keys of every formula in the bundled lists (Materials Project, OQMD, reported) that a key can hold."""
    library = Library()
    table = read_formulas(sorted({*library.hull_energies, *library.oqmd, *library.reported}))
    arity, largest = (table.atomic_numbers > 0).sum(axis=1), table.counts.max(axis=1)
    return np.unique(pack(table.select((arity >= 1) & (arity <= 8) & (largest < 512))))


def peak_memory_mb() -> float:
    """The most memory that this process has held, MB."""
    import resource  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def _of_arity(keys: Keys, k: int) -> Keys:
    return keys[(unpack(keys).atomic_numbers > 0).sum(axis=1) == k]


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def _frequencies(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return counts / max(1, int(counts.sum()))
