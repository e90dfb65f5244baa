"""Forests as arrays against scikit-learn's own answers, and their uncertainty against errors seen."""

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from novalith.predict.forest import Forest, ForestSettings, fit_forest


def _data(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    return x, np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * rng.normal(size=n)


def test_one_tree_is_scikit_learns():
    x, y = _data(400, 0)
    forest = fit_forest(x, y, ForestSettings(1, 400, 1.0), rng=np.random.default_rng(3))
    rng = np.random.default_rng(3)
    drawn = rng.integers(400, size=400)
    tree = DecisionTreeRegressor(max_features=1.0, random_state=int(rng.integers(2**31))).fit(x[drawn], y[drawn])
    probe = np.concatenate([x, _data(500, 1)[0]])
    np.testing.assert_allclose(forest.tree(0, probe), tree.predict(probe), rtol=1e-6)


def test_a_forest_beats_its_trees_and_knows_how_wrong_it_is():
    x, y = _data(2000, 0)
    probe, truth = _data(1000, 1)
    forest = fit_forest(x, y, ForestSettings(25, 2000), rng=np.random.default_rng(0))
    said = forest.predict(probe)
    error = np.abs(said.value - truth)
    alone = np.mean([np.abs(forest.tree(t, probe) - truth).mean() for t in range(5)])
    assert error.mean() < 0.8 * alone
    assert 0.65 < (error < said.uncertainty).mean() < 0.85  # a third of the trees vote out of bag
    wide = said.uncertainty > np.median(said.uncertainty)
    assert error[wide].mean() > error[~wide].mean()


def test_it_comes_back_from_its_arrays_and_from_its_seed():
    x, y = _data(300, 0)
    first, second = (fit_forest(x, y, ForestSettings(4, 300), rng=np.random.default_rng(5)) for _ in range(2))
    back = Forest.from_tensors(first.tensors("band_gap"), "band_gap")
    for other in (second, back):
        np.testing.assert_array_equal(other.predict(x).value, first.predict(x).value)
        np.testing.assert_array_equal(other.predict(x).uncertainty, first.predict(x).uncertainty)


def test_a_constant_has_no_spread():
    x, _ = _data(50, 0)
    said = fit_forest(x, np.full(50, 2.5), ForestSettings(4, 50), rng=np.random.default_rng(0)).predict(x)
    assert (said.value == 2.5).all() and (said.uncertainty == 0).all()
