"""What `novalith train imatgen` runs: a training set made or read, codes of its images, an autoencoder of the codes.

The set is made as the authors made theirs: the elements of the system take the places of others in real structures, in
every order, volumes are rescaled, contacts checked, and a potential relaxes and labels the crystals
(`novalith.recipes.substituted_training_set`). Crystals of exactly these elements are hidden while it is made, so that
finding them again means something. It is written beside the checkpoint, NAME-set.json.

Options: `system` (V-O), needed without `--data`; with it, crystals that hold other elements are left out, and those of
some of its elements alone (V, O) belong to it. `crystals`, how many substituted structures are labelled; `steps`, the
evaluations each relaxation may take (0 labels them as they are); `above`, the highest energy above the hull of an
example, eV/atom; `autoencoders`, a checkpoint whose autoencoders of images are used again. `--data` takes a set written
before, or structures (a folder, a file, or a table with a `cif` column) of one system or of the one named, which are
labelled as they are unless `steps` says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from novalith.data.door import read_structures
from novalith.data.hidden import Hidden
from novalith.data.library import Library
from novalith.errors import CapabilityError, InputError
from novalith.materials import Candidate, Crystal, Lineage, PhaseField, Verdict
from novalith.recipes.imatgen import SIZES, Imatgen, ImatgenSettings, train_imatgen
from novalith.recipes.imatgen_codes import ImageCodes, LearnedCodes, WaveCodes, train_codes
from novalith.recipes.imatgen_judging import held_out_figures, prototypes
from novalith.recipes.substituted_training_set import (
    SetLimits,
    TrainingSet,
    holds_training_set,
    labelled_set,
    substituted_candidates,
)
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.represent.cell_images import MAX_ELEMENTS, MAX_SITES, CellImages

#: Farther above the hull (eV/atom) a crystal is no example; unstable ones are examples for the head.
MAX_ABOVE_HULL = 1.0
N_CRYSTALS, STEPS = 480, 10


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on a set or structures (`--data`), or on a set made for the `system` of the options.

    Raises:
        InputError: neither data nor a system are given, or they have too many elements, or a number cannot be read.
        CapabilityError: a target is named; the published model has no condition.
        EmptyResultError: too few crystals can be made.
    """
    if order.targets:
        raise CapabilityError(f"imatgen has no condition; it cannot be trained for {order.targets[0]!r}.")
    order.check_device(Imatgen.name)
    order.check_options(("system", "crystals", "steps", "above", "autoencoders"))
    settings = named_size(order.size, SIZES)
    if order.epochs is not None:
        settings = with_epochs(settings, order.epochs)
    training, unread = training_set(order)
    codes = _codes(order, settings, training)
    figures = held_out_figures(training, settings, codes, seed=order.seed)
    model, outside = train_imatgen(
        training.crystals, training.field, settings, codes, order.resume_path, order.watch,
        rng=np.random.default_rng(order.seed),
    )  # fmt: skip
    model.save(order.out)
    left = [*unread, *training.rejected, *outside.items()]
    aside = dict(enumerate((f"{id_}: {v.reason}" for id_, v in left), start=1))
    n_rows = len(model.training_formulas)
    return TrainingSummary(Imatgen.name, order.out, n_rows, aside, figures, model.vae.curve)


def training_set(order: TrainingOrder) -> tuple[TrainingSet, list[tuple[str, Verdict]]]:
    """The crystals of an order with labels, and what of the structures given could not be read or used."""
    cache = order.out.with_name(order.out.name + ".relaxed")
    if order.data is not None and holds_training_set(order.data):
        return _of_system(TrainingSet.load(order.data), order)
    limits = SetLimits(
        _whole(order, "crystals", N_CRYSTALS), MAX_SITES, only_neutral=False,
        max_above_hull_ev_per_atom=_number(order, "above", MAX_ABOVE_HULL),
        max_steps=_whole(order, "steps", STEPS if order.data is None else 0),
    )  # fmt: skip
    aside: list[tuple[str, Verdict]] = []
    if order.data is None:
        if "system" not in order.options:
            raise InputError("Say what to learn: --option system=V-O, or --data with structures or a set made before.")
        field = PhaseField.parse(order.options["system"])
        blind = Library(Hidden.of([field.name]) if len(field) > 1 else Hidden())
        candidates = substituted_candidates(blind, field, limits)
    else:
        candidates, field, aside = _given(order)
    if len(field) > MAX_ELEMENTS:
        raise InputError(
            f"{field} has {len(field)} elements; at most {MAX_ELEMENTS} have an image. Name a smaller system, "
            "--option system=V-O; what holds other elements is left out."
        )
    verdicts = [CellImages().check(c.crystal) for c in candidates]
    aside += [(c.id, v) for c, v in zip(candidates, verdicts, strict=True) if not v.passed]
    within = [c for c, v in zip(candidates, verdicts, strict=True) if v.passed]
    # Labels are energies above the hull of all that is known; hidden crystals lend it their energies alone.
    made = labelled_set(within, field, Library(), limits, cache=cache)
    made.save(order.out.with_name(order.out.stem + "-set.json"))
    return made, aside


def with_epochs(settings: ImatgenSettings, epochs: int) -> ImatgenSettings:
    """The settings with so many passes of every autoencoder."""
    learned = settings.learned
    if learned is not None:
        basis, cell = replace(learned.basis, n_epochs=epochs), replace(learned.cell, n_epochs=epochs)
        learned = replace(learned, basis=basis, cell=cell)
    return replace(settings, learned=learned, n_epochs=epochs)


def _given(order: TrainingOrder) -> tuple[list[Candidate], PhaseField, list[tuple[str, Verdict]]]:
    reading = read_structures(Path(order.data or ""))
    if not reading.accepted:
        told = "; ".join(f"{id_}: {said.reason}" for id_, said in reading.refused[:3]) or "it has no rows"
        raise InputError(f"{order.data} holds no structure that could be read ({told}).")
    field, verdicts = _parted([crystal for _, crystal in reading.accepted], order)
    pairs = list(zip(reading.accepted, verdicts, strict=True))
    made = [
        Candidate(crystal, Lineage("given", move=f"given as {id_}", parents=(id_,)))
        for (id_, crystal), said in pairs
        if said.passed
    ]
    return made, field, [*reading.refused, *((id_, said) for (id_, _), said in pairs if not said.passed)]


def _of_system(made: TrainingSet, order: TrainingOrder) -> tuple[TrainingSet, list[tuple[str, Verdict]]]:
    """A set made before, less what is not of the system of the options."""
    if "system" not in order.options:
        return made, []
    field, verdicts = _parted([c.crystal for c in made.crystals], order)
    pairs = list(zip(made.crystals, verdicts, strict=True))
    kept = tuple(c for c, said in pairs if said.passed)
    return replace(made, field=field, crystals=kept), [(c.id, said) for c, said in pairs if not said.passed]


def _parted(crystals: Sequence[Crystal], order: TrainingOrder) -> tuple[PhaseField, list[Verdict]]:
    """The system to learn, that of the options or all elements of the crystals, and whether each crystal is of it."""
    if not crystals:
        raise InputError(f"{order.data} is a training set without crystals; make it again.")
    found = PhaseField(tuple(sorted({s for crystal in crystals for s in crystal.species})))
    field = PhaseField.parse(order.options["system"]) if "system" in order.options else found
    verdicts = []
    for crystal in crystals:
        strange = ", ".join(sorted(set(crystal.species) - set(field.elements)))
        verdicts.append(Verdict(not strange, "system", f"It holds {strange}, which is not of {field}." * bool(strange)))
    left = {s for crystal, v in zip(crystals, verdicts, strict=True) if v.passed for s in crystal.species}
    if lacking := ", ".join(s for s in field.elements if s not in left):
        raise InputError(
            f"No crystal of {field} in {order.data} holds {lacking}; its {len(crystals)} crystals are of {found}. "
            "Name a system that they have."
        )
    return field, verdicts


def _codes(order: TrainingOrder, settings: ImatgenSettings, training: TrainingSet) -> ImageCodes:
    """Waves, or autoencoders trained on crystals of other prototypes than those of the set."""
    if settings.learned is None:
        return WaveCodes()
    if "autoencoders" in order.options:
        codes = Imatgen.load(Path(order.options["autoencoders"])).codes
        if not isinstance(codes, LearnedCodes):
            raise InputError(
                f"{order.options['autoencoders']} has no autoencoders of images; train size=learned first."
            )
        return codes
    library = Library()
    seen = set(prototypes(training.crystals, library))
    others = [s for s in library.structures if repr(s.gene.skeleton) not in seen and s.id not in seen]
    crystals = [s.crystal for s in others if CellImages().check(s.crystal).passed]
    rng = np.random.default_rng(order.seed)
    return train_codes(crystals, settings.learned, order.resume_path, order.watch, rng=rng)


def _whole(order: TrainingOrder, name: str, default: int) -> int:
    text = order.options.get(name, str(default))
    if not text.isdigit():
        raise InputError(f"{name}={text} came; expected a whole number of at least 0.")
    return int(text)


def _number(order: TrainingOrder, name: str, default: float) -> float:
    try:
        value = float(order.options.get(name, default))
    except ValueError:
        value = float("nan")
    if not value > 0:
        raise InputError(f"{name}={order.options[name]} came; expected a positive number.")
    return value
