"""Cubic crystals with a formation energy as asked: Court's conditional autoencoder with a segmentation network.

    image = u, v, x, y, z of a crystal (`novalith.recipes.court_images`),   c = bin of its formation energy, one-hot
    z ~ N(mu(image, c), sigma^2(image, c)),   image' = decoder(z, c)            `novalith.generate.principal_vae`
    loss = sum (image - image')^2 / 2 + beta KL + (1/2) perceptual,   perceptual: squared distance of U-Net features
    crystal' = cell of x, y, z; cores of the U-Net, split by watershed, less those where "no atom" has half of the
               softmax; from there atoms and species are fitted to the image (`novalith.recipes.court_reading`)

The ten bins are quantiles of the training energies; a row of zeros stands for "unknown", which a share of the training
crystals is given, so that crystals without an energy can be encoded. A draw for an energy lies on the way between the
codes of two training crystals of its bin, up to half way from the first; of eight such codes the one counts whose
energy, guessed from the training crystals (`novalith.recipes.court_guide`), is nearest. A draw around a base crystal
moves from its code by `spread` standard deviations of the codes (the paper's variance around a base compound). Every
family is cubic, so that the cell is its edge; sites are moved onto the symmetry that spglib finds within 0.03 Å.

Court, Yildirim, Jain and Cole, J. Chem. Inf. Model. 60, 4518 (2020); Hou et al., WACV (2017) for the perceptual loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CorruptDataError, InputError
from novalith.generate.principal_vae import PrincipalVae, PrincipalVaeSettings
from novalith.materials import Crystal, Verdict
from novalith.recipes.court_families import family_named
from novalith.recipes.court_guide import EnergyGuide
from novalith.recipes.court_images import BEND, ElementClasses, edge_of, flat, image_of, unflat
from novalith.recipes.court_reading import all_sites, likeliest
from novalith.recipes.court_segmentation import SegmentationSettings, build, segmented
from novalith.recipes.crystal_models import (
    CodeImages,
    CrystalModel,
    SampleRequest,
    check_remembered,
    check_request,
    codes_around,
    encodable,
)
from novalith.represent.density_coordinates import DensityCoordinates
from novalith.represent.gene import symmetrised
from novalith.represent.watershed_atoms import found_sites
from novalith.store.checkpoint import Checkpoint, load_checkpoint, rebuilds, save_checkpoint

if TYPE_CHECKING:
    from novalith.networks.segmentation_unet import SegmentationUnet

BIBTEX = """@article{court2020inorganic,
  title = {3-{D} Inorganic Crystal Structure Generation and Property Prediction via Representation Learning},
  author = {Court, Callum J. and Yildirim, Batuhan and Jain, Apoorv and Cole, Jacqueline M.},
  journal = {Journal of Chemical Information and Modeling}, volume = {60}, pages = {4518--4535}, year = {2020},
  doi = {10.1021/acs.jcim.0c00464}
}"""

NAME = "court"
TARGET = "formation_energy"
Floats = NDArray[np.float32]

#: Bins of the formation energy (published code).
N_BINS = 10
#: A core whose voxels give this share or more to "no atom" is none.
MOST_EMPTY = 0.5
#: Draws lie up to so far on the way from one training crystal to another.
FARTHEST = 0.5
#: Codes whose energy is guessed for one draw.
GUESSED = 8
#: Images decoded and read at a time.
AT_ONCE = 16
#: Fitted sites are good to a few hundredths of an Å, and moves smaller than that are no symmetry broken.
SYMPREC_A = 0.03
#: What the image of columns shows, in checkpoints: a network that learned another one misreads it.
COLUMNS = "32, each 1.1 times the one before"


@dataclass(frozen=True)
class CourtSettings:
    """Sizes and training.

    Attributes:
        n: voxels along an edge of the cell; a multiple of 8. The padded box has half as many more.
        perceptual: weight of the distance of features.
        perceived: one in so many images of a batch is compared by features.
        unknown: share of the training crystals whose energy is hidden from the autoencoder.
        autoencoder: sizes and training of the autoencoder.
        segmentation: the network that names voxels.
    """

    n: int = 16
    perceptual: float = 0.5
    perceived: int = 4
    unknown: float = 0.15
    autoencoder: PrincipalVaeSettings = field(default_factory=PrincipalVaeSettings)
    segmentation: SegmentationSettings = field(default_factory=SegmentationSettings)


#: `default` trains in four minutes on one core for 3,000 crystals; `paper` has the published sizes and epochs.
SIZES = {
    "tiny": CourtSettings(
        8, 0.5, 4, 0.15, PrincipalVaeSettings(8, (16,), 3e-3, 2, 8),
        SegmentationSettings((8, 16), 200, 100, 8, 2e-3, 64, "float32"),
    ),
    "default": CourtSettings(),
    "paper": CourtSettings(
        24, 0.5, 1, 0.15, PrincipalVaeSettings(256, (512, 512), 3e-3, 250, 20, 5e-4),
        SegmentationSettings((64, 128, 256), 800_000, 150_000, 10, 3e-4, 1024, "float32"),
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bins:
    """Quantile bins of the formation energy.

    Attributes:
        edges: (bins - 1,) inner borders, rising, eV/atom.
    """

    edges: NDArray[np.float64]

    @classmethod
    def of(cls, energies: NDArray[np.floating[Any]]) -> Bins:
        """Ten bins of equally many known energies; NaN are left out."""
        known = energies[np.isfinite(energies)]
        if len(known) < N_BINS:
            raise InputError(f"{len(known)} crystals have a formation energy; at least {N_BINS} are needed for bins.")
        return cls(np.quantile(known.astype(float), np.linspace(0, 1, N_BINS + 1)[1:-1]))

    def of_energy(self, energy_ev_per_atom: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
        """Number of the bin of each energy, 0 to 9."""
        return np.searchsorted(self.edges, energy_ev_per_atom, side="right")

    def condition(self, energies: NDArray[np.floating[Any]]) -> Floats:
        """(n, 10): the bin of each energy, one-hot; zeros for NaN."""
        rows = np.zeros((len(energies), N_BINS), dtype=np.float32)
        known = np.flatnonzero(np.isfinite(energies))
        rows[known, self.of_energy(np.asarray(energies)[known])] = 1.0
        return rows


class Court(CrystalModel):
    """A model of one family; see the module.

    Args:
        family: name of the family.
        classes: elements that it tells apart.
        bins: of the formation energy.
        settings: sizes and training.
    """

    name: ClassVar[str] = NAME
    honours: ClassVar[frozenset[str]] = frozenset({"family", "targets", "around"})

    def __init__(self, family: str, classes: ElementClasses, bins: Bins, settings: CourtSettings | None = None) -> None:
        self.family, self.classes, self.bins = family_named(family), classes, bins
        self.settings = settings or CourtSettings()
        self.targets, self.families = (TARGET,), (family,)
        self.codec = DensityCoordinates()
        self.autoencoder = PrincipalVae(self.settings.autoencoder)
        self.net: SegmentationUnet = build(self.settings.segmentation, len(classes))
        self.training_codes: Floats = np.zeros((0, 0), dtype=np.float32)
        self.training_labels: Mapping[str, NDArray[np.floating[Any]]] = {TARGET: np.zeros(0)}
        self.training_formulas: tuple[str, ...] = ()

    def prepared(self, crystal: Crystal) -> Crystal | Verdict:
        """The crystal in the setting of the family, or why the model cannot take it."""
        found = self.family.setting(crystal)
        if isinstance(found, Verdict):
            return found
        said = self.codec.check(found)
        if not said.passed:
            return said
        strangers = sorted(set(found.species) - set(self.classes.symbols))
        if strangers:
            return Verdict(False, "elements", f"The model was not trained on {', '.join(strangers)}.")
        return found

    def check(self, crystal: Crystal) -> Verdict:
        """Whether it is of the family, small enough, and of elements that were trained on."""
        found = self.prepared(crystal)
        return found if isinstance(found, Verdict) else Verdict(True, NAME)

    def encode(self, crystals: Sequence[Crystal], targets: Mapping[str, float] | None = None) -> Floats:
        """(n, latent) codes; without a target the formation energy is given as unknown."""
        encodable(self, crystals)
        ready = [self.prepared(c) for c in crystals]
        energy = (targets or {}).get(TARGET, np.nan)
        return self.encode_prepared([c for c in ready if isinstance(c, Crystal)], np.full(len(ready), energy))

    def encode_prepared(self, crystals: Sequence[Crystal], energies: NDArray[np.floating[Any]]) -> Floats:
        """Codes of crystals in the setting of the family, each with its own energy (NaN: unknown)."""
        parts = [np.zeros((0, self.autoencoder.n_latent), dtype=np.float32)]
        for start in range(0, len(crystals), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            images = np.stack([image_of(c, self.settings.n) for c in crystals[rows]])
            parts.append(self.autoencoder.encode(flat(images), self.bins.condition(np.asarray(energies)[rows])))
        return np.concatenate(parts)

    def decode(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[Crystal | Verdict]:
        """The crystal of each code, or why there is none."""
        check_request(self, request)
        return self.decode_conditioned(codes, np.full(len(codes), request.targets.get(TARGET, np.nan)))

    def decode_conditioned(
        self, codes: NDArray[np.floating[Any]], energies: NDArray[np.floating[Any]]
    ) -> list[Crystal | Verdict]:
        """As `decode`, each code with its own energy (NaN: unknown)."""
        found: list[Crystal | Verdict] = []
        for start in range(0, len(codes), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            found += self.crystals_of(self.decoded(np.asarray(codes)[rows], np.asarray(energies)[rows]))
        return found

    def decoded(self, codes: NDArray[np.floating[Any]], energies: NDArray[np.floating[Any]]) -> Floats:
        """Images (b, 5, n, n, n) of codes, each with its own energy (NaN: unknown)."""
        return unflat(self.autoencoder.decode(codes, self.bins.condition(energies)), self.settings.n)

    def crystals_of(self, images: Floats) -> list[Crystal | Verdict]:
        """The crystal that each image (b, 5, n, n, n) shows, on its symmetry, or why it shows none."""
        return [c if isinstance(c, Verdict) else symmetrised(c, SYMPREC_A) for c in self.read(images)]

    def read(self, images: Floats, *, fitted: bool = True) -> list[Crystal | Verdict]:
        """As `crystals_of`, the sites where they were found in the cell; without the fit, as the network sees them."""
        if not len(images):
            return []
        finite = [bool(np.isfinite(image).all()) for image in images]
        read = segmented(self.net, np.where(np.array(finite)[:, None, None, None, None], images, 0.0))
        return [
            self._crystal(image, *parts, fitted)
            if good
            else Verdict(False, "decode", "The image holds numbers not finite.")
            for image, parts, good in zip(images, read, finite, strict=True)
        ]

    def _crystal(
        self, image: Floats, core: Floats, regions: NDArray[np.int64], species: Floats, fitted: bool
    ) -> Crystal | Verdict:
        edge = edge_of(image)
        if isinstance(edge, Verdict):
            return edge
        if not regions.any():
            return Verdict(False, "empty", "No voxel of the decoded image lies in the core of an atom.")
        found = found_sites(regions, core, species, np.eye(3) * edge)
        # A core is learned from where atoms lie in the family; whether one is there, the species say as well.
        there = found.classes[:, 0] < MOST_EMPTY
        if not there.any():
            return Verdict(
                False, "empty", "Every core of the decoded image is more likely to be none than any element."
            )
        if there.sum() > self.codec.max_sites:
            return Verdict(False, "sites", f"{there.sum()} atoms were decoded; at most {self.codec.max_sites} fit.")
        if not fitted:
            symbols = [self.classes.symbols[k] for k in found.classes[there, 1:].argmax(axis=1)]
            return Crystal.from_arrays(np.eye(3) * edge, symbols, found.frac[there])
        fit = all_sites(image[1], found.frac[there], edge)
        if len(fit.frac) > self.codec.max_sites:
            return Verdict(False, "sites", f"{len(fit.frac)} atoms were fitted; at most {self.codec.max_sites} fit.")
        return Crystal.from_arrays(np.eye(3) * edge, likeliest(image[0], fit, edge, self.classes.symbols), fit.frac)

    def sample(self, n: int, request: SampleRequest, *, rng: np.random.Generator) -> list[Crystal | Verdict]:
        """Exactly `n` draws; those that left the family are verdicts."""
        check_request(self, request)
        if n < 0:
            raise InputError(f"{n} draws came; expected 0 or more.")
        return [self._kept(c) for c in self.decode(self.draw_codes(n, request, rng=rng), request)]

    def draw_codes(self, n: int, request: SampleRequest, *, rng: np.random.Generator) -> Floats:
        """(n, latent) codes around the base crystal, or between training crystals of the bin that is asked for."""
        if request.around is not None:
            return codes_around(self, request, n, rng=rng)
        codes = np.asarray(self.training_codes, dtype=np.float32)
        rows, guessed = np.arange(len(codes)), 1
        if TARGET in request.targets:
            wanted = self.bins.of_energy(np.array([request.targets[TARGET]]))[0]
            rows = np.flatnonzero(self.bins.of_energy(np.asarray(self.training_labels[TARGET])) == wanted)
            guessed = GUESSED
        way = rng.uniform(0.0, FARTHEST, (guessed * n, 1)).astype(np.float32)
        drawn: Floats = (1 - way) * codes[rng.choice(rows, len(way))] + way * codes[rng.choice(rows, len(way))]
        if guessed == 1:
            return drawn
        asked = float(request.targets[TARGET])
        w = self.autoencoder.coefficients(drawn, self.bins.condition(np.full(len(drawn), asked)))
        off = np.abs(self._guide.energies(w) - asked).reshape(n, guessed)
        return drawn.reshape(n, guessed, -1)[np.arange(n), off.argmin(axis=1)]

    @cached_property
    def _guide(self) -> EnergyGuide:
        energies = np.asarray(self.training_labels[TARGET])
        w = self.autoencoder.coefficients(self.training_codes, self.bins.condition(energies))
        return EnergyGuide.of(w, self.autoencoder.deviations, energies)

    def _kept(self, product: Crystal | Verdict) -> Crystal | Verdict:
        if isinstance(product, Verdict):
            return product
        found = self.family.setting(product)
        return found if isinstance(found, Verdict) else product

    def images(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[CodeImages]:
        """Density (e/Å3) and columns (1/Å3) that codes decode to over their cells."""
        check_request(self, request)
        energies = np.full(len(codes), request.targets.get(TARGET, np.nan))
        raw = self.decoded(codes, energies)
        return [
            CodeImages(name, np.asarray(BEND * np.expm1(np.clip(raw[:, k], 0.0, 20.0)), dtype=np.float32))
            for k, name in enumerate(("density (e/Å³)", "columns (1/Å³)"))
        ]

    def save(self, path: Path, *, precision: str = "float32") -> None:
        """Write the two networks, the bins and the training codes as one checkpoint; half precision is half as long."""
        tensors: dict[str, NDArray[Any]] = {f"vae.{k}": t for k, t in self.autoencoder.tensors().items()}
        tensors |= {f"unet.{k}": t.detach().cpu().numpy() for k, t in self.net.state_dict().items()}
        tensors = {k: t.astype(precision) if t.dtype.kind == "f" else t for k, t in tensors.items()}
        tensors["training_codes"] = self.training_codes.astype(np.float16)
        tensors["training_energies"] = np.asarray(self.training_labels[TARGET], dtype=np.float32)
        config = {"family": self.family.name, "settings": asdict(self.settings), "bins": self.bins.edges.tolist()}
        config["columns"] = COLUMNS
        vocabulary = {"elements": list(self.classes.symbols), "formulas": list(self.training_formulas)}
        save_checkpoint(Checkpoint(NAME, tensors, config, vocabulary), path)

    @classmethod
    @rebuilds
    def load(cls, path: Path) -> Court:
        """Read what `save` wrote; weights in half precision are read too.

        Raises:
            StorageError: the file cannot be opened.
            CorruptDataError: it is no such model.
        """
        import torch

        stored = load_checkpoint(path, NAME)
        if stored.config.get("columns") != COLUMNS:
            raise CorruptDataError(f"{path} was trained on another image of the columns of elements; train it again.")
        given = dict(stored.config["settings"])
        given["segmentation"] = SegmentationSettings(**_tupled(given["segmentation"]))
        given["autoencoder"] = PrincipalVaeSettings(**given["autoencoder"])
        settings = CourtSettings(**_tupled(given))
        classes = ElementClasses(tuple(stored.vocabulary["elements"]))
        model = cls(stored.config["family"], classes, Bins(np.array(stored.config["bins"])), settings)
        model.autoencoder = PrincipalVae.of_tensors(settings.autoencoder, (N_BINS,), stored.part("vae"))
        weights = {k: torch.from_numpy(np.array(t, dtype=np.float32)) for k, t in stored.part("unet").items()}
        model.net.load_state_dict(weights)
        model.net.eval()
        model.training_codes = np.array(stored.tensors["training_codes"], dtype=np.float32)
        model.training_labels = {TARGET: np.array(stored.tensors["training_energies"])}
        model.training_formulas = tuple(stored.vocabulary["formulas"])
        check_remembered(model, model.autoencoder.n_latent)
        return model


def _tupled(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
