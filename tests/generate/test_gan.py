"""The Wasserstein GAN learns distributions whose answer is known, plain and conditioned, and repeats itself."""

import numpy as np
import pytest
import torch
from torch import nn

from novalith.errors import CapabilityError
from novalith.generate.gan import WassersteinGan
from novalith.networks.dense import Dense
from novalith.training.adversarial import AdversarialSettings, AdversarialSupervision

SETTINGS = AdversarialSettings(60, 128, 2e-3, 4e-3, (0.0, 0.9), 3, penalty=0.1, decay=0.96, averaging=0.95)
N_NOISE = 4


class Beside(nn.Module):
    """A dense network that sees the condition beside its input."""

    def __init__(self, sizes, scores=False):
        super().__init__()
        self.layers, self.scores = Dense(sizes, "relu"), scores

    def forward(self, x, condition):
        y = self.layers(torch.cat([x, condition], dim=1))
        return y[:, 0] if self.scores else y


def build(n_condition):
    return Beside([N_NOISE + n_condition, 64, 64, 2]), Beside([2 + n_condition, 64, 64, 1], scores=True)


def fitted(data, condition=None, settings=SETTINGS, seed=0):
    gan = WassersteinGan(build, N_NOISE, settings)
    gan.fit(data.astype(np.float32), condition, rng=np.random.default_rng(seed))
    return gan


def test_a_gaussian_is_learned_with_its_mean_and_covariance():
    covariance = np.array([[1.0, 0.6], [0.6, 0.5]])
    data = np.random.default_rng(1).multivariate_normal([2.0, -1.0], covariance, 1500)
    samples = fitted(data).sample(5000, rng=np.random.default_rng(2))
    assert np.allclose(samples.mean(axis=0), [2.0, -1.0], atol=0.15)
    assert np.linalg.norm(np.cov(samples.T) - covariance) < 0.25 * np.linalg.norm(covariance)


def test_each_part_of_a_mixture_is_drawn_as_often_as_it_occurs():
    centres, shares = np.array([[1.5, 0.0], [-1.5, 1.0]]), np.array([0.7, 0.3])
    rng = np.random.default_rng(3)
    data = centres[rng.choice(2, 1500, p=shares)] + 0.2 * rng.standard_normal((1500, 2))
    samples = fitted(data).sample(5000, rng=rng)
    distance = np.linalg.norm(samples[:, None] - centres, axis=2)
    near = distance.min(axis=1) < 0.8
    assert near.mean() > 0.75  # a continuous map of Gaussian noise must draw some rows between the parts
    found = np.bincount(distance.argmin(axis=1)[near], minlength=2) / near.sum()
    assert np.abs(found - shares).max() < 0.1


def test_a_condition_moves_the_samples_to_where_it_points():
    rng = np.random.default_rng(4)
    condition = rng.uniform(-1, 1, (1500, 1)).astype(np.float32)
    data = np.concatenate([3 * condition, -condition], axis=1) + 0.1 * rng.standard_normal((1500, 2))
    gan = fitted(data, condition)
    for value in (-0.7, 0.0, 0.7):
        samples = gan.sample(500, np.full((500, 1), value, np.float32), rng=rng)
        assert np.allclose(samples.mean(axis=0), [3 * value, -value], atol=0.3)
    with pytest.raises(CapabilityError, match="width 1; 0 came"):
        gan.sample(5, rng=rng)


def test_the_same_seed_gives_the_same_bytes_and_weights_are_taken_again():
    data = np.random.default_rng(5).standard_normal((200, 2))
    short = AdversarialSettings(2, 64)
    a, b, c = (fitted(data, settings=short, seed=seed) for seed in (0, 0, 1))
    drawn = [gan.sample(7, rng=np.random.default_rng(6)).tobytes() for gan in (a, b, c)]
    assert drawn[0] == drawn[1] != drawn[2]
    again = WassersteinGan(build, N_NOISE, short)
    again.restore(a.tensors(), 0)
    assert again.sample(7, rng=np.random.default_rng(6)).tobytes() == drawn[0]
    assert a.sample(0, rng=np.random.default_rng(6)).shape == (0, 2)


def test_stored_rows_are_expanded_and_the_validation_may_draw():
    gan = WassersteinGan(build, N_NOISE, AdversarialSettings(3, 64), expand=lambda x: torch.stack([x, 2 * x], dim=1))
    seen = []

    def validation():
        seen.append(gan.sample(10, rng=np.random.default_rng(0)))
        return float(len(seen))

    data = np.random.default_rng(7).standard_normal(200).astype(np.float32)
    gan.fit_watched(data, supervision=AdversarialSupervision(validation), rng=np.random.default_rng(0))
    assert len(gan.curve) == len(seen) == 3
    assert gan.sample(10, rng=np.random.default_rng(0)).tobytes() == seen[0].tobytes()  # the best came first
