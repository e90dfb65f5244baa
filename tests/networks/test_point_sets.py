"""Networks of crystals see distances alone: not the origin, the axes, the turn of the cell or the order of atoms."""

import numpy as np
import pytest
import torch

from novalith.materials import Crystal
from novalith.networks.crystal_pairs import points_to_rows, rows_to_points, squared_error
from novalith.networks.periodic import nearest_images, pair_vectors
from novalith.networks.point_sets import PointSet, SetCritic, Translator
from novalith.networks.slot_points import (
    ROW_SCALE,
    CountClassifier,
    SlotCritic,
    SlotGenerator,
    count_condition,
)
from novalith.networks.slot_points import rows_to_points as slots_to_points
from novalith.represent.point_cloud import PointLayout, encode_points


@pytest.fixture
def batch():
    torch.manual_seed(0)
    cells = torch.eye(3).repeat(3, 1, 1) * 5.0 + 0.3 * torch.randn(3, 3, 3)
    kinds = torch.tensor([[0, 0, 1, 1, 1]]).repeat(3, 1)
    occupied = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [0, 1, 1, 0, 1]], dtype=torch.bool)
    return PointSet(cells, torch.rand(3, 5, 3), kinds, occupied)


def turned(points, rotation):
    return PointSet(points.cells @ rotation, points.positions, points.kinds, points.occupied)


def rotation():
    return torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(4)))[0]


def test_neighbours_are_the_nearest_of_all_images(batch):
    around = nearest_images(batch.cells, batch.positions, batch.occupied, 6)
    _, everything = pair_vectors(batch.cells, batch.positions)
    both = batch.occupied[:, :, None] & batch.occupied[:, None, :]
    wanted = everything.masked_fill(~both[..., None], 1e3).flatten(2).sort(dim=2).values[:, :, :6]
    assert torch.allclose(around.distances, wanted, atol=1e-4)


def test_the_critic_sees_no_origin_no_turn_and_no_order(batch):
    critic = SetCritic(2, 16)
    score = critic(batch)
    moved = PointSet(batch.cells, batch.positions + torch.rand(3, 1, 3), batch.kinds, batch.occupied)
    assert torch.allclose(critic(moved), score, atol=1e-4)
    assert torch.allclose(critic(turned(batch, rotation())), score, atol=1e-4)
    order = torch.tensor([1, 0, 4, 2, 3])
    shuffled = PointSet(batch.cells, batch.positions[:, order], batch.kinds[:, order], batch.occupied[:, order])
    assert torch.allclose(critic(shuffled), score, atol=1e-4)
    # and it does see distances
    assert not torch.allclose(critic(PointSet(batch.cells * 1.1, *vars_of(batch))), score, atol=1e-4)


def vars_of(points):
    return points.positions, points.kinds, points.occupied


def test_a_translator_turns_with_the_crystal_and_leaves_empty_slots(batch):
    translator, r = Translator(2, 16, 2), rotation()
    made, of_turned = translator(batch), translator(turned(batch, r))
    assert torch.allclose(of_turned.positions, made.positions, atol=1e-4)
    assert torch.allclose(of_turned.cells, made.cells @ r, atol=1e-4)
    assert not torch.allclose(made.positions[0], batch.positions[0], atol=1e-4)
    assert torch.equal(made.positions[~batch.occupied], batch.positions[~batch.occupied])


def test_rows_of_pairs_come_back_and_errors_ignore_the_origin(batch):
    back = rows_to_points(points_to_rows(batch), batch.kinds[0])
    assert torch.allclose(back.positions[batch.occupied], batch.positions[batch.occupied], atol=1e-6)
    assert torch.equal(back.occupied, batch.occupied)
    moved = PointSet(batch.cells, batch.positions + 0.9, batch.kinds, batch.occupied)
    atoms, cell = squared_error(moved, batch)
    assert torch.allclose(atoms, torch.zeros(3), atol=1e-6)
    assert torch.allclose(cell, torch.zeros(3))
    one = batch.positions.clone()
    one[0, 0, 0] += 0.2
    # one of five atoms moved by s: mean square s^2 / 5 less that of the common move s / 5
    s = float(torch.linalg.norm(0.2 * batch.cells[0, 0]))
    value = squared_error(PointSet(batch.cells, one, batch.kinds, batch.occupied), batch)[0][0].item()
    assert value == pytest.approx(s**2 / 5 - (s / 5) ** 2, rel=1e-4)


def test_slot_networks_read_the_array_of_the_representation():
    layout = PointLayout((("Mg", 2), ("O", 3)))
    salt = Crystal.from_arrays(np.eye(3) * 4.2, ["O", "Mg", "O"], [[0.5, 0.5, 0.5], [0, 0, 0], [0.9, 0.5, 0.2]])
    rows = torch.tensor(encode_points(salt, layout), dtype=torch.float32)[None] * ROW_SCALE
    points = slots_to_points(rows, torch.tensor([0, 0, 1, 1, 1]))
    assert points.positions.shape == (1, 3, 3)  # moved together
    assert torch.allclose(points.cells[0], torch.eye(3) * 4.2, atol=1e-4)
    assert points.kinds.tolist() == [[0, 1, 1]]
    assert torch.allclose(points.positions[0, 2], torch.tensor([0.9, 0.5, 0.2]), atol=1e-5)


def test_a_generator_gives_rows_inside_the_array_and_slopes_to_all_weights():
    torch.manual_seed(1)
    slots = (2, 3)
    generator, critic = SlotGenerator(slots, 4, 0, 12.0, 8), SlotCritic(slots, 7, 8)
    condition = count_condition(torch.tensor([[1, 2], [2, 3], [2, 1]]), slots)
    assert condition.shape == (3, 7)
    rows = generator(torch.randn(3, generator.noise_width(slots, 4)), condition)
    assert rows.shape == (3, 7, 3)
    inside = rows[:, 2:] / ROW_SCALE
    assert ((inside == 0) | ((inside >= 1 / 6 - 1e-5) & (inside <= 5 / 6 + 1e-5))).all()
    occupancy, counts = CountClassifier(slots, 8)(rows)
    assert occupancy.shape == (3, 5)
    assert [c.shape[1] for c in counts] == [3, 4]
    (critic(rows, condition).sum() + sum(c.sum() for c in counts)).backward()
    silent = [n for n, w in generator.named_parameters() if w.grad is None or not w.grad.abs().sum()]
    assert not silent
