"""The latent space of any `CrystalModel`: a map of it, and ways through it.

    map    t-SNE of the training codes (van der Maaten and Hinton, JMLR 9, 2579, 2008)
    way    slerp(a, b; t) = m + [sin((1 - t) w) (a - m) + sin(t w) (b - m)] / sin w

with codes a and b, the mean m of the training codes and the angle w between a - m and b - m. The way keeps its distance
from m, where codes of a Gaussian lie, while a straight line passes nearer to m than any of them (White,
arXiv 1609.04468, 2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.recipes.crystal_models import CrystalModel, Floats, SampleRequest

#: Most points of a map: t-SNE of so many takes half a minute on one core.
MAP_POINTS = 2500
#: Neighbours that t-SNE keeps together, of van der Maaten and Hinton's 5 to 50.
PERPLEXITY = 30.0
#: Angles below this are none: the way is straight.
STRAIGHT = 1e-4


def latent_map(
    model: CrystalModel, *, most: int = MAP_POINTS, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the training codes, at most so many, and their places (n, 2) on the map.

    Raises:
        InputError: there are fewer than four codes.
    """
    from sklearn.manifold import TSNE

    n = len(model.training_codes)
    if n < 4:
        raise InputError(f"A map needs at least four training codes; the model keeps {n}.")
    rows = np.sort(rng.choice(n, min(n, most), replace=False))
    codes = np.asarray(model.training_codes[rows], dtype=np.float32)
    tsne = TSNE(2, perplexity=min(PERPLEXITY, (len(rows) - 1) / 3), init="pca", random_state=int(rng.integers(2**31)))
    return rows, np.asarray(tsne.fit_transform(codes), dtype=np.float64)


def centre(model: CrystalModel) -> Floats:
    """Mean of the training codes, (latent,)."""
    return np.asarray(model.training_codes, dtype=np.float32).mean(axis=0)


def spherical(a: Floats, b: Floats, shares: Sequence[float], around: Floats) -> Floats:
    """Codes (n, latent) on the way from `a` (share 0) to `b` (share 1), at an even pace of the angle at `around`."""
    u, v = (a - around).astype(np.float64), (b - around).astype(np.float64)
    lengths = np.linalg.norm(u) * np.linalg.norm(v)
    angle = math.acos(float(np.clip(u @ v / lengths, -1.0, 1.0))) if lengths else 0.0
    t = np.asarray(shares, dtype=np.float64)[:, None]
    if angle < STRAIGHT or math.pi - angle < STRAIGHT:
        return ((1 - t) * a + t * b).astype(np.float32)
    return (around + (np.sin((1 - t) * angle) * u + np.sin(t * angle) * v) / math.sin(angle)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Way:
    """A way between two crystals through the latent space.

    Attributes:
        shares: (n,) of the way, 0 for the first crystal and 1 for the second.
        codes: (n, latent).
        outcomes: n decoded crystals, or why there is none.
    """

    shares: tuple[float, ...]
    codes: Floats
    outcomes: tuple[Crystal | Verdict, ...]


def interpolate(
    model: CrystalModel, ends: tuple[Crystal, Crystal], n: int, request: SampleRequest | None = None
) -> Way:
    """`n` crystals on the spherical way between two, the ends as the model returns them among them.

    Raises:
        InputError: an end fails the model's `check`, or `n` is below two.
    """
    if n < 2:
        raise InputError(f"A way of {n} crystals has no two ends; ask for at least 2.")
    asked = request or SampleRequest()
    codes = model.encode(ends, asked.targets or None)
    shares = tuple(float(t) for t in np.linspace(0.0, 1.0, n))
    way = spherical(codes[0], codes[1], shares, centre(model))
    return Way(shares, way, tuple(model.decode(way, asked)))
