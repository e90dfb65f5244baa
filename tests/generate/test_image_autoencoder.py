"""An autoencoder of images learns blobs, listens to its condition, repeats itself and can be stored."""

from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CapabilityError, InputError, UnknownNameError
from novalith.generate.image_autoencoder import ImageAutoencoder, ImageAutoencoderSettings

N = 12
AXIS = np.arange(N)


def blobs(centres):
    """Gaussian blobs of width 1.5 voxels, (n, 1, 12, 12, 12)."""
    lines = np.exp(-((AXIS - centres[:, :, None]) ** 2) / (2 * 1.5**2))
    return np.einsum("ni,nj,nk->nijk", *lines.transpose(1, 0, 2))[:, None].astype(np.float32)


CENTRES = np.random.default_rng(0).uniform(3, 8, (256, 3))
BLOBS = blobs(CENTRES)
SMALL = ImageAutoencoderSettings(
    n=N, widths=(8, 16), n_latent=6, n_epochs=25, batch_size=16, learning_rate=5e-3, output="sigmoid",
    error="cross-entropy",
)  # fmt: skip


def fitted(settings, data=BLOBS, condition=None, **options):
    model = ImageAutoencoder(settings)
    model.fit_watched(data, condition, rng=np.random.default_rng(0), **options)
    return model


@pytest.fixture(scope="module")
def plain():
    return fitted(SMALL)


def centre_of_mass(images):
    weights = images[:, 0]
    grids = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"))
    return (weights[:, None] * grids).sum(axis=(2, 3, 4)) / weights.sum(axis=(1, 2, 3))[:, None]


def test_unseen_blobs_come_back_better_than_the_best_constant_and_in_their_place(plain):
    centres = np.random.default_rng(1).uniform(3.5, 7.5, (64, 3))
    unseen = blobs(centres)
    again = plain.reconstruct(unseen)
    constant = ((unseen - BLOBS.mean(axis=0)) ** 2).sum()
    assert ((unseen - again) ** 2).sum() < 0.2 * constant
    assert np.abs(centre_of_mass(again) - centre_of_mass(unseen)).mean() < 0.4


def test_the_same_seed_gives_the_same_bytes():
    short = replace(SMALL, n_epochs=1)
    a, b = (fitted(short).sample(3, rng=np.random.default_rng(2)) for _ in range(2))
    assert a.tobytes() == b.tobytes()


def test_stored_weights_encode_decode_and_sample_as_before(plain):
    again = ImageAutoencoder.of_tensors(SMALL, plain.sizes, plain.tensors())
    assert again.reconstruct(BLOBS[:4]).tobytes() == plain.reconstruct(BLOBS[:4]).tobytes()
    draws = [m.sample(4, rng=np.random.default_rng(3)).tobytes() for m in (plain, again)]
    assert draws[0] == draws[1]


def test_draws_have_the_mean_and_covariance_of_the_training_codes(plain):
    codes = plain.encode(BLOBS)
    draws = plain.sample_codes(20000, rng=np.random.default_rng(0))
    assert np.allclose(draws.mean(axis=0), codes.mean(axis=0), atol=0.1 * codes.std())
    error = np.linalg.norm(np.cov(draws.T) - np.cov(codes.T)) / np.linalg.norm(np.cov(codes.T))
    assert error < 0.1


def test_a_condition_decides_what_the_code_leaves_open():
    # One latent number for three coordinates: the first coordinate comes in as the condition.
    condition = ((CENTRES[:, :1] - 5.5) / 2.5).astype(np.float32)
    model = fitted(replace(SMALL, n_latent=1, beta=0.3), condition=condition)
    codes = np.zeros((1, 1), np.float32)
    low, high = (centre_of_mass(model.decode(codes, np.full((1, 1), value, np.float32)))[0, 0] for value in (-1.0, 1.0))
    assert high - low > 2.0
    with pytest.raises(CapabilityError, match="width 1; 0 came"):
        model.sample(2, rng=np.random.default_rng(0))


def test_a_source_is_asked_for_images_and_never_for_all_of_them():
    asked = []

    class Source:
        def __len__(self):
            return len(BLOBS)

        def images(self, rows, rng):
            asked.append((len(rows), rng.random()))
            return BLOBS[rows]

    short = replace(SMALL, n_epochs=1)
    streamed = fitted(short, Source())
    assert max(n for n, _ in asked) <= 32
    assert len({number for _, number in asked}) == len(asked)
    assert streamed.reconstruct(BLOBS[:2]).tobytes() == fitted(short).reconstruct(BLOBS[:2]).tobytes()


def test_an_extra_loss_is_heard():
    def darkness(x, decoded):
        assert x.shape == decoded.shape
        return 100.0 * decoded.mean() * N**3

    dark = fitted(replace(SMALL, n_epochs=2), extra_loss=darkness)
    assert dark.reconstruct(BLOBS[:8]).mean() < 0.5 * fitted(replace(SMALL, n_epochs=2)).reconstruct(BLOBS[:8]).mean()


def test_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path):
    class StopError(Exception):
        pass

    def stop(report):
        if report.epoch == 1:
            raise StopError

    short = replace(SMALL, n_epochs=2)
    with pytest.raises(StopError):
        fitted(short, resume_path=tmp_path / "under_way", watch=stop)
    resumed = fitted(short, resume_path=tmp_path / "under_way")
    assert resumed.reconstruct(BLOBS[:2]).tobytes() == fitted(short).reconstruct(BLOBS[:2]).tobytes()


@pytest.mark.parametrize(("n", "n_blocks"), [(30, 0), (30, 1), (32, 1), (13, 1)])
def test_any_edge_comes_back_with_its_shape(n, n_blocks):
    settings = ImageAutoencoderSettings(2, n, (4, 4), 3, n_blocks=n_blocks, n_epochs=1, batch_size=2)
    images = np.random.default_rng(0).random((4, 2, n, n, n)).astype(np.float32)
    model = fitted(settings, images, validation=images[:2])
    assert model.reconstruct(images).shape == images.shape
    assert np.isfinite(model.curve[0].validation_loss)


def test_wrong_shapes_and_names_say_what_was_expected(plain):
    with pytest.raises(InputError, match=r"expected \(1, 12, 12, 12\)"):
        plain.encode(np.zeros((2, 1, 12, 12, 13), np.float32))
    with pytest.raises(UnknownNameError, match="softplus"):
        ImageAutoencoderSettings(output="softmax")
    with pytest.raises(InputError, match="fewer widths"):
        ImageAutoencoderSettings(n=4, widths=(2, 2, 2))
