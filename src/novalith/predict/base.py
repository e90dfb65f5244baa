"""What every predictor answers: a value, and how far to trust it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """Values with their uncertainty.

    Attributes:
        value: (n,) in the unit that the predictor states.
        uncertainty: (n,) one standard deviation in the same unit, or None where the predictor knows none.
    """

    value: NDArray[np.float64]
    uncertainty: NDArray[np.float64] | None


class Predictor(ABC):
    """Learns a number from arrays."""

    @abstractmethod
    def fit(self, inputs: NDArray[Any], targets: NDArray[np.float64], rng: np.random.Generator) -> None:
        """Learn from (n, ...) inputs and (n,) targets; equal inputs and an equal `rng` give an equal predictor."""

    @abstractmethod
    def predict(self, inputs: NDArray[Any]) -> Prediction:
        """Predict for (n, ...) inputs."""
