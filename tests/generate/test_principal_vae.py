"""It holds what principal components hold, listens to its condition, repeats itself and can be stored."""

import numpy as np
import pytest

from novalith.errors import CapabilityError, InputError
from novalith.generate.principal_vae import PrincipalVae, PrincipalVaeSettings

RNG = np.random.default_rng(0)
#: Three strong directions in 40 dimensions, and a condition that shifts the first.
CLASSES = np.eye(2, dtype=np.float32)[RNG.integers(2, size=300)]
DIRECTIONS = np.linalg.qr(RNG.standard_normal((40, 3)))[0].T
HIDDEN = RNG.standard_normal((300, 3)) * [1.0, 2.0, 0.5] + CLASSES[:, 1:] * [[6.0, 0.0, 0.0]]
DATA = (HIDDEN @ DIRECTIONS + 5.0 + 1e-3 * RNG.standard_normal((300, 40))).astype(np.float32)
SMALL = PrincipalVaeSettings(3, (16,), 1e-3, 3, 16, 1e-3)


@pytest.fixture(scope="module")
def model():
    made = PrincipalVae(SMALL)
    made.fit(DATA, CLASSES, rng=np.random.default_rng(0))
    return made


def test_three_components_hold_data_of_three_dimensions(model):
    error = model.decode(model.encode(DATA, CLASSES), CLASSES) - DATA
    assert np.sqrt((error**2).mean()) < 0.02  # the noise is 0.001, the data vary by 0.6


def test_the_basis_spans_the_directions_that_made_the_data(model):
    basis = model.tensors()["basis"]
    assert np.allclose(basis @ basis.T, np.eye(3), atol=1e-4)
    assert np.linalg.norm(basis @ DIRECTIONS.T, axis=0) == pytest.approx(np.ones(3), abs=1e-3)


def test_draws_follow_the_condition(model):
    drawn = [model.sample(400, np.tile(row, (400, 1)), rng=np.random.default_rng(1)) for row in np.eye(2)]
    first = [((d - 5.0) @ DIRECTIONS.T)[:, 0].mean() for d in drawn]
    assert first[1] - first[0] == pytest.approx(6.0, abs=0.6)


def test_the_same_seed_gives_the_same_model_and_a_stored_one_is_the_same(model):
    again = PrincipalVae(SMALL)
    again.fit(DATA, CLASSES, rng=np.random.default_rng(0))
    assert all(np.array_equal(t, again.tensors()[name]) for name, t in model.tensors().items())
    copy = PrincipalVae.of_tensors(SMALL, model.sizes, model.tensors())
    codes = np.random.default_rng(2).standard_normal((4, 3))
    assert np.array_equal(copy.decode(codes, CLASSES[:4]), model.decode(codes, CLASSES[:4]))
    assert np.array_equal(copy.encode(DATA[:4], CLASSES[:4]), model.encode(DATA[:4], CLASSES[:4]))


def test_a_loss_of_the_caller_is_heard():
    def plain(loss):
        model = PrincipalVae(PrincipalVaeSettings(2, (16,), 1e-3, 2, 16, 1e-3))
        model.fit_watched(DATA, extra_loss=loss, rng=np.random.default_rng(0))
        return model.curve[0].training_loss

    assert plain(lambda x, came: 100.0 + 0 * came.sum() + 0 * x.sum()) == pytest.approx(100.0 + plain(None), rel=1e-4)


def test_a_condition_of_another_width_is_refused(model):
    with pytest.raises(CapabilityError, match="width 2; 3 came"):
        model.encode(DATA, np.zeros((300, 3), np.float32))
    with pytest.raises(InputError, match="positive beta"):
        PrincipalVaeSettings(beta=0.0)
