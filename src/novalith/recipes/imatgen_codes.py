"""How iMatGen's images become codes: by the waves that they hold, or by autoencoders that were trained on them.

    code of a crystal = [basis code of element 1, ..., basis code of element k, cell code]

`WaveCodes` needs no training (`novalith.represent.wave_codes`); `LearnedCodes` are as published: one autoencoder of
basis images and one of cell images, either of strided convolutions (`novalith.generate.image_autoencoder`) or started
from principal components (`novalith.generate.principal_autoencoder`). Neither knows the chemistry: a basis image
is a set of points, whatever element stands on them, so that one pair of autoencoders serves every system. They are
trained on the bundled crystals, turned by the 48 symmetries of the cube, strained and rattled, and on random cells.
Peaks of decoded images are found below the voxel by fitting the known Gaussian, and then moved until their code is the
one that was decoded (`novalith.recipes.imatgen_refining`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.generate.image_autoencoder import ImageAutoencoder, ImageAutoencoderSettings
from novalith.generate.principal_autoencoder import PrincipalAutoencoder, PrincipalAutoencoderSettings
from novalith.materials import Crystal, Verdict
from novalith.recipes.imatgen_refining import LinearCode, refined_cell
from novalith.represent.cell_images import (
    BOX_A,
    MAX_SITES,
    N_CELL,
    basis_positions,
    cell_image,
    decode_cell,
)
from novalith.represent.point_cloud import lattice_matrix
from novalith.represent.voxels import cartesian_gaussians, fit_gaussians, local_maxima, parabola_peaks, upright
from novalith.represent.wave_codes import (
    N_BASIS_CODE,
    N_CELL_CODE,
    cells_of_metric_codes,
    image_of_waves,
    metric_code,
    points_of_waves,
    waves_of_points,
)

if TYPE_CHECKING:
    from novalith.training.loop import EpochReport

Autoencoder = ImageAutoencoder | PrincipalAutoencoder
AutoencoderSettings = ImageAutoencoderSettings | PrincipalAutoencoderSettings
Floats = NDArray[np.float64]
Images = NDArray[np.float32]
RULE = "imatgen"
#: Local maxima of a decoded image below this are no atoms.
LEAST_PEAK = 0.3
#: Edge of the image that shows the code of an element, in voxels.
N_SHOWN = 32
#: Random cells: edges (Å) and angles (degrees); how far the copies of a crystal are strained and rattled (Å).
RANDOM_EDGES_A, RANDOM_ANGLES_DEG = (2.2, 10.0), (50.0, 130.0)
STRAIN, RATTLE_A = 0.04, 0.1
#: Points of one element in an image of training, at most.
_MOST_POINTS = MAX_SITES


class ImageCodes(ABC):
    """Codes of the two kinds of images; arrays in and out, one row an image.

    Attributes:
        kind: name in checkpoints.
        n_basis: numbers of a basis image.
        n_cell: numbers of a cell image.
    """

    kind: ClassVar[str]
    n_basis: int
    n_cell: int

    @abstractmethod
    def basis_codes(self, sets: Sequence[Floats]) -> Floats:
        """Sets of positions (n, 3), Å about the middle -> (b, n_basis)."""

    @abstractmethod
    def positions(self, codes: NDArray[np.floating[Any]]) -> list[Floats | Verdict]:
        """(b, n_basis) -> positions, or why there are none."""

    @abstractmethod
    def cell_codes(self, lattices: Sequence[Floats]) -> Floats:
        """Cell vectors (3, 3) as rows, Å -> (b, n_cell)."""

    @abstractmethod
    def cells(self, codes: NDArray[np.floating[Any]]) -> list[Floats | Verdict]:
        """(b, n_cell) -> edges and angles (6,), or why there is no cell."""

    @abstractmethod
    def images(self, codes: NDArray[np.floating[Any]]) -> Images:
        """(b, n_basis) -> images (b, n, n, n) that the codes decode to before atoms are looked for."""


class WaveCodes(ImageCodes):
    """Codes without a network."""

    kind = "waves"
    n_basis, n_cell = N_BASIS_CODE, N_CELL_CODE

    def basis_codes(self, sets: Sequence[Floats]) -> Floats:
        """The longest waves."""
        return np.stack([np.zeros(self.n_basis), *(waves_of_points(s) for s in sets)])[1:]

    def positions(self, codes: NDArray[np.floating[Any]]) -> list[Floats | Verdict]:
        """The points that have these waves, or come nearest to it."""
        return points_of_waves(codes)

    def cell_codes(self, lattices: Sequence[Floats]) -> Floats:
        """Logarithms of metrics."""
        return np.stack([np.zeros(self.n_cell), *(metric_code(lattice) for lattice in lattices)])[1:]

    def cells(self, codes: NDArray[np.floating[Any]]) -> list[Floats | Verdict]:
        """The cells of these metrics."""
        return cells_of_metric_codes(codes)

    def images(self, codes: NDArray[np.floating[Any]]) -> Images:
        """The waves summed, (b, 32, 32, 32)."""
        finite = np.nan_to_num(np.asarray(codes, dtype=float), posinf=0.0, neginf=0.0)
        return np.stack([np.zeros([N_SHOWN] * 3, np.float32), *(image_of_waves(c, N_SHOWN) for c in finite)])[1:]


@dataclass(frozen=True)
class LearnedCodesSettings:
    """The two autoencoders.

    Attributes:
        sigma_a: width of the Gaussians of basis images, Å; their grid is that of `basis` over 15 Å.
        basis: of basis images.
        cell: of cell images, 32 voxels an edge.
        n_cells: random cells an epoch.
    """

    sigma_a: float
    basis: AutoencoderSettings
    cell: AutoencoderSettings
    n_cells: int = 10_000

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> LearnedCodesSettings:
        """From what `dataclasses.asdict` gives, tuples as lists."""
        return cls(
            float(record["sigma_a"]), _settings_of(record["basis"]), _settings_of(record["cell"]),
            int(record["n_cells"]),
        )  # fmt: skip


def _settings_of(record: Mapping[str, Any]) -> AutoencoderSettings:
    if "n_components" in record:
        return PrincipalAutoencoderSettings(**record)
    return ImageAutoencoderSettings(**{**record, "widths": tuple(record["widths"])})


def _new(settings: AutoencoderSettings) -> Autoencoder:
    if isinstance(settings, PrincipalAutoencoderSettings):
        return PrincipalAutoencoder(settings)
    return ImageAutoencoder(settings)


def _stored(settings: AutoencoderSettings, tensors: Mapping[str, NDArray[Any]]) -> Autoencoder:
    if isinstance(settings, PrincipalAutoencoderSettings):
        return PrincipalAutoencoder.of_tensors(settings, (0,), tensors)
    return ImageAutoencoder.of_tensors(settings, (0,), tensors)


class LearnedCodes(ImageCodes):
    """Codes of two autoencoders.

    Args:
        settings: of the autoencoders.
        basis: trained on basis images.
        cell: trained on cell images.
    """

    kind = "learned"

    def __init__(self, settings: LearnedCodesSettings, basis: Autoencoder, cell: Autoencoder) -> None:
        self.settings, self.basis, self.cell = settings, basis, cell
        self.n_basis, self.n_cell = basis.n_latent, cell.n_latent
        self._linear: LinearCode | None = None
        if isinstance(basis, PrincipalAutoencoder) and basis.is_linear:
            n = settings.basis.n
            self._linear = LinearCode(*basis.components, settings.sigma_a, BOX_A / n, n)

    def basis_codes(self, sets: Sequence[Floats]) -> Floats:
        """Codes of the images of the sets."""
        return self.basis.encode(basis_images(sets, self.settings)).astype(float)

    def positions(self, codes: NDArray[np.floating[Any]]) -> list[Floats | Verdict]:
        """Peaks of the decoded images, moved and added to until they have the code, where that is linear."""
        answers: list[Floats | Verdict] = []
        for batch in self.basis.decoded_batches(np.nan_to_num(codes)):
            answers += [_peaks(image[0], self.settings) for image in batch]
        linear = self._linear
        if linear is not None:
            pairs = zip(answers, np.nan_to_num(codes), strict=True)
            answers = [p if isinstance(p, Verdict) else _few(linear.refined(p, z)) for p, z in pairs]
        return [
            answer if finite else Verdict(False, RULE, "The code holds numbers that are not finite.")
            for answer, finite in zip(answers, np.isfinite(codes).all(axis=1), strict=True)
        ]

    def cell_codes(self, lattices: Sequence[Floats]) -> Floats:
        """Codes of the images of the cells."""
        images = [np.zeros([N_CELL] * 3, np.float32), *(cell_image(lattice) for lattice in lattices)]
        return self.cell.encode(np.stack(images)[1:, None]).astype(float)

    def cells(self, codes: NDArray[np.floating[Any]]) -> list[Floats | Verdict]:
        """Metrics fitted to the decoded images, moved until they have the code."""
        finite = np.nan_to_num(codes)
        found = [decode_cell(image) for batch in self.cell.decoded_batches(finite) for image in batch[:, 0]]
        return [
            c if isinstance(c, Verdict) else refined_cell(c, z, self.cell_codes)
            for c, z in zip(found, finite, strict=True)
        ]

    def images(self, codes: NDArray[np.floating[Any]]) -> Images:
        """What the network decodes."""
        return self.basis.decode(np.nan_to_num(codes))[:, 0]

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Weights of both, for a checkpoint."""
        parts = {"basis": self.basis.tensors(), "cell": self.cell.tensors()}
        return {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    @classmethod
    def of_tensors(cls, settings: LearnedCodesSettings, tensors: Mapping[str, NDArray[Any]]) -> LearnedCodes:
        """The codes of stored weights."""

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {k.removeprefix(f"{name}."): t for k, t in tensors.items() if k.startswith(f"{name}.")}

        return cls(settings, _stored(settings.basis, part("basis")), _stored(settings.cell, part("cell")))

    def config(self) -> dict[str, Any]:
        """Plain values that `LearnedCodesSettings.of_json` reads."""
        return asdict(self.settings)


def point_sets(crystal: Crystal, elements: Sequence[str]) -> list[Floats]:
    """Positions about the middle of the crystal (Å), one array (n, 3) an element, empty where it is absent."""
    positions, species = basis_positions(crystal), np.array(crystal.species)
    return [positions[species == element] for element in elements]


def basis_images(sets: Sequence[Floats], settings: LearnedCodesSettings) -> Images:
    """Images (b, 1, n, n, n) of sets of positions over 15 Å."""
    n = settings.basis.n
    axis = (np.arange(n) - n / 2) * BOX_A / n
    images = [np.zeros((n, n, n))]
    images += [cartesian_gaussians(s, np.ones(len(s)), settings.sigma_a, axis) for s in sets]
    return np.stack(images)[1:, None].clip(0.0, 1.0).astype(np.float32)


def _few(points: Floats) -> Floats | Verdict:
    if len(points) > MAX_SITES:
        return Verdict(False, RULE, f"A basis code asks for {len(points)} atoms; at most {MAX_SITES} fit.")
    return points


def _peaks(image: Images, settings: LearnedCodesSettings) -> Floats | Verdict:
    n = settings.basis.n
    step = BOX_A / n
    peaks = local_maxima(image, LEAST_PEAK)
    if len(peaks) > MAX_SITES:
        return Verdict(False, RULE, f"A basis image has {len(peaks)} peaks; at most {MAX_SITES} atoms fit.")
    if not len(peaks):
        return np.zeros((0, 3))
    start = parabola_peaks(image, peaks)
    means, _ = fit_gaussians(image, start, settings.sigma_a, step)
    # A fit that ran away from its peak is no better than the peak.
    stayed = np.linalg.norm(means - peaks, axis=1) < 2.0
    return np.asarray((np.where(stayed[:, None], means, start) - n / 2) * step)


@dataclass(frozen=True, eq=False)
class TurnedPoints:
    """A source of basis images: sets of points, each turned, mirrored, strained and rattled anew when asked for.

    Attributes:
        sets: positions (n, 3), Å.
        settings: of the images.
    """

    sets: Sequence[Floats]
    settings: LearnedCodesSettings

    def __len__(self) -> int:
        return len(self.sets)

    def images(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Images:
        """Images of varied copies of the sets."""
        return basis_images([self._varied(self.sets[i], rng) for i in rows.tolist()], self.settings)

    @staticmethod
    def _varied(points: Floats, rng: np.random.Generator) -> Floats:
        turned = points[:, rng.permutation(3)] * rng.choice([-1.0, 1.0], 3)
        strained = turned @ (np.eye(3) + STRAIN * rng.standard_normal((3, 3)))
        return np.asarray(strained + RATTLE_A * rng.random() * rng.standard_normal(points.shape))


@dataclass(frozen=True)
class RandomCells:
    """A source of images of random cells."""

    n: int

    def __len__(self) -> int:
        return self.n

    def images(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Images:
        """As many new cells as there are rows."""
        images: list[Images] = []
        while len(images) < len(rows):
            lattice = lattice_matrix(rng.uniform(*RANDOM_EDGES_A, 3), rng.uniform(*RANDOM_ANGLES_DEG, 3))
            if lattice is not None:
                images.append(cell_image(lattice))
        return np.stack(images)[:, None]


def train_codes(
    crystals: Sequence[Crystal], settings: LearnedCodesSettings, resume_path: Path | None = None,
    watch: Callable[[EpochReport], None] = lambda _: None, *, rng: np.random.Generator,
) -> LearnedCodes:  # fmt: skip
    """Train both autoencoders on crystals of any chemistry within the limits."""
    sets = [s for crystal in crystals for s in point_sets(crystal, sorted(set(crystal.species)))]
    basis, cell = _new(settings.basis), _new(settings.cell)

    def beside(name: str) -> Path | None:
        return None if resume_path is None else resume_path.with_name(f"{resume_path.name}.{name}")

    basis.fit_watched(TurnedPoints(sets, settings), resume_path=beside("basis"), watch=watch, rng=rng)
    cell.fit_watched(RandomCells(settings.n_cells), resume_path=beside("cell"), watch=watch, rng=rng)
    for name in ("basis", "cell"):
        path = beside(name)
        if path is not None:
            path.unlink(missing_ok=True)
    return LearnedCodes(settings, basis, cell)


def crystal_codes(codes: ImageCodes, crystals: Sequence[Crystal], elements: Sequence[str]) -> Images:
    """Codes (n, k * n_basis + n_cell) of crystals."""
    if not crystals:
        return np.zeros((0, len(elements) * codes.n_basis + codes.n_cell), np.float32)
    sets = [s for crystal in crystals for s in point_sets(crystal, elements)]
    basis = codes.basis_codes(sets).reshape(len(crystals), -1)
    cells = codes.cell_codes([upright(c) for c in crystals])
    return np.concatenate([basis, cells], axis=1).astype(np.float32)


def crystals_of_codes(
    codes: ImageCodes, rows: NDArray[np.floating[Any]], elements: Sequence[str]
) -> list[Crystal | Verdict]:
    """The crystal of each row (n, k * n_basis + n_cell), or why there is none."""
    n, k = len(rows), len(elements)
    if not n:
        return []
    sets = codes.positions(rows[:, : k * codes.n_basis].reshape(n * k, codes.n_basis))
    cells = codes.cells(rows[:, k * codes.n_basis :])
    return [_joined(cells[i], sets[i * k : (i + 1) * k], elements) for i in range(n)]


def _joined(cell: Floats | Verdict, sets: Sequence[Floats | Verdict], elements: Sequence[str]) -> Crystal | Verdict:
    """Atoms are neither merged nor removed: what is too near is for the screens to say."""
    if isinstance(cell, Verdict):
        return cell
    found: list[Floats] = []
    for part in sets:
        if isinstance(part, Verdict):
            return part
        found.append(part)
    species = [element for element, part in zip(elements, found, strict=True) for _ in part]
    lattice = lattice_matrix(cell[:3], cell[3:])
    if lattice is None:
        return Verdict(False, RULE, f"Edges and angles {np.round(cell, 2).tolist()} make no cell.")
    if not 1 <= len(species) <= MAX_SITES:
        return Verdict(False, RULE, f"The images show {len(species)} atoms; 1 to {MAX_SITES} were expected.")
    return Crystal.from_arrays(lattice, species, np.concatenate(found) @ np.linalg.inv(lattice) + 0.5)
