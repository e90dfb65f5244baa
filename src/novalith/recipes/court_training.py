"""What `novalith train court` runs: crystals of one family gathered, the three trainings, what is left out measured.

    1. the network that names voxels, on exact images
    2. the conditional autoencoder, with the features of that network in its loss
    3. the network again, half of its images now as the autoencoder gives them back

Options: `family` (perovskite, heusler, alloy); `bundled=no` leaves the bundled crystals of the family out where a table
is given; `precision=float16` writes a file half as long. A table needs the columns `cif` and `formation_energy` (or an
alias); one with `heat_ref` instead, the heat of formation from competing phases (Castelli et al., 2012), has the
bundled hull of the composition added. Structures without such a table (a file, or a folder, which may hold tables too)
are labelled as they are by the default potential. One chemical system in five is never trained on; its crystals give
the figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.door import is_structure_file, read_structures
from novalith.data.door_checks import RefusalError
from novalith.data.door_cif import read_cif
from novalith.data.library import Library
from novalith.data.targets import column_of, target_named
from novalith.data.training_table import columns_of
from novalith.errors import EmptyResultError, InputError, NovalithError
from novalith.materials import Composition, Crystal, PhaseField, Verdict
from novalith.recipes.court import NAME, SIZES, TARGET, Bins, Court, CourtSettings
from novalith.recipes.court_families import FAMILIES, Family, family_named
from novalith.recipes.court_images import UNITS, ElementClasses, flat, image_of, unflat, unflat_parts
from novalith.recipes.court_segmentation import build, fit_segmentation
from novalith.recipes.substituted_training_set import potential_energies
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.relax.base import MP2020_PBE
from novalith.represent.density_coordinates import DensityCoordinates
from novalith.stability.hull import ELEMENT_ID, ConvexHull, Phase
from novalith.stability.table import TABLE_ID

if TYPE_CHECKING:
    import torch

    from novalith.training.loop import EpochReport

Floats = NDArray[np.float64]

#: Column of Castelli's tables, eV/atom above the phases that a perovskite could fall into.
HEAT_COLUMN = "heat_ref"
#: Share of the chemical systems that is never trained on.
HELD_OUT = 0.2
#: Fewer crystals than this are no training set.
FEWEST = 20
#: Id, crystal or why there is none, formation energy in eV/atom: NaN where unknown, None where one is to be made.
Row = tuple[str, Crystal | Verdict, float | None]
#: Gives crystals without a label formation energies, eV/atom, or the reason why not, by id.
Label = Callable[[Sequence[tuple[str, Crystal]]], Mapping[str, float | Verdict]]
TABLES = (".csv", ".parquet")
_FORMULA = re.compile(r"_chemical_formula_sum\s+['\"]?([^'\"\n]+)")


@dataclass(frozen=True, eq=False)
class FamilySet:
    """Crystals of one family.

    Attributes:
        family: its name.
        crystals: in its setting.
        energies: (n,) formation energies, eV/atom, NaN where unknown.
        ids: of the rows that they come from.
        set_aside: row (counted from 1, bundled crystals after the table) -> why it is not among them.
    """

    family: str
    crystals: tuple[Crystal, ...]
    energies: Floats
    ids: tuple[str, ...]
    set_aside: dict[int, str]

    def select(self, rows: NDArray[np.integer[Any]]) -> FamilySet:
        """Some of the crystals, in the order given."""
        chosen = rows.tolist()
        return FamilySet(
            self.family, tuple(self.crystals[i] for i in chosen), self.energies[rows],
            tuple(self.ids[i] for i in chosen), {},
        )  # fmt: skip

    @property
    def formulas(self) -> tuple[str, ...]:
        """Reduced formulas."""
        return tuple(c.composition.formula for c in self.crystals)


def gather(
    path: Path | None, family: Family, library: Library, codec: DensityCoordinates, bundled: bool,
    label: Label | None = None,
) -> FamilySet:  # fmt: skip
    """All crystals of a family in a table, file or folder and among the bundled structures; all others have a reason.

    Args:
        path: a table with labels, structures without, or a folder of both; None for the bundled ones alone.
        family: which are taken.
        library: the bundled structures and the hull.
        codec: its limits hold.
        bundled: whether the bundled structures are taken too.
        label: gives (id, crystal) pairs without a label their formation energies, eV/atom, by id.

    Raises:
        InputError: a table cannot be read, or lacks a column, or structures have no labels and nothing gives them any.
        EmptyResultError: fewer than `FEWEST` crystals are of the family.
    """
    rows = list(_of_path(path, library, family)) if path is not None else []
    if path is not None and not rows:
        raise EmptyResultError(f"{path} has columns but no rows; there is nothing to train on.")
    if bundled or path is None:
        rows += list(_of_library(library, family))
    taken: dict[tuple[Any, ...], tuple[int, str, Crystal, float | None]] = {}
    aside: dict[int, str] = {}
    for number, (id_, found, energy) in enumerate(rows, start=1):
        ready = family.setting(found) if isinstance(found, Crystal) else found
        said = codec.check(ready) if isinstance(ready, Crystal) else ready
        key = _sketch(ready) if isinstance(ready, Crystal) else ()
        if not said.passed:
            aside[number] = f"{id_}: {said.reason}"
        elif key in taken:
            aside[number] = f"{id_}: the same structure came before"
            if taken[key][3] is None:
                taken[key] = (*taken[key][:3], energy)  # a label is better than one to be made
        elif isinstance(ready, Crystal):
            taken[key] = (number, id_, ready, energy)
    kept = list(taken.values())
    if len(kept) >= FEWEST:
        kept = _labelled(kept, path, label, aside)
    if len(kept) < FEWEST:
        told = "; ".join(list(aside.values())[:3]) or "there were no rows"
        raise EmptyResultError(
            f"{len(kept)} of {len(rows)} crystals are {family.name}s; at least {FEWEST} are needed ({told})."
        )
    _, ids, crystals, energies = zip(*kept, strict=True)
    return FamilySet(family.name, crystals, np.array(energies, dtype=float), ids, dict(sorted(aside.items())))


def _labelled(
    taken: list[tuple[int, str, Crystal, float | None]], path: Path | None, label: Label | None, aside: dict[int, str]
) -> list[tuple[int, str, Crystal, float | None]]:
    """The same crystals, all with a label; one that cannot be given any is set aside."""
    bare = [(str(number), crystal) for number, _, crystal, energy in taken if energy is None]
    if not bare:
        return taken
    if label is None:
        raise InputError(
            f"{len(bare)} crystals of {path} have no formation energy; give a table with the columns 'cif' and "
            f"{TARGET!r}."
        )
    answers = label(bare)
    kept: list[tuple[int, str, Crystal, float | None]] = []
    for number, id_, crystal, energy in taken:
        answer = answers[str(number)] if energy is None else energy
        if isinstance(answer, Verdict):
            aside[number] = f"{id_}: {answer.reason}"
        else:
            kept.append((number, id_, crystal, answer))
    return kept


def held_out(crystals: Sequence[Crystal], share: float = HELD_OUT) -> NDArray[np.bool_]:
    """(n,) whether a crystal is of a chemical system that is kept for testing; the same for every order of rows."""
    systems = sorted({c.composition.field.elements for c in crystals})
    order = np.random.default_rng(0).permutation(len(systems))
    kept = {systems[i] for i in order[: round(share * len(systems))]}
    return np.array([c.composition.field.elements in kept for c in crystals], dtype=bool)


def train_court(
    training: FamilySet, settings: CourtSettings, resume_path: Path | None, watch: Any = lambda _: None,
    *, rng: np.random.Generator,
) -> tuple[Court, tuple[EpochReport, ...]]:  # fmt: skip
    """Train a model of a family; the same crystals and `rng` give the same model."""
    crystals, n = training.crystals, settings.n
    classes = ElementClasses.of(crystals)
    model = Court(training.family, classes, Bins.of(training.energies), settings)
    named = settings.segmentation
    model.net = build(named, len(classes), int(rng.integers(2**31)))
    at = {k: None if resume_path is None else Path(f"{resume_path}.{k}") for k in ("named", "coded", "tuned")}
    curve = fit_segmentation(
        model.net, crystals, classes, named, named.n_images, n=n, resume_path=at["named"], watch=watch, rng=rng
    )
    images = flat(np.stack([image_of(c, n) for c in crystals]))
    shown = np.where(rng.random(len(crystals)) < settings.unknown, np.nan, training.energies)
    condition = model.bins.condition(shown)
    model.autoencoder.fit_watched(
        images, condition, resume_path=at["coded"], watch=watch, extra_loss=perceptual_loss(model), rng=rng
    )
    del images

    def blurred(rows: NDArray[np.int64], images: Any, drawn: np.random.Generator) -> Any:
        mean, spread = model.autoencoder.encode_spread(flat(images), condition[rows])
        noise = drawn.standard_normal(mean.shape).astype(np.float32)
        return unflat(model.autoencoder.decode(mean + spread * noise, condition[rows]), n)

    model.net.requires_grad_(True)
    if named.n_tuning:
        tuned = replace(named, learning_rate=named.learning_rate / 2)
        curve += fit_segmentation(
            model.net, crystals, classes, tuned, named.n_tuning, n=n, blurred=blurred, resume_path=at["tuned"],
            watch=watch, rng=rng,
        )  # fmt: skip
    # Kept in half precision in the checkpoint, and so here, that a model and its copy draw the same.
    codes = model.encode_prepared(crystals, training.energies)
    model.training_codes = codes.astype(np.float16).astype(np.float32)
    model.training_labels = {TARGET: np.nan_to_num(training.energies, nan=float(np.nanmean(training.energies)))}
    model.training_formulas = training.formulas
    for path in at.values():
        if path is not None:
            path.unlink(missing_ok=True)
    return model, (*curve, *model.autoencoder.curve)


def perceptual_loss(model: Court) -> Any:
    """Squared distance of features over their own squares, on the scale of the sum of squares of an image."""
    import torch

    settings, net = model.settings, model.net
    net.requires_grad_(False)
    units, n = torch.from_numpy(UNITS).view(1, -1, 1, 1, 1), settings.n

    def loss(x: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        chosen = slice(None, max(1, len(x) // settings.perceived))
        wanted, came = (net.features(torch.cat(unflat_parts(rows[chosen], n), dim=1) * units) for rows in (x, decoded))
        parts = [((a - b).float() ** 2).mean() / (a.float() ** 2).mean() for a, b in zip(wanted, came, strict=True)]
        # The last batch may hold one image, which has no variance.
        spread = x.var(dim=0).mean() if len(x) > 1 else x.new_zeros(())
        scale = settings.perceptual * x.shape[1] / 2 * spread
        return scale * sum(parts, start=parts[0] * 0) / len(parts)

    return loss


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on the crystals of `family` in a table, file or folder, and in the bundled structures.

    Raises:
        InputError: a column is missing or an option is wrong.
        EmptyResultError: too few crystals are of the family.
        MissingExtraError: scikit-image is not installed.
    """
    from novalith.recipes.court_judging import reconstruction_records
    from novalith.represent.watershed_atoms import scikit_image

    scikit_image()  # told now, not when hours later the first image is read
    unknown = [t for t in order.targets if t != TARGET]
    if unknown:
        raise InputError(f"court is conditioned on {TARGET} alone; {unknown[0]} came.")
    order.check_device(NAME)
    order.check_options(("family", "bundled", "precision"))
    family = family_named(order.option("family", tuple(FAMILIES)))
    bundled = order.option("bundled", ("yes", "no")) == "yes"
    precision = order.option("precision", ("float32", "float16"))
    settings = named_size(order.size, SIZES)
    if order.epochs:
        settings = replace(settings, autoencoder=replace(settings.autoencoder, n_epochs=order.epochs))
    cache = order.out.with_name(order.out.name + ".relaxed")
    label = partial(potential_energies, library=Library(), cache=cache)
    whole = gather(order.data, family, Library(), DensityCoordinates(), bundled, label)
    test = held_out(whole.crystals)
    training, left_out = whole.select(np.flatnonzero(~test)), whole.select(np.flatnonzero(test))
    rng = np.random.default_rng(order.seed)
    model, curve = train_court(training, settings, order.resume_path, order.watch, rng=rng)
    model.save(order.out, precision=precision)
    figures: dict[str, float] = {}
    if len(left_out.crystals):
        row = reconstruction_records(model, left_out, most=200)[-1]
        figures = {k: float(v) for k, v in row.items() if isinstance(v, int | float)}
    return TrainingSummary(NAME, order.out, len(training.crystals), whole.set_aside, figures, curve)


def _sketch(crystal: Crystal) -> tuple[Any, ...]:
    """What two entries of one structure share: species, positions to 0.02, edge to 0.05 Å."""
    places = np.round(np.asarray(crystal.frac_coords) / 0.02).astype(int) % 50
    return (crystal.species, tuple(places.reshape(-1).tolist()), round(crystal.lattice[0][0] / 0.05))


def _of_path(path: Path, library: Library, family: Family) -> Iterator[Row]:
    """The rows of tables with labels, and the structures of all other files; these have None for a label."""
    if path.is_file() and path.suffix.lower() in TABLES:
        yield from _of_table(path, library, family)
        return
    tables = [p for p in sorted(path.iterdir()) if p.suffix.lower() in TABLES] if path.is_dir() else []
    labelled = [table for table in tables if _holds_cif(table)]
    for table in labelled:
        yield from _of_table(table, library, family)
    others = [p for p in sorted(path.iterdir()) if is_structure_file(p) and p not in labelled] if labelled else [path]
    if others:
        try:
            reading = read_structures(path, leave_out=labelled)
        except InputError:
            if not labelled:
                raise
            yield from ((p.name, Verdict(False, "file", "It holds no structures."), None) for p in others)
            return
        yield from ((id_, crystal, None) for id_, crystal in reading.accepted)
        yield from ((id_, said, None) for id_, said in reading.refused)


def _holds_cif(table: Path) -> bool:
    """Whether a table has a column of structures; one that cannot be read is left to the door, which says why."""
    try:
        return "cif" in columns_of(table)
    except InputError:
        return False


def _of_table(path: Path, library: Library, family: Family) -> Iterator[Row]:
    import pandas as pd

    columns = columns_of(path)
    energy = column_of(target_named(TARGET), columns)
    key = next((c for c in ("id", "material_id", "mat_id", "name") if c in columns), None)
    if "cif" not in columns or (energy is None and HEAT_COLUMN not in columns):
        raise InputError(
            f"{path} has the columns {', '.join(columns[:12])}; expected 'cif' and {TARGET!r}, or {HEAT_COLUMN!r} "
            "instead of it."
        )
    wanted = ["cif", energy or HEAT_COLUMN, *([key] if key else [])]
    frame = pd.read_parquet(path, columns=wanted) if path.suffix == ".parquet" else pd.read_csv(path, usecols=wanted)
    hull = _Hulls(library) if energy is None else None
    for i, (cif, value) in enumerate(zip(frame["cif"], frame[energy or HEAT_COLUMN], strict=True)):
        id_ = str(frame[key].iloc[i]) if key else f"row {i + 1}"
        found = _structure(str(cif), id_, family)
        label = _number(value)
        if np.isinf(label):
            found = Verdict(False, "label", f"{energy or HEAT_COLUMN} is {value!r}, which is no finite number")
        if hull is not None and isinstance(found, Crystal):
            label += hull.energy(found.composition)
        yield id_, found, label


def _number(cell: object) -> float:
    """The number in a cell: NaN where it is empty, infinite where it is no number."""
    if cell is None or str(cell).strip().lower() in ("", "nan", "none", "null"):
        return float("nan")
    try:
        return float(str(cell))
    except ValueError:
        return float("inf")


def _structure(cif: str, id_: str, family: Family) -> Crystal | Verdict:
    """The crystal of a CIF; one whose formula cannot belong to the family is not parsed, which takes far longer."""
    written = _FORMULA.search(cif)
    if written:
        try:
            said = family.may_hold(Composition.parse(written.group(1).replace(" ", "").strip()))
        except NovalithError:
            said = Verdict(True, "family")
        if not said.passed:
            return said
    try:
        return read_cif(cif, id_, 200)[0].outcome
    except RefusalError as refusal:
        return refusal.verdict


def _of_library(library: Library, family: Family) -> Iterator[Row]:
    for known in library.structures:
        if family.may_hold(known.gene.composition).passed and family.may_have(known.gene.spacegroup):
            yield known.id, known.crystal, known.properties.get("formation_energy_ev_per_atom", float("nan"))


class _Hulls:
    """Formation energies of the bundled hull at compositions, eV/atom, each chemical system computed once."""

    def __init__(self, library: Library) -> None:
        self._made: dict[PhaseField, ConvexHull] = {}
        self._phases: dict[frozenset[str], list[Phase]] = {}
        for formula, energy in library.hull_energies.items():
            composition = Composition.parse(formula)
            phase = Phase(composition, energy, TABLE_ID, MP2020_PBE)
            self._phases.setdefault(frozenset(composition.field.elements), []).append(phase)

    def energy(self, composition: Composition) -> float:
        """Of the mixture of known phases that is lowest."""
        field = composition.field
        if field not in self._made:
            found = [Phase(Composition(((s, 1),)), 0.0, ELEMENT_ID, MP2020_PBE) for s in field.elements]
            for size in range(2, len(field.elements) + 1):
                for some in combinations(field.elements, size):
                    found += self._phases.get(frozenset(some), [])
            self._made[field] = ConvexHull(found)
        return float(self._made[field].energy(composition.reduced))
