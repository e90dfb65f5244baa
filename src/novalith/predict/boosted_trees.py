"""Gradient-boosted trees as plain arrays: fitted by scikit-learn, stored and evaluated without it.

    F(x) = F_0 + sum_t tree_t(x),   at a split node: left where x[feature] <= threshold

A fitted scikit-learn model can only be stored as a pickle, which is code. Here the nodes are copied into arrays, which
a checkpoint can hold, and evaluated from the leaves up with whole columns at a time. Features must be finite.

Ke et al., LightGBM (NeurIPS 2017), as implemented by scikit-learn's histogram gradient boosting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]


@dataclass(frozen=True)
class BoostedTrees:
    """Trees as arrays, (trees, nodes) each, node 0 the root; unused nodes are leaves of value 0.

    Attributes:
        baseline: F_0.
        feature: column that a node splits on; -1 for a leaf.
        threshold: largest value that goes left.
        left: node on the left; always after its parent.
        right: node on the right; likewise.
        value: of a leaf.
    """

    baseline: float
    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    value: NDArray[np.float32]

    def scores(self, features: Features, block: int = 16_384) -> NDArray[np.float64]:
        """(n, d) -> (n,) log-odds."""
        total = np.full(len(features), self.baseline)
        for start in range(0, len(features), block):
            columns = np.ascontiguousarray(features[start : start + block].T)
            for tree in range(len(self.feature)):
                total[start : start + block] += self._evaluate(tree, columns)
        return total

    def _evaluate(self, tree: int, columns: Features) -> NDArray[np.float32]:
        values: dict[int, NDArray[np.float32]] = {}
        # Children stand after their parents, so from the last node to the first both children are known.
        for node in range(self.feature.shape[1] - 1, -1, -1):
            split = self.feature[tree, node]
            if split < 0:
                values[node] = np.asarray(self.value[tree, node])
            else:
                goes_left = columns[split] <= self.threshold[tree, node]
                left, right = values.pop(int(self.left[tree, node])), values.pop(int(self.right[tree, node]))
                values[node] = np.where(goes_left, left, right)
        return values[0]


#: Arrays of a checkpoint.
_ARRAYS = ("feature", "threshold", "left", "right", "value")


def boosted_tensors(trees: BoostedTrees, start: str) -> dict[str, NDArray[Any]]:
    """Arrays for a checkpoint, their names beginning with `start`."""
    arrays: dict[str, NDArray[Any]] = {f"{start}.{name}": getattr(trees, name) for name in _ARRAYS}
    return arrays | {f"{start}.baseline": np.array([trees.baseline])}


def boosted_of_tensors(tensors: Mapping[str, NDArray[Any]], start: str) -> BoostedTrees:
    """From `boosted_tensors`."""
    baseline = float(tensors[f"{start}.baseline"][0])
    return BoostedTrees(baseline, *(tensors[f"{start}.{name}"] for name in _ARRAYS))


def fit_boosted_trees(
    features: Features, labels: NDArray[np.int64], n_trees: int, n_leaves: int, rng: np.random.Generator
) -> BoostedTrees:
    """Fit trees that tell label 1 from label 0 by the logistic loss.

    Args:
        features: (n, d), finite.
        labels: (n,) of 0 and 1.
        n_trees: number of trees; the learning rate is 0.07.
        n_leaves: of each tree.
        rng: draws the columns that each split may use (a third of them).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    seed = int(rng.integers(2**31))
    model = HistGradientBoostingClassifier(
        max_iter=n_trees, learning_rate=0.07, max_leaf_nodes=n_leaves, l2_regularization=1.0, max_features=0.33,
        early_stopping=False, random_state=seed,
    )  # fmt: skip
    model.fit(features, labels)
    nodes = [trees[0].nodes for trees in model._predictors]  # the only place where scikit-learn keeps them
    shape = (len(nodes), max(map(len, nodes)))
    feature, left, right = np.full(shape, -1, np.int16), np.zeros(shape, np.int16), np.zeros(shape, np.int16)
    threshold, value = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for i, tree in enumerate(nodes):
        n = len(tree)
        leaf = tree["is_leaf"].astype(bool)
        feature[i, :n] = np.where(leaf, -1, tree["feature_idx"])
        # Thresholds lie midway between two float32 values; rounding down keeps each value on its side.
        threshold[i, :n] = _round_down(np.where(leaf, 0.0, tree["num_threshold"]))
        left[i, :n], right[i, :n] = tree["left"], tree["right"]
        value[i, :n] = np.where(leaf, tree["value"], 0.0)
    return BoostedTrees(float(np.ravel(model._baseline_prediction)[0]), feature, threshold, left, right, value)


def _round_down(x: NDArray[np.float64]) -> NDArray[np.float32]:
    rounded = x.astype(np.float32)
    lower: NDArray[np.float32] = np.where(rounded > x, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return lower
