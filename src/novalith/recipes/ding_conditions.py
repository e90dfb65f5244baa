"""The properties that DING is conditioned on: their scale, and training rows that stand for what goes together.

A request rarely names all of them, and they are not independent: energy per atom = formation energy + mean energy of
the elements. What is left open comes from training rows near the target,

    P(row) ~ exp(-d^2 / 2),   d^2 = sum over the given properties ((y_row - target) / (FILL_WIDTH * spread))^2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.represent.composition_one_hot import Counts

Floats = NDArray[np.float64]

#: Training rows kept in the model, for conditions that a request leaves open and for the prior of codes.
N_KEPT_ROWS = 16_384
#: Width of the Gaussian that weighs them, in standard deviations of each property.
FILL_WIDTH = 0.1


@dataclass(frozen=True, eq=False)
class Conditions:
    """The properties that a model is conditioned on.

    Attributes:
        names: of `novalith.data.targets`; none for a model without conditions.
        rows: (k, c) values of some training rows, in the units of the targets and in random order.
        counts: (k, 89) formulas of these rows.
        ranges: (c, 2) lowest and highest training value.
        shift: (c,) taken off before the network sees a value.
        scale: (c,) divides it.
        spread: (c,) standard deviation of the training values.
    """

    names: tuple[str, ...]
    rows: Floats
    counts: Counts
    ranges: Floats
    shift: Floats
    scale: Floats
    spread: Floats

    @classmethod
    def of(
        cls, names: Sequence[str], values: Floats, counts: Counts, standardised: bool, *, rng: np.random.Generator
    ) -> Conditions:
        """From (n, c) training values and (n, 89) counts."""
        kept = rng.permutation(len(values))[:N_KEPT_ROWS]
        spread = np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
        shift, scale = (values.mean(axis=0), spread) if standardised else (np.zeros(len(names)), np.ones(len(names)))
        ranges = np.stack([values.min(axis=0), values.max(axis=0)], axis=1).reshape(-1, 2)
        return cls(tuple(names), values[kept], counts[kept], ranges, shift, scale, spread)

    def scaled(self, values: Floats) -> NDArray[np.float32] | None:
        """What the network sees of (n, c) values; None for a model without conditions."""
        return ((values - self.shift) / self.scale).astype(np.float32) if self.names else None

    def near(self, n: int, given: Mapping[str, float], rng: np.random.Generator) -> NDArray[np.int64]:
        """(n,) rows drawn near the given values; any rows where none is given."""
        index = [self.names.index(name) for name in given]
        aim = np.array(list(given.values()))
        distance = (((self.rows[:, index] - aim) / self.spread[index] / FILL_WIDTH) ** 2).sum(axis=1) / 2
        # Measured from the nearest row, a target far from all rows takes the conditions of that one.
        weight = np.exp(distance.min() - distance)
        return rng.choice(len(self.rows), n, p=weight / weight.sum())

    def filled(self, rows: NDArray[np.int64], given: Mapping[str, float]) -> Floats:
        """(n, c) values: the given ones, and the others from the rows."""
        values = self.rows[rows].copy()
        for name, value in given.items():
            values[:, self.names.index(name)] = value
        return values
