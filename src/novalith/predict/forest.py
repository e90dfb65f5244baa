r"""Random forests for numbers, as plain arrays: grown by scikit-learn, stored and evaluated without it.

    F(x) = mean over trees of tree_t(x);   at a node: left where x[feature] <= threshold, until a leaf

Each tree is grown on rows drawn with repetition. The rows that a tree never saw (out of bag) measure the forest without
a further split: the uncertainty of a prediction is the standard deviation over the trees, times the factor for which
68.3 % of the out-of-bag errors are smaller than it. Few trees vote out of bag where each tree draws most rows, so that
the uncertainty is rather too wide than too narrow there.

A fitted scikit-learn model can only be stored as a pickle, which is code; here the nodes of all trees lie in arrays,
one after the other. Features must be finite.

Breiman, Machine Learning 45, 5 (2001).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.predict.base import Prediction

Features = NDArray[np.float32]
#: Share of the errors that one standard deviation holds, for a normal distribution.
_ONE_DEVIATION = 0.6827
_ARRAYS = ("roots", "feature", "threshold", "left", "right", "value")


@dataclass(frozen=True)
class ForestSettings:
    """How to grow a forest.

    Attributes:
        n_trees: number of trees.
        n_drawn: rows drawn for each tree, with repetition; as many as there are where there are fewer.
        share_of_features: share of the columns that each split may use.
        smallest_leaf: training rows that a leaf holds at least.
    """

    n_trees: int = 50
    n_drawn: int = 60_000
    share_of_features: float = 1 / 3
    smallest_leaf: int = 1


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees whose nodes lie one after the other.

    Attributes:
        roots: (trees,) first node of each tree.
        feature: (nodes,) column that a node splits on; -1 for a leaf.
        threshold: (nodes,) largest value that goes left.
        left: (nodes,) node on the left; a leaf names itself, so that going on does not leave it.
        right: (nodes,) likewise.
        value: (nodes,) mean of the training rows of a leaf.
        widening: factor of the uncertainty.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    widening: float

    def predict(self, features: Features, block: int = 16_384) -> Prediction:
        """(n, d) -> values with uncertainties."""
        mean, deviation = np.zeros(len(features)), np.zeros(len(features))
        for start in range(0, len(features), block):
            part = slice(start, start + block)
            answers = np.stack([self.tree(t, features[part]) for t in range(len(self.roots))])
            mean[part], deviation[part] = answers.mean(axis=0), answers.std(axis=0)
        return Prediction(mean, self.widening * deviation)

    def tree(self, number: int, features: Features) -> NDArray[np.float64]:
        """(n, d) -> (n,) answers of one tree."""
        node = np.full(len(features), self.roots[number])
        going = np.arange(len(features))
        while len(going):
            at = node[going]
            split = self.feature[at]
            inner = split >= 0
            going, at, split = going[inner], at[inner], split[inner]
            goes_left = features[going, split] <= self.threshold[at]
            node[going] = np.where(goes_left, self.left[at], self.right[at])
        answers: NDArray[np.float64] = self.value[node].astype(np.float64)
        return answers

    def tensors(self, start: str) -> dict[str, NDArray[Any]]:
        """Arrays for a checkpoint, their names beginning with `start`."""
        arrays: dict[str, NDArray[Any]] = {f"{start}.{name}": getattr(self, name) for name in _ARRAYS}
        return arrays | {f"{start}.widening": np.array([self.widening])}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], start: str) -> Forest:
        """From `tensors`."""
        roots, feature, threshold, left, right, value = (tensors[f"{start}.{name}"] for name in _ARRAYS)
        return cls(roots, feature, threshold, left, right, value, float(tensors[f"{start}.widening"][0]))


def fit_forest(
    features: Features,
    targets: NDArray[np.float64],
    settings: ForestSettings,
    watch: Callable[[int], None] = lambda _: None,
    *,
    rng: np.random.Generator,
) -> Forest:
    """Grow a forest on (n, d) finite features and (n,) finite targets; `watch` is told the number of trees grown."""
    from sklearn.tree import DecisionTreeRegressor

    n = len(features)
    parts: list[tuple[NDArray[Any], ...]] = []
    roots, n_nodes = [], 0
    total, squares, votes = np.zeros(n), np.zeros(n), np.zeros(n)
    for number in range(settings.n_trees):
        drawn = rng.integers(n, size=min(n, settings.n_drawn))
        model = DecisionTreeRegressor(
            max_features=settings.share_of_features,
            min_samples_leaf=settings.smallest_leaf,
            random_state=int(rng.integers(2**31)),
        )
        model.fit(features[drawn], targets[drawn])
        roots.append(n_nodes)
        parts.append(nodes_of(model.tree_, n_nodes))
        n_nodes += model.tree_.node_count
        out = np.ones(n, dtype=bool)
        out[drawn] = False
        said = model.tree_.predict(features[out])[:, 0]
        total[out] += said
        squares[out] += said**2
        votes[out] += 1
        watch(number + 1)
    feature, threshold, left, right, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    widening = _widening(total, squares, votes, targets)
    return Forest(np.array(roots, np.int32), feature, threshold, left, right, value, widening)


def nodes_of(tree: Any, first: int) -> tuple[NDArray[Any], ...]:
    """(feature, threshold, left, right, value) of the nodes of a tree of scikit-learn, numbered from `first`."""
    leaf = tree.children_left < 0
    itself = np.arange(tree.node_count) + first
    # Thresholds lie midway between two float32 values; rounding down keeps each value on its side.
    rounded = tree.threshold.astype(np.float32)
    threshold = np.where(rounded > tree.threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return (
        np.where(leaf, -1, tree.feature).astype(np.int16),
        np.where(leaf, np.float32(0), threshold),
        np.where(leaf, itself, tree.children_left + first).astype(np.int32),
        np.where(leaf, itself, tree.children_right + first).astype(np.int32),
        tree.value[:, 0, 0].astype(np.float32),
    )


def _widening(
    total: NDArray[np.float64], squares: NDArray[np.float64], votes: NDArray[np.float64], truth: NDArray[np.float64]
) -> float:
    """The factor that makes 68.3 % of the out-of-bag errors smaller than the spread of the trees; 1 without any."""
    rows = votes >= 2  # a spread needs two
    mean = total[rows] / votes[rows]
    deviation = np.sqrt(np.maximum(squares[rows] / votes[rows] - mean**2, 0))
    spread = deviation > 1e-12 * max(1.0, float(np.abs(truth).max(initial=0)))
    if not spread.any():
        return 1.0
    ratio = np.abs(mean - truth[rows])[spread] / deviation[spread]
    return max(float(np.quantile(ratio, _ONE_DEVIATION)), 1e-6)
