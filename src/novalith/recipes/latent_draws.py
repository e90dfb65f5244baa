"""Three ways to draw a code where training codes are few and far between: near one, between two, from all.

    near       z = z_i + t s e,   e ~ N(0, 1),  log t uniform within `NEAR_SPREADS`,  s the deviations of the codes
    between    a share of `WAY_SHARES` of the arc about the mean from z_i to one of its `NEIGHBOURS` nearest
    gaussian   a draw from the Gaussian of all training codes

A Gaussian prior is empty between structure types where an autoencoder was trained with next to no noise, as Noh et al.
(Matter 1, 1370, 2019) do; they draw around known crystals and between them as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: The ways of drawing and their shares.
WAYS = ("near", "between", "gaussian")
SHARES = (0.5, 0.4, 0.1)
#: Spread of draws near a known crystal, in standard deviations of the training codes, drawn evenly on a log scale.
NEAR_SPREADS = (0.02, 0.3)
#: The partner of an interpolation is one of so many nearest neighbours; the share of the way is drawn from these.
NEIGHBOURS, WAY_SHARES = 20, (0.15, 0.85)


def drawn_three_ways(
    training_codes: NDArray[np.floating[Any]], bases: NDArray[np.int64], gaussian: Callable[[int], Floats], n: int,
    *, rng: np.random.Generator,
) -> tuple[Floats, NDArray[np.int64]]:  # fmt: skip
    """Draws and the way of each.

    Args:
        training_codes: (m, latent), two or more.
        bases: rows from which draws start.
        gaussian: so many draws from the Gaussian of the training codes, (n, latent).
        n: number of draws.
        rng: source of randomness.

    Returns:
        (n, latent) codes, and the place of each way in `WAYS`.
    """
    ways = rng.choice(len(WAYS), n, p=SHARES)
    known = training_codes.astype(np.float64)
    scale = known.std(axis=0)
    first = rng.choice(bases, n)
    noise = rng.standard_normal((n, known.shape[1])) * scale
    spreads = np.exp(rng.uniform(np.log(NEAR_SPREADS[0]), np.log(NEAR_SPREADS[1]), n))
    ranks, shares = rng.integers(1, min(NEIGHBOURS, len(known) - 1) + 1, n), rng.uniform(*WAY_SHARES, n)
    from_all = gaussian(n)
    near = known[first] + spreads[:, None] * noise
    between = _arc(known, first, ranks, shares)
    drawn = np.where((ways == 0)[:, None], near, np.where((ways == 1)[:, None], between, from_all))
    return drawn.astype(np.float32), ways


def _arc(
    known: NDArray[np.float64], first: NDArray[np.int64], ranks: NDArray[np.int64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Points on the arcs about the mean from known vectors to one of their nearest neighbours."""
    mean = known.mean(axis=0)
    centred = known - mean
    square = (centred**2).sum(axis=1)
    second = np.empty_like(first)
    for base in np.unique(first).tolist():
        rows = first == base
        order = np.argsort(square - 2.0 * centred @ centred[base], kind="stable")
        second[rows] = order[order != base][ranks[rows] - 1]
    a, b = centred[first], centred[second]
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    angle = np.arccos(np.clip((a * b).sum(axis=1) / np.maximum(lengths, 1e-12), -1.0, 1.0))
    # Nearly parallel vectors are joined by a straight line, which the arc then is.
    straight = np.sin(angle) < 1e-3
    sine = np.where(straight, 1.0, np.sin(angle))
    weight_a = np.where(straight, 1.0 - shares, np.sin((1.0 - shares) * angle) / sine)
    weight_b = np.where(straight, shares, np.sin(shares * angle) / sine)
    return np.asarray(mean + weight_a[:, None] * a + weight_b[:, None] * b)
