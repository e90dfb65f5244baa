"""The contract of a generator: arrays and an optional condition in, arrays out; it knows no chemistry.

A family without a condition and with one is the same class: `condition=None` is the plain model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Generator(ABC):
    """Learns a distribution of arrays and draws from it."""

    @abstractmethod
    def fit(self, data: Floats, condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn from (n, ...) data with an optional (n, c) condition; equal input and `rng` give an equal model."""

    @abstractmethod
    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Draw (n, ...) arrays; `condition` is (n, c) where the model was fitted with one.

        Raises:
            CapabilityError: a condition is given to a model fitted without, or the other way round.
        """


def gaussian_of(codes: Floats) -> tuple[Floats, Floats]:
    """Mean (k,) and factor F (k, k) of the Gaussian of codes (n, k), covariance F^T F: mean + e F, e ~ N(0, 1)."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(codes.T.astype(np.float64))))
    factor: Floats = (np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T).astype(np.float32)
    return codes.mean(axis=0), factor
