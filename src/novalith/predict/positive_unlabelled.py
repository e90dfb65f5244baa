r"""Forests learned from examples of one kind and from rows that nobody has labelled.

Positives are listed; everything else is *unlabelled*: mostly negative, with positives among it that no list has yet.
Each tree is grown on as many positives as there are, drawn with repetition, and on r times as many rows drawn from the
unlabelled, which it takes for negative. A positive that hides among many unlabelled rows is thus mistaken by few trees
(bagging of Mordelet and Vert). The mean over the trees is

.. math:: s(x) \approx \frac{p_+(x)}{p_+(x) + r\,p_U(x)},

the odds of x coming from the list rather than from the unlabelled rows at 1 : r, which is *not* the probability that x
is positive. For that one has to assume the *class prior* :math:`\pi`, the share of positives among the unlabelled.
With the shares R(t) of held-out positives and Q(t) of held-out unlabelled rows that score t or more,

.. math:: \text{precision}(t) = \frac{\pi R(t)}{Q(t)}, \qquad
   \text{false-positive rate}(t) = \frac{Q(t) - \pi R(t)}{1 - \pi}, \qquad
   \pi \le \pi_\mathrm{max} = \min_t \frac{Q(t)}{R(t)},

the last because no rate is negative. What is really known is an interval, from no positive among the unlabelled to
:math:`\pi_\mathrm{max}`.

Mordelet and Vert, Pattern Recognition Letters 37, 201 (2014); Elkan and Noto, KDD 2008; Blanchard, Lee and Scott,
J. Mach. Learn. Res. 11, 2973 (2010) for the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError, InputError
from novalith.predict.forest import Features, Forest, nodes_of

Floats = NDArray[np.float64]

#: The bound on the prior is sought among thresholds that this share of the positives still reaches: beyond it the ratio
#: is one of a handful of rows.
_LEAST_RECALL = 0.1


@dataclass(frozen=True)
class BaggingSettings:
    """How to grow a forest on positives and unlabelled rows.

    Attributes:
        n_trees: number of trees.
        ratio: unlabelled rows drawn for each positive; Song et al. had about 2.6 negatives a positive.
        share_of_features: share of the columns that each split may use.
        smallest_leaf: drawn rows that a leaf holds at least.
    """

    n_trees: int = 100
    ratio: float = 2.5
    share_of_features: float = 0.1
    smallest_leaf: int = 1


def fit_positive_unlabelled(
    positives: Features,
    unlabelled: Features,
    settings: BaggingSettings,
    watch: Callable[[int], None] = lambda _: None,
    *,
    rng: np.random.Generator,
) -> Forest:
    """Grow a forest on (n, d) positives and (m, d) unlabelled rows, all finite; it predicts s(x).

    Args:
        positives: rows of the list.
        unlabelled: rows that are not in it.
        settings: how.
        watch: told the number of trees grown.
        rng: draws rows and columns.

    Raises:
        EmptyResultError: either has no row.
    """
    from sklearn.tree import DecisionTreeRegressor

    if not len(positives) or not len(unlabelled):
        raise EmptyResultError(
            f"{len(positives)} positives and {len(unlabelled)} unlabelled rows: a classifier needs some of both."
        )
    parts: list[tuple[NDArray[Any], ...]] = []
    roots, n_nodes = [], 0
    n_negative = max(1, round(settings.ratio * len(positives)))
    targets = np.repeat([1.0, 0.0], [len(positives), n_negative])
    for number in range(settings.n_trees):
        drawn = positives[rng.integers(len(positives), size=len(positives))]
        others = unlabelled[rng.integers(len(unlabelled), size=n_negative)]
        model = DecisionTreeRegressor(
            max_features=settings.share_of_features,
            min_samples_leaf=settings.smallest_leaf,
            random_state=int(rng.integers(2**31)),
        )
        # on zeros and ones the squared error splits as Gini's impurity does
        model.fit(np.concatenate([drawn, others]), targets)
        roots.append(n_nodes)
        parts.append(nodes_of(model.tree_, n_nodes))
        n_nodes += model.tree_.node_count
        watch(number + 1)
    feature, threshold, left, right, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Forest(np.array(roots, np.int32), feature, threshold, left, right, value, widening=1.0)


def reached(scores: Floats, thresholds: Floats, weights: Floats | None = None) -> Floats:
    """(t,) share, by weight where given, of scores that reach each threshold."""
    given = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    left_over = np.concatenate([[0.0], np.cumsum(given[order])])
    below = left_over[np.searchsorted(scores[order], thresholds, side="left")]
    share: Floats = 1 - below / left_over[-1]
    return share


def largest_prior(positive_scores: Floats, unlabelled_scores: Floats) -> float:
    """Upper bound of the share of positives among unlabelled rows, from held-out scores of both; at most 1."""
    thresholds = np.unique(positive_scores)
    recall = reached(positive_scores, thresholds)
    usable = thresholds[recall >= _LEAST_RECALL]
    rates = reached(unlabelled_scores, usable) / reached(positive_scores, usable)
    return float(min(1.0, rates.min()))


def precision(recall: Floats, rate: Floats, prior: float) -> Floats:
    """Share of positives among the unlabelled rows that reach a threshold, for a class prior; NaN where none does.

    Args:
        recall: R(t).
        rate: Q(t).
        prior: share of positives among the unlabelled, 0 to 1.
    """
    _check_prior(prior)
    ratio = np.divide(prior * recall, rate, out=np.full(len(rate), np.nan), where=rate > 0)
    clipped: Floats = np.minimum(ratio, 1.0)
    return clipped


def false_positive_rate(recall: Floats, rate: Floats, prior: float) -> Floats:
    """Share of the negatives that reach a threshold, for a class prior (see the module)."""
    _check_prior(prior)
    if prior == 1:
        raise InputError("A prior of 1 leaves no negatives.")
    clipped: Floats = np.maximum((rate - prior * recall) / (1 - prior), 0.0)
    return clipped


def area_under_roc(positive_scores: Floats, negative_scores: Floats, negative_weights: Floats | None = None) -> float:
    """Chance that a positive scores higher than a negative (drawn by weight where given); ties count half."""
    weights = np.ones(len(negative_scores)) if negative_weights is None else negative_weights
    order = np.argsort(negative_scores, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    ranked = negative_scores[order]
    low = below[np.searchsorted(ranked, positive_scores, side="left")]
    high = below[np.searchsorted(ranked, positive_scores, side="right")]
    return float(((low + high) / 2).mean() / below[-1])


def _check_prior(prior: float) -> None:
    if not 0 <= prior <= 1:
        raise InputError(f"The class prior is {prior}; expected a share from 0 to 1.")
