"""Scores as probabilities.

Platt's scaling: P(positive | score s) = 1 / (1 + exp(-(a s + b))), a and b by maximum likelihood on held-out scores,
with each class weighted to one half. The probability therefore reads "were this drawn with equal chance from
the positives or from the background, how likely is it a positive"; another mixing ratio r shifts its log-odds by log r.

Platt, Advances in Large Margin Classifiers (1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """Log-odds a s + b of a score s."""

    slope: float
    offset: float

    def probability(self, scores: Floats) -> Floats:
        """(n,) scores -> (n,) probabilities."""
        return 1.0 / (1.0 + np.exp(-np.clip(self.slope * scores + self.offset, -60.0, 60.0)))


def calibrate(positive: Floats, background: Floats) -> Calibration:
    """Fit to held-out scores of positives and of background, each class weighing one half."""
    from scipy.optimize import minimize

    scores = np.concatenate([positive, background])
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(background))])
    weights = np.where(labels == 1, 0.5 / len(positive), 0.5 / len(background))
    centre, scale = float(scores.mean()), float(scores.std()) or 1.0
    x = (scores - centre) / scale

    def loss(theta: Floats) -> tuple[float, Floats]:
        logits = theta[0] * x + theta[1]
        gap = weights * (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0))) - labels)
        value = float((weights * (np.logaddexp(0.0, logits) - labels * logits)).sum())
        # The small ridge keeps the slope finite where positives and background do not overlap.
        return value + 1e-4 * float(theta[0] ** 2), np.array([(gap * x).sum() + 2e-4 * theta[0], gap.sum()])

    a, b = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B").x
    return Calibration(float(a / scale), float(b - a * centre / scale))


def calibration_error(positive: Floats, background: Floats, n_bins: int = 10) -> float:
    """Expected calibration error of probabilities, each class weighing one half: mean gap between said and seen."""
    probabilities = np.concatenate([positive, background])
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(background))])
    weights = np.where(labels == 1, 0.5 / len(positive), 0.5 / len(background))
    bins = np.minimum((probabilities * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, weights * (probabilities - labels), minlength=n_bins)
    return float(np.abs(gaps).sum())
