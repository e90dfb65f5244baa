"""The autoencoder learns what can be learned, says when it has collapsed, and repeats itself."""

import numpy as np
import pytest
import torch

from novalith.errors import CapabilityError
from novalith.generate.likelihoods import divergence_from_prior
from novalith.generate.vae import VaeSettings, VariationalAutoencoder

SMALL = VaeSettings(hidden=(32,), n_latent=4, beta=0.05, n_epochs=40, learning_rate=5e-3)
RNG = np.random.default_rng(0)
#: Two hidden numbers spread over ten columns: two codes suffice.
MIXING = RNG.standard_normal((2, 10))
DATA = (RNG.standard_normal((600, 2)) @ MIXING).astype(np.float32)


def fitted(settings, condition=None, seed=0):
    model = VariationalAutoencoder(settings)
    model.fit(DATA, condition, rng=np.random.default_rng(seed))
    return model


def test_a_linear_output_reconstructs_and_two_units_are_active():
    report = fitted(SMALL).inspect(DATA)
    assert not report.collapsed
    assert report.reconstruction < 0.1 * report.constant
    assert report.active_units >= 2
    assert sorted(report.kl_per_dimension)[-2] > 0.5


def test_a_heavy_penalty_collapses_and_the_report_says_so():
    report = fitted(VaeSettings((32,), 4, beta=1000.0, n_epochs=20)).inspect(DATA)
    assert report.collapsed
    assert report.active_units == 0
    assert max(report.kl_per_dimension) < 0.01


def test_a_sigmoid_cannot_reconstruct_standardised_data():
    linear, sigmoid = (
        fitted(VaeSettings((32,), 4, 0.05, out, 40, 5e-3)).inspect(DATA) for out in ("linear", "sigmoid")
    )
    assert sigmoid.reconstruction > 5 * linear.reconstruction


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_samples_have_the_covariance_of_the_data(beta):
    # A pure VAE samples from its prior: with beta 1 the codes fill it.
    settings = VaeSettings((32,), 2, beta, n_epochs=40, learning_rate=5e-3)
    samples = fitted(settings).sample(4000, rng=np.random.default_rng(1))
    error = np.linalg.norm(np.cov(samples.T) - np.cov(DATA.T)) / np.linalg.norm(np.cov(DATA.T))
    assert error < 0.35


def test_the_same_seed_gives_the_same_bytes():
    a, b = (fitted(SMALL).sample(5, rng=np.random.default_rng(2)) for _ in range(2))
    assert a.tobytes() == b.tobytes()


def test_a_condition_steers_the_samples():
    condition = (DATA[:, :1] > 0).astype(np.float32)
    model = fitted(SMALL, condition)
    means = [
        model.sample(500, np.full((500, 1), value, np.float32), rng=np.random.default_rng(0))[:, 0].mean()
        for value in (0, 1)
    ]
    assert means[0] < 0 < means[1]
    with pytest.raises(CapabilityError, match="width 1; 0 came"):
        model.sample(5, rng=np.random.default_rng(0))


#: Two classes decide all six: the data hold ln 3 + ln 3 nats.
CLASSES = np.repeat(RNG.integers(0, 3, (900, 2)), 3, axis=1).astype(np.uint8)
CATEGORICAL = VaeSettings((32,), 4, beta=0.5, n_epochs=40, learning_rate=5e-3, n_classes=3)


def test_classes_are_learned_with_what_they_share():
    model = VariationalAutoencoder(CATEGORICAL)
    model.fit(CLASSES, rng=np.random.default_rng(0))
    report = model.inspect(CLASSES)
    assert report.constant == pytest.approx(np.log(3), abs=0.01)
    assert report.reconstruction < 0.1
    samples = model.sample(500, rng=np.random.default_rng(1))
    assert samples.shape == (500, 6, 3)
    assert np.allclose(samples.sum(axis=2), 1, atol=1e-5)
    drawn = samples.argmax(axis=2)
    agree = (drawn[:, :3] == drawn[:, :1]).all(axis=1) & (drawn[:, 3:] == drawn[:, 3:4]).all(axis=1)
    assert agree.mean() > 0.8  # independent classes would agree in 1 of 81


def test_stored_weights_decode_as_before():
    model = VariationalAutoencoder(CATEGORICAL)
    model.fit(CLASSES, rng=np.random.default_rng(0))
    again = VariationalAutoencoder.of_tensors(CATEGORICAL, model.sizes, model.tensors())
    assert again.reconstruct(CLASSES[:5]).tobytes() == model.reconstruct(CLASSES[:5]).tobytes()


def test_cross_entropy_equals_that_of_scipy():
    import torch
    from scipy.special import log_softmax

    from novalith.generate.likelihoods import Classes

    logits = RNG.standard_normal((7, 4, 3))
    x = RNG.integers(0, 3, (7, 4))
    likelihood = Classes(3)
    ours = likelihood.errors(likelihood.tensor(x), torch.from_numpy(logits.transpose(0, 2, 1).reshape(7, 12)))
    theirs = -np.take_along_axis(log_softmax(logits, axis=2), x[:, :, None], axis=2)[:, :, 0]
    assert np.allclose(ours.numpy(), theirs, atol=1e-5)


def test_the_divergence_from_the_prior_equals_that_of_torch():
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 50, 3, generator=rng)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(divergence_from_prior(mean, log_variance), theirs)
