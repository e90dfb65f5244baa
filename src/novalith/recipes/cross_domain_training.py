"""What `novalith train cross-domain-gan` runs: two sets of binaries, two stages of translators.

Options: `first` and `second`, binary systems with one common element (Ni-H and Pd-H). The binaries are known structures
of the bundled data with these elements put in. `--data` may give a folder of structures of both systems instead.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from novalith.data.door import read_structures
from novalith.data.library import Library
from novalith.errors import InputError
from novalith.materials import Crystal, PhaseField
from novalith.recipes.cross_domain_gan import (
    NAME,
    SIZES,
    BinaryPair,
    CrossDomainGan,
    binary_crystals,
    expected_volumes,
)
from novalith.recipes.point_cloud_training import as_epoch
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.represent.point_cloud import niggli_reduced


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on two binary systems.

    Raises:
        InputError: a system is missing or not binary.
        ContradictionError: they share no element.
        EmptyResultError: a domain has too few crystals.
    """
    order.check_options(("first", "second"))
    missing = [name for name in ("first", "second") if name not in order.options]
    if missing:
        raise InputError(f"Say which binaries: --option {missing[0]}=Ni-H is missing (first and second are needed).")
    pair = BinaryPair.of(*(PhaseField.parse(order.options[name]) for name in ("first", "second")))
    settings = named_size(order.size, SIZES)
    if order.epochs:
        first, second = (replace(s, n_epochs=order.epochs) for s in (settings.first, settings.second))
        settings = replace(settings, first=first, second=second)
    library, aside = Library(), {}
    if order.data is None:
        domains = [binary_crystals(library, m, pair.shared, settings) for m in pair.elements[:2]]
    else:
        reading = read_structures(order.data)
        found = [c for _, c in reading.accepted]
        domains = [_of(found, PhaseField((m, pair.shared)), settings.max_atoms) for m in pair.elements[:2]]
        aside = dict(enumerate((f"{id_}: {v.reason}" for id_, v in reading.refused), start=1))
    model, rng = CrossDomainGan(pair, settings), np.random.default_rng(order.seed)
    watch = lambda r: order.watch(as_epoch(r))  # noqa: E731
    model.fit(domains[0], domains[1], expected_volumes(library, pair), order.resume_path, watch, rng=rng)
    model.save(order.out)
    for stage in ("first", "second"):
        order.resume_path.with_name(f"{order.resume_path.name}.{stage}").unlink(missing_ok=True)
    there, back = model.cycle_errors_a(rng=rng)
    figures = {"cycle_error_first_a": there, "cycle_error_second_a": back}
    curve = tuple(as_epoch(r) for stage in model.curves for r in stage)
    return TrainingSummary(NAME, order.out, len(domains[0]) + len(domains[1]), aside, figures, curve)


def _of(crystals: list[Crystal], field: PhaseField, max_atoms: int) -> list[Crystal]:
    return [niggli_reduced(c) for c in crystals if c.composition.field == field and c.n_atoms <= max_atoms]
