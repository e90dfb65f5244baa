"""What an autoencoder takes its data to be: numbers, or one of a few classes each.

::

    Numbers        x in R^d            error = sum_d (x_d - y_d)^2 / 2       y: what the decoder returns
    Classes(C)     x in {0..C-1}^d     error = -sum_d log p_d[x_d]           p: softmax over the C outputs of each d

Either error is a negative logarithm of a likelihood (of unit variance, up to a constant), in nats. Beside it stands the
divergence of a code N(mu, sigma2) from the prior N(0, 1), (mu^2 + sigma2 - log sigma2 - 1) / 2 a dimension (Kingma and
Welling 2014).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1) in nats, of the shape of its arguments."""
    return (mean**2 + log_variance.exp() - log_variance - 1) / 2


def excess_cross_entropy(x: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy of x in [0, 1] and the sigmoid of the logits less the entropy of x, 0 for a perfect answer."""
    import torch
    from torch.nn import functional

    return functional.softplus(logits) - x * logits + torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)


class Likelihood(ABC):
    """Between (n, d) data and what the two networks take and return."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Inputs and outputs of the networks for each of the d data."""

    @abstractmethod
    def tensor(self, data: NDArray[Any]) -> Tensor:
        """(n, d) data as they are kept in memory."""

    @abstractmethod
    def inputs(self, x: Tensor) -> Tensor:
        """(n, d) kept data -> (n, d * width) inputs of the encoder."""

    @abstractmethod
    def errors(self, x: Tensor, decoded: Tensor) -> Tensor:
        """(n, d) data and (n, d * width) outputs of the decoder -> (n, d) errors."""

    @abstractmethod
    def values(self, decoded: Tensor) -> Tensor:
        """(n, d * width) outputs -> what samples are: (n, d) numbers, or (n, d, C) probabilities."""

    @abstractmethod
    def constant_error(self, data: NDArray[Any], fitted: NDArray[Any]) -> float:
        """Mean error of a datum under the best constant answer for other data."""


class Numbers(Likelihood):
    """Real numbers, best standardised."""

    @property
    def width(self) -> int:
        """One."""
        return 1

    def tensor(self, data: NDArray[Any]) -> Tensor:
        """As float32."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(data, dtype=np.float32))

    def inputs(self, x: Tensor) -> Tensor:
        """The data themselves."""
        return x

    def errors(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Half the squared differences."""
        return (decoded - x) ** 2 / 2

    def values(self, decoded: Tensor) -> Tensor:
        """The outputs themselves."""
        return decoded

    def constant_error(self, data: NDArray[Any], fitted: NDArray[Any]) -> float:
        """Under the mean of the other data."""
        return float(((data - fitted.mean(axis=0)) ** 2).mean() / 2)


class Classes(Likelihood):
    """Whole numbers below a limit, each with a softmax of its own.

    The decoder returns all outputs of class 0, then all of class 1, ...: a softmax over a long stride is several times
    faster than one over a few neighbours.

    Args:
        n_classes: C, at most 256.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    @property
    def width(self) -> int:
        """C."""
        return self.n_classes

    def tensor(self, data: NDArray[Any]) -> Tensor:
        """A byte each."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(data, dtype=np.uint8))

    def inputs(self, x: Tensor) -> Tensor:
        """One-hot, a datum after the other."""
        import torch

        return (x[:, :, None] == torch.arange(self.n_classes, dtype=torch.uint8, device=x.device)).float().flatten(1)

    def errors(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Cross-entropies, nats."""
        logits = decoded.unflatten(1, (self.n_classes, -1)).log_softmax(dim=1)
        return -logits.gather(1, x.long()[:, None])[:, 0]

    def values(self, decoded: Tensor) -> Tensor:
        """Probabilities (n, d, C)."""
        return decoded.unflatten(1, (self.n_classes, -1)).softmax(dim=1).transpose(1, 2)

    def constant_error(self, data: NDArray[Any], fitted: NDArray[Any]) -> float:
        """Under the frequencies of the classes in the other data, each class counted once more than it occurs."""
        seen = np.array([(fitted == c).sum(axis=0) + 1 for c in range(self.n_classes)]) / (len(fitted) + self.n_classes)
        return float(-np.log(np.take_along_axis(seen, data.astype(np.int64), axis=0)).mean())
