"""A variational autoencoder of codes whose latent vector also says whether a crystal is stable.

    z = mu(x) + noise * sigma(x) * e,   x' = decoder(z),   p = sigmoid(head(tanh z)) or sigmoid(head(invariants(x')))
    loss = mean_d (x_d - x'_d)^2 + beta * KL + head_weight * BCE(p, label)

x (n, d) is standardised with the mean and spread of the training codes, labels are 0, 1 or NaN (not known; left out of
the mean). The published head looks at tanh z; where the codes are waves it looks at what turning and moving the crystal
leaves alone (`novalith.networks.code_paths`). It does not condition the decoder (the conditional extension of iMatGen,
Noh, Kim, Stein, Sanchez-Lengeling, Gregoire, Aspuru-Guzik, Jung, Matter 1, 1370, 2019). With the published noise of
1e-4 the model is practically an autoencoder: new codes are made by disturbing known ones or between two of them, or
drawn from the Gaussian of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, InputError, UnknownNameError
from novalith.generate.base import Floats, Generator, gaussian_of
from novalith.generate.likelihoods import divergence_from_prior
from novalith.store.checkpoint import check_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.training.loop import EpochReport

LAYERS = ("axes", "convolution")


@dataclass(frozen=True)
class CodeVaeSettings:
    """Sizes and training.

    Attributes:
        n_images: basis images of a crystal.
        width: numbers of each.
        n_cell: numbers of the cell.
        n_latent: width of z; with "axes" at most the numbers of a crystal.
        layers: "axes" or the published "convolution" (`novalith.networks.code_paths`).
        head_hidden: widths of the head.
        shells: of codes that are waves, how many have each length: the head then looks at invariants; empty for the
            published head.
        cell_weight: weight of the error in the numbers of the cell, few as they are.
        beta: weight of the KL term.
        noise: the sampled noise is multiplied by this.
        head_weight: weight of the cross-entropy of the head.
        n_epochs: passes over the codes.
        batch_size: codes a step.
        learning_rate: peak of the cycle.
    """

    n_images: int
    width: int
    n_cell: int
    n_latent: int = 500
    layers: str = "axes"
    head_hidden: tuple[int, ...] = (32,)
    shells: tuple[int, ...] = ()
    cell_weight: float = 16.0
    beta: float = 1e-6
    noise: float = 1e-4
    head_weight: float = 0.05
    n_epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        if self.layers not in LAYERS:
            raise UnknownNameError("layers of the autoencoder of codes", self.layers, LAYERS)

    @property
    def size(self) -> int:
        """d: numbers of a crystal."""
        return self.n_images * self.width + self.n_cell

    @property
    def n_used(self) -> int:
        """Width of z: no more axes than numbers."""
        return min(self.n_latent, self.size) if self.layers == "axes" else self.n_latent


class CodeVae(Generator):
    """An autoencoder of codes; see the module.

    Args:
        settings: sizes and training.
    """

    def __init__(self, settings: CodeVaeSettings) -> None:
        self.settings = settings
        self.curve: tuple[EpochReport, ...] = ()

    def fit(self, data: Floats, condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn (n, d) codes without labels."""
        if condition is not None:
            raise CapabilityError("Codes are learned without a condition; labels shape the latent space, in `learn`.")
        self.learn(data, np.full(len(data), np.nan), rng=rng)

    def learn(
        self, data: Floats, labels: NDArray[np.floating[Any]], resume_path: Path | None = None,
        watch: Callable[[EpochReport], None] = lambda _: None, *, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Learn (n, d) codes with (n,) labels, 0, 1 or NaN; equal input and `rng` give an equal model."""
        import torch
        from torch.nn import functional

        from novalith.networks.code_paths import AxesDecoder, AxesEncoder, set_axes
        from novalith.training.loop import Supervision, TrainingSettings, train

        s = self.settings
        if data.ndim != 2 or data.shape[1] != s.size:
            raise InputError(f"Codes of shape {data.shape} came; expected {s.size} numbers a crystal.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._build()
        self._centre = data.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = data.std(axis=0, dtype=np.float64)
        self._spread = np.where(spread > 1e-6, spread, 1.0).astype(np.float32)
        # A larger weight in the squares is a smaller unit.
        self._spread[s.n_images * s.width :] /= np.float32(s.cell_weight**0.5)
        x = self._tensor((data - self._centre) / self._spread)
        if isinstance(self._encoder, AxesEncoder) and isinstance(self._decoder, AxesDecoder):
            set_axes(self._encoder, self._decoder, x)
        if self._invariants is not None:
            self._invariants.fit(self._tensor(data))
        known = torch.from_numpy(np.isfinite(labels))
        y = self._tensor(np.where(np.isfinite(labels), labels, 0.0))

        def loss(batch: Tensor, generator: torch.Generator) -> Tensor:
            mean, log_variance = self._encode(x[batch])
            z = mean + s.noise * torch.randn(mean.shape, generator=generator) * (log_variance / 2).exp()
            error = ((self._decoder(z) - x[batch]) ** 2).mean()
            kl = divergence_from_prior(mean, log_variance).sum(dim=1).mean()
            each = functional.binary_cross_entropy_with_logits(self._logits(z), y[batch], reduction="none")
            told = known[batch]
            return error + s.beta * kl + s.head_weight * (each * told).sum() / told.sum().clamp_min(1)

        how = TrainingSettings(s.n_epochs, s.batch_size, s.learning_rate, 1e-4)
        self.curve = train(self._all, loss, len(x), how, Supervision(None, resume_path, watch), rng=rng)
        # Rounded once and for all: a checkpoint in half precision then holds the very model that was judged.
        for tensor in self._all.state_dict().values():
            tensor.copy_(tensor.half().float())
        latent = self.encode(data)
        self._latent_mean, factor = gaussian_of(latent)
        self._latent_factor = factor.astype(np.float16).astype(np.float32)

    def encode(self, data: NDArray[np.floating[Any]]) -> Floats:
        """(n, d) codes -> (n, latent) means."""
        import torch

        with torch.no_grad():
            mean: Floats = self._encode(self._tensor((data - self._centre) / self._spread))[0].numpy()
        return mean

    def decode(self, latent: NDArray[np.floating[Any]]) -> Floats:
        """(n, latent) -> (n, d) codes."""
        import torch

        with torch.no_grad():
            x: Floats = self._decoder(self._tensor(latent)).numpy()
        return x * self._spread + self._centre

    def stability(self, latent: NDArray[np.floating[Any]]) -> Floats:
        """(n, latent) -> (n,) probability that the label is 1."""
        import torch

        with torch.no_grad():
            p: Floats = self._logits(self._tensor(latent)).sigmoid().numpy()
        return p

    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Decode n draws from the Gaussian of the training latents."""
        if condition is not None:
            raise CapabilityError("The model was fitted without a condition; none can be given.")
        return self.decode(self.sample_latent(n, rng=rng))

    def sample_latent(self, n: int, *, rng: np.random.Generator) -> Floats:
        """(n, latent) draws from the Gaussian of the training latents."""
        z = rng.standard_normal((n, len(self._latent_mean)))
        return (self._latent_mean + z @ self._latent_factor).astype(np.float32)

    def tensors(self) -> dict[str, NDArray[np.floating[Any]]]:
        """All that `of_tensors` needs beside the settings; weights, which `learn` has rounded, in half precision."""
        arrays = {name: t.detach().numpy().astype(np.float16) for name, t in self._all.state_dict().items()}
        return arrays | {
            "centre": self._centre, "spread": self._spread,
            "latent_mean": self._latent_mean, "latent_factor": self._latent_factor.astype(np.float16),
        }  # fmt: skip

    @classmethod
    def of_tensors(cls, settings: CodeVaeSettings, tensors: Mapping[str, NDArray[Any]]) -> CodeVae:
        """The model of `tensors`."""
        import torch

        model = cls(settings)
        model._build()
        arrays = {name: np.array(t, dtype=np.float32) for name, t in tensors.items()}
        d, k = (settings.size,), (settings.n_used,)
        check_shapes(arrays, {"centre": d, "spread": d, "latent_mean": k, "latent_factor": k + k})
        model._centre, model._spread = arrays.pop("centre"), arrays.pop("spread")
        model._latent_mean, model._latent_factor = arrays.pop("latent_mean"), arrays.pop("latent_factor")
        model._all.load_state_dict({name: torch.from_numpy(t) for name, t in arrays.items()})
        model._all.eval()
        return model

    def _build(self) -> None:
        from torch import nn

        from novalith.networks.code_paths import (
            AxesDecoder,
            AxesEncoder,
            CodeLayout,
            ConvolutionDecoder,
            ConvolutionEncoder,
            WaveInvariants,
        )
        from novalith.networks.dense import Dense

        s = self.settings
        layout = CodeLayout(s.n_images, s.width, s.n_cell)
        if s.layers == "axes":
            self._encoder: nn.Module = AxesEncoder(s.size, s.n_used)
            self._decoder: nn.Module = AxesDecoder(s.size, s.n_used)
        else:
            self._encoder = ConvolutionEncoder(layout, s.n_latent)
            self._decoder = ConvolutionDecoder(layout, s.n_latent)
        self._invariants = WaveInvariants(layout, s.shells) if s.shells else None
        seen = s.n_used if self._invariants is None else self._invariants.n_out
        self._head = Dense([seen, *s.head_hidden, 1])
        parts = [self._encoder, self._decoder, self._head, self._invariants]
        self._all = nn.ModuleList([part for part in parts if part is not None])

    def _tensor(self, array: NDArray[np.floating[Any]]) -> Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self._encoder(x).chunk(2, dim=1)
        return mean, log_variance.clamp(-10.0, 10.0)

    def _logits(self, z: Tensor) -> Tensor:
        if self._invariants is None:
            seen = z.tanh()
        else:
            seen = self._invariants(self._decoder(z) * self._tensor(self._spread) + self._tensor(self._centre))
        logits: Tensor = self._head(seen)[:, 0]
        return logits
