"""What `novalith train point-cloud-gan` runs: a training set made or read, a network trained on it.

Options: `system` (Mg-Mn-O), from which the training set is made where no `--data` is given; `crystals`, how many
substituted structures are relaxed for it; `atoms`, the largest cell learned. `--target formation_energy` makes the
formation energy the second condition.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.data.library import Library
from novalith.errors import InputError, UnknownNameError
from novalith.materials import PhaseField
from novalith.recipes.point_cloud_gan import NAME, SIZES, PointCloudGan
from novalith.recipes.substituted_training_set import SetLimits, TrainingSet, labelled_set, substituted_candidates
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.represent.point_cloud import PointLayout

if TYPE_CHECKING:
    from novalith.training.loop import EpochReport

TARGET = "formation_energy"


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on a training set (`--data SET.json`), or on one made for the `system` of the options.

    Raises:
        InputError: neither a set nor a system is given, or a number cannot be read.
        EmptyResultError: too few crystals can be made.
    """
    order.check_options(("system", "crystals", "atoms"))
    unknown = [t for t in order.targets if t != TARGET]
    if unknown:
        raise UnknownNameError("target of a point-cloud network", unknown[0], [TARGET])
    size = named_size(order.size, SIZES)
    settings = replace(
        size,
        n_epochs=order.epochs or size.n_epochs,
        max_atoms=whole_option(order, "atoms", size.max_atoms),
        with_energy=bool(order.targets),
    )
    training = TrainingSet.load(order.data) if order.data is not None else _make_set(order, settings.max_atoms)
    small = [c.crystal.composition for c in training.crystals if c.crystal.n_atoms <= settings.max_atoms]
    if not small:
        raise InputError(f"No training crystal has at most {settings.max_atoms} atoms. Give atoms=N with a larger N.")
    model = PointCloudGan(PointLayout.covering(small), settings)
    curve = model.fit(
        training, order.resume_path, lambda r: order.watch(as_epoch(r)), rng=np.random.default_rng(order.seed)
    )
    model.save(order.out)
    draws = [d for c in small[:20] for d in model.draw(c, 5, rng=np.random.default_rng(order.seed))]
    exact = sum(d.as_asked for d in draws) / len(draws)
    aside = dict(enumerate((f"{id_}: {v.reason}" for id_, v in training.rejected), start=1))
    figures = {"exact_composition_share": exact, "critic_distance": curve[-1].distance}
    return TrainingSummary(NAME, order.out, len(small), aside, figures, tuple(as_epoch(r) for r in curve))


def whole_option(order: TrainingOrder, name: str, default: int) -> int:
    """A whole number among the options.

    Raises:
        InputError: it is not one, or below 1.
    """
    text = order.options.get(name, str(default))
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{name}={text} came; expected a whole number of at least 1.")
    return int(text)


def as_epoch(report: Any) -> EpochReport:
    """A point of an adversarial curve as the verb shows it: the critic's distance, and the generator's loss."""
    from novalith.training.loop import EpochReport

    return EpochReport(report.epoch, report.distance, report.generator_loss)


def _make_set(order: TrainingOrder, max_atoms: int) -> TrainingSet:
    if "system" not in order.options:
        raise InputError("Say what to learn: --option system=Mg-Mn-O, or --data with a training set made before.")
    field = PhaseField.parse(order.options["system"])
    limits = SetLimits(whole_option(order, "crystals", SetLimits().n_crystals), max_atoms)
    library = Library()
    found = substituted_candidates(library, field, limits)
    made = labelled_set(found, field, library, limits, cache=order.out.with_name(order.out.name + ".relaxed"))
    made.save(order.out.with_name(order.out.stem + "-set.json"))
    return made
