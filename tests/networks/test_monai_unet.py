"""MONAI's networks behind one door."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from novalith.errors import InputError, MissingExtraError, UnknownNameError  # noqa: E402
from novalith.networks.monai_unet import NETWORKS, UnetSize, VoxelClassifier  # noqa: E402


@pytest.mark.parametrize("name", NETWORKS)
def test_every_voxel_gets_logits_of_every_class(name):
    n = 32 if name == "basic" else 10  # four halvings at the least, and an edge that is no multiple of four
    model = VoxelClassifier(UnetSize(name, (4, 8), 4, 1), 5).eval()
    density = torch.rand(2, 1, n, n, n)
    with torch.no_grad():
        everywhere = model(density)
        voxels = torch.tensor([[0, n**3 - 1], [5, 7]])
        some = model(density, voxels)
    assert everywhere.shape == (2, n**3, 5)
    assert torch.allclose(some, everywhere.gather(1, voxels[..., None].expand(-1, -1, 5)))


def test_an_image_of_twice_the_electrons_is_another_image():
    torch.manual_seed(0)
    model = VoxelClassifier(UnetSize("unet", (4, 8), 4, 1), 5).eval()
    density = torch.rand(1, 1, 8, 8, 8)
    with torch.no_grad():
        assert not torch.allclose(model(density), model(2 * density), atol=1e-2)


def test_monai_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'novalith\[voxels\]'"):
        VoxelClassifier(UnetSize("unet", (4, 8)), 5)


def test_sizes_are_checked():
    with pytest.raises(UnknownNameError, match="attention"):
        UnetSize("atention")
    with pytest.raises(InputError, match="two or more"):
        UnetSize("unet", (8,))


def test_drawn_voxels_hold_all_of_a_small_foreground():
    from novalith.predict.voxel_classes import drawn_voxels

    classes = np.zeros((2, 6, 6, 6), dtype=np.int64)
    classes[0, 1, 1, :3], classes[1, 2, 2, 2] = 7, 4
    voxels = drawn_voxels(classes, 10, rng=np.random.default_rng(0))
    assert voxels.shape == (2, 20)
    for row, numbers in enumerate(voxels):
        assert len(set(numbers)) == 20
        assert (classes[row].reshape(-1)[numbers] > 0).sum() == (classes[row] > 0).sum()


def test_a_segmenter_learns_which_voxels_are_high():
    from novalith.predict.voxel_classes import SegmenterSettings, VoxelSegmenter

    class Cubes:
        def __len__(self):
            return 32

        def pairs(self, rows, rng):
            classes = np.zeros((len(rows), 8, 8, 8), dtype=np.int64)
            for image in classes:
                i, j, k = rng.integers(0, 5, 3)
                image[i : i + 3, j : j + 3, k : k + 3] = rng.integers(1, 3)
            return classes[:, None].astype(np.float32), classes

    settings = SegmenterSettings(UnetSize("unet", (8, 16), 8, 1), 3, 64, 50, 8, 1e-2, 0.0, "float32")
    segmenter = VoxelSegmenter(settings)
    segmenter.fit(Cubes(), rng=np.random.default_rng(0))
    images, classes = Cubes().pairs(np.arange(8), np.random.default_rng(5))
    found = segmenter.probabilities(images).argmax(axis=2).reshape(classes.shape)
    inside = classes > 0
    assert (found == classes)[inside].mean() > 0.9
    assert (found == classes).mean() > 0.9
    other = VoxelSegmenter(settings)
    other.restore(segmenter.tensors())
    assert np.array_equal(other.probabilities(images), segmenter.probabilities(images))
    with pytest.raises(InputError, match="shape"):
        segmenter.probabilities(images[:, 0])


def gaussian(number, centre):
    axis = (np.arange(24) + 0.5) / 3
    waves = [np.exp(-((axis - x) ** 2) / 2) for x in centre]
    density = number * (2 * np.pi) ** -1.5 * np.einsum("i,j,k", *waves)
    return torch.tensor(density, dtype=torch.float32)[None, None]


@pytest.mark.parametrize("number", [1, 8, 26, 79])
def test_an_untrained_head_reads_a_lone_atom_by_its_height(number):
    torch.manual_seed(0)
    model = VoxelClassifier(UnetSize("unet", (4, 8), 4, 1), 97).eval()
    middle = torch.tensor([[12 * 24**2 + 12 * 24 + 12]])
    with torch.no_grad():
        logits = model(gaussian(number, [12.5 / 3] * 3), middle)[0, 0, 1:]
    assert 1 + int(logits.argmax()) == number


def test_sharpening_sets_atoms_apart_that_the_density_runs_together():
    model = VoxelClassifier(UnetSize("unet", (4, 8), 4, 1), 5)
    pair = gaussian(20, [12.5 / 3, 12.5 / 3, 9.5 / 3]) + gaussian(20, [12.5 / 3, 12.5 / 3, 15.5 / 3])  # 2 Å apart
    blurred, sharp = pair[0, 0, 12, 12], model.sharpened(pair)[0, 0, 12, 12] / model.unit_height(24)
    assert blurred[12] > blurred[9]  # one maximum, between the two
    assert sharp[12] < 0.95 * sharp[9]  # two
    assert sharp[9] == pytest.approx(20, rel=0.1)


def test_an_untrained_head_knows_how_far_it_is_from_a_lone_atom():
    model = VoxelClassifier(UnetSize("unet", (4, 8), 4, 1), 97).eval()
    beside = torch.tensor([[12 * 24**2 + 12 * 24 + 13]])  # a third of 1 Å from the atom
    with torch.no_grad():
        logits = model(gaussian(26, [12.5 / 3] * 3), beside)[0, 0, 1:]
    assert 1 + int(logits.argmax()) == 26
