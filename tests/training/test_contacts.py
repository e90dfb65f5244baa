"""The contact loss is periodic, differentiable, and zero for real crystals."""

import numpy as np
import pytest
import torch

from novalith.networks.periodic import SELF_A, cell_vectors, pair_vectors
from novalith.represent.point_cloud import lattice_matrix
from novalith.training.contacts import ContactLimits, contact_loss


def limits(n_atoms, low=2.0, high=3.2, volume=(5.0, 40.0)):
    ones = torch.ones(1, n_atoms, n_atoms, dtype=torch.float64)
    return ContactLimits(
        low * ones, torch.full((1, n_atoms), high, dtype=torch.float64), torch.tensor([volume], dtype=torch.float64)
    )


def random_cell(rng, n_atoms=5):
    cell = torch.tensor(np.eye(3) * 4.0 + rng.normal(0, 0.3, (3, 3)))[None]
    return cell, torch.tensor(rng.random((1, n_atoms, 3))), torch.ones(1, n_atoms, dtype=torch.bool)


def test_distances_are_those_of_pymatgen():
    from pymatgen.core import Lattice

    cell, positions, _ = random_cell(np.random.default_rng(0))
    _, distances = pair_vectors(cell, positions)
    mine = distances.min(dim=-1).values[0].numpy()
    theirs = Lattice(cell[0].numpy()).get_all_distances(positions[0].numpy(), positions[0].numpy())
    off = ~np.eye(5, dtype=bool)
    assert mine[off] == pytest.approx(theirs[off], abs=1e-6)
    own = min(
        np.linalg.norm(np.array(m) @ cell[0].numpy()) for m in np.ndindex(3, 3, 3) for m in [np.array(m) - 1] if m.any()
    )
    assert mine[0, 0] == pytest.approx(own, abs=1e-6)
    assert (distances == SELF_A).sum() == 5


def test_gradient_is_that_of_finite_differences():
    cell, positions, occupied = random_cell(np.random.default_rng(3))
    cell.requires_grad_()
    positions.requires_grad_()
    wanted = limits(5, low=3.0, volume=(30.0, 40.0))
    assert torch.autograd.gradcheck(
        lambda c, p: contact_loss(c, p, occupied, wanted), (cell, positions), eps=1e-6, atol=1e-6
    )
    assert contact_loss(cell, positions, occupied, wanted).item() > 0


def test_invariances():
    rng = np.random.default_rng(5)
    cell, positions, occupied = random_cell(rng)
    wanted = limits(5, low=2.8)
    value = contact_loss(cell, positions, occupied, wanted).item()
    assert value > 0.01
    moved = contact_loss(cell, positions + torch.tensor(rng.normal(size=3)), occupied, wanted).item()
    assert moved == pytest.approx(value, rel=1e-6)
    order = torch.tensor(rng.permutation(5))
    assert contact_loss(cell, positions[:, order], occupied, wanted).item() == pytest.approx(value, rel=1e-6)
    change = torch.tensor(
        [[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64
    )  # another basis of the same lattice
    other = contact_loss(change @ cell, positions @ torch.linalg.inv(change), occupied, wanted).item()
    assert other == pytest.approx(value, rel=1e-6)
    # a slot that is empty counts for nothing
    more = torch.cat([positions, positions[:, :1]], dim=1)
    mask = torch.cat([occupied, torch.zeros(1, 1, dtype=torch.bool)], dim=1)
    assert contact_loss(cell, more, mask, limits(6, low=2.8)).item() == pytest.approx(value, rel=1e-6)


def test_rock_salt_is_left_alone():
    a = 5.64
    cell = torch.tensor([[[0, a / 2, a / 2], [a / 2, 0, a / 2], [a / 2, a / 2, 0]]], dtype=torch.float64)
    positions = torch.tensor([[[0.0, 0, 0], [0.5, 0.5, 0.5]]], dtype=torch.float64, requires_grad=True)
    loss = contact_loss(cell, positions, torch.ones(1, 2, dtype=torch.bool), limits(2, low=2.5))
    assert loss.item() == 0.0
    # pulled apart or together it is not
    tight = contact_loss(cell * 0.7, positions, torch.ones(1, 2, dtype=torch.bool), limits(2, low=2.5))
    wide = contact_loss(cell * 1.3, positions, torch.ones(1, 2, dtype=torch.bool), limits(2, low=2.5))
    assert tight.item() > 0.1
    assert wide.item() > 0.1


def test_two_hydrogens_descend_to_the_limit():
    cell = torch.eye(3, dtype=torch.float64)[None] * 6.0
    positions = torch.tensor([[[0.98, 0.0, 0.0], [0.98 + 0.5 / 6.0, 0.0, 0.0]]], dtype=torch.float64)
    positions.requires_grad_()
    optimiser = torch.optim.SGD([positions], lr=0.005)
    wanted = limits(2, low=1.8, high=9.0, volume=(1.0, 1e3))
    for _ in range(400):
        optimiser.zero_grad()
        contact_loss(cell, positions, torch.ones(1, 2, dtype=torch.bool), wanted).sum().backward()
        optimiser.step()
    apart = pair_vectors(cell, positions)[1][0, 0, 1].min().item()
    assert apart == pytest.approx(1.8, abs=1e-3)


def test_a_short_cell_vector_is_a_contact():
    cell = torch.diag(torch.tensor([1.2, 6.0, 6.0], dtype=torch.float64))[None]
    one = contact_loss(
        cell, torch.zeros(1, 1, 3, dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool), limits(1, volume=(1, 1e3))
    )
    assert one.item() == pytest.approx(0.8**2, rel=1e-6)


def test_cells_agree_with_the_arithmetic_of_the_representation():
    lengths, angles = np.array([4.0, 5.0, 6.0]), np.array([70.0, 80.0, 100.0])
    mine = cell_vectors(torch.tensor(lengths)[None], torch.tensor(np.cos(np.radians(angles)))[None])[0].numpy()
    assert mine == pytest.approx(lattice_matrix(lengths, angles), abs=1e-9)
    flat = cell_vectors(torch.ones(1, 3), torch.tensor([[1.0, -1.0, 1.0]]))
    assert torch.isfinite(flat).all()
