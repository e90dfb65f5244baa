"""The sequence model as the benches of formulas run it: schedules for sets of any size, with and without charges told.

Small sets are learned with more dropout and more passes; the schedules were chosen by the likelihood of a part of the
training formulas of `icsd-filtered`, never by left-out formulas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from novalith.data.training_table import TrainingTable
from novalith.propose.compositions import CompositionModel
from novalith.recipes.composition_bench import BenchModel
from novalith.recipes.sequence import SIZES, FormulaSequence, SequenceSettings, train_sequence
from novalith.represent.formula_table import FormulaTable, read_formulas
from novalith.training.loop import Supervision

#: (largest number of formulas, epochs, batch, dropout).
SCHEDULES = ((50_000, 25, 256, 0.25), (150_000, 12, 512, 0.15), (10**9, 5, 512, 0.1))


def scheduled(n_formulas: int, network: str = "transformer", charges: bool = True) -> SequenceSettings:
    """Settings for a set of a size."""
    _, epochs, batch, dropout = next(s for s in SCHEDULES if n_formulas <= s[0])
    return replace(
        SIZES["default"], n_epochs=epochs, batch_size=batch, dropout=dropout, network=network, charges=charges
    )


def bench_model(name: str, network: str = "transformer", charges: bool = True) -> BenchModel:
    """The recipe as `novalith.recipes.composition_bench` runs it: no condition, charge mask off."""

    def train(table: TrainingTable, state: Path, rng: np.random.Generator) -> CompositionModel:
        settings = scheduled(len(table), network, charges)
        supervision = Supervision(resume_path=state)
        return train_sequence(read_formulas(table.formulas), {}, settings, supervision, rng=rng)[0]

    def learning_curve(model: CompositionModel) -> Sequence[Mapping[str, float]]:
        if not isinstance(model, FormulaSequence):
            return ()
        return [
            {
                "epoch": r.epoch,
                "training_nats": round(r.training_loss, 4),
                "validation_nats": round(r.validation_loss, 4),
            }
            for r in model.generator.curve
        ]

    size = SIZES["default"]
    about = (
        f"{network} of width {size.width}, {size.depth} layers, charges {'told' if charges else 'not told'}, mask off"
    )
    return BenchModel(name, train, FormulaSequence.load, learning_curve, about)


def conditioned_sequence(
    table: FormulaTable, values: Mapping[str, NDArray[np.float64]], out: Path, *, rng: np.random.Generator
) -> FormulaSequence:
    """The sequence model conditioned on properties, read from a checkpoint or trained into it."""
    if not out.exists():
        supervision = Supervision(resume_path=out.with_suffix(".resume"))
        train_sequence(table, values, scheduled(len(table)), supervision, rng=rng)[0].save(out)
    return FormulaSequence.load(out)
