"""iMatGen: crystals of one chemical system as images, images as codes, and a variational autoencoder of the codes.

    crystal -> image of the cell, one basis image an element -> codes -> z = encoder(codes) -> codes' -> crystal'

After Noh, Kim, Stein, Sanchez-Lengeling, Gregoire, Aspuru-Guzik and Jung, Matter 1, 1370 (2019). The images are the
published ones (`novalith.represent.cell_images`); the codes are those of autoencoders (sizes "paper" and "learned") or,
by default, the longest waves of the image, which need no training and lose nothing (`novalith.recipes.imatgen_codes`).
A head on z says whether a crystal is stable (`novalith.generate.code_vae`). Any system of up to five elements can be
learned from a training set made for it (`novalith.recipes.imatgen_training`).

New crystals are drawn in three ways, as the published noise of 1e-4 demands: near a known latent vector, on the arc
between two neighbours (spherical interpolation about the mean), and from the Gaussian of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, CorruptDataError, InputError
from novalith.generate.code_vae import CodeVae, CodeVaeSettings
from novalith.generate.image_autoencoder import ImageAutoencoderSettings
from novalith.generate.principal_autoencoder import PrincipalAutoencoderSettings
from novalith.materials import Crystal, PhaseField, Verdict
from novalith.recipes.crystal_models import (
    CodeImages,
    CrystalModel,
    SampleRequest,
    check_remembered,
    check_request,
    codes_around,
    encodable,
)
from novalith.recipes.imatgen_codes import (
    RULE,
    ImageCodes,
    LearnedCodes,
    LearnedCodesSettings,
    WaveCodes,
    crystal_codes,
    crystals_of_codes,
)
from novalith.recipes.latent_draws import drawn_three_ways
from novalith.recipes.substituted_training_set import FEWEST_CRYSTALS, LabelledCrystal
from novalith.represent.cell_images import BOX_A, MAX_ELEMENTS, CellImages, basis_positions
from novalith.represent.wave_codes import REACH_A, SHELLS
from novalith.store.checkpoint import Checkpoint, load_checkpoint, rebuilds, save_checkpoint

if TYPE_CHECKING:
    from novalith.training.loop import EpochReport

BIBTEX = """@article{noh2019inverse,
  title = {Inverse design of solid-state materials via a continuous representation},
  author = {Noh, Juhwan and Kim, Jaehoon and Stein, Helge S. and Sanchez-Lengeling, Benjamin and Gregoire, John M. and
    Aspuru-Guzik, Alan and Jung, Yousung},
  journal = {Matter}, volume = {1}, number = {5}, pages = {1370--1384}, year = {2019},
  doi = {10.1016/j.matt.2019.08.017}
}"""

Floats = NDArray[np.float32]
#: Energy above the hull (eV/atom) up to which a training crystal counts as stable for the head.
STABLE_EV_PER_ATOM = 0.1


@dataclass(frozen=True)
class ImatgenSettings:
    """Sizes and training.

    Attributes:
        learned: the autoencoders of the images; None takes the waves.
        n_latent: width of z; "axes" take at most the numbers of the codes, which for five elements are 1021.
        layers: "axes" or the published "convolution".
        n_epochs: passes of the autoencoder of codes.
        head_hidden: widths of the head.
        head_weight: weight of the head's cross-entropy.
        learning_rate: peak of the cycle.
    """

    learned: LearnedCodesSettings | None = None
    n_latent: int = 1021
    layers: str = "axes"
    n_epochs: int = 150
    head_hidden: tuple[int, ...] = (32,)
    head_weight: float = 0.05
    learning_rate: float = 3e-3

    def vae(self, codes: ImageCodes, n_elements: int) -> CodeVaeSettings:
        """The autoencoder of codes for a system."""
        return CodeVaeSettings(
            n_elements, codes.n_basis, codes.n_cell, self.n_latent, self.layers,
            head_hidden=self.head_hidden, shells=SHELLS if isinstance(codes, WaveCodes) else (),
            head_weight=self.head_weight, n_epochs=self.n_epochs, learning_rate=self.learning_rate,
        )  # fmt: skip


_IMAGES = ImageAutoencoderSettings(output="sigmoid", code_activation="tanh")
#: `default` takes the waves; `learned` trains autoencoders, codes as wide as published, on a coarser grid of wider
#: Gaussians, in about an hour on one core; `paper` has the published layers, widths, rates and epochs.
SIZES = {
    "tiny": ImatgenSettings(n_latent=32, n_epochs=3, learning_rate=1e-3),
    "default": ImatgenSettings(),
    "learned": ImatgenSettings(
        LearnedCodesSettings(
            0.65,
            PrincipalAutoencoderSettings(
                24, 200, width=48, n_blocks=4, n_epochs=6, batch_size=16, averaging=0.995, precision="bfloat16"
            ),
            PrincipalAutoencoderSettings(
                32, 400, 20, (512, 512), n_blocks=0, n_epochs=40, batch_size=64, learning_rate=2e-3
            ),
        )
    ),
    "paper": ImatgenSettings(
        LearnedCodesSettings(
            0.26,
            replace(
                _IMAGES, n=64, widths=(64, 64, 64, 64), n_latent=200, batch_size=24, n_epochs=21, learning_rate=3e-4
            ),
            replace(_IMAGES, n=32, widths=(64, 64, 64), n_latent=20, batch_size=32, n_epochs=21, learning_rate=1e-4),
        ),
        500, "convolution", 201, (), 5e-7, 1e-4,
    ),
}  # fmt: skip


class Imatgen(CrystalModel):
    """A generator of crystals of one chemical system.

    Args:
        field: the elements, each with its image.
        codes: how images become codes.
        vae: the autoencoder of codes, trained.
    """

    name: ClassVar[str] = "imatgen"
    honours: ClassVar[frozenset[str]] = frozenset({"field", "composition", "around"})
    targets: tuple[str, ...] = ()
    families: tuple[str, ...] = ()

    def __init__(self, field: PhaseField, codes: ImageCodes, vae: CodeVae) -> None:
        self.field, self.codes, self.vae = field, codes, vae
        self.training_codes: NDArray[np.floating[Any]] = np.zeros((0, vae.settings.n_used), np.float16)
        self.training_labels: Mapping[str, NDArray[np.floating[Any]]] = {}
        self.training_formulas: tuple[str, ...] = ()

    def check(self, crystal: Crystal) -> Verdict:
        """At most 20 sites, edges of 10 Å, elements of the system, and atoms within the period of the waves."""
        strange = sorted(set(crystal.species) - set(self.field.elements))
        if strange:
            return Verdict(False, "elements", f"{', '.join(strange)} has no image in a model of {self.field}.")
        said = CellImages().check(crystal)
        if said.passed and np.abs(basis_positions(crystal)).max() > REACH_A:
            return Verdict(False, RULE, f"An atom lies more than {REACH_A:g} Å from the middle along an axis.")
        return said

    def encode(self, crystals: Sequence[Crystal], targets: Mapping[str, float] | None = None) -> Floats:
        """(n, latent) means of z."""
        del targets  # nothing conditions this encoder
        encodable(self, crystals)
        return self.vae.encode(crystal_codes(self.codes, crystals, self.field.elements))

    def decode(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[Crystal | Verdict]:
        """The crystal of each z; one that is not as asked for is a verdict."""
        self._refuse(request)
        if not len(codes):
            return []
        with np.errstate(over="ignore", invalid="ignore"):
            rows = self.vae.decode(np.asarray(codes, dtype=np.float32))
        return [_as_asked(o, request) for o in crystals_of_codes(self.codes, rows, self.field.elements)]

    def sample(self, n: int, request: SampleRequest, *, rng: np.random.Generator) -> list[Crystal | Verdict]:
        """Draws in the three ways, or around the crystal of the request."""
        return self.decode(self.draw_latent(n, request, rng=rng)[0], request)

    def draw_latent(
        self, n: int, request: SampleRequest, *, rng: np.random.Generator
    ) -> tuple[Floats, NDArray[np.int64]]:
        """(n, latent) draws, and the way of each as its place in `latent_draws.WAYS`, -1 around a crystal.

        Raises:
            CapabilityError: the request has a part that the model cannot honour.
            InputError: the base crystal of the request fails `check`, or `n` is negative.
        """
        self._refuse(request)
        if n < 0:
            raise InputError(f"{n} draws were asked for; expected 0 or more.")
        if request.around is not None:
            return codes_around(self, request, n, rng=rng), np.full(n, -1)
        return drawn_three_ways(
            self.training_codes, self._bases(request), lambda m: self.vae.sample_latent(m, rng=rng), n, rng=rng
        )

    def images(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[CodeImages]:
        """One image an element."""
        self._refuse(request)
        width, elements = self.codes.n_basis, self.field.elements
        with np.errstate(over="ignore", invalid="ignore"):
            rows = self.vae.decode(np.asarray(codes, dtype=np.float32))
        return [
            CodeImages(element, self.codes.images(rows[:, i * width : (i + 1) * width]), BOX_A)
            for i, element in enumerate(elements)
        ]

    def stability(self, crystals: Sequence[Crystal]) -> Floats:
        """(n,) what the head says: the probability of being at most `STABLE_EV_PER_ATOM` above the hull."""
        return self.vae.stability(self.encode(crystals))

    def save(self, path: Path) -> None:
        """Write the model."""
        learned = self.codes if isinstance(self.codes, LearnedCodes) else None
        config = {
            "field": list(self.field.elements),
            "codes": self.codes.kind,
            "learned": None if learned is None else learned.config(),
            "vae": asdict(self.vae.settings),
        }
        tensors: dict[str, NDArray[Any]] = {f"vae.{k}": t for k, t in self.vae.tensors().items()}
        tensors |= {} if learned is None else {f"codes.{k}": t for k, t in learned.tensors().items()}
        tensors |= {f"labels.{k}": v.astype(np.float32) for k, v in self.training_labels.items()}
        tensors["training_codes"] = self.training_codes.astype(np.float16)
        save_checkpoint(Checkpoint(self.name, tensors, config, {"formulas": list(self.training_formulas)}), path)

    @classmethod
    @rebuilds
    def load(cls, path: Path) -> Imatgen:
        """Read what `save` wrote.

        Raises:
            StorageError: the file cannot be opened.
            CorruptDataError: it is no such model.
        """
        stored = load_checkpoint(path, cls.name)
        config, record = stored.config, dict(stored.config["vae"])
        record |= {name: tuple(record[name]) for name in ("head_hidden", "shells")}
        vae = CodeVae.of_tensors(CodeVaeSettings(**record), stored.part("vae"))
        model = cls(PhaseField(tuple(config["field"])), _codes_of(config, stored.part("codes"), path), vae)
        model.training_codes, model.training_labels = stored.tensors["training_codes"], stored.part("labels")
        model.training_formulas = tuple(stored.vocabulary["formulas"])
        check_remembered(model, vae.settings.n_used)
        return model

    def _refuse(self, request: SampleRequest) -> None:
        """Raise for a request that the model cannot honour, one for other elements among them."""
        check_request(self, request)
        asked = request.composition.field if request.composition is not None else request.field
        strange = ", ".join(s for s in (asked.elements if asked else ()) if s not in self.field)
        if strange:
            raise CapabilityError(f"{strange} has no image in a model of {self.field}; train one with novalith train.")

    def _bases(self, request: SampleRequest) -> NDArray[np.int64]:
        """Training crystals from which draws start: those of the composition asked for, or all where there is none."""
        if request.composition is not None:
            same = np.flatnonzero([f == request.composition.formula for f in self.training_formulas])
            if len(same):
                return same
        return np.arange(len(self.training_codes))


def train_imatgen(  # noqa: PLR0913 - what is learned, how, and what accompanies it
    crystals: Sequence[LabelledCrystal], field: PhaseField, settings: ImatgenSettings, codes: ImageCodes,
    resume_path: Path | None = None, watch: Callable[[EpochReport], None] = lambda _: None,
    *, rng: np.random.Generator,
) -> tuple[Imatgen, dict[str, Verdict]]:  # fmt: skip
    """Train on labelled crystals; returns the model and, by id, why crystals were left out.

    Raises:
        InputError: the system has more than five elements, or too few crystals are within the limits.
    """
    if len(field) > MAX_ELEMENTS:
        raise InputError(f"{field} has {len(field)} elements; at most {MAX_ELEMENTS} have an image.")
    vae = CodeVae(settings.vae(codes, len(field)))
    model = Imatgen(field, codes, vae)
    verdicts = [model.check(c.crystal) for c in crystals]
    kept = [c for c, v in zip(crystals, verdicts, strict=True) if v.passed]
    aside = {c.id: v for c, v in zip(crystals, verdicts, strict=True) if not v.passed}
    if len(kept) < FEWEST_CRYSTALS:
        reasons = "; ".join(sorted({v.reason for v in aside.values()})[:3]) or "no more were given"
        raise InputError(
            f"{len(kept)} training crystals are within the limits; at least {FEWEST_CRYSTALS} are needed ({reasons})."
        )
    rows = crystal_codes(codes, [c.crystal for c in kept], field.elements)
    above = np.array([c.energy_above_hull_ev_per_atom for c in kept])
    vae.learn(rows, (above <= STABLE_EV_PER_ATOM).astype(float), resume_path, watch, rng=rng)
    model.training_codes = vae.encode(rows).astype(np.float16)
    model.training_labels = {
        "formation_energy": np.array([c.formation_energy_ev_per_atom for c in kept], dtype=np.float32),
        "energy_above_hull": above.astype(np.float32),
    }
    model.training_formulas = tuple(c.crystal.composition.formula for c in kept)
    return model, aside


def _codes_of(config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]], path: Path) -> ImageCodes:
    learned = config["learned"]
    if config["codes"] == WaveCodes.kind:
        return WaveCodes()
    if config["codes"] == LearnedCodes.kind:
        return LearnedCodes.of_tensors(LearnedCodesSettings.of_json(learned), tensors)
    raise CorruptDataError(f"{path} has codes of kind {config['codes']!r}; this novalith knows waves and learned.")


def _as_asked(outcome: Crystal | Verdict, request: SampleRequest) -> Crystal | Verdict:
    if isinstance(outcome, Verdict):
        return outcome
    found = outcome.composition
    if request.composition is not None and found.formula != request.composition.formula:
        return Verdict(False, "composition", f"{found.formula} came; {request.composition.formula} was asked for.")
    if request.field is not None and not request.field.covers(found.field):
        return Verdict(False, "field", f"{found.formula} came; elements of {request.field} were asked for.")
    return outcome
