"""Autoencoders of vectors: plain, variational, conditional, with a watch on collapse.

    z ~ N(mu(x, c), sigma2(x, c)),   x' = decoder(z, c)
    loss = error(x, x') + beta * KL,   KL = sum_j (mu_j^2 + sigma2_j - log sigma2_j - 1) / 2

The error is that of numbers, sum_d (x_d - x'_d)^2 / 2, or the cross-entropy of classes, for which beta = 1 makes the
loss the negative evidence bound (`novalith.generate.likelihoods`). beta = 0 is the plain autoencoder: no noise, and
samples are drawn from the Gaussian of its codes. c is absent without a condition.

A variational autoencoder *collapses* when the decoder stops listening to z: the reconstruction is then no better than
one constant answer, and KL per dimension falls to zero. `CollapseReport` says so in numbers.

Kingma and Welling (2014); Sohn, Lee and Yan (2015) for the condition; active units after Burda, Grosse and
Salakhutdinov (2016): latent dimensions whose mean varies over the data by more than 0.01.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError
from novalith.generate.base import Floats, Generator
from novalith.generate.likelihoods import Classes, Likelihood, Numbers, divergence_from_prior

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.training.loop import EpochReport

#: Variance of a latent mean over the data above which the unit counts as active (Burda et al. 2016).
ACTIVE_VARIANCE = 0.01


@dataclass(frozen=True)
class VaeSettings:
    """Sizes and training of an autoencoder.

    Attributes:
        hidden: widths of the encoder; the decoder mirrors them.
        n_latent: width of the code.
        beta: weight of the KL term; 0 is a plain autoencoder.
        output: last activation of the decoder; "linear" unless the data live in (0, 1).
        n_epochs: passes over the data.
        learning_rate: peak of the cycle.
        n_classes: 0 for data that are numbers; else each datum is one of so many classes, 0, 1, ...
        activation: between layers.
        batch_size: rows a step.
        shared_noise: one noise vector for the whole batch, as some published codes have it, instead of one a row.
        precision: of the multiplications in training.
    """

    hidden: tuple[int, ...] = (128, 64)
    n_latent: int = 16
    beta: float = 0.1
    output: str = "linear"
    n_epochs: int = 60
    learning_rate: float = 2e-3
    n_classes: int = 0
    activation: str = "silu"
    batch_size: int = 64
    shared_noise: bool = False
    precision: str = "float32"


@dataclass(frozen=True)
class CollapseReport:
    """Whether an autoencoder has learned anything.

    Attributes:
        reconstruction: mean error of a datum: squared for numbers, cross-entropy in nats for classes.
        constant: the same of the best constant answer, the mean or the frequencies of the training data.
        kl_per_dimension: KL divergence of each latent dimension, nats, mean over the data; zeros where beta is 0.
        active_units: latent dimensions whose mean varies by more than `ACTIVE_VARIANCE`.
    """

    reconstruction: float
    constant: float
    kl_per_dimension: tuple[float, ...]
    active_units: int

    @property
    def collapsed(self) -> bool:
        """Whether the model reconstructs hardly better (5 %) than a constant, or no unit is active."""
        return self.active_units == 0 or self.reconstruction > 0.95 * self.constant


class VariationalAutoencoder(Generator):
    """An autoencoder of vectors; see the module for its loss.

    Args:
        settings: sizes and training.
    """

    def __init__(self, settings: VaeSettings | None = None) -> None:
        self.settings = settings or VaeSettings()
        self.likelihood: Likelihood = Classes(self.settings.n_classes) if self.settings.n_classes else Numbers()
        self._n_condition = 0

    def fit(self, data: NDArray[Any], condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn (n, d) data, best standardised where they are numbers, with an optional (n, c) condition."""
        self.fit_watched(data, condition, rng=rng)
        self._codes = self.encode(data, condition)

    def fit_watched(
        self,
        data: NDArray[Any],
        condition: Floats | None = None,
        resume_path: Path | None = None,
        watch: Callable[[EpochReport], None] = lambda _: None,
        *,
        rng: np.random.Generator,
    ) -> None:
        """Learn as `fit` does, telling of every epoch and going on from a checkpoint where there is one."""
        import torch

        from novalith.training.loop import Supervision, TrainingSettings, train

        s = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._build(data.shape[1], 0 if condition is None else condition.shape[1])
        x, given = self.likelihood.tensor(data), self._condition(condition, len(data))

        def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            mean, log_variance = self._encode(x[batch], given[batch])
            noise = torch.randn(mean.shape[1:] if s.shared_noise else mean.shape, generator=generator)
            z = mean + noise * (log_variance / 2).exp() if s.beta else mean
            error = self.likelihood.errors(x[batch], self._decode(z, given[batch])).sum(dim=1)
            return (error + s.beta * divergence_from_prior(mean, log_variance).sum(dim=1)).mean()

        self._fitted = data
        how = TrainingSettings(s.n_epochs, s.batch_size, s.learning_rate, 1e-4, precision=s.precision)
        beside = Supervision(resume_path=resume_path, watch=watch)
        self.curve = train(self._both, loss, len(data), how, beside, rng=rng)

    def _build(self, n_data: int, n_condition: int) -> None:
        import torch

        from novalith.networks.dense import Dense

        s, width = self.settings, n_data * self.likelihood.width
        self._n_data, self._n_condition = n_data, n_condition
        self._encoder = Dense([width + n_condition, *s.hidden, 2 * s.n_latent], s.activation)
        self._decoder = Dense([s.n_latent + n_condition, *reversed(s.hidden), width], s.activation, s.output)
        self._both = torch.nn.ModuleList([self._encoder, self._decoder])

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name, for a checkpoint."""
        return {name: t.detach().cpu().numpy() for name, t in self._both.state_dict().items()}

    @property
    def sizes(self) -> tuple[int, int]:
        """(d, c): numbers of data and of conditions."""
        return self._n_data, self._n_condition

    @classmethod
    def of_tensors(
        cls, settings: VaeSettings, sizes: tuple[int, int], tensors: Mapping[str, NDArray[np.float32]]
    ) -> VariationalAutoencoder:
        """The autoencoder of `tensors` and `sizes`; it can do all but `inspect` and, where beta is 0, `sample`."""
        import torch

        model = cls(settings)
        model._build(*sizes)
        model._both.load_state_dict({name: torch.from_numpy(np.array(t)) for name, t in tensors.items()})
        model._both.eval()
        return model

    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Decode (n, latent) draws from the prior, or from the Gaussian of the codes where beta is 0."""
        z = rng.standard_normal((n, self.settings.n_latent))
        if not self.settings.beta:
            covariance = np.atleast_2d(np.cov(self._codes.T))
            values, vectors = np.linalg.eigh(covariance)
            z = self._codes.mean(axis=0) + (z * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return self.decode(z, condition)

    def encode(self, data: NDArray[Any], condition: Floats | None = None) -> Floats:
        """(n, d) -> means of the codes (n, latent)."""
        return self.encode_spread(data, condition)[0]

    def encode_spread(self, data: NDArray[Any], condition: Floats | None = None) -> tuple[Floats, Floats]:
        """(n, d) -> means and standard deviations of the codes, (n, latent) each."""
        import torch

        with torch.no_grad():
            mean, log_variance = self._encode(self.likelihood.tensor(data), self._condition(condition, len(data)))
        return self._numpy(mean), self._numpy((log_variance / 2).exp())

    def decode(self, codes: NDArray[np.floating], condition: Floats | None = None) -> Floats:
        """(n, latent) codes -> (n, d) numbers, or (n, d, C) probabilities of classes."""
        import torch

        with torch.no_grad():
            decoded = self._decode(self._tensor(codes), self._condition(condition, len(codes)))
            return self._numpy(self.likelihood.values(decoded))

    def reconstruct(self, data: NDArray[Any], condition: Floats | None = None) -> Floats:
        """Decode the mean of the code, without noise: (n, d) -> (n, d), or (n, d, C) probabilities."""
        return self.decode(self.encode(data, condition), condition)

    def losses(self, data: NDArray[Any], condition: Floats | None = None) -> Floats:
        """(n, d) -> (n,) loss of each row, the code at its mean: how odd the row is to the model."""
        import torch

        x, given = self.likelihood.tensor(data), self._condition(condition, len(data))
        with torch.no_grad():
            mean, log_variance = self._encode(x, given)
            error = self.likelihood.errors(x, self._decode(mean, given)).sum(dim=1)
            return self._numpy(error + self.settings.beta * divergence_from_prior(mean, log_variance).sum(dim=1))

    def inspect(self, data: NDArray[Any], condition: Floats | None = None) -> CollapseReport:
        """Judge on data, best held out, whether the model has collapsed."""
        x, given = self.likelihood.tensor(data), self._condition(condition, len(data))
        mean, log_variance = self._encode(x, given)
        kl = (
            self._numpy(divergence_from_prior(mean, log_variance)).mean(axis=0)
            if self.settings.beta
            else np.zeros(self.settings.n_latent)
        )
        error = self._numpy(self.likelihood.errors(x, self._decode(mean, given))).mean()
        # Numbers are reported by their squared error, twice the error of the loss.
        scale = 1.0 if self.settings.n_classes else 2.0
        return CollapseReport(
            scale * float(error),
            scale * self.likelihood.constant_error(data, self._fitted),
            tuple(round(float(k), 4) for k in kl),
            int((self._numpy(mean).var(axis=0) > ACTIVE_VARIANCE).sum()),
        )

    def _tensor(self, array: NDArray[np.floating]) -> Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    def _numpy(self, tensor: Tensor) -> Floats:
        return tensor.detach().numpy()

    def _condition(self, condition: Floats | None, n: int) -> Tensor:
        width = 0 if condition is None else condition.shape[1]
        if width != self._n_condition:
            raise CapabilityError(f"The model was fitted with a condition of width {self._n_condition}; {width} came.")
        return self._tensor(np.empty((n, 0)) if condition is None else condition)

    def _encode(self, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        inputs = self.likelihood.inputs(x)
        mean, log_variance = self._encoder(torch.cat([inputs, given], dim=1)).float().chunk(2, dim=1)
        # exp of more than 10 would overflow the loss long before it meant anything.
        return mean, log_variance.clamp(-10.0, 10.0)

    def _decode(self, z: Tensor, given: Tensor) -> Tensor:
        import torch

        return self._decoder(torch.cat([z, given], dim=1)).float()
