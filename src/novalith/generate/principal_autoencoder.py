"""An autoencoder of images that starts from their principal components and learns what these cannot say.

    w = V x / S                     V (k, d) components of the images, S (k,) the root mean square of V x
    z = w                           or z = E(asinh w), w' = D(z) with perceptrons E and D, where the code is narrower
    b = (S w') V                    the blurred image
    x' = b                          or x' = sigmoid(R(b)), R residual convolutions (`novalith.networks.sharpening`)
    loss = sum over voxels of -x log x' - (1 - x) log(1 - x') less its least value,   with R
         = |S (w' - w)|^2 / |S w|^2,                                                  without

averaged over the images of a batch. V are the right singular vectors of some images divided by their norms, not
centred, so that faint images count as much as bright ones. Components are optimal among linear codes (Tipping and
Bishop, 1999): images of separate atoms keep their long waves, a blurred picture of where the atoms are. R has to learn
only what an atom looks like, which is alike everywhere. Autoencoders of strided convolutions (`image_autoencoder`) must
learn where atoms are as well, one place after the other, and have to be trained a hundred times longer.

Without R and at the same loss the perceptrons compress further: k numbers that vary by few (the shape of a cell is
six) find a code of about as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, InputError
from novalith.generate.base import Floats, Generator, gaussian_of
from novalith.generate.image_autoencoder import CODED_IMAGES, DECODED_AT_ONCE, ImageSource, StoredImages
from novalith.generate.likelihoods import excess_cross_entropy
from novalith.store.checkpoint import check_shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from novalith.training.loop import EpochReport

#: Images from which components are taken, at most.
MOST_COMPARED = 5000
#: Gradients longer than this are shortened: the first images are nothing like what comes out.
LONGEST_GRADIENT = 20.0
#: A blurred image enters the convolutions times this, which brings its atoms to about one.
BRIGHTEN = 5.0


@dataclass(frozen=True)
class PrincipalAutoencoderSettings:
    """Sizes and training.

    Attributes:
        n: voxels an edge, even.
        n_components: k.
        n_latent: width of the code; 0 takes the components.
        hidden: widths of E, and mirrored of D.
        width: channels of R.
        n_blocks: residual blocks of R; 0 leaves R out.
        n_epochs: passes over the images.
        batch_size: images a step.
        learning_rate: peak of the cycle.
        averaging: share of the old average of the weights kept at each step.
        precision: of the multiplications in training, "float32" or "bfloat16".
    """

    n: int = 24
    n_components: int = 200
    n_latent: int = 0
    hidden: tuple[int, ...] = (384, 384)
    width: int = 48
    n_blocks: int = 4
    n_epochs: int = 10
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    averaging: float = 0.99
    precision: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.n < 2 or self.n % 2 or self.n_components < 1 or self.n_latent < 0:
            raise InputError(f"{self}: expected an even edge and at least one component.")
        if not self.n_latent and not self.n_blocks:
            raise InputError(f"{self}: nothing to train; give n_latent or n_blocks.")

    @property
    def code_width(self) -> int:
        """Numbers of a code."""
        return self.n_latent or self.n_components


class PrincipalAutoencoder(Generator):
    """See the module; images have one channel.

    Args:
        settings: sizes and training.
    """

    def __init__(self, settings: PrincipalAutoencoderSettings | None = None) -> None:
        self.settings = settings or PrincipalAutoencoderSettings()
        self.curve: tuple[EpochReport, ...] = ()

    @property
    def n_latent(self) -> int:
        """Width of the code."""
        return self.settings.code_width

    def fit(self, data: Floats | ImageSource, condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn images (n, 1, n, n, n) or a source of such; equal input and `rng` give an equal model.

        Raises:
            CapabilityError: a condition is given; this model has none.
        """
        _refuse(condition)
        self.fit_watched(data, rng=rng)

    def fit_watched(
        self, data: Floats | ImageSource, resume_path: Path | None = None,
        watch: Callable[[EpochReport], None] = lambda _: None, *, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Learn as `fit` does, telling of every epoch and going on from a checkpoint where there is one.

        Raises:
            InputError: there are fewer images than components, or they have another shape than the settings say.
        """
        import torch

        from novalith.training.loop import Supervision, TrainingSettings, train

        source: ImageSource = StoredImages(data) if isinstance(data, np.ndarray) else data
        s = self.settings
        self._basis, self._scale = _components(self._some(source, MOST_COMPARED, rng), s.n_components)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._build()

        def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            drawn = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
            x = torch.from_numpy(self._flat(source.images(batch.numpy(), drawn)))
            w = self._coefficients(x)
            came = self._decoded(self._code(w))
            if s.n_blocks:
                return excess_cross_entropy(x, self._logits(came).float().flatten(1)).sum(dim=1).mean()
            scale = torch.from_numpy(self._scale)
            wrong = ((scale * (came.float() - w)) ** 2).sum(dim=1)
            return (wrong / ((scale * w) ** 2).sum(dim=1).clamp_min(1e-12)).mean()

        how = TrainingSettings(
            s.n_epochs, s.batch_size, s.learning_rate, 1e-5, averaging=s.averaging, precision=s.precision,
            longest_gradient=LONGEST_GRADIENT,
        )  # fmt: skip
        self.curve = train(
            self._parts, loss, len(source), how, Supervision(resume_path=resume_path, watch=watch), rng=rng
        )
        codes = self.encode(self._some(source, CODED_IMAGES, rng).reshape(-1, 1, s.n, s.n, s.n))
        self._code_mean, self._code_factor = gaussian_of(codes)

    def encode(self, images: Floats) -> Floats:
        """(b, 1, n, n, n) -> codes (b, latent)."""
        import torch

        x = torch.from_numpy(self._flat(images))
        with torch.no_grad():
            codes: Floats = self._code(self._coefficients(x)).numpy()
        return codes

    def decode(self, codes: NDArray[np.floating[Any]]) -> Floats:
        """(b, latent) -> images (b, 1, n, n, n); `decoded_batches` holds fewer at a time."""
        empty = np.zeros((0, 1, *[self.settings.n] * 3), np.float32)
        return np.concatenate([empty, *self.decoded_batches(codes)])

    def decoded_batches(self, codes: NDArray[np.floating[Any]]) -> Iterator[Floats]:
        """Images of the codes in their order, a batch at a time."""
        import torch

        z = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.float32))
        for start in range(0, len(codes), DECODED_AT_ONCE):
            with torch.no_grad():
                w = self._decoded(z[start : start + DECODED_AT_ONCE])
                found = self._logits(w).sigmoid() if self.settings.n_blocks else self._blurred(w)
            images: Floats = found.contiguous().numpy()
            yield images

    def reconstruct(self, images: Floats) -> Floats:
        """Decode the code."""
        return self.decode(self.encode(images))

    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Decode draws from the Gaussian of the training codes."""
        _refuse(condition)
        return self.decode(self._code_mean + rng.standard_normal((n, self.n_latent)) @ self._code_factor)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Components, weights and the Gaussian of the codes by name, for a checkpoint."""
        weights = {name: t.detach().contiguous().numpy() for name, t in self._parts.state_dict().items()}
        found = {"basis": self._basis, "scale": self._scale, "code_mean": self._code_mean}
        return weights | found | {"code_factor": self._code_factor}

    @property
    def is_linear(self) -> bool:
        """Whether the code is V x / S itself."""
        return not self.settings.n_latent

    @property
    def components(self) -> tuple[Floats, Floats]:
        """V (k, n^3) and S (k,)."""
        return self._basis, self._scale

    @property
    def sizes(self) -> tuple[int]:
        """(0,): no condition."""
        return (0,)

    @classmethod
    def of_tensors(
        cls, settings: PrincipalAutoencoderSettings, sizes: tuple[int], tensors: Mapping[str, NDArray[Any]]
    ) -> PrincipalAutoencoder:
        """The autoencoder of `tensors`; numbers in half precision are read too."""
        import torch

        del sizes
        arrays = {name: np.array(t, dtype=np.float32) for name, t in tensors.items()}
        model = cls(settings)
        k, width = len(arrays["scale"]), settings.code_width
        parts = {"code_mean": (width,), "code_factor": (width, width)}
        check_shapes(arrays, {"basis": (k, settings.n**3), "scale": (k,), **parts})
        model._basis, model._scale = arrays.pop("basis"), arrays.pop("scale")
        model._code_mean, model._code_factor = arrays.pop("code_mean"), arrays.pop("code_factor")
        model._build()
        model._parts.load_state_dict({name: torch.from_numpy(t) for name, t in arrays.items()})
        model._parts.eval()
        return model

    def _build(self) -> None:
        import torch

        from novalith.networks.dense import Dense
        from novalith.networks.sharpening import Sharpener

        s, k = self.settings, len(self._basis)
        parts: dict[str, torch.nn.Module] = {}
        if s.n_latent:
            parts["narrow"] = Dense([k, *s.hidden, s.n_latent], "silu")
            parts["widen"] = Dense([s.n_latent, *reversed(s.hidden), k], "silu")
        if s.n_blocks:
            parts["sharpen"] = Sharpener(s.width, s.n_blocks)
        self._parts = torch.nn.ModuleDict(parts)

    def _some(self, source: ImageSource, most: int, rng: np.random.Generator) -> Floats:
        """At most so many images of a source, (b, n^3)."""
        rows = np.sort(rng.permutation(len(source))[:most])
        if len(rows) <= self.settings.n_components:
            raise InputError(f"{len(rows)} images came; more than the {self.settings.n_components} components needed.")
        parts = np.array_split(rows, -(-len(rows) // DECODED_AT_ONCE))
        return np.concatenate([self._flat(source.images(part, rng)) for part in parts])

    def _flat(self, images: Floats) -> Floats:
        """(b, 1, n, n, n) -> (b, n^3)."""
        wanted = (1, *[self.settings.n] * 3)
        if images.shape[1:] != wanted:
            raise InputError(f"Images of shape {images.shape[1:]} came; expected {wanted}: one channel, three edges.")
        return np.ascontiguousarray(images, dtype=np.float32).reshape(len(images), -1)

    def _coefficients(self, x: Tensor) -> Tensor:
        """(b, n^3) -> w (b, k), in single precision."""
        import torch

        with torch.autocast("cpu", enabled=False):
            return (x @ torch.from_numpy(self._basis).T) / torch.from_numpy(self._scale)

    def _code(self, w: Tensor) -> Tensor:
        return self._parts["narrow"](w.asinh()) if self.settings.n_latent else w

    def _decoded(self, z: Tensor) -> Tensor:
        w: Tensor = self._parts["widen"](z) if self.settings.n_latent else z
        return w

    def _blurred(self, w: Tensor) -> Tensor:
        import torch

        n = self.settings.n
        with torch.autocast("cpu", enabled=False):
            flat = (w.float() * torch.from_numpy(self._scale)) @ torch.from_numpy(self._basis)
        return flat.reshape(-1, 1, n, n, n)

    def _logits(self, w: Tensor) -> Tensor:
        logits: Tensor = self._parts["sharpen"](BRIGHTEN * self._blurred(w))
        return logits


def _components(rows: Floats, k: int) -> tuple[Floats, Floats]:
    """Right singular vectors (k, d) of rows (b, d) of unit norm, and the root mean squares (k,) along them."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.maximum(norms, 1e-6)
    # Rows are fewer than columns: the small eigenproblem.
    values, vectors = np.linalg.eigh((unit @ unit.T).astype(np.float64))
    kept = np.argsort(-values)[:k]
    root = np.sqrt(np.maximum(values[kept], 1e-12))
    basis = np.ascontiguousarray((vectors[:, kept] / root).T.astype(np.float32) @ unit)
    scale = np.sqrt(((rows @ basis.T) ** 2).mean(axis=0))
    return basis, np.maximum(scale, 1e-6).astype(np.float32)


def _refuse(condition: Floats | None) -> None:
    if condition is not None:
        raise CapabilityError("An autoencoder that starts from principal components has no condition.")
