"""A cycle GAN of crystals learns a change that is known, is repeatable, and heeds its constraint."""

import dataclasses

import numpy as np
import pytest
import torch

from novalith.errors import InputError
from novalith.generate.cyclegan import CycleGan, CycleSettings
from novalith.networks.crystal_pairs import POSITION_A

KINDS = [0, 1, 1]
TINY = CycleSettings(8, 1, 2, n_epochs=2, batch_size=8)


def domain(n, edge, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, 6, 4), dtype=np.float32)
    rows[:, :3, :3] = np.eye(3) * (edge + 0.1 * rng.standard_normal((n, 1, 1)))
    rows[:, 3:, :3] = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0.5]]) * POSITION_A
    rows[:, 3:, 3] = 1.0
    return rows


def fitted(settings, constraint=None, seed=0):
    model = CycleGan(KINDS, settings)
    model.fit(domain(24, 4.0), domain(24, 4.4, 1), constraint, rng=np.random.default_rng(seed))
    return model


def test_same_seed_same_products_and_saved_weights_make_the_same():
    draws = [fitted(TINY).translate(domain(4, 4.0), False, rng=np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*draws)
    model, copy = fitted(TINY), CycleGan(KINDS, TINY)
    copy.restore(model.tensors())
    assert np.array_equal(copy.translate(domain(4, 4.0), False, rng=np.random.default_rng(3)), draws[0])
    other = fitted(TINY, seed=5).translate(domain(4, 4.0), False, rng=np.random.default_rng(3))
    assert not np.array_equal(other, draws[0])


def test_translations_keep_the_atoms():
    made = fitted(TINY).translate(domain(4, 4.0), True, rng=np.random.default_rng(0))
    assert (made[:, 3:, 3] == 1).all()
    assert np.isfinite(made).all()


def test_a_constraint_is_heeded():
    settings = CycleSettings(8, 1, 2, n_epochs=12, batch_size=12, rate=1e-2, cycle_weight=0.0, constraint_weight=50.0)

    def volume(wanted):
        def off(points):
            return (torch.linalg.det(points.cells) / wanted).log() ** 2

        made = fitted(settings, off).translate(domain(24, 4.0), False, rng=np.random.default_rng(0))
        return np.linalg.det(made[:, :3, :3]).mean()

    assert volume(40.0) < 0.8 * volume(90.0)


def test_a_cycle_weight_brings_atoms_back():
    settings = CycleSettings(8, 1, 2, n_epochs=12, batch_size=12, rate=1e-2, cycle_weight=20.0)
    errors = [
        fitted(dataclasses.replace(settings, cycle_weight=w)).cycle_error_a(
            domain(8, 4.0), False, rng=np.random.default_rng(0)
        )
        for w in (20.0, 0.0)
    ]
    assert errors[0] < 0.5 * errors[1]


def test_domains_of_another_shape_are_refused():
    with pytest.raises(InputError, match="expected"):
        CycleGan([0, 1], TINY).fit(domain(12, 4.0), domain(12, 4.0), rng=np.random.default_rng(0))
