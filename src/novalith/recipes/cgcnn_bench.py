"""The benchmark of the graph network: test errors beside a forest, other crystals, uncertainties, speed.

    tables = tables(CgcnnBench(data_folder), tell)

* *Errors*: mean absolute error on the chemical systems of the test part (`novalith.recipes.cgcnn_data`), which no
  training or choice of settings has seen, beside a random forest on Magpie's statistics of the formula, grown on the
  same training rows, and beside the training mean. Moduli in log10 GPa, as published, and in GPa. The band gap in three
  ways: its size on crystals that have one (the published figure), the two steps together on those, and on all.
* *Elsewhere*: hypothetical crystals of WBM, made by substitution; their mean formation energy and bias are printed.
* *Uncertainty*: how often the truth lies within one and two stated deviations, and what "in range" is worth.
* *Speed*: structures a second, graphs included, on one core, once parsed and from CIF text.

The shipped weights are measured; with a size, a network is trained first on the training part and kept in a folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.plain_cif import read_plain_cif
from novalith.data.structure_table import StructureTable
from novalith.data.targets import TARGETS
from novalith.materials import Crystal
from novalith.predict.forest import ForestSettings, fit_forest
from novalith.recipes.bench_tables import Table, table_of_records
from novalith.recipes.cgcnn import (
    CgcnnPredictor,
    GraphRows,
    default_structure_predictor,
    load_cgcnn,
    rows_of,
    save_cgcnn,
    train_on_rows,
)
from novalith.recipes.cgcnn_data import BenchmarkSet, read_benchmark, read_elsewhere
from novalith.recipes.cgcnn_training import LOGARITHMIC, NO_GAP_EV, SIZES, Answers, answers, element_shares, learned
from novalith.recipes.training import named_size
from novalith.represent.composition_features import magpie_features
from novalith.represent.formula_table import read_formulas
from novalith.training.loop import Supervision

Floats = NDArray[np.float64]
Tell = Callable[[str], None]
#: What is asked of the errors on the test part, in the unit of the record.
ASKED = {
    "formation_energy": 0.065, "band_gap, size where there is one": 0.40, "log10 bulk_modulus": 0.075,
    "log10 shear_modulus": 0.11, "poisson_ratio": 0.03,
}  # fmt: skip


@dataclass(frozen=True)
class CgcnnBench:
    """What to measure.

    Attributes:
        data: folder of the public tables.
        keep: folder of the network that is trained here; what it holds is not trained again.
        size: size to train; empty for the shipped weights.
        epochs: passes; the size's own number where None.
        members: networks; the size's own number where None.
        n_timed: structures that the speed is measured on.
        forest: whether the forest is grown.
        seed: of training and forest.
    """

    data: Path
    keep: Path = Path("bench-cgcnn")
    size: str = ""
    epochs: int | None = None
    members: int | None = None
    n_timed: int = 1000
    forest: bool = True
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Said:
    """Answers for n crystals.

    Attributes:
        value: target -> (n,) values.
        uncertainty: target -> (n,).
        in_range: target -> (n,).
        gap: (n,) size of the gap if there is one, eV.
    """

    value: Mapping[str, Floats]
    uncertainty: Mapping[str, Floats]
    in_range: Mapping[str, NDArray[np.bool_]] = field(repr=False)
    gap: Floats = field(repr=False)


def tables(bench: CgcnnBench, tell: Tell) -> list[Table]:
    """Measure everything."""
    tell("reading structures")
    every = read_benchmark(bench.data)
    rows = rows_of(every.structures)
    test = _test_rows(every, rows)
    tell(f"{len(rows)} graphs, {int(test.sum())} of the test part, {len(rows.set_aside)} set aside")
    predictor = _predictor(bench, rows.select(np.flatnonzero(~test)), tell)
    held = rows.select(np.flatnonzero(test))
    said = answers_of(predictor, held)
    rivals = _forest(bench, rows, test, tell) if bench.forest else {}
    tell("hypothetical crystals")
    elsewhere = rows_of(read_elsewhere(bench.data))
    there = answers_of(predictor, elsewhere)
    trained = set(rows.systems[~test])
    return [
        error_table(predictor, held, said, rivals, rows.select(np.flatnonzero(~test))),
        _gap_table(held, said),
        _elsewhere_table(elsewhere, there, trained),
        _uncertainty_table(held, said),
        _speed_table(bench, predictor, every.structures, tell),
    ]


def _test_rows(every: BenchmarkSet, rows: GraphRows) -> NDArray[np.bool_]:
    """(n,) whether a graph belongs to the test part; by its system, as rows without a graph are left out."""
    systems = {
        "-".join(sorted(set(c.species))): bool(t) for c, t in zip(every.structures.crystals, every.test, strict=True)
    }
    return np.array([systems["-".join(sorted(system.split("-")))] for system in rows.systems])


def _predictor(bench: CgcnnBench, training: GraphRows, tell: Tell) -> CgcnnPredictor:
    if not bench.size:
        return default_structure_predictor()
    path = bench.keep / f"cgcnn-{bench.size}.safetensors"
    if path.exists():
        tell(f"{path} was trained before")
        return load_cgcnn(path)
    settings = named_size(bench.size, SIZES)
    epochs = bench.epochs or settings.training.n_epochs
    settings = replace(
        settings, training=replace(settings.training, n_epochs=epochs), n_members=bench.members or settings.n_members
    )
    bench.keep.mkdir(parents=True, exist_ok=True)
    resume = path.with_name(f"{path.name}.resume")
    watch = Supervision(None, resume, lambda r: tell(f"epoch {r.epoch}: {r.training_loss:.4f} {r.validation_loss:.4f}"))
    predictor, _, _ = train_on_rows(training, settings, watch, rng=np.random.default_rng(bench.seed))
    save_cgcnn(predictor, path, "float16")
    for left in bench.keep.glob(f"{resume.name}*"):
        left.unlink()
    return load_cgcnn(path)


def answers_of(predictor: CgcnnPredictor, rows: GraphRows) -> Said:
    """What a predictor says of graphs; elements that it never saw have no value."""
    shares = element_shares(rows.table)
    said = [answers(member, rows.table) for member in predictor.members]
    value, uncertainty, reasons = predictor.of_graphs(rows.table)
    in_range = {name: np.ones(len(rows), dtype=bool) for name in predictor.targets}
    for name, told in reasons.items():
        in_range[name][list(told)] = False
    t = predictor.targets.index("band_gap")
    gap = predictor.baseline.of_fractions(shares)[:, t] + predictor.baseline.scale[t] * _mean(said)[:, t]
    return Said(
        {name: value[:, i] for i, name in enumerate(predictor.targets)},
        {name: uncertainty[:, i] for i, name in enumerate(predictor.targets)},
        in_range,
        np.maximum(gap, 0),
    )


def _mean(said: list[Answers]) -> Floats:
    return np.stack([a.values for a in said]).mean(axis=0)


def _forest(bench: CgcnnBench, rows: GraphRows, test: NDArray[np.bool_], tell: Tell) -> dict[str, Floats]:
    """Target -> (test rows,) values of a forest on the formula; moduli and optical constants learned as logarithms."""
    features = magpie_features(read_formulas([_formula(rows, i) for i in range(len(rows))]))
    wanted = learned(rows.values, rows.targets)
    out = {}
    for t, name in enumerate(rows.targets):
        tell(f"forest of {name}")
        known = np.isfinite(wanted[:, t]) & ~test
        rng = np.random.default_rng(bench.seed)
        forest = fit_forest(features[known], wanted[known, t], ForestSettings(n_trees=50, n_drawn=10_000), rng=rng)
        value = forest.predict(features[test]).value
        out[name] = 10**value if name in LOGARITHMIC else value
    return out


def _formula(rows: GraphRows, row: int) -> str:
    """A formula with the ratio of the atoms of a graph, from its shares in the smallest cell that has them whole."""
    from novalith.materials import ELEMENTS

    nodes = slice(int(rows.table.node_starts[row]), int(rows.table.node_starts[row + 1]))
    z, shares = rows.table.atomic_numbers[nodes], rows.table.shares[nodes].astype(np.float64)
    amounts = np.bincount(z, shares)[np.unique(z)]
    n = next((n for n in range(1, 2000) if np.abs(amounts * n - np.round(amounts * n)).max() < 1e-3 * n**0.5), 1000)
    counts = np.maximum(np.round(amounts * n), 1).astype(int)
    return "".join(f"{ELEMENTS[a - 1]}{c}" for a, c in zip(np.unique(z), counts, strict=True))


def error_table(
    predictor: CgcnnPredictor, held: GraphRows, said: Said, rivals: Mapping[str, Floats], training: GraphRows
) -> Table:
    """Errors of the network, of the forest and of the training mean on the rows that have a truth."""
    records = []
    for i, name in enumerate(held.targets):
        truth, mean = held.values[:, i], float(np.nanmean(training.values[:, training.targets.index(name)]))
        value, forest = said.value[name], rivals.get(name)
        known = np.isfinite(truth) & np.isfinite(value)
        label, unit = name, TARGETS[name].unit
        if name == "band_gap":
            known &= truth > NO_GAP_EV
            label, value = "band_gap, size where there is one", said.gap
        for part, scale in _parts(name, held.sources, known):
            keep = known & part[1]

            def error(x: Floats, truth: Floats = truth, keep: Any = keep, scale: Any = scale[1]) -> Floats:
                return _errors(x, truth, keep, scale)

            records.append(
                {
                    "property": scale[0] + label,
                    "rows of": part[0],
                    "unit": scale[0] + unit,
                    "rows": int(keep.sum()),
                    "graph network": round(float(error(value).mean()), 4),
                    "Magpie forest": None if forest is None else round(float(error(forest).mean()), 4),
                    "training mean": round(float(error(np.full(len(truth), mean)).mean()), 4),
                    "median": round(float(np.median(error(value))), 4),
                    "forest's median": None if forest is None else round(float(np.median(error(forest))), 4),
                    "asked": ASKED.get(scale[0] + label) if part[0] == "all" else None,
                }
            )
    title = (
        f"Mean absolute error on chemical systems never seen: {len(held):,} test rows, {len(training):,} rows "
        f"to learn from, {len(predictor.members)} networks"
    )
    return table_of_records(title, records)


_LOG = ("log10 ", np.log10)
_PLAIN = ("", None)


def _parts(
    name: str, sources: NDArray[np.str_], known: NDArray[np.bool_]
) -> list[tuple[tuple[str, NDArray[np.bool_]], tuple[str, Any]]]:
    """Rows and scales that the errors of a property are told on: all rows, and those of each file with elasticity."""
    every = ("all", np.ones(len(sources), dtype=bool))
    if name in ("dielectric_constant", "refractive_index"):
        return [(every, _PLAIN), (every, _LOG)]
    if name not in ("bulk_modulus", "shear_modulus", "poisson_ratio"):
        return [(every, _PLAIN)]
    scale = _PLAIN if name == "poisson_ratio" else _LOG
    files = [(str(s).removesuffix(".parquet"), sources == s) for s in np.unique(sources[known])]
    return [(every, scale), *((file, scale) for file in files), *([] if scale is _PLAIN else [(every, _PLAIN)])]


def _errors(value: Floats, truth: Floats, keep: NDArray[np.bool_], change: Any) -> Floats:
    a, b = value[keep], truth[keep]
    return np.abs(a - b) if change is None else np.abs(change(np.maximum(a, 1e-3)) - change(b))


def _gap_table(held: GraphRows, said: Said) -> Table:
    truth = held.values[:, held.targets.index("band_gap")]
    known = np.isfinite(truth) & np.isfinite(said.value["band_gap"])
    value, truth = said.value["band_gap"][known], truth[known]
    gapped = truth > NO_GAP_EV
    error, right = np.abs(value - truth), (value > 0) == gapped
    # Half of the weight to each class; an empty one (few rows) leaves the other.
    balanced = np.mean([right[part].mean() for part in (gapped, ~gapped) if part.any()])
    record = {
        "rows": int(known.sum()),
        "with a gap": int(gapped.sum()),
        "called right": round(float(right.mean()), 4),
        "balanced": round(float(balanced), 4),
        "both steps, all rows": round(float(error.mean()), 4),
        "where there is a gap": round(float(error[gapped].mean()), 4) if gapped.any() else None,
        "where there is none": round(float(error[~gapped].mean()), 4) if (~gapped).any() else None,
    }
    return table_of_records("Band gap in two steps (metal or not, then its size), eV", [record])


def _elsewhere_table(rows: GraphRows, said: Said, trained: set[str]) -> Table:
    records = []
    seen = np.array([system in trained for system in rows.systems])
    for i, name in enumerate(rows.targets):
        if name not in ("formation_energy", "band_gap"):
            continue
        truth = rows.values[:, i]
        known = np.isfinite(truth) & np.isfinite(said.value[name])
        for label, part in (
            ("all", known),
            ("systems trained on", known & seen),
            ("other systems", known & ~seen),
            ("in range", known & said.in_range[name]),
            ("out of range", known & ~said.in_range[name]),
        ):
            error = (said.value[name] - truth)[part]
            if len(error):
                records.append(
                    {
                        "property": name,
                        "unit": TARGETS[name].unit,
                        "part": label,
                        "rows": len(error),
                        "MAE": round(float(np.abs(error).mean()), 4),
                        "median": round(float(np.median(np.abs(error))), 4),
                        "bias": round(float(error.mean()), 4),
                        "mean of the truth": round(float(truth[part].mean()), 4),
                    }
                )
    return table_of_records("Hypothetical crystals of WBM, none of them trained on", records)


def _uncertainty_table(held: GraphRows, said: Said) -> Table:
    from scipy.stats import spearmanr

    records = []
    for i, name in enumerate(held.targets):
        truth = held.values[:, i]
        known = np.isfinite(truth) & np.isfinite(said.value[name])
        error, spread = np.abs(said.value[name] - truth)[known], said.uncertainty[name][known]
        inside = said.in_range[name][known]
        records.append(
            {
                "property": name,
                "rows": len(error),
                "within one": round(float((error <= spread).mean()), 3),
                "within two": round(float((error <= 2 * spread).mean()), 3),
                "rank correlation": round(float(spearmanr(error, spread).statistic), 3),
                "in range": round(float(inside.mean()), 4),
                "MAE in range": round(float(error[inside].mean()), 4) if inside.any() else None,
                "MAE out of range": round(float(error[~inside].mean()), 4) if (~inside).any() else None,
            }
        )
    return table_of_records("Share of test errors within the stated deviation (one: 0.683; two: 0.954)", records)


def _speed_table(bench: CgcnnBench, predictor: CgcnnPredictor, structures: StructureTable, tell: Tell) -> Table:
    """Structures a second of one core; the first of the largest file, as they come."""
    tell(f"timing {bench.n_timed} structures")
    # `mp_structures` comes first; a stride takes all of its parts.
    n_first = sum(source == structures.sources[0] for source in structures.sources)
    crystals = [structures.crystals[i] for i in range(0, n_first, max(1, n_first // bench.n_timed))][: bench.n_timed]
    predictor.predict_all(crystals[:50])
    texts = [_cif(crystal) for crystal in crystals]
    wall, cpu = time.perf_counter(), time.process_time()
    predictor.predict_all(crystals)
    parsed = (time.perf_counter() - wall, time.process_time() - cpu)
    wall, cpu = time.perf_counter(), time.process_time()
    predictor.predict_all([c for c in (read_plain_cif(t, "timing", 3000) for t in texts) if c is not None])
    from_text = (time.perf_counter() - wall, time.process_time() - cpu)
    atoms = float(np.mean([c.n_atoms for c in crystals]))
    records = [
        {
            "work": work,
            "structures": len(crystals),
            "mean atoms": round(atoms, 1),
            "per second of the clock": round(len(crystals) / clock),
            "per second of the processor": round(len(crystals) / processor),
        }
        for work, (clock, processor) in (
            ("all eight properties, once parsed", parsed),
            ("from CIF text as the Materials Project writes it", from_text),
        )
    ]
    return table_of_records("Speed, one core (one thread), graphs included", records)


def _cif(crystal: Crystal) -> str:
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(crystal.to_structure()))
