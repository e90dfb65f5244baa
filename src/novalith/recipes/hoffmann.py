"""Crystals of many classes of materials from the density in a box: a variational autoencoder, then a 3D UNet.

    code = (z, cell),   z = VAE encoder(log density),   cell = (a, b, c, alpha, beta, gamma) / usual spread
    log density' = VAE decoder(z),   p(Z | voxel) = UNet(density'),   crystal' = atoms of p folded into the cell

After Hoffmann, Maestrati, Sawada, Tang, Sellier and Bengio (2019): the density of a repeating lattice in a box of about
10 Å, a VAE on it, and a UNet with a class for every element, whose regions are the atoms. Two ways lead to the cell.
`autocorrelation` finds it from the decoded density alone, as the paper's representation demands; `beside` keeps the six
numbers of the cell beside z, as part of the code, and only corrects them by the density. The rest of what differs
from the paper is listed in docs/voxels.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError, UnknownNameError
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Composition, Crystal, Verdict
from novalith.predict.voxel_classes import VoxelSegmenter
from novalith.recipes.crystal_models import (
    CodeImages,
    CrystalModel,
    SampleRequest,
    check_remembered,
    check_request,
    codes_around,
    encodable,
)
from novalith.recipes.hoffmann_images import (
    HEAVIEST,
    BoxedCrystal,
    DensityImages,
    heaviest_allowed,
    to_density,
    to_image,
)
from novalith.recipes.hoffmann_settings import N_CLASSES, SIZES, HoffmannSettings
from novalith.recipes.latent_draws import drawn_three_ways
from novalith.represent.box_folding import (
    FoldedAtoms,
    atoms_in_cell,
    lattice_heights,
    most_consistent,
    named_atoms,
    shown_share,
)
from novalith.represent.box_lattice import corrected_cell, lattice_candidates
from novalith.represent.box_peaks import Sites, sites_of_density
from novalith.represent.point_cloud import cell_parameters, lattice_matrix
from novalith.represent.voxels import check_limits
from novalith.store.checkpoint import Checkpoint, load_checkpoint, rebuilds, save_checkpoint

BIBTEX = """@article{hoffmann2019data,
  title = {Data-driven approach to encoding and decoding 3-D crystal structures},
  author = {Hoffmann, Jordan and Maestrati, Louis and Sawada, Yoshihide and Tang, Jian and Sellier, Jean Michel and
    Bengio, Yoshua},
  journal = {arXiv:1909.00949}, year = {2019}
}
@article{cardoso2022monai,
  title = {MONAI: An open-source framework for deep learning in healthcare},
  author = {Cardoso, M. Jorge and others}, journal = {arXiv:2211.02701}, year = {2022}
}"""

__all__ = ["ATOMS", "BIBTEX", "CELLS", "NAME", "SIZES", "SPECIES", "Hoffmann", "HoffmannSettings"]

NAME = "hoffmann"
Floats = NDArray[np.float32]
CELLS = ("beside", "autocorrelation")
ATOMS = ("density", "network")
SPECIES = ("heights", "network")
#: Typical edges (Å) and angles (degrees) and their spread over the bundled crystals: the cell's part of the code.
CELL_MEAN = np.array([4.6, 5.2, 6.2, 90.0, 90.0, 90.0])
CELL_SPREAD = np.array([1.2, 1.2, 1.3, 15.0, 15.0, 18.0])
#: Parts of the autoencoder that are stored in half precision.
HALVED = ("vae.basis",)
#: Added to the diagonal when cells are predicted from z.
RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a density shows.

    Attributes:
        crystal: or why there is none.
        folded: the cell that was chosen, None without one.
        n_cells: cells that were tried.
    """

    crystal: Crystal | Verdict
    folded: FoldedAtoms | None = None
    n_cells: int = 0


def cell_code(lattice: NDArray[np.float64]) -> Floats:
    """(3, 3) Å -> the six numbers of the code."""
    lengths, angles = cell_parameters(lattice)
    code: Floats = ((np.concatenate([lengths, angles]) - CELL_MEAN) / CELL_SPREAD).astype(np.float32)
    return code


def cell_of_code(code: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """The inverse of `cell_code`; None where the numbers make no cell."""
    numbers = np.asarray(code, dtype=np.float64) * CELL_SPREAD + CELL_MEAN
    return lattice_matrix(numbers[:3], numbers[3:]) if np.isfinite(numbers).all() else None


class Hoffmann(CrystalModel):
    """A generator of crystals of any elements up to curium.

    Args:
        settings: sizes and training.
        cell: where the cell comes from when a code is decoded, one of `CELLS`.
        species: who names the atoms, one of `SPECIES`.
        atoms: who finds them, one of `ATOMS`.
    """

    name: ClassVar[str] = NAME
    honours: ClassVar[frozenset[str]] = frozenset({"field", "composition", "around"})
    targets: tuple[str, ...] = ()
    families: tuple[str, ...] = ()

    def __init__(
        self, settings: HoffmannSettings, cell: str = CELLS[0], species: str = SPECIES[0], atoms: str = ATOMS[0]
    ) -> None:
        ways = (
            ("way to the cell", cell, CELLS),
            ("way to the species", species, SPECIES),
            ("way to atoms", atoms, ATOMS),
        )
        for kind, name, known in ways:
            if name not in known:
                raise UnknownNameError(kind, name, known)
        self.settings, self.cell, self.species, self.atoms = settings, cell, species, atoms
        self.autoencoder = settings.new_autoencoder()
        self.segmenter = VoxelSegmenter(settings.segmenter)
        self.training_codes: Floats = np.zeros((0, 6), np.float32)
        self.training_labels: Mapping[str, NDArray[np.floating[Any]]] = {}
        self.training_formulas: tuple[str, ...] = ()
        self.held_out: tuple[str, ...] = ()

    def check(self, crystal: Crystal) -> Verdict:
        """Whether the networks know the elements, and the box shows the whole Niggli cell."""
        known = heaviest_allowed(crystal)
        if not known.passed:
            return known
        return self.check_boxed(BoxedCrystal.of(crystal))

    def check_boxed(self, boxed: BoxedCrystal) -> Verdict:
        """`check` for a crystal that is in its Niggli cell already."""
        s = self.settings
        verdict = check_limits(boxed.crystal, NAME, max_sites=s.max_atoms, max_edge_a=s.max_edge_a)
        return verdict if not verdict.passed else shown_share(boxed.lattice, s.box)

    def encode(self, crystals: Sequence[Crystal], targets: Mapping[str, float] | None = None) -> Floats:
        """(n, latent + 6) codes, an atom of the heaviest element in the middle of the box.

        Raises:
            InputError: one of them fails `check`.
        """
        encodable(self, crystals)
        if targets:
            raise InputError(f"{NAME} has no condition; leave the targets {', '.join(targets)} out.")
        boxed = [BoxedCrystal.of(c) for c in crystals]
        if not boxed:
            return np.zeros((0, self.autoencoder.n_latent + 6), np.float32)
        # A generator for each, so that the code of a crystal does not depend on those before it.
        made = [self.density_of(b, rng=np.random.default_rng(0)) for b in boxed]
        return self._with_cells(self.autoencoder.encode(to_image(np.stack(made)[:, None])), boxed)

    def encode_boxed(self, boxed: Sequence[BoxedCrystal], *, rng: np.random.Generator) -> Floats:
        """Codes of crystals that are in their Niggli cells already, at origins drawn at random."""
        source = DensityImages(boxed, self.settings.box, self.settings.origin)
        parts = np.array_split(np.arange(len(boxed)), max(1, -(-len(boxed) // 32)))
        return self._with_cells(np.concatenate([self.autoencoder.encode(source.images(p, rng)) for p in parts]), boxed)

    @staticmethod
    def _with_cells(z: Floats, boxed: Sequence[BoxedCrystal]) -> Floats:
        codes: Floats = np.concatenate([z, [cell_code(b.lattice) for b in boxed]], axis=1).astype(np.float32)
        return codes

    def offset_of(self, boxed: BoxedCrystal, *, rng: np.random.Generator) -> NDArray[np.float64]:
        """Where the origin of a cell goes in the box, Å; the same `rng` gives the offset of `density_of`."""
        return boxed.offset(self.settings.box, self.settings.origin, rng=rng)

    def density_of(self, boxed: BoxedCrystal, *, rng: np.random.Generator) -> Floats:
        """The true density of a crystal in the box, (k, k, k), electrons/Å3."""
        source = DensityImages([boxed], self.settings.box, self.settings.origin)
        density: Floats = source.densities(np.array([0]), rng)[0, 0]
        return density

    def densities(self, codes: NDArray[np.floating[Any]]) -> Floats:
        """(n, latent + 6) codes -> (n, 1, k, k, k) densities, electrons/Å3."""
        width = self.autoencoder.n_latent
        if codes.ndim != 2 or codes.shape[1] != width + 6:
            raise InputError(f"Codes of shape {codes.shape} came; expected (n, {width + 6}).")
        return to_density(self.autoencoder.decode(np.nan_to_num(codes[:, :width])))

    def decode(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[Crystal | Verdict]:
        """The crystal of each code, or why there is none; elements outside the request are never read."""
        check_request(self, request)
        found: list[Crystal | Verdict] = []
        for code in np.asarray(codes, dtype=np.float32):
            if not np.isfinite(code).all():
                found.append(Verdict(False, "code", "The code holds numbers that are not finite."))
                continue
            density = self.densities(code[None])
            lattice = cell_of_code(code[-6:])
            found.append(self.read(density[0, 0], lattice, request))
        return found

    def read(self, density: Floats, lattice: NDArray[np.float64] | None, request: SampleRequest) -> Crystal | Verdict:
        """The crystal that a density (k, k, k) shows; `lattice` is needed for the cell `beside`."""
        probabilities = self.segmenter.probabilities(density[None, None])[0]
        sites = self.sites_of(density, self.cells_of(density, lattice, self.cell), self.atoms)
        atoms = self.read_voxels(probabilities, sites, request)
        return self.named(atoms, density, request, self.species)

    def sites_of(
        self, density: Floats, cells: list[NDArray[np.float64]] | Verdict, atoms: str
    ) -> list[tuple[NDArray[np.float64], Sites | None]] | Verdict:
        """Each cell with the sites that the density (k, k, k) has in it, None where the UNet is to find them."""
        if isinstance(cells, Verdict):
            return cells
        if atoms == "network":
            return [(cell, None) for cell in cells]
        found = [(cell, sites_of_density(density, cell, self.settings.box)) for cell in cells]
        good: list[tuple[NDArray[np.float64], Sites | None]] = [(c, x) for c, x in found if not isinstance(x, Verdict)]
        refused = [x for _, x in found if isinstance(x, Verdict)]
        return good if good else refused[0]

    def read_voxels(
        self,
        probabilities: Floats,
        sites: list[tuple[NDArray[np.float64], Sites | None]] | Verdict,
        request: SampleRequest,
    ) -> Decoded:
        """The atoms of the most consistent of some cells, named by the UNet; `probabilities` (k^3, classes)."""
        if isinstance(sites, Verdict):
            return Decoded(sites)
        allowed, box = self._allowed(request), self.settings.box
        if allowed is not None:
            probabilities = within(probabilities, allowed)
        tried = [
            atoms_in_cell(probabilities, cell, box) if x is None else named_atoms(probabilities, cell, x[0], box, x[2])
            for cell, x in sites
        ]
        good = [t for t in tried if isinstance(t, FoldedAtoms)]
        if not good:
            return Decoded(next(t for t in tried if isinstance(t, Verdict)), None, len(sites))
        best = most_consistent(good)
        return Decoded(best.crystal, best, len(sites))

    def named(self, atoms: Decoded, density: Floats, request: SampleRequest, species: str) -> Crystal | Verdict:
        """The crystal of some atoms, their species by the UNet or by heights, if it is what was asked for."""
        crystal = atoms.crystal
        if not isinstance(crystal, Crystal):
            return crystal
        if species == "heights":
            allowed = self._allowed(request)
            numbers = np.arange(1, N_CLASSES) if allowed is None else np.flatnonzero(allowed[1:]) + 1
            lattice = np.array(crystal.lattice)
            heights = lattice_heights(density, lattice, np.array(crystal.frac_coords) @ lattice, self.settings.box)
            apart = np.log(np.maximum(heights, 0.1))[:, None] - np.log(numbers)
            symbols = [ELEMENTS[numbers[i] - 1] for i in np.abs(apart).argmin(axis=1)]
            crystal = Crystal(crystal.lattice, tuple(symbols), crystal.frac_coords)
        return self._as_asked(crystal, request)

    def cells_of(
        self, density: Floats, lattice: NDArray[np.float64] | None, cell: str
    ) -> list[NDArray[np.float64]] | Verdict:
        """Cells that may explain a density, one of `CELLS` ways."""
        box = self.settings.box
        if cell == "autocorrelation":
            return lattice_candidates(density, box)
        if lattice is None:
            return Verdict(False, "lattice", "The six numbers of the cell in the code make no cell.")
        lengths = np.linalg.norm(lattice, axis=1)
        if lengths.min() < 2.0 or lengths.max() > box.edge_a:
            shown = ", ".join(f"{x:.1f}" for x in lengths)
            return Verdict(False, "lattice", f"The cell has edges of {shown} Å; expected 2 to {box.edge_a:.1f} Å.")
        return [lattice, *corrected_cell(density, lattice, box)]

    @staticmethod
    def _allowed(request: SampleRequest) -> NDArray[np.bool_] | None:
        field_ = request.composition.field if request.composition is not None else request.field
        if field_ is None:
            return None
        allowed = np.zeros(N_CLASSES, dtype=bool)
        allowed[[0, *(ATOMIC_NUMBERS[s] for s in field_.elements if ATOMIC_NUMBERS[s] <= HEAVIEST)]] = True
        return allowed

    @staticmethod
    def _as_asked(crystal: Crystal, request: SampleRequest) -> Crystal | Verdict:
        wanted = request.composition
        if wanted is not None and crystal.composition.reduced != wanted.reduced:
            return Verdict(False, "composition", f"It decodes to {crystal.composition}; {wanted} was asked for.")
        return crystal

    def sample(self, n: int, request: SampleRequest, *, rng: np.random.Generator) -> list[Crystal | Verdict]:
        """`n` draws in the three ways of `latent_draws`, or around the base crystal of the request, decoded.

        Raises:
            CapabilityError: a part of the request that the model cannot honour.
            InputError: the base crystal fails `check`, or `n` is negative.
        """
        check_request(self, request)
        if n < 0:
            raise InputError(f"{n} draws were asked for; expected 0 or more.")
        if request.around is not None:
            return self.decode(codes_around(self, request, n, rng=rng), request)
        bases = self._bases(request)
        codes, _ = drawn_three_ways(self.training_codes, bases, lambda m: self.prior(m, rng=rng), n, rng=rng)
        return self.decode(codes, request)

    def _bases(self, request: SampleRequest) -> NDArray[np.int64]:
        """Training crystals from which draws start: those of the elements asked for, or all where there are none."""
        asked = request.composition.field if request.composition is not None else request.field
        if asked is not None:
            own = [asked.covers(Composition.parse(f).field) for f in self.training_formulas]
            if any(own):
                return np.flatnonzero(own)
        return np.arange(len(self.training_codes))

    def prior(self, n: int, *, rng: np.random.Generator) -> Floats:
        """(n, latent + 6) codes: z of the Gaussian of the training codes, cells as they go with z in training."""
        codes = self.training_codes.astype(np.float64)
        mean, centred = codes.mean(axis=0), codes - codes.mean(axis=0)
        covariance = centred.T @ centred / max(len(codes) - 1, 1) + RIDGE * np.eye(codes.shape[1])
        factor = np.linalg.cholesky(covariance)
        drawn: Floats = (mean + rng.standard_normal((n, len(mean))) @ factor.T).astype(np.float32)
        return drawn

    def images(self, codes: NDArray[np.floating[Any]], request: SampleRequest) -> list[CodeImages]:
        """Densities of codes, and the atomic numbers that the UNet reads in them."""
        check_request(self, request)
        density = self.densities(np.asarray(codes, dtype=np.float32))
        shape = (-1, *density.shape[2:])
        species = [self.segmenter.probabilities(d[None])[0].argmax(axis=1) for d in density]
        edge = self.settings.box.edge_a
        return [
            CodeImages("density, electrons/Å3", density.reshape(shape), edge),
            CodeImages("atomic number", np.array(species, dtype=np.float32).reshape(shape), edge),
        ]

    def remember(
        self, boxed: Sequence[BoxedCrystal], energies: NDArray[np.floating], *, rng: np.random.Generator
    ) -> None:
        """Keep the codes of training crystals with a formation energy, eV/atom (NaN: none); of all where none has."""
        known = [i for i, energy in enumerate(energies) if np.isfinite(energy)]
        labels = {"formation_energy": np.asarray(energies, dtype=np.float32)[known]} if known else {}
        known = known or list(range(len(boxed)))
        kept = [boxed[i] for i in known]
        # As they are stored: in half precision.
        self.training_codes = self.encode_boxed(kept, rng=rng).astype(np.float16).astype(np.float32)
        self.training_labels = labels
        self.training_formulas = tuple(b.crystal.composition.formula for b in kept)

    def save(self, path: Path) -> None:
        """Write the model; codes and weights in half precision where they bear it."""
        tensors: dict[str, NDArray[Any]] = {f"vae.{n}": t for n, t in self.autoencoder.tensors().items()}
        tensors |= {n: tensors[n].astype(np.float16) for n in HALVED if n in tensors}
        tensors |= {f"unet.{n}": t for n, t in self.segmenter.tensors().items()}
        tensors["codes"] = self.training_codes.astype(np.float16)
        tensors |= {f"label.{n}": np.asarray(t, dtype=np.float32) for n, t in self.training_labels.items()}
        config = {"settings": asdict(self.settings), "cell": self.cell, "species": self.species, "atoms": self.atoms}
        vocabulary = {"formulas": list(self.training_formulas), "held_out": list(self.held_out)}
        save_checkpoint(Checkpoint(NAME, tensors, config, vocabulary), path)

    @classmethod
    @rebuilds
    def load(cls, path: Path) -> Hoffmann:
        """Read what `save` wrote.

        Raises:
            StorageError: the file cannot be opened.
            CorruptDataError: it is no such model.
            MissingExtraError: MONAI is not installed.
        """
        stored = load_checkpoint(path, NAME)
        ways = [stored.config[way] for way in ("cell", "species", "atoms")]
        model = cls(HoffmannSettings.of_json(stored.config["settings"]), *ways)
        model.autoencoder = model.settings.stored_autoencoder(stored.part("vae"))
        model.segmenter.restore(stored.part("unet"))
        model.training_codes = stored.tensors["codes"].astype(np.float32)
        model.training_labels = stored.part("label")
        model.training_formulas = tuple(stored.vocabulary["formulas"])
        model.held_out = tuple(stored.vocabulary["held_out"])
        check_remembered(model, model.autoencoder.n_latent + len(CELL_MEAN), labelled=False)
        return model

    def with_ways(self, cell: str, species: str, atoms: str) -> Hoffmann:
        """The same model that takes cells, species and atoms another way."""
        other = Hoffmann(self.settings, cell, species, atoms)
        other.autoencoder, other.segmenter = self.autoencoder, self.segmenter
        other.training_codes, other.training_labels = self.training_codes, self.training_labels
        other.training_formulas, other.held_out = self.training_formulas, self.held_out
        return other


def within(probabilities: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """(voxels, classes) probabilities with those of other elements handed to the allowed ones, in their ratio."""
    own = np.where(allowed[1:], probabilities[:, 1:] + 1e-9, 0.0)
    share = (1.0 - probabilities[:, :1]) / np.maximum(own.sum(axis=1, keepdims=True), 1e-9)
    found: Floats = np.concatenate([probabilities[:, :1], own * share], axis=1).astype(np.float32)
    return found


def reconstruct_density(model: Hoffmann, density: Floats) -> Floats:
    """Densities (b, 1, n, n, n) through the autoencoder and back, without noise."""
    return to_density(model.autoencoder.reconstruct(to_image(density)))
