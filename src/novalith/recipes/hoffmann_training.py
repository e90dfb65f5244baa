"""What `novalith train hoffmann` runs: the autoencoder of densities, then the UNet on true and on decoded ones.

Crystals come from the bundled Materials Project, or from any structures (`--data`), a table with a column `cif` or a
folder, without labels. Those beyond the limits of the model are set aside with the reason. Chemical systems are split:
one in ten is held out and named in the checkpoint, one in twenty judges the weights after every epoch, the others are
learned from. The UNet is shown what it will be given, densities that went through the autoencoder, in turn with true
ones; the paper trains both networks at once instead.

Options: `cell` (beside, autocorrelation), `species` (heights, network), `atoms` (network, density), `crystals`, the
most crystals that are learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.data.structure_table import StructureTable, bundled_structure_table, read_any_structures
from novalith.errors import EmptyResultError, InputError, UnknownNameError
from novalith.generate.principal_vae import PrincipalVae
from novalith.materials import Crystal, Verdict
from novalith.recipes.hoffmann import (
    ATOMS,
    CELLS,
    HALVED,
    NAME,
    SIZES,
    SPECIES,
    Hoffmann,
    HoffmannSettings,
    reconstruct_density,
)
from novalith.recipes.hoffmann_images import BoxedCrystal, DensityImages, SpeciesImages, heaviest_allowed
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size

if TYPE_CHECKING:
    from novalith.training.loop import EpochReport

Floats = NDArray[np.float32]
#: A bundled crystal is taken where it has one of these; only the first is kept as a label.
TARGETS = ("formation_energy", "bulk_modulus", "band_gap")
#: One chemical system in so many is held out, and one in so many judges the weights.
HELD_OUT_EVERY, VALIDATION_EVERY = 10, 20
#: Crystals that judge, and fewest that are learned from.
MOST_VALIDATION, FEWEST_CRYSTALS = 96, 20
#: Images from which principal components are taken, at most: they lie in memory together, 131 kB each.
MOST_COMPARED = 8000
STAGES = ("vae", "unet")


@dataclass(frozen=True, eq=False)
class SplitCrystals:
    """Crystals of the model's limits, split by chemical system.

    Attributes:
        training: learned from.
        energies: (n,) formation energies of these, eV/atom, NaN where there is none.
        validation: judge the weights.
        held_out: seen by nothing.
        set_aside: row -> why it was left out.
    """

    training: tuple[BoxedCrystal, ...]
    energies: NDArray[np.float64]
    validation: tuple[BoxedCrystal, ...]
    held_out: tuple[BoxedCrystal, ...]
    set_aside: Mapping[int, str]

    @property
    def held_out_systems(self) -> tuple[str, ...]:
        """Names of the systems that were held out, sorted."""
        return tuple(sorted({system_of(c) for c in self.held_out}))


def system_of(boxed: BoxedCrystal) -> str:
    """Chemical system of a crystal."""
    return boxed.crystal.composition.field.name


def crystals_of(data: Path | None) -> StructureTable:
    """All crystals of a table, file or folder, or the bundled ones."""
    return bundled_structure_table(Library(), TARGETS) if data is None else read_any_structures(data, TARGETS)


def split_crystals(
    table: StructureTable, model: Hoffmann, most: int | None = None, *, rng: np.random.Generator
) -> SplitCrystals:
    """Crystals within the limits of a model, by chemical system; `most` limits those that are learned from.

    Raises:
        EmptyResultError: fewer than `FEWEST_CRYSTALS` are left to learn from.
    """
    kept: list[tuple[BoxedCrystal, float]] = []
    unread = [f"{place}: {reason}" for place, reason in table.set_aside.items()]
    unread += [f"{name}: no file of structures, and not read" for name in table.not_read]
    aside: dict[int, str] = dict(enumerate(unread, start=len(table) + 1))
    for row, crystal in enumerate(table.crystals, start=1):
        verdict = _quick_check(model.settings, crystal)
        if verdict.passed:
            boxed = BoxedCrystal.of(crystal)
            verdict = model.check_boxed(boxed)
        if verdict.passed:
            kept.append((boxed, float(table.values[row - 1, 0])))
        else:
            aside[row] = verdict.reason
    systems = sorted({system_of(c) for c, _ in kept})
    order = [systems[i] for i in rng.permutation(len(systems))]
    held = set(order[::HELD_OUT_EVERY])
    judging = set(order[1::VALIDATION_EVERY]) - held
    training = [(c, e) for c, e in kept if system_of(c) not in held | judging]
    if most is not None and len(training) > most:
        training = [training[i] for i in sorted(rng.choice(len(training), most, replace=False))]
    if len(training) < FEWEST_CRYSTALS:
        raise EmptyResultError(
            f"{len(training)} crystals within the limits of {NAME} are left to learn from; at least {FEWEST_CRYSTALS} "
            f"are needed. It takes Niggli cells of at most {model.settings.max_atoms} atoms with edges up to "
            f"{model.settings.max_edge_a:g} Å."
        )
    return SplitCrystals(
        tuple(c for c, _ in training),
        np.array([e for _, e in training]),
        tuple(c for c, _ in kept if system_of(c) in judging),
        tuple(c for c, _ in kept if system_of(c) in held),
        dict(sorted(aside.items())),
    )


def _quick_check(settings: HoffmannSettings, crystal: Crystal) -> Verdict:
    """What is refused before the cell is reduced, which takes long: unknown elements, far too many atoms."""
    if crystal.n_atoms > 4 * settings.max_atoms:
        reason = f"{crystal.n_atoms} sites in the cell; at most {settings.max_atoms} fit its Niggli cell."
        return Verdict(False, NAME, reason)
    return heaviest_allowed(crystal)


@dataclass(frozen=True, eq=False)
class DecodedSpecies:
    """True densities in turn with densities that went through an autoencoder, with their species.

    Attributes:
        true: where both come from.
        model: whose autoencoder.
    """

    true: SpeciesImages
    model: Hoffmann

    def __len__(self) -> int:
        return len(self.true)

    def pairs(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """(b,) rows -> densities (b, 1, n, n, n), the second half of them decoded, and atomic numbers."""
        half = len(rows) // 2
        first = self.true.pairs(rows[:half], rng) if half else None
        plain = replace(self.true, origin=self.model.settings.origin, replaced=0.0)
        densities, species = plain.pairs(rows[half:], rng)
        decoded = reconstruct_density(self.model, densities)
        if first is None:
            return decoded, species
        return np.concatenate([first[0], decoded]), np.concatenate([first[1], species])


def fit_hoffmann(
    model: Hoffmann,
    split: SplitCrystals,
    resume_path: Path,
    watch: Callable[[EpochReport], None] = lambda _: None,
    *,
    seed: int,
) -> tuple[EpochReport, ...]:
    """Train both stages; each goes on from `resume_path` with its name added, and is not run again once done."""
    judges = split.validation[:MOST_VALIDATION]
    curve = _fit_autoencoder(model, split.training, judges, resume_path, watch, seed)
    images = SpeciesImages(split.training, model.settings.box)
    curve += model.segmenter.fit(
        DecodedSpecies(images, model), _wrong_share(model, judges, decoded=True), stage_path(resume_path, "unet"),
        watch, rng=np.random.default_rng(seed),
    )  # fmt: skip
    model.remember(split.training, split.energies, rng=np.random.default_rng(seed + 3))
    model.held_out = split.held_out_systems
    return curve


def _fit_autoencoder(
    model: Hoffmann, training: Sequence[BoxedCrystal], judges: Sequence[BoxedCrystal], resume_path: Path,
    watch: Callable[[EpochReport], None], seed: int,
) -> tuple[EpochReport, ...]:  # fmt: skip
    s, path = model.settings, stage_path(resume_path, "vae")
    source = DensityImages(training, s.box, s.origin)
    made, rng = s.new_autoencoder(), np.random.default_rng(seed + 1)
    if isinstance(made, PrincipalVae):
        chosen = np.sort(rng.permutation(len(source))[:MOST_COMPARED])
        parts = np.array_split(chosen, -(-len(chosen) // 64))
        made.fit_watched(np.concatenate([source.images(p, rng) for p in parts]), None, path, watch, rng=rng)
        # As it will be stored, so that the UNet learns from what it will be given.
        stored = {n: t.astype(np.float16) if f"vae.{n}" in HALVED else t for n, t in made.tensors().items()}
        model.autoencoder = s.stored_autoencoder(stored)
        return made.curve
    validation = DensityImages(judges, s.box, s.origin) if judges else None
    made.fit_watched(source, validation=validation, resume_path=path, watch=watch, rng=rng)
    model.autoencoder = made
    return made.curve


def stage_path(resume_path: Path, stage: str) -> Path:
    """Where the state of a stage is kept."""
    return resume_path.with_name(f"{resume_path.name}.{stage}")


def _wrong_share(model: Hoffmann, judges: Sequence[BoxedCrystal], *, decoded: bool) -> Callable[[], float] | None:
    """Share of the atoms' voxels that get another species, on fixed images of some crystals."""
    if not judges:
        return None
    images = SpeciesImages(judges, model.settings.box, model.settings.origin, replaced=0.0)
    parts = np.array_split(np.arange(len(judges)), -(-len(judges) // 8))
    rng = np.random.default_rng(0)

    def value() -> float:
        nonlocal rng
        rng = np.random.default_rng(0)
        wrong = total = 0
        for rows in parts:
            densities, species = images.pairs(rows, rng)
            if decoded:
                densities = reconstruct_density(model, densities)
            found, truth = species_at_atoms(model, densities, species)
            wrong, total = wrong + int((found != truth).sum()), total + len(truth)
        return wrong / max(total, 1)

    return value


def species_at_atoms(
    model: Hoffmann, densities: Floats, species: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Atomic numbers read and true (m,) at the voxels of atoms of some images."""
    found, truth = [], []
    for density, image in zip(densities, species, strict=True):
        voxels = np.flatnonzero(image.reshape(-1))
        probabilities = model.segmenter.probabilities(density[None], voxels[None])[0]
        found.append(probabilities.argmax(axis=1))
        truth.append(image.reshape(-1)[voxels])
    return np.concatenate(found), np.concatenate(truth)


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on any structures, or on the bundled ones.

    Raises:
        InputError: an option or a target that the recipe does not have.
        EmptyResultError: too few crystals are within the limits.
        MissingExtraError: MONAI is not installed.
    """
    if order.targets:
        raise UnknownNameError(f"target of {NAME}, which has no condition", order.targets[0], ())
    order.check_device(NAME)
    order.check_options(("cell", "species", "atoms", "crystals"))
    model = Hoffmann(
        sized(order.size, order.epochs),
        order.option("cell", CELLS),
        order.option("species", SPECIES),
        order.option("atoms", ATOMS),
    )
    most = order.options.get("crystals", "")
    if most and (not most.isdigit() or int(most) < FEWEST_CRYSTALS):
        raise InputError(f"crystals={most} came; expected a whole number of at least {FEWEST_CRYSTALS}.")
    table = crystals_of(order.data)
    split = split_crystals(table, model, int(most) if most else None, rng=np.random.default_rng(order.seed))
    curve = fit_hoffmann(model, split, order.resume_path, order.watch, seed=order.seed)
    model.save(order.out)
    for stage in STAGES:
        stage_path(order.resume_path, stage).unlink(missing_ok=True)
    figures = training_figures(model, split)
    return TrainingSummary(NAME, order.out, len(split.training), split.set_aside, figures, curve)


def sized(size: str, epochs: int | None) -> HoffmannSettings:
    """The settings of a size; `epochs` of the autoencoder, those of the UNet in proportion."""
    settings = named_size(size, SIZES)
    if epochs is None:
        return settings
    encoder, segmenter = settings.autoencoder, settings.segmenter
    share = max(1, round(epochs * segmenter.n_epochs / encoder.n_epochs))
    return replace(
        settings, autoencoder=replace(encoder, n_epochs=epochs), segmenter=replace(segmenter, n_epochs=share)
    )


def training_figures(model: Hoffmann, split: SplitCrystals) -> dict[str, float]:
    """Right shares of species at the voxels of atoms of crystals that judged, from true and decoded densities."""
    judges = split.validation[:MOST_VALIDATION]
    found: dict[str, Any] = {}
    for name, decoded in (("true", False), ("decoded", True)):
        wrong = _wrong_share(model, judges, decoded=decoded)
        if wrong is not None:
            found[f"species_right_share_from_{name}_density"] = 1.0 - wrong()
    return found
