"""Cores become atoms: two that touch are split, copies over the faces are one, what is too small is none."""

import sys

import numpy as np
import pytest

from novalith.errors import MissingExtraError
from novalith.represent.watershed_atoms import core_regions, found_sites

pytest.importorskip("skimage", reason="the extra 'voxels' is not installed")

N = 24
PLACES = np.stack(np.meshgrid(*[np.arange(N)] * 3, indexing="ij"), axis=-1)


def ball(centre, radius):
    """Probability that falls from 1 to 0 over a voxel at the radius."""
    return np.clip(radius + 0.5 - np.linalg.norm(PLACES - np.array(centre), axis=-1), 0.0, 1.0)


def voxel_of(frac):
    """Where a fractional position of the cell lies in the padded box."""
    return (np.array(frac) + 0.25) / 1.5 * N - 0.5


def test_scikit_image_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(MissingExtraError, match=r"scikit-image, .* pip install 'novalith\[voxels\]'"):
        core_regions(np.zeros((N, N, N)))


def test_two_balls_apart_are_two_regions():
    assert core_regions(np.maximum(ball((6, 6, 6), 3), ball((16, 16, 16), 3))).max() == 2


def test_two_balls_with_a_bridge_are_split_at_the_bridge():
    bridge = np.max([0.8 * ball((x, 12, 12), 1.2) for x in np.arange(8, 17)], axis=0)
    labels = core_regions(np.maximum.reduce([ball((7, 12, 12), 3), ball((16, 12, 12), 3), bridge]))
    assert labels.max() == 2
    assert (labels[6:9, 12, 12] == labels[7, 12, 12]).all()
    assert (labels[15:18, 12, 12] == labels[16, 12, 12]).all()
    assert labels[7, 12, 12] != labels[16, 12, 12]


def test_one_ball_stays_one_and_a_few_voxels_are_none():
    assert core_regions(ball((12, 12, 12), 4)).max() == 1
    assert core_regions(ball((12, 12, 12), 1.0)).max() == 0
    assert core_regions(np.zeros((N, N, N))).max() == 0


@pytest.mark.parametrize("frac", [(0.0, 0.0, 0.0), (0.31, 0.5, 0.72), (0.98, 0.02, 0.5)])
def test_copies_of_a_site_are_put_together_at_its_position(frac):
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    core = np.max([ball(voxel_of(frac + shift), 2.5) for shift in shifts], axis=0)
    labels = core_regions(core)
    classes = np.tile([0.2, 0.8], (int((labels > 0).sum()), 1))
    found = found_sites(labels, core, classes, 4.0 * np.eye(3))
    assert len(found.frac) == 1
    off = found.frac[0] - np.array(frac)
    assert np.abs(off - np.round(off)).max() * 4.0 < 0.02  # Å; a voxel is 0.25
    assert found.classes[0] == pytest.approx([0.2, 0.8])
    assert found.copies[0] > 1 or frac == (0.31, 0.5, 0.72)


def test_species_are_summed_over_the_voxels_with_the_core_as_weight():
    core = ball((11.5, 11.5, 11.5), 3.0)
    labels = core_regions(core)
    weights = core[labels > 0]
    classes = np.where(weights[:, None] > 0.99, [0.9, 0.1], [0.0, 1.0])
    share = (weights * (weights > 0.99)).sum() / weights.sum()
    found = found_sites(labels, core, classes, 4.0 * np.eye(3))
    assert found.classes[0, 0] == pytest.approx(0.9 * share)
