"""Trees as arrays answer what scikit-learn answers; calibrated scores mean what they say."""

import numpy as np
import pytest

from novalith.predict.boosted_trees import fit_boosted_trees
from novalith.predict.calibration import calibrate, calibration_error


def test_arrays_answer_what_scikit_learn_answers(monkeypatch):
    import sklearn.ensemble

    fitted = []

    class Kept(sklearn.ensemble.HistGradientBoostingClassifier):
        def fit(self, *args):
            fitted.append(self)
            return super().fit(*args)

    monkeypatch.setattr(sklearn.ensemble, "HistGradientBoostingClassifier", Kept)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, (3000, 6)).astype(np.float32)  # few values: many rows sit close to a threshold
    y = (X[:, 0] * X[:, 1] > X[:, 2] * 2).astype(np.int64)
    trees = fit_boosted_trees(X, y, 30, 15, rng)
    assert np.allclose(trees.scores(X, block=700), fitted[0].decision_function(X), atol=1e-5)


def test_a_calibrated_probability_is_a_frequency():
    rng = np.random.default_rng(0)
    # Two Gaussians of equal width: the true log-odds are (m1 - m0)(s - (m1 + m0) / 2) / variance = 1.5 s - 1.125.
    positive, background = rng.normal(1.5, 1, 20_000), rng.normal(0, 1, 40_000)
    fit = calibrate(positive, background)
    assert fit.slope == pytest.approx(1.5, abs=0.05)
    assert fit.offset == pytest.approx(-1.125, abs=0.05)
    fresh = rng.normal(1.5, 1, 20_000), rng.normal(0, 1, 20_000)
    assert calibration_error(*(fit.probability(s) for s in fresh)) < 0.02
    wrong = fit.probability(3 * fresh[0]), fit.probability(3 * fresh[1])
    assert calibration_error(*wrong) > 0.04


def test_scores_without_overlap_stay_finite():
    fit = calibrate(np.array([5.0, 6.0, 7.0]), np.array([-5.0, -6.0, -7.0]))
    assert fit.probability(np.array([-6.0]))[0] < 0.2 < 0.8 < fit.probability(np.array([6.0]))[0]
