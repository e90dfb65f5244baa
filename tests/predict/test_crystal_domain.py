"""Which crystals a model knows: near vectors and known elements, per target."""

import numpy as np
import pytest

from novalith.predict.crystals import CrystalDomain, fit_domain


@pytest.fixture(scope="module")
def made():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 20)).astype(np.float32)
    shares = np.zeros((600, 118))
    shares[:, 10], shares[:, 16] = 0.5, 0.5
    energies = rng.normal(size=600)
    moduli = np.where(np.arange(600) < 200, np.abs(energies) + 1, np.nan)
    values = {"formation_energy": energies, "bulk_modulus": moduli}
    order = rng.permutation(600)
    split = (np.sort(order[:500]), np.sort(order[500:]))
    return vectors, shares, values, split, fit_domain(vectors, shares, values, split, rng=rng)


def test_one_in_a_hundred_of_the_held_out_is_beyond_reach(made):
    vectors, _, _, (_, held), domain = made
    distance = domain.distances(vectors[held])
    assert (distance[:, 0] > domain.reach[0]).mean() == pytest.approx(0.01, abs=0.011)


def test_far_vectors_and_foreign_elements_are_told(made):
    vectors, shares, _, _, domain = made
    x, s = vectors[:3].copy(), shares[:3].copy()
    x[1] += 50
    s[2, 91] = 0.2
    value, spread = np.zeros(3), np.full(3, 0.1)
    reasons = domain.reasons("formation_energy", s, domain.distances(x)[:, 0], value, spread)
    assert "unlike those of the training" in reasons[1]
    assert reasons[2] == "no training crystal with a formation_energy holds U"
    assert 0 not in reasons or "unlike" in reasons[0]


def test_values_and_uncertainties_beyond_the_training_are_told(made):
    _, shares, _, _, domain = made
    near = np.zeros(3)
    low, high, deviation = (getattr(domain.values["bulk_modulus"], n) for n in ("low", "high", "deviation"))
    value = np.array([(low + high) / 2, high + 1, (low + high) / 2])
    spread = np.array([0.1, 0.1, 3 * deviation])
    reasons = domain.reasons("bulk_modulus", shares[:3], near, value, spread)
    assert set(reasons) == {1, 2}
    assert "outside of the training values" in reasons[1]
    assert "exceeds twice the training spread" in reasons[2]


def test_stored_domain_answers_alike(made):
    vectors, _, values, _, domain = made
    again = CrystalDomain.stored(domain.tensors(), domain.to_config(), list(values))
    np.testing.assert_array_equal(again.distances(vectors), domain.distances(vectors))
    assert again.values == domain.values
