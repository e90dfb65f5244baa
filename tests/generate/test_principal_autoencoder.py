"""It finds where spots are after little training, compresses what varies by little, repeats itself, can be stored."""

from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CapabilityError, InputError
from novalith.generate.principal_autoencoder import PrincipalAutoencoder, PrincipalAutoencoderSettings

N = 8
PLACES = np.stack(np.indices([N] * 3), axis=-1).reshape(-1, 3)


def spots(rng, n):
    """Images of one Gaussian of a width of one voxel each, somewhere in the middle, and where it stands."""
    at = rng.uniform(2.0, N - 3.0, (n, 3))
    values = np.exp(-((PLACES[None] - at[:, None]) ** 2).sum(axis=2) / 2.0)
    return values.reshape(n, 1, N, N, N).astype(np.float32), at


SHARP = PrincipalAutoencoderSettings(
    N, 20, width=8, n_blocks=1, n_epochs=6, batch_size=8, learning_rate=5e-3, averaging=0.9
)
NARROW = PrincipalAutoencoderSettings(
    N, 40, 6, (64, 64), n_blocks=0, n_epochs=60, batch_size=16, learning_rate=3e-3, averaging=0.9
)
IMAGES = spots(np.random.default_rng(0), 400)[0]


def trained(settings):
    model = PrincipalAutoencoder(settings)
    model.fit(IMAGES, rng=np.random.default_rng(1))
    return model


@pytest.mark.parametrize("settings", [SHARP, NARROW], ids=["sharp", "narrow"])
def test_spots_never_seen_come_back_where_they_were(settings):
    images, at = spots(np.random.default_rng(7), 40)
    model = trained(settings)
    codes = model.encode(images)
    assert codes.shape == (40, model.n_latent)
    back = model.decode(codes)
    assert back.shape == images.shape
    weights = np.maximum(back.reshape(40, -1), 0.0) ** 2
    found = (weights[:, :, None] * PLACES).sum(axis=1) / weights.sum(axis=1)[:, None]
    assert np.median(np.linalg.norm(found - at, axis=1)) < 0.15  # voxels; a middle for all would miss by 1.4


@pytest.mark.parametrize("settings", [SHARP, NARROW], ids=["sharp", "narrow"])
def test_the_same_seed_gives_the_same_model_and_a_stored_one_is_the_same(settings):
    short = replace(settings, n_epochs=1)
    first, second = trained(short), trained(short)
    assert all(np.array_equal(t, second.tensors()[name]) for name, t in first.tensors().items())
    stored = PrincipalAutoencoder.of_tensors(short, first.sizes, first.tensors())
    assert np.array_equal(stored.reconstruct(IMAGES[:3]), first.reconstruct(IMAGES[:3]))
    drawn = stored.sample(3, rng=np.random.default_rng(2))
    assert np.array_equal(drawn, first.sample(3, rng=np.random.default_rng(2)))
    assert drawn.shape == (3, 1, N, N, N)


def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(tmp_path):
    whole = PrincipalAutoencoder(replace(SHARP, n_epochs=2))
    whole.fit_watched(IMAGES, rng=np.random.default_rng(1))

    def stop(_):
        raise KeyboardInterrupt

    again = PrincipalAutoencoder(replace(SHARP, n_epochs=2))
    with pytest.raises(KeyboardInterrupt):
        again.fit_watched(IMAGES, tmp_path / "resume", stop, rng=np.random.default_rng(1))
    again.fit_watched(IMAGES, tmp_path / "resume", rng=np.random.default_rng(1))
    assert all(np.array_equal(t, again.tensors()[name]) for name, t in whole.tensors().items())


def test_what_makes_no_sense_is_refused():
    for wrong in ({"n": 7}, {"n_components": 0}, {"n_latent": 0, "n_blocks": 0}):
        with pytest.raises(InputError):
            replace(SHARP, **wrong)
    model = PrincipalAutoencoder(SHARP)
    with pytest.raises(InputError, match="components"):
        model.fit(IMAGES[:20], rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="one channel"):
        model.fit(IMAGES[:, :, 1:], rng=np.random.default_rng(0))
    with pytest.raises(CapabilityError):
        model.fit(IMAGES, np.zeros((400, 1)), rng=np.random.default_rng(0))
