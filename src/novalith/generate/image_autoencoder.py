"""Autoencoders of 3D images: plain, variational and conditional are one class.

    z = mu(x, c) + noise * sigma(x, c) * e,   e ~ N(0, 1),   x' = out(decoder(z, c))
    loss = sum over voxels of d(x, x') + beta * KL
    d = (x - x')^2 / 2, or the cross-entropy -x log x' - (1 - x) log(1 - x') less its least value where x is in [0, 1]
    KL = sum_j (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1) / 2

averaged over the images of a batch; x is (channels, n, n, n). beta = 0 is the plain autoencoder: no sigma, no noise,
and samples are drawn from the Gaussian of its codes. c is absent without a condition; it scales and shifts the channels
of encoder and decoder (`novalith.networks.voxel_autoencoder`). A caller may add a loss of its own on (x, x'), such as
the distance of features of another network (Hou et al., WACV 2017; Court et al. 2020).

Sets of images are large (64^3 voxels are 1 MB): an `ImageSource` makes them as they are needed, so that none is stored.
Kingma and Welling (2014); Noh et al., Matter 1, 1370 (2019) for autoencoders of crystals as images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, InputError, UnknownNameError
from novalith.generate.base import Floats, Generator, gaussian_of
from novalith.generate.likelihoods import divergence_from_prior, excess_cross_entropy
from novalith.store.checkpoint import check_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.training.loop import EpochReport

CODE_ACTIVATIONS = ("linear", "tanh")
OUTPUTS = ("linear", "sigmoid", "softplus")
ERRORS = ("squared", "cross-entropy")
#: Images from which the Gaussian of the codes is estimated, and images decoded at a time.
CODED_IMAGES, DECODED_AT_ONCE = 2048, 32


class ImageSource(Protocol):
    """Images that are made when asked for."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def images(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """Images (b, channels, n, n, n) of some rows; `rng` for those that vary them at random."""
        ...


@dataclass(frozen=True)
class StoredImages:
    """Images of an array (N, channels, n, n, n) as a source."""

    array: Floats

    def __len__(self) -> int:
        return len(self.array)

    def images(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        """The images of the rows, as they are."""
        del rng
        return self.array[rows]


@dataclass(frozen=True)
class ImageAutoencoderSettings:
    """Sizes and training.

    Attributes:
        channels_in: of an image.
        n: voxels an edge.
        widths: channels of each level; the decoder mirrors them.
        n_latent: width of the code.
        beta: weight of the KL term; 0 is a plain autoencoder.
        noise: the sampled noise is multiplied by this.
        kernel: edge of the strided convolutions, even.
        n_blocks: residual blocks at each level.
        code_activation: "linear" or "tanh", of the code's mean.
        output: "linear", "sigmoid" or "softplus", of the image.
        error: "squared", or "cross-entropy" for an output that is a sigmoid: its gradient does not vanish where the
            output is wrong and saturated.
        n_epochs: passes over the images.
        batch_size: images a step.
        learning_rate: peak of the cycle.
        averaging: share of the old average of the weights kept at each step; 0 averages nothing.
        precision: of the multiplications in training, "float32" or "bfloat16".
        device: "cpu", "cuda" or "auto".
    """

    channels_in: int = 1
    n: int = 32
    widths: tuple[int, ...] = (32, 64, 128)
    n_latent: int = 64
    beta: float = 0.0
    noise: float = 1.0
    kernel: int = 4
    n_blocks: int = 0
    code_activation: str = "linear"
    output: str = "linear"
    error: str = "squared"
    n_epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    averaging: float = 0.0
    precision: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.code_activation not in CODE_ACTIVATIONS:
            raise UnknownNameError("activation of the code", self.code_activation, CODE_ACTIVATIONS)
        if self.output not in OUTPUTS:
            raise UnknownNameError("output", self.output, OUTPUTS)
        if self.error not in ERRORS:
            raise UnknownNameError("error of an image", self.error, ERRORS)
        if self.error == "cross-entropy" and self.output != "sigmoid":
            raise InputError(f"The cross-entropy needs an output in (0, 1): sigmoid, not {self.output}.")
        levels = len(self.widths)
        if not levels or self.n // 2**levels < 1 or self.kernel % 2:
            raise InputError(
                f"{self}: expected an even kernel and an edge that can be halved at each of {levels} levels. "
                "Give fewer widths or larger images."
            )


class ImageAutoencoder(Generator):
    """An autoencoder of images; see the module for its loss.

    Args:
        settings: sizes and training.
    """

    def __init__(self, settings: ImageAutoencoderSettings | None = None) -> None:
        self.settings = settings or ImageAutoencoderSettings()
        self._n_condition = 0
        self.curve: tuple[EpochReport, ...] = ()

    def fit(self, data: Floats | ImageSource, condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn images with an optional (N, c) condition; equal input and `rng` give an equal model."""
        self.fit_watched(data, condition, rng=rng)

    def fit_watched(  # noqa: PLR0913 - what accompanies a training
        self,
        data: Floats | ImageSource,
        condition: Floats | None = None,
        *,
        validation: Floats | ImageSource | None = None,
        validation_condition: Floats | None = None,
        resume_path: Path | None = None,
        watch: Callable[[EpochReport], None] = lambda _: None,
        extra_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        rng: np.random.Generator,
    ) -> None:
        """Learn as `fit` does, telling of every epoch and going on from a checkpoint where there is one.

        Args:
            data: (N, channels, n, n, n), or a source of such images.
            condition: (N, c).
            validation: images on which the averaged weights are judged after each epoch; the best are kept.
            validation_condition: theirs.
            resume_path: state of the training under way.
            watch: told of every epoch.
            extra_loss: of the images and their reconstructions, (b, channels, n, n, n) each; its scalar is added.
            rng: seeds everything random.
        """
        import torch

        from novalith.training.loop import Supervision, TrainingSettings, train

        source, s = _source(data), self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._build(0 if condition is None else condition.shape[1])
        given = self._condition(condition, len(source))

        def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            drawn = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
            x, c = self._images(source.images(batch.cpu().numpy(), drawn)), given[batch]
            mean, log_variance = self._encode(x, c)
            z = mean
            if s.beta:
                z = mean + s.noise * torch.randn(mean.shape, generator=generator).to(mean) * (log_variance / 2).exp()
            raw = self._decoder(z, c).float()
            total = self._error(x, raw, mean, log_variance).mean()
            return total if extra_loss is None else total + extra_loss(x, self._output(raw))

        judge = None if validation is None else self._judge(_source(validation), validation_condition)
        how = TrainingSettings(
            s.n_epochs, s.batch_size, s.learning_rate, 1e-4, averaging=s.averaging, device=s.device,
            precision=s.precision,
        )  # fmt: skip
        beside = Supervision(judge, resume_path, watch)
        self.curve = train(self._both, loss, len(source), how, beside, rng=rng)
        self._remember_codes(source, condition, rng)

    def encode(self, images: Floats, condition: Floats | None = None) -> Floats:
        """(N, channels, n, n, n) -> means of the codes (N, latent)."""
        return self.encode_spread(images, condition)[0]

    def encode_spread(self, images: Floats, condition: Floats | None = None) -> tuple[Floats, Floats]:
        """Images -> means and standard deviations of the codes, (N, latent) each; zeros where beta is 0."""
        import torch

        given = self._condition(condition, len(images))
        means, spreads = [np.zeros((0, self.settings.n_latent), np.float32)], []
        with torch.no_grad():
            for start in range(0, len(images), DECODED_AT_ONCE):
                rows = slice(start, start + DECODED_AT_ONCE)
                mean, log_variance = self._encode(self._images(images[rows]), given[rows])
                means.append(mean.cpu().numpy())
                spreads.append((log_variance / 2).exp().cpu().numpy() if self.settings.beta else 0 * means[-1])
        return np.concatenate(means), np.concatenate([means[0], *spreads])

    def decode(self, codes: NDArray[np.floating], condition: Floats | None = None) -> Floats:
        """(N, latent) codes -> (N, channels, n, n, n) images; `decoded_batches` holds fewer at a time."""
        s = self.settings
        empty = np.zeros((0, s.channels_in, s.n, s.n, s.n), np.float32)
        return np.concatenate([empty, *self.decoded_batches(codes, condition)])

    def decoded_batches(self, codes: NDArray[np.floating], condition: Floats | None = None) -> Iterator[Floats]:
        """Images of the codes in their order, a batch at a time."""
        import torch

        given = self._condition(condition, len(codes))
        z = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.float32)).to(given.device)
        for start in range(0, len(codes), DECODED_AT_ONCE):
            rows = slice(start, start + DECODED_AT_ONCE)
            with torch.no_grad():
                images: Floats = self._output(self._decoder(z[rows], given[rows]).float()).contiguous().cpu().numpy()
            yield images

    def reconstruct(self, images: Floats, condition: Floats | None = None) -> Floats:
        """Decode the mean of the code, without noise."""
        return self.decode(self.encode(images, condition), condition)

    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Decode draws from the prior, or from the Gaussian of the training codes where beta is 0."""
        return self.decode(self.sample_codes(n, rng=rng), condition)

    def sample_codes(self, n: int, *, rng: np.random.Generator) -> Floats:
        """(n, latent) draws as `sample` decodes them."""
        z = rng.standard_normal((n, self.settings.n_latent))
        if not self.settings.beta:
            z = self._code_mean + z @ self._code_factor
        return z.astype(np.float32)

    def losses(self, images: Floats, condition: Floats | None = None) -> Floats:
        """(N,) loss of each image, the code at its mean and without any extra loss."""
        import torch

        given, parts = self._condition(condition, len(images)), [np.zeros(0, np.float32)]
        with torch.no_grad():
            for start in range(0, len(images), DECODED_AT_ONCE):
                rows = slice(start, start + DECODED_AT_ONCE)
                x, c = self._images(images[rows]), given[rows]
                mean, log_variance = self._encode(x, c)
                parts.append(self._error(x, self._decoder(mean, c).float(), mean, log_variance).cpu().numpy())
        return np.concatenate(parts)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The weights and the Gaussian of the codes by name, for a checkpoint."""
        weights = {name: t.detach().cpu().contiguous().numpy() for name, t in self._both.state_dict().items()}
        return weights | {"code_mean": self._code_mean, "code_factor": self._code_factor}

    @property
    def n_latent(self) -> int:
        """Width of the code."""
        return self.settings.n_latent

    @property
    def sizes(self) -> tuple[int]:
        """(c,): the width of the condition."""
        return (self._n_condition,)

    @classmethod
    def of_tensors(
        cls, settings: ImageAutoencoderSettings, sizes: tuple[int], tensors: Mapping[str, NDArray[Any]]
    ) -> ImageAutoencoder:
        """The autoencoder of `tensors` and `sizes`; weights in half precision are read too."""
        import torch

        model = cls(settings)
        model._build(sizes[0])
        arrays = {name: np.array(t, dtype=np.float32) for name, t in tensors.items()}
        k = (settings.n_latent,)
        check_shapes(arrays, {"code_mean": k, "code_factor": k + k})
        model._code_mean, model._code_factor = arrays.pop("code_mean"), arrays.pop("code_factor")
        model._both.load_state_dict({name: torch.from_numpy(t) for name, t in arrays.items()})
        model._both.to(model._device).eval()
        return model

    def _build(self, n_condition: int) -> None:
        import torch

        from novalith.networks.dense import device_named
        from novalith.networks.voxel_autoencoder import VoxelDecoder, VoxelEncoder

        s, self._n_condition, self._device = self.settings, n_condition, device_named(self.settings.device)
        same: dict[str, Any] = {
            "kernel": s.kernel, "n_blocks": s.n_blocks, "n_condition": n_condition
        }  # fmt: skip
        n_out = 2 * s.n_latent if s.beta else s.n_latent
        self._encoder = VoxelEncoder(s.channels_in, s.n, s.widths, n_out, **same)
        self._decoder = VoxelDecoder(s.channels_in, s.n, s.widths, s.n_latent, **same)
        # Only the images are laid out channels last: the fused optimiser pairs weights with their moments by place
        # in memory, and those read from a checkpoint are contiguous.
        self._both = torch.nn.ModuleList([self._encoder, self._decoder])
        self._code_mean = np.zeros(s.n_latent, np.float32)
        self._code_factor = np.eye(s.n_latent, dtype=np.float32)

    def _images(self, images: Floats) -> Tensor:
        import torch

        s = self.settings
        if images.shape[1:] != (s.channels_in, s.n, s.n, s.n):
            raise InputError(
                f"Images of shape {images.shape[1:]} came; expected {(s.channels_in, s.n, s.n, s.n)}: channels, then "
                "three edges in voxels."
            )
        return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(
            self._device, memory_format=torch.channels_last_3d
        )

    def _condition(self, condition: Floats | None, n: int) -> Tensor:
        import torch

        width = 0 if condition is None else condition.shape[1]
        if width != self._n_condition:
            raise CapabilityError(f"The model was fitted with a condition of width {self._n_condition}; {width} came.")
        array = np.empty((n, 0)) if condition is None else condition
        if len(array) != n:
            raise InputError(f"{len(array)} conditions came for {n} images; expected one each.")
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self._device)

    def _encode(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        out = self._encoder(x, given).float()
        mean = out[:, : self.settings.n_latent]
        if self.settings.code_activation == "tanh":
            mean = mean.tanh()
        # exp of more than 10 would overflow the loss long before it meant anything.
        return mean, out[:, self.settings.n_latent :].clamp(-10.0, 10.0)

    def _output(self, raw: Tensor) -> Tensor:
        from torch.nn import functional

        if self.settings.output == "sigmoid":
            return raw.sigmoid()
        return functional.softplus(raw) if self.settings.output == "softplus" else raw

    def _error(self, x: Tensor, raw: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """(b,) losses of images and of what the decoder says before its last activation."""
        each = (
            excess_cross_entropy(x, raw) if self.settings.error == "cross-entropy" else (x - self._output(raw)) ** 2 / 2
        )
        error = each.flatten(1).sum(dim=1)
        if self.settings.beta:
            error = error + self.settings.beta * divergence_from_prior(mean, log_variance).sum(dim=1)
        return error

    def _judge(self, source: ImageSource, condition: Floats | None) -> Callable[[], float]:
        def value() -> float:
            rows = np.arange(len(source))
            images = (
                source.images(rows[i : i + DECODED_AT_ONCE], np.random.default_rng(0))
                for i in range(0, len(rows), DECODED_AT_ONCE)
            )
            parts = (condition[i : i + DECODED_AT_ONCE] if condition is not None else None
                     for i in range(0, len(rows), DECODED_AT_ONCE))  # fmt: skip
            losses = [self.losses(x, c) for x, c in zip(images, parts, strict=True)]
            return float(np.concatenate(losses).mean())

        return value

    def _remember_codes(self, source: ImageSource, condition: Floats | None, rng: np.random.Generator) -> None:
        """Mean and factor F of the codes' Gaussian, covariance F^T F, from which `sample` draws where beta is 0."""
        rows = np.arange(len(source))
        if len(rows) > CODED_IMAGES:
            rows = np.sort(rng.choice(len(rows), CODED_IMAGES, replace=False))
        codes = np.concatenate([
            self.encode(source.images(part, rng), None if condition is None else condition[part])
            for part in np.array_split(rows, -(-len(rows) // DECODED_AT_ONCE))
        ])  # fmt: skip
        self._code_mean, self._code_factor = gaussian_of(codes)


def _source(data: Floats | ImageSource) -> ImageSource:
    return StoredImages(data) if isinstance(data, np.ndarray) else data
