"""Autoencoders of vectors: plain, variational, conditional, with a watch on collapse.

    z ~ N(mu(x, c), sigma2(x, c)),   x' = decoder(z, c)
    loss = sum_d (x_d - x'_d)^2 / 2 + beta * KL,   KL = sum_j (mu_j^2 + sigma2_j - log sigma2_j - 1) / 2

beta = 0 is the plain autoencoder: no noise, and samples are drawn from the Gaussian of its codes. c is absent without a
condition. A variational autoencoder *collapses* when the decoder stops listening to z: the reconstruction is then no
better than one constant vector, and KL per dimension falls to zero. `CollapseReport` says so in numbers.

Kingma and Welling (2014); Sohn, Lee and Yan (2015) for the condition; active units after Burda, Grosse and
Salakhutdinov (2016): latent dimensions whose mean varies over the data by more than 0.01.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError
from novalith.generate.base import Floats, Generator

if TYPE_CHECKING:
    from torch import Tensor

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
    """

    hidden: tuple[int, ...] = (128, 64)
    n_latent: int = 16
    beta: float = 0.1
    output: str = "linear"
    n_epochs: int = 60
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class CollapseReport:
    """Whether an autoencoder has learned anything.

    Attributes:
        reconstruction: mean squared error a number of the data.
        constant: the same of the best constant vector, the mean of the training data.
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
        self._n_condition = 0

    def fit(self, data: Floats, condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn (n, d) data, best standardised, with an optional (n, c) condition."""
        import torch

        from novalith.networks.dense import Dense
        from novalith.training.loop import TrainingSettings, train

        s = self.settings
        self._n_condition = 0 if condition is None else condition.shape[1]
        self._mean = data.mean(axis=0)
        n_in = data.shape[1] + self._n_condition
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._encoder = Dense([n_in, *s.hidden, 2 * s.n_latent])
            self._decoder = Dense([s.n_latent + self._n_condition, *reversed(s.hidden), data.shape[1]], output=s.output)
        x, given = self._tensor(data), self._condition(condition, len(data))

        def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            mean, log_variance = self._encode(x[batch], given[batch])
            noise = torch.randn(mean.shape, generator=generator)
            z = mean + noise * (log_variance / 2).exp() if s.beta else mean
            error = ((self._decode(z, given[batch]) - x[batch]) ** 2).sum(dim=1) / 2
            return (error + s.beta * _kl(mean, log_variance).sum(dim=1)).mean()

        both = torch.nn.ModuleList([self._encoder, self._decoder])
        how = TrainingSettings(s.n_epochs, 64, s.learning_rate, 1e-4)
        self.curve = train(both, loss, len(data), how, rng=rng)
        self._codes = self.encode(data, condition)

    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Decode (n, latent) draws from the prior, or from the Gaussian of the codes where beta is 0."""
        z = rng.standard_normal((n, self.settings.n_latent))
        if not self.settings.beta:
            covariance = np.atleast_2d(np.cov(self._codes.T))
            values, vectors = np.linalg.eigh(covariance)
            z = self._codes.mean(axis=0) + (z * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        return self._numpy(self._decode(self._tensor(z), self._condition(condition, n)))

    def encode(self, data: Floats, condition: Floats | None = None) -> Floats:
        """(n, d) -> means of the codes (n, latent)."""
        return self._numpy(self._encode(self._tensor(data), self._condition(condition, len(data)))[0])

    def reconstruct(self, data: Floats, condition: Floats | None = None) -> Floats:
        """Decode the mean of the code, without noise: (n, d) -> (n, d)."""
        given = self._condition(condition, len(data))
        return self._numpy(self._decode(self._encode(self._tensor(data), given)[0], given))

    def inspect(self, data: Floats, condition: Floats | None = None) -> CollapseReport:
        """Judge on data, best held out, whether the model has collapsed."""
        mean, log_variance = self._encode(self._tensor(data), self._condition(condition, len(data)))
        kl = (
            self._numpy(_kl(mean, log_variance)).mean(axis=0)
            if self.settings.beta
            else np.zeros(self.settings.n_latent)
        )
        return CollapseReport(
            float(((self.reconstruct(data, condition) - data) ** 2).mean()),
            float(((self._mean - data) ** 2).mean()),
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

        mean, log_variance = self._encoder(torch.cat([x, given], dim=1)).chunk(2, dim=1)
        # exp of more than 10 would overflow the loss long before it meant anything.
        return mean, log_variance.clamp(-10.0, 10.0)

    def _decode(self, z: Tensor, given: Tensor) -> Tensor:
        import torch

        return self._decoder(torch.cat([z, given], dim=1))


def _kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    return (mean**2 + log_variance.exp() - log_variance - 1) / 2
