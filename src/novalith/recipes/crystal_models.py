"""What every trained generator of crystals offers: codes of crystals, crystals of codes, and draws as asked for.

    code = encode(crystal),   crystal' = decode(code, request),
    code ~ N(code_0, (spread * s)^2)   around a base crystal with the code code_0

A code is a vector of `n_latent` numbers and s the standard deviation of each of them over the training crystals, so
that `spread` has the same meaning for every model: 1 is as far from the base as the training crystals lie from their
mean. What does not decode is a `Verdict` with the reason, in the place of its crystal: in = crystals + verdicts.

The latent space is explored in `novalith.recipes.latent` through this contract alone, whichever representation and
network a model has. `novalith.testing.CrystalModelContract` holds a model to it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, CorruptDataError, InputError, UnknownNameError
from novalith.materials import Composition, Crystal, PhaseField, Verdict
from novalith.store.checkpoint import checkpoint_kind

Floats = NDArray[np.float32]

#: Kind of checkpoint -> module and class that read it; only names of this table are ever imported.
MODELS: Mapping[str, tuple[str, str]] = {
    "imatgen": ("novalith.recipes.imatgen", "Imatgen"),
    "court": ("novalith.recipes.court", "Court"),
    "hoffmann": ("novalith.recipes.hoffmann", "Hoffmann"),
}

#: Folder of the checkpoints that ship: NAME.safetensors, or NAME_FAMILY.safetensors for a recipe with a model a family.
WEIGHTS = Path(__file__).parent / "weights"

#: Parts of a `SampleRequest` that a model may honour.
REQUEST_PARTS = ("field", "composition", "family", "targets", "around")


@dataclass(frozen=True)
class SampleRequest:
    """What products are asked for; the parts that are not given are left to the model.

    Attributes:
        field: elements that the crystals may be made of.
        composition: formula, in the ratio given.
        family: a class of materials that the model was trained on, such as "perovskite".
        targets: property -> value, units as in `novalith.data.targets`.
        around: draw in the neighbourhood of this crystal instead of everywhere.
        spread: with `around`, how far, in standard deviations of the training codes.
    """

    field: PhaseField | None = None
    composition: Composition | None = None
    family: str | None = None
    targets: Mapping[str, float] = dataclasses.field(default_factory=dict)
    around: Crystal | None = None
    spread: float = 0.5

    def __post_init__(self) -> None:
        if not (np.isfinite(self.spread) and self.spread >= 0):
            raise InputError(f"The spread is {self.spread}; expected 0 or more standard deviations of the codes.")
        for name, value in self.targets.items():
            if not np.isfinite(value):
                raise InputError(f"The target {name} is {value}; expected a finite number.")

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts that were given."""
        given = (self.field, self.composition, self.family, self.targets or None, self.around)
        return tuple(name for name, value in zip(REQUEST_PARTS, given, strict=True) if value is not None)


@dataclass(frozen=True, eq=False)
class CodeImages:
    """One channel of the images that codes decode to, for people to look at.

    Attributes:
        name: what the voxels hold, with the unit where there is one: "density", "V", "cell".
        values: (n, k, k, k), one image a code.
        edge_a: edge of the imaged box, Å; None where the grid is fractional or differs from code to code.
    """

    name: str
    values: Floats
    edge_a: float | None = None


class CrystalModel(ABC):
    """A trained generator of crystals.

    Attributes:
        name: kind of the checkpoint, a key of `MODELS`, and the generator in lineages.
        honours: parts of a request (`REQUEST_PARTS`) that it can keep to; the others it refuses.
        targets: properties that `SampleRequest.targets` may name; empty for a model without a condition.
        families: classes that `SampleRequest.family` may name.
        training_codes: (n, latent) codes of the crystals it was trained on, kept in the checkpoint.
        training_labels: property -> (n,) finite values of those crystals, "formation_energy" (eV/atom) among them; a
            model that learns without labels has none where its crystals had none.
        training_formulas: (n,) reduced formulas of those crystals.
    """

    name: ClassVar[str]
    honours: ClassVar[frozenset[str]]
    targets: tuple[str, ...]
    families: tuple[str, ...]
    training_codes: NDArray[np.floating[Any]]
    training_labels: Mapping[str, NDArray[np.floating[Any]]]
    training_formulas: tuple[str, ...]

    @abstractmethod
    def check(self, crystal: Crystal) -> Verdict:
        """Whether a crystal is within the limits of the model: size, sites, elements."""

    @abstractmethod
    def encode(self, crystals: Sequence[Crystal], targets: Mapping[str, float] | None = None) -> Floats:
        """(n, latent) codes, without noise.

        Args:
            crystals: n of them.
            targets: condition that all share, for a model whose encoder sees it; the model's own choice without it.

        Raises:
            InputError: one of them fails `check`; its reason is in the message.
        """

    @abstractmethod
    def decode(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[Crystal | Verdict]:
        """The crystal of each code, or why there is none; never raises for a code, however far out.

        Raises:
            CapabilityError: the request has a part that the model cannot honour.
        """

    @abstractmethod
    def sample(self, n: int, request: SampleRequest, *, rng: np.random.Generator) -> list[Crystal | Verdict]:
        """Exactly `n` draws as they come, decoded; the same request and an equal `rng` give the same.

        Products that decode to something else than was asked for are verdicts too.

        Raises:
            CapabilityError: the request has a part that the model cannot honour.
            InputError: the base crystal of the request fails `check`, or `n` is negative.
        """

    @abstractmethod
    def images(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[CodeImages]:
        """The images that codes decode to before atoms are looked for, channel by channel."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the model as one checkpoint of kind `name`."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> CrystalModel:
        """Read what `save` wrote."""


def check_request(model: CrystalModel, request: SampleRequest) -> None:
    """Refuse what a model cannot honour, part by part; every model calls it first.

    Raises:
        CapabilityError: the request names a part, a property, a value or a family that the model does not know.
    """
    for part in request.parts:
        if part not in model.honours:
            known = ", ".join(sorted(model.honours)) or "nothing"
            raise CapabilityError(f"{model.name} cannot be asked for a {part.removesuffix('s')}; it honours {known}.")
    for name, value in request.targets.items():
        if name not in model.targets:
            known = ", ".join(model.targets) or "no property"
            raise CapabilityError(f"This {model.name} model was not trained on {name!r}; it aims at {known}.")
        seen = np.asarray(model.training_labels.get(name, ()), dtype=float)
        # Farther outside than the training crystals lie apart, the nearest of them are no answer any more.
        if len(seen) and not 2 * seen.min() - seen.max() <= value <= 2 * seen.max() - seen.min():
            raise CapabilityError(
                f"This {model.name} model learned from crystals with {name} from {seen.min():.3g} to {seen.max():.3g}; "
                f"{value:g} lies far outside."
            )
    if request.family is not None and request.family not in model.families:
        known = ", ".join(model.families) or "no family"
        raise CapabilityError(f"This {model.name} model does not know the family {request.family!r}; it knows {known}.")


def codes_around(model: CrystalModel, request: SampleRequest, n: int, *, rng: np.random.Generator) -> Floats:
    """(n, latent) codes drawn around the base crystal of a request; a spread of 0 repeats the code of the base.

    Raises:
        InputError: there is no base crystal, or it fails the model's `check`.
    """
    if request.around is None:
        raise InputError("There is no crystal to draw around; give one.")
    base = model.encode([request.around], request.targets or None)[0]
    scale = np.asarray(model.training_codes, dtype=np.float32).std(axis=0)
    noise = rng.standard_normal((n, len(base))).astype(np.float32)
    return (base + np.float32(request.spread) * scale * noise).astype(np.float32)


def check_remembered(model: CrystalModel, n_latent: int, *, labelled: bool = True) -> None:
    """Make sure that what a stored model remembers of its training crystals fits together; every `load` ends with it.

    Args:
        model: as read.
        n_latent: width of its codes.
        labelled: whether there must be formation energies.

    Raises:
        CorruptDataError: codes of another width, or not as many labels or formulas as codes.
    """
    shape, n = np.shape(model.training_codes), len(model.training_formulas)
    if shape != (n, n_latent):
        raise CorruptDataError(f"Training codes have the shape {shape}; expected {n}, as many as formulas, {n_latent}.")
    for name in (*(("formation_energy",) if labelled else ()), *model.training_labels):
        if name not in model.training_labels:
            raise CorruptDataError(f"There is no label {name!r} of the training crystals.")
        if np.shape(model.training_labels[name]) != (n,):
            had = np.shape(model.training_labels[name])
            raise CorruptDataError(f"The labels {name!r} have the shape {had}; expected one for each of {n} crystals.")


def encodable(model: CrystalModel, crystals: Sequence[Crystal]) -> None:
    """Refuse crystals outside the limits of a model; every model's `encode` calls it first.

    Raises:
        InputError: one of them fails `check`.
    """
    for crystal in crystals:
        verdict = model.check(crystal)
        if not verdict.passed:
            raise InputError(f"{crystal.composition} cannot be encoded by {model.name}: {verdict.reason}")


def shipped_checkpoint(name: str, family: str = "") -> Path:
    """The checkpoint of a recipe that comes with the package, of one family where it has a model for each.

    Raises:
        UnknownNameError: there is no such recipe.
        InputError: its weights do not ship, or a family must be named; says what there is and how to train.
    """
    if name not in MODELS:
        raise UnknownNameError("recipe", name, MODELS)
    for path in (WEIGHTS / f"{name}_{family}.safetensors", WEIGHTS / f"{name}.safetensors"):
        if path.exists():
            return path
    families = sorted(path.stem.removeprefix(f"{name}_") for path in WEIGHTS.glob(f"{name}_*.safetensors"))
    if families and not family:
        raise InputError(f"{name} has a model for each family; name one of {', '.join(families)} as --family.")
    shipped = (
        f"{name} ships with weights for {', '.join(families)} alone, not for {family!r}"
        if families
        else f"No weights of {name} ship"
    )
    raise InputError(
        f"{shipped}. Train them, novalith train {name} --data FILE --out {name}.safetensors, and give them as "
        f"--checkpoint {name}.safetensors."
    )


def load_crystal_model(path: Path) -> CrystalModel:
    """The model of a checkpoint, whichever recipe wrote it.

    Raises:
        StorageError: the file cannot be opened.
        CorruptDataError: it is no checkpoint, or one of something that makes no crystals from codes.
    """
    kind = checkpoint_kind(path)
    if kind not in MODELS:
        raise CorruptDataError(f"{path} holds a model of kind {kind!r}; expected one of {', '.join(MODELS)}.")
    module, name = MODELS[kind]
    model: CrystalModel = getattr(import_module(module), name).load(path)
    return model
