"""The autoencoder of codes gives codes back that it never saw, and its head learns what z can tell."""

from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CapabilityError, InputError, UnknownNameError
from novalith.generate.code_vae import CodeVae, CodeVaeSettings

RNG = np.random.default_rng(0)
#: Eight hidden numbers spread over two images of ten numbers and a cell of four.
HIDDEN = RNG.standard_normal((300, 8))
DATA = (HIDDEN @ RNG.standard_normal((8, 24)) + 5.0).astype(np.float32)
LABELS = (HIDDEN[:, 0] > 0).astype(float)
AXES = CodeVaeSettings(2, 10, 4, n_latent=8, head_hidden=(), n_epochs=80, head_weight=0.5, learning_rate=1e-2)


def learned(settings, labels=LABELS):
    model = CodeVae(settings)
    model.learn(DATA[:200], labels[:200], rng=np.random.default_rng(0))
    return model


@pytest.fixture(scope="module")
def axes():
    return learned(AXES)


def test_unseen_codes_on_the_same_axes_come_back(axes):
    unseen = DATA[200:]
    assert ((axes.decode(axes.encode(unseen)) - unseen) ** 2).mean() < 0.02 * unseen.var(axis=0).mean()


def test_the_head_tells_unseen_labels_apart_and_without_labels_it_does_not(axes):
    def right(model):
        return ((model.stability(model.encode(DATA[200:])) > 0.5) == (LABELS[200:] > 0.5)).mean()

    assert right(axes) > 0.85
    assert right(learned(AXES, np.full(len(LABELS), np.nan))) < 0.75


def test_draws_have_the_mean_and_covariance_of_the_codes(axes):
    draws = axes.sample(5000, rng=np.random.default_rng(1))
    assert np.allclose(draws.mean(axis=0), DATA.mean(axis=0), atol=0.5)
    error = np.linalg.norm(np.cov(draws.T) - np.cov(DATA.T)) / np.linalg.norm(np.cov(DATA.T))
    assert error < 0.25


def test_more_axes_than_numbers_lose_nothing():
    model = learned(replace(AXES, n_latent=500, n_epochs=2, learning_rate=1e-5))
    other = RNG.standard_normal((5, 24)).astype(np.float32)  # on axes that the training codes lack
    assert model.encode(other).shape == (5, 24)
    assert np.allclose(model.decode(model.encode(other)), other, atol=0.05)


def test_the_published_convolutions_learn_too():
    settings = CodeVaeSettings(2, 30, 4, n_latent=16, layers="convolution", n_epochs=15, learning_rate=3e-3)
    data = (HIDDEN @ np.random.default_rng(1).standard_normal((8, 64))).astype(np.float32)
    model = CodeVae(settings)
    model.learn(data, LABELS, rng=np.random.default_rng(0))
    assert ((model.decode(model.encode(data)) - data) ** 2).mean() < 0.6 * data.var(axis=0).mean()


def test_the_same_seed_gives_the_same_bytes_and_storing_changes_none(axes):
    again = learned(AXES)
    stored = CodeVae.of_tensors(AXES, axes.tensors())
    draws = [m.sample(3, rng=np.random.default_rng(2)).tobytes() for m in (axes, again, stored)]
    assert draws[0] == draws[1] == draws[2]


def test_wrong_shapes_names_and_conditions_are_refused(axes):
    with pytest.raises(InputError, match="expected 24 numbers"):
        axes.learn(DATA[:, :5], LABELS, rng=np.random.default_rng(0))
    with pytest.raises(UnknownNameError, match="convolution"):
        replace(AXES, layers="convolutions")
    with pytest.raises(CapabilityError, match="without a condition"):
        axes.sample(1, DATA[:1], rng=np.random.default_rng(0))


def test_invariants_do_not_change_when_a_crystal_turns_or_moves():
    import torch

    from novalith.networks.code_paths import CodeLayout, WaveInvariants
    from novalith.represent.wave_codes import N_BASIS_CODE, N_CELL_CODE, SHELLS, metric_code, waves_of_points

    points, cell = np.array([[1.0, 0.3, -0.4], [-1.2, 0.8, 2.0], [0.1, -2.0, 0.5]]), np.diag([4.0, 5.0, 6.0])

    def code(change):
        images = [waves_of_points(change(p)) for p in (points, 1.1 * points[:2])]
        return torch.tensor(np.concatenate([*images, metric_code(cell)])[None], dtype=torch.float32)

    invariants = WaveInvariants(CodeLayout(2, N_BASIS_CODE, N_CELL_CODE), SHELLS)
    changes = (
        lambda p: p,
        lambda p: p[:, [1, 2, 0]] * [1, -1, 1],  # a symmetry of the cube, which the set of waves has too
        lambda p: p + np.array([0.3, -0.2, 0.5]),
        lambda p: p * [1.3, 1.0, 1.0],
    )
    with torch.no_grad():
        first, turned, moved, stretched = (invariants(code(change))[0].numpy() for change in changes)
    assert np.allclose(first, turned, atol=1e-4)
    assert np.allclose(first, moved, atol=1e-4)
    assert not np.allclose(first, stretched, atol=1e-2)
    assert first[4] == pytest.approx(np.log(120.0 / 5), abs=1e-4)  # volume per atom
