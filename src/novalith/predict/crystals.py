r"""What is predicted for crystals, and which crystals a model knows.

A crystal is *known* for a target where every element of it occurs among the training crystals that have the target, and
where its vector x (what a network pools of its atoms) lies near those of the training: the distance to the nearest of a
few hundred training crystals that have the target, after projection on the leading principal axes, each in units of its
deviation,

    d(x) = min over anchors a of |P (x - m) - a|,    P = leading axes / deviations

is at most the 0.99 quantile of the same distance over crystals that were held out of the training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ELEMENTS
from novalith.predict.composition import ValueRange

Floats = NDArray[np.float64]

#: Principal axes, anchors a target, and the share of held-out crystals that are within reach.
_N_AXES, _N_ANCHORS, _QUANTILE = 12, 400, 0.99
#: Crystals whose distances are computed at a time; bounds the memory.
_BLOCK = 1024


@dataclass(frozen=True)
class CrystalPrediction:
    """What is predicted for n crystals.

    Attributes:
        value: (n,) in the unit of the target; NaN where there is no prediction.
        uncertainty: (n,) one standard deviation in the same unit; NaN with the value.
        in_range: (n,) whether the crystal and the value are like those of the training.
        reasons: row -> why it is not in range, for exactly those rows.
    """

    value: Floats
    uncertainty: Floats
    in_range: NDArray[np.bool_]
    reasons: Mapping[int, str] = field(repr=False)


@dataclass(frozen=True, eq=False)
class CrystalDomain:
    """Which crystals a model was fitted to, for t targets.

    Attributes:
        elements: (t, 118) whether an element occurs, by atomic number less one.
        mean: (p,) m.
        axes: (p, k) P.
        anchors: (a, k) projected training vectors.
        has: (a, t) whether an anchor has a target.
        reach: (t,) largest distance in range.
        values: target -> its training values, in the order of the targets.
    """

    elements: NDArray[np.bool_]
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    anchors: NDArray[np.float32]
    has: NDArray[np.bool_]
    reach: Floats
    values: Mapping[str, ValueRange]

    def distances(self, vectors: NDArray[np.float32]) -> Floats:
        """(n, p) vectors -> (n, t) distances."""
        projected = (vectors - self.mean) @ self.axes
        out = np.empty((len(vectors), self.has.shape[1]))
        for start in range(0, len(vectors), _BLOCK):
            part = projected[start : start + _BLOCK]
            squared = (part**2).sum(1)[:, None] + (self.anchors**2).sum(1) - 2 * part @ self.anchors.T
            for t in range(out.shape[1]):
                out[start : start + _BLOCK, t] = squared[:, self.has[:, t]].min(axis=1)
        return np.sqrt(np.maximum(out, 0))

    def reasons(
        self, target: str, shares: Floats, distance: Floats, value: Floats, uncertainty: Floats
    ) -> dict[int, str]:
        """Row -> why it is outside of the training; the first reason that holds.

        Args:
            target: whose.
            shares: (n, 118) fractions of elements.
            distance: (n,) of the target.
            value: (n,) of the target.
            uncertainty: (n,).
        """
        t = list(self.values).index(target)
        reasons: dict[int, str] = {}
        foreign = (shares > 0) & ~self.elements[t]
        for row in np.flatnonzero(foreign.any(axis=1)).tolist():
            symbols = ", ".join(ELEMENTS[z] for z in np.flatnonzero(foreign[row]))
            reasons[row] = f"no training crystal with a {target} holds {symbols}"
        reach, limits = self.reach[t], self.values[target]
        for row in np.flatnonzero(distance > reach).tolist():
            told = (
                f"the crystal is unlike those of the training: {distance[row] / reach:.2f} times as far as 99 % of them"
            )
            reasons.setdefault(row, told)
        for row in np.flatnonzero((value < limits.low) | (value > limits.high)).tolist():
            reasons.setdefault(
                row,
                f"the value {value[row]:.4g} is outside of the training values, {limits.low:.4g} to {limits.high:.4g}",
            )
        for row in np.flatnonzero(uncertainty > 2 * limits.deviation).tolist():
            told = (
                f"the uncertainty {uncertainty[row]:.3g} exceeds twice the training spread, {2 * limits.deviation:.3g}"
            )
            reasons.setdefault(row, told)
        return reasons

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Arrays for a checkpoint."""
        return {
            "domain.elements": self.elements.astype(np.uint8), "domain.mean": self.mean.astype(np.float16),
            "domain.axes": self.axes.astype(np.float16), "domain.anchors": self.anchors.astype(np.float16),
            "domain.has": self.has.astype(np.uint8), "domain.reach": self.reach,
        }  # fmt: skip

    def to_config(self) -> dict[str, Any]:
        """Ranges of values as plain JSON."""
        return {name: [v.low, v.high, v.deviation] for name, v in self.values.items()}

    @classmethod
    def stored(
        cls, tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any], targets: Sequence[str]
    ) -> CrystalDomain:
        """From `tensors` and `to_config`."""
        mean, axes, anchors = (tensors[f"domain.{n}"].astype(np.float32) for n in ("mean", "axes", "anchors"))
        elements, has = (tensors[f"domain.{n}"].astype(bool) for n in ("elements", "has"))
        values = {name: ValueRange(*config[name]) for name in targets}
        return cls(elements, mean, axes, anchors, has, tensors["domain.reach"], values)


def fit_domain(
    vectors: NDArray[np.float32],
    shares: Floats,
    values: Mapping[str, Floats],
    split: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    rng: np.random.Generator,
) -> CrystalDomain:
    """The domain of the rows trained on; the rows held out decide how far it reaches.

    Args:
        vectors: (n, p).
        shares: (n, 118) fractions of elements.
        values: target -> (n,), NaN where missing.
        split: rows trained on, rows held out.
        rng: draws the anchors.
    """
    training, held = split
    mean = vectors[training].mean(axis=0)
    _, deviations, axes = np.linalg.svd((vectors[training] - mean)[:20_000].astype(np.float64), full_matrices=False)
    k = min(_N_AXES, len(deviations))
    scale = np.maximum(deviations[:k] / np.sqrt(len(training)), 1e-6)
    projection = (axes[:k].T / scale).astype(np.float32)
    has = np.stack([np.isfinite(v) for v in values.values()], axis=1)
    # A target that no training row has (a handful of rows, all held out) is known from those rows.
    rows_of = [
        training[has[training, t]] if has[training, t].any() else held[has[held, t]] for t in range(has.shape[1])
    ]
    chosen = np.array(sorted({i for rows in rows_of for i in rng.permutation(rows)[:_N_ANCHORS].tolist()}))
    elements = np.stack([(shares[rows] > 0).any(axis=0) for rows in rows_of])
    ranges = {
        name: ValueRange(*(float(f(v[rows])) for f in (np.min, np.max, np.std)))
        for (name, v), rows in zip(values.items(), rows_of, strict=True)
    }
    # Rounded here as in the file, so that a saved domain answers as the one in memory.
    mean, projection = (a.astype(np.float16).astype(np.float32) for a in (mean, projection))
    anchors = ((vectors[chosen] - mean) @ projection).astype(np.float16).astype(np.float32)
    free = CrystalDomain(elements, mean, projection, anchors, has[chosen], np.full(has.shape[1], np.inf), ranges)
    distance = free.distances(vectors[held if len(held) else training])
    known = has[held if len(held) else training]
    reach = [
        np.quantile(distance[known[:, t], t], _QUANTILE) if known[:, t].any() else np.inf for t in range(len(ranges))
    ]
    return CrystalDomain(
        elements,
        mean,
        projection,
        anchors,
        has[chosen],
        np.where(np.isfinite(reach), np.maximum(reach, 1e-6), 1e6),
        ranges,
    )
