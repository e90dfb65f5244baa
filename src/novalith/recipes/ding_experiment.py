"""The models that the bench of generation compares, trained on the halves that it prescribes.

::

    train rows, first half     ding, vae (the same without conditions), guide, and whatever else is to be compared
    train rows, second half    judge: attention over elements (`novalith.recipes.set_network`)
    validation rows            targets and floors; no model ever sees them
    all rows                   reference for hits

The guide is DING's own predictor networks, narrower and quicker than the published ones. Every model is written beside
the others when it is done and read the next time; a training that was stopped goes on from its last epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from novalith.data.targets import column_of, target_named
from novalith.data.training_table import columns_of
from novalith.errors import EmptyResultError, UnknownNameError
from novalith.predict.composition import CompositionPredictor
from novalith.propose.compositions import CompositionModel
from novalith.recipes import ding, ding_predictor
from novalith.recipes.ding_bench import BenchData, Judges, KnownFormulas, first_half
from novalith.recipes.ding_controls import NeighbourExchange
from novalith.recipes.ding_predictor import PROPERTIES, SANE, DingPredictor, Watched, train_predictor
from novalith.represent.formula_table import formula_keys, read_formulas
from novalith.store.files import make_folder

#: Column that names the part of a row, and the values for rows to learn from and rows to judge on.
SPLIT, LEARNED, HELD = "crabnet_eform_split", "train", "val"


@dataclass(frozen=True)
class ExperimentSize:
    """How long to train.

    Attributes:
        ding_epochs: of the generators.
        guide: the guide's networks.
        judge_size: of the set network.
        judge_epochs: of the set network.
        ding_size: of the generators.
    """

    ding_epochs: int
    guide: ding_predictor.DingPredictorSettings
    judge_size: str
    judge_epochs: int
    ding_size: str = "default"


_GUIDE = replace(ding_predictor.SIZES["default"], widths=(512, 256, 128, 64), dropout=(0.0, 0.0, 0.0), patience=0)
SIZES = {
    "tiny": ExperimentSize(2, replace(ding_predictor.SIZES["tiny"], n_epochs=2), "tiny", 2, "tiny"),
    "quick": ExperimentSize(30, replace(_GUIDE, n_epochs=8), "default", 8),
    "default": ExperimentSize(60, replace(_GUIDE, n_epochs=30), "default", 60),
}


@dataclass(frozen=True, eq=False)
class Experiment:
    """What `novalith.recipes.ding_bench.run` takes.

    Attributes:
        models: name -> generator.
        judges: judge and guide.
        data: what to measure against.
        set_aside: row of the file, from 0 -> why it was left out.
    """

    models: Mapping[str, CompositionModel]
    judges: Judges
    data: BenchData
    set_aside: Mapping[int, str]


def read_known(path: Path) -> tuple[KnownFormulas, np.ndarray, dict[int, str]]:
    """Formulas with the three properties from a Parquet file that names the part of each row.

    Returns:
        the formulas, each once; the part of each; row of the file -> why it was left out.

    Raises:
        UnknownNameError: a column is missing.
    """
    import pandas as pd

    columns = columns_of(path)
    places = {name: column_of(target_named(name), columns) for name in PROPERTIES}
    for name, place in (*places.items(), ("formula", "formula"), (SPLIT, SPLIT)):
        if place is None or place not in columns:
            raise UnknownNameError(f"column of {path}:", place or name, columns)
    frame = pd.read_parquet(path, columns=["formula", SPLIT, *(p for p in places.values() if p)])
    table = read_formulas(frame["formula"].astype(str).tolist())
    values = {name: frame[place].to_numpy(dtype=np.float64) for name, place in places.items()}
    set_aside = dict(table.problems)
    for name, (low, high) in SANE.items():
        for row in np.flatnonzero(~((values[name] >= low) & (values[name] <= high))).tolist():
            set_aside.setdefault(row, f"{name} of {values[name][row]:g} lies outside {low:g} to {high:g}")
    for row in np.flatnonzero(~np.isfinite(np.stack(list(values.values()))).all(axis=0)).tolist():
        set_aside.setdefault(row, "a property is missing")
    first = np.zeros(len(table), dtype=bool)
    first[np.unique(formula_keys(table), return_index=True)[1]] = True
    for row in np.flatnonzero(~first).tolist():
        set_aside.setdefault(row, "the formula occurs before")
    keep = np.ones(len(table), dtype=bool)
    keep[list(set_aside)] = False
    known = KnownFormulas(table, values).select(keep)
    return known, frame[SPLIT].to_numpy()[keep], set_aside


def bench_data(known: KnownFormulas, parts: np.ndarray) -> tuple[BenchData, KnownFormulas]:
    """What to measure against, and the second half of the training rows, for the judge.

    Raises:
        EmptyResultError: a part has no rows.
    """
    half = first_half(known.table)
    first, second = known.select((parts == LEARNED) & half), known.select((parts == LEARNED) & ~half)
    held = known.select(parts == HELD)
    for name, part in (("first half", first), ("second half", second), ("held-out part", held)):
        if not len(part.table):
            raise EmptyResultError(f"The {name} has no rows; column {SPLIT} must hold {LEARNED!r} and {HELD!r}.")
    return BenchData(first, held, known), second


def prepare(
    path: Path, folder: Path, size: str = "default", seed: int = 0, watch: Callable[[str], None] = lambda _: None
) -> Experiment:
    """Read the data, and read or train the models.

    Args:
        path: Parquet file with formulas, the three properties and the column `SPLIT`.
        folder: of the checkpoints.
        size: one of `SIZES`.
        seed: of every training.
        watch: told of every epoch.

    Raises:
        UnknownNameError: there is no such size, or a column is missing.
    """
    if size not in SIZES:
        raise UnknownNameError("size", size, SIZES)
    how = SIZES[size]
    make_folder(folder)
    known, parts, set_aside = read_known(path)
    data, second = bench_data(known, parts)
    given = (how, seed)
    conditional = _ding(data.training, PROPERTIES, folder / "ding.safetensors", given, watch)
    guide = _guide(data.training, folder / "guide.safetensors", given, watch)
    judge = _judge(second, folder / "judge.safetensors", given, watch)
    c = conditional
    models: dict[str, CompositionModel] = {
        "ding": c,
        "ding, normal prior": ding.Ding(c.settings, c.vae, c.conditions, prior="normal"),
        "vae": _ding(data.training, (), folder / "vae.safetensors", given, watch),
        "exchange": NeighbourExchange(data.training.table, data.training.values),
    }
    return Experiment(models, Judges(judge, guide), data, set_aside)


def _ding(
    training: KnownFormulas,
    conditions: tuple[str, ...],
    out: Path,
    how: tuple[ExperimentSize, int],
    watch: Callable[[str], None],
) -> ding.Ding:
    if out.exists():
        return ding.Ding.load(out)
    size, seed = how
    settings = ding.SIZES[size.ding_size]
    settings = replace(settings, vae=replace(settings.vae, n_epochs=size.ding_epochs))
    properties = {name: training.values[name] for name in conditions}
    watched = _watched(out, watch)
    model, _ = ding.train_ding(training.table, properties, settings, watched, rng=np.random.default_rng(seed))
    model.save(out)
    _forget(out)
    return ding.Ding.load(out)


def _guide(
    training: KnownFormulas, out: Path, how: tuple[ExperimentSize, int], watch: Callable[[str], None]
) -> CompositionPredictor:
    if out.exists():
        return DingPredictor.load(out)
    size, seed = how
    watched = _watched(out, watch)
    rng = np.random.default_rng(seed)
    predictor, _, _ = train_predictor(training.table, training.values, size.guide, watched, rng=rng)
    predictor.save(out)
    watched.forget()
    return DingPredictor.load(out)


def _judge(
    second: KnownFormulas, out: Path, how: tuple[ExperimentSize, int], watch: Callable[[str], None]
) -> CompositionPredictor:
    from novalith.recipes import composition_rows, set_network
    from novalith.training.loop import Supervision

    if out.exists():
        return set_network.load_set_network(out)
    size, seed = how
    settings = set_network.SIZES[size.judge_size]
    settings = replace(settings, training=replace(settings.training, n_epochs=size.judge_epochs))
    watched = _watched(out, watch)
    rows = composition_rows.CompositionRows(second.table, tuple(second.values), second.matrix, {})
    predictor, _, _ = set_network.train_on_rows(
        rows,
        settings,
        Supervision(resume_path=watched.resume_path, watch=watched.watch),
        rng=np.random.default_rng(seed),
    )
    set_network.save_set_network(predictor, out)
    _forget(out)
    # Stored weights are rounded; what is read back now is what a later run reads.
    return set_network.load_set_network(out)


def _watched(out: Path, watch: Callable[[str], None]) -> Watched:
    return Watched(
        out.with_name(out.name + ".resume"),
        lambda r: watch(f"{out.stem} epoch {r.epoch}: {r.training_loss:.4f} {r.validation_loss:.4f}"),
    )


def _forget(out: Path) -> None:
    out.with_name(out.name + ".resume").unlink(missing_ok=True)
