"""Everything that is measured of compositions, as tables: what `novalith bench compositions` prints.

Parts: *rules* (verdicts and speed against SMACT), *generators* (MatGAN, the sequence model and its variants through the
same splits and draws), *constraints* (draws under five demands), *ding* (how far generated formulas lie from their
targets), *predictors* (errors, calibration, stability). Trained models and finished records are kept in a folder, so
that a bench that was stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from novalith.errors import UnknownNameError
from novalith.recipes import composition_bench, ding_bench, ding_experiment, ding_tables, matgan, predictor_bench
from novalith.recipes.bench_tables import Table, table_of_records
from novalith.recipes.compose import default_sequence
from novalith.recipes.composition_bench import DATA_SETS, BenchModel
from novalith.recipes.composition_report import bench_text
from novalith.recipes.constraint_bench import constraint_figures
from novalith.recipes.rules_bench import RulesBench, compare_rules, memory_of_stream, two_cores
from novalith.recipes.sequence_bench import bench_model, conditioned_sequence
from novalith.store.files import make_folder

PARTS = ("rules", "generators", "constraints", "ding", "predictors")
#: Published test errors of DING's predictors are compared with what `benchmarks/ding_predictors.py` kept here.
DING_PREDICTORS = "ding_predictors.json"
#: Guidance of the sequence model towards targets.
GUIDANCE = 2.0


@dataclass(frozen=True)
class CompositionSuite:
    """What to measure.

    Attributes:
        data: folder with the public tables.
        keep: folder of models and records.
        parts: some of `PARTS`.
        sets: some of `DATA_SETS`, for the generators.
        models: some of `GENERATORS`.
        n_samples: draws of each generator.
        n_rules: formulas of each table, for the rules.
        n_stream: formulas streamed for the memory; 0 streams none.
        targets: for DING, of each kind.
        seed: of trainings and draws.
    """

    data: Path
    keep: Path
    parts: Sequence[str] = PARTS
    sets: Sequence[str] = tuple(DATA_SETS)
    models: Sequence[str] = ("matgan", "sequence")
    n_samples: int = 2_000_000
    n_rules: int = 30_000
    n_stream: int = 10_000_000
    targets: int = 200
    seed: int = 0


def generators() -> dict[str, BenchModel]:
    """The generators by name."""
    models = (
        matgan.bench_model("matgan", matgan.SIZES["default"]),
        matgan.bench_model("matgan-paper", matgan.SIZES["paper"]),
        bench_model("sequence"),
        bench_model("sequence-gru", network="gru"),
        bench_model("sequence-uncharged", charges=False),
    )
    return {model.name: model for model in models}


def run(suite: CompositionSuite, tell: Callable[[str], None] = lambda _: None) -> list[Table]:
    """Measure the parts in their order.

    Raises:
        UnknownNameError: a part, a set or a model does not exist.
        StorageError: a table is missing.
        MissingExtraError: SMACT is not installed, for the rules.
    """
    for part in suite.parts:
        if part not in PARTS:
            raise UnknownNameError("part of the benchmark", part, PARTS)
    make_folder(suite.keep)
    tables: list[Table] = []
    if "rules" in suite.parts:
        request = RulesBench(suite.data, suite.n_rules, seed=suite.seed)
        tables += [compare_rules(request, tell), two_cores(request)]
        tables += [memory_of_stream(request, suite.n_stream, tell)] if suite.n_stream else []
    if "generators" in suite.parts:
        tables.append(_generators(suite, tell))
    if "constraints" in suite.parts:
        tables.append(_constraints(suite))
    if "ding" in suite.parts:
        tables += _ding(suite, tell)
    if "predictors" in suite.parts:
        bench = predictor_bench.PredictorBench(suite.data, make_folder(suite.keep / "predictors"))
        tables += predictor_bench.run(bench, tell)
    return tables


def _generators(suite: CompositionSuite, tell: Callable[[str], None]) -> Table:
    known = generators()
    for name in suite.models:
        if name not in known:
            raise UnknownNameError("generator", name, known)
    splits = [composition_bench.read_data_set(name, suite.data) for name in suite.sets]
    models = [known[name] for name in suite.models]
    records = composition_bench.run(models, splits, suite.n_samples, suite.keep, seed=suite.seed, say=tell)
    return Table("Generators of formulas", records, bench_text(records))


def _constraints(suite: CompositionSuite) -> Table:
    figures = constraint_figures(default_sequence(), 100_000, rng=np.random.default_rng(suite.seed))
    records = [
        {
            "constraint": f.name,
            "drawn": f.n_draws,
            "distinct": f.n_distinct,
            "violations": sum(f.violations.values()),
            "draws_per_second": round(f.draws_per_second),
        }
        for f in figures
    ]
    return table_of_records("Draws of the shipped sequence model under exact constraints", records)


def _ding(suite: CompositionSuite, tell: Callable[[str], None]) -> list[Table]:
    folder = make_folder(suite.keep / "ding")
    path = suite.data / "oqmd_compositions.parquet"
    experiment = ding_experiment.prepare(path, folder, seed=suite.seed, watch=tell)
    training = experiment.data.training
    tell("sequence model on the same half")
    rng = np.random.default_rng(suite.seed)
    sequence = conditioned_sequence(training.table, training.values, folder / "sequence.safetensors", rng=rng)
    models = {**experiment.models, "sequence": sequence.drawing_with(guidance=GUIDANCE)}
    settings = ding_bench.BenchSettings(n_targets=suite.targets, seed=suite.seed)
    records = ding_bench.run(models, experiment.judges, experiment.data, settings, folder / "records", tell)
    floor = ding_bench.floors(experiment.judges.judge, experiment.data.held)
    measured = suite.keep / DING_PREDICTORS
    errors = json.loads(measured.read_text(encoding="utf-8")) if measured.exists() else None
    return ding_tables.generation_tables(records, floor, settings, errors)
