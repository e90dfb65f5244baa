"""The network that names voxels: weights of classes count, a moved crystal moves the answer, heights are kept apart."""

import numpy as np
import pytest
import torch

from novalith.networks.segmentation_unet import SegmentationUnet, segmentation_loss


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return SegmentationUnet(5, 4, (8, 16))


@pytest.fixture(scope="module")
def x():
    return torch.rand(2, 5, 8, 8, 8, generator=torch.Generator().manual_seed(1))


def loss_of(net, x, weights):
    generator = torch.Generator().manual_seed(2)
    core = (torch.rand(2, 512, generator=generator) > 0.9).float()
    voxels = torch.randint(512, (2, 30), generator=generator)
    wanted = torch.randint(4, (2, 30), generator=generator)
    return segmentation_loss(net, x, core, voxels, wanted, torch.tensor(weights)), wanted, voxels, core


def test_the_weights_of_the_classes_weigh_the_cross_entropy(net, x):
    loss, wanted, voxels, core = loss_of(net, x, [0.1, 1.0, 2.0, 5.0])
    f, core_logits = net.maps(x)
    chances = net.logits(x, f, voxels).log_softmax(dim=2).gather(2, wanted[:, :, None])[:, :, 0]
    weight = torch.tensor([0.1, 1.0, 2.0, 5.0])[wanted]
    p = core_logits.sigmoid()
    binary = -(5.0 * core * p.log() + (1 - core) * (1 - p).log()).mean()
    assert loss.item() == pytest.approx((-(weight * chances).sum() / weight.sum() + binary).item(), rel=1e-4)
    assert abs(loss.item() - loss_of(net, x, [1.0] * 4)[0].item()) > 1e-3


def test_a_crystal_moved_by_whole_blocks_moves_the_answer(net, x):
    # Two halvings: shifts by four voxels pass through the network unchanged, over the faces of the cell.
    moved = torch.roll(x, (4, 0, 4), dims=(2, 3, 4))
    f, core = net.maps(x)
    f_moved, core_moved = net.maps(moved)
    back = torch.roll(core_moved.reshape(2, 8, 8, 8), (-4, 0, -4), dims=(1, 2, 3))
    assert torch.allclose(back.flatten(1), core, atol=1e-5)
    at = np.ravel_multi_index((5, 3, 7), (8, 8, 8))
    gone = np.ravel_multi_index((1, 3, 3), (8, 8, 8))
    one = net.logits(x, f, torch.tensor([[at], [at]]))
    other = net.logits(moved, f_moved, torch.tensor([[gone], [gone]]))
    assert torch.allclose(one, other, atol=1e-5)


def test_features_are_coarser_at_each_level(net, x):
    assert [tuple(h.shape) for h in net.features(x)] == [(2, 8, 4, 4, 4), (2, 16, 2, 2, 2)]


def test_digits_of_a_height_are_a_partition_of_one(net):
    digits = net._ramps(torch.tensor([[[0.5, 1.23]]]))
    assert torch.allclose(digits.sum(dim=1), torch.ones(1, 2))
    assert (digits > 0).sum() <= 4
