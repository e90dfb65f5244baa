"""Point clouds keep the crystal: against the published arrays, against pymatgen, and under every augmentation."""

import os
from pathlib import Path

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.errors import CapabilityError, InputError
from novalith.materials import Composition, Crystal, Verdict
from novalith.represent.point_cloud import (
    KIM_LAYOUT,
    PointLayout,
    augmented,
    axes_permuted,
    decode_points,
    decoded_counts,
    doubled,
    encode_points,
    niggli_reduced,
    slots_shuffled,
    translated,
)
from novalith.screen.duplicates import same_crystal

DATA = os.environ.get("NOVALITH_DATA")


@pytest.fixture(scope="module")
def known():
    return [k.crystal for k in Library().structures[::97] if k.crystal.n_atoms <= 24]


def some_layout(crystal, factor=1):
    return PointLayout(tuple((s, factor * n) for s, n in crystal.composition.counts))


def distances(crystal):
    return np.sort(crystal.to_structure().distance_matrix, axis=None)


def test_round_trip_is_lossless_over_known_crystals(known):
    assert len(known) > 40
    for crystal in known:
        layout = some_layout(crystal)
        back = decode_points(encode_points(crystal, layout), layout)
        assert back.to_structure().lattice.parameters == pytest.approx(
            crystal.to_structure().lattice.parameters, rel=1e-9
        )
        for symbol in set(crystal.species):
            mine = np.array([f for s, f in zip(back.species, back.frac_coords, strict=True) if s == symbol])
            theirs = np.array([f for s, f in zip(crystal.species, crystal.frac_coords, strict=True) if s == symbol])
            off = mine - theirs
            assert np.abs(off - np.round(off)).max() < 1e-13
        assert back.volume == pytest.approx(crystal.volume, rel=1e-9)


@pytest.mark.skipif(DATA is None, reason="NOVALITH_DATA is not set: the published arrays are not at hand")
def test_published_arrays_decode_and_come_back():
    points = np.load(Path(DATA) / "mg_mn_o_point_clouds.npz")["points"]
    assert points.shape == (2127, *KIM_LAYOUT.shape)
    counts = decoded_counts(points, KIM_LAYOUT)
    assert len({tuple(row) for row in counts}) == 99
    assert (counts == [4, 4, 12]).all(axis=1).sum() == 365
    for array in points[::25]:
        crystal = decode_points(array, KIM_LAYOUT)
        back = encode_points(crystal, KIM_LAYOUT)
        # Their atoms are not always in the first slots, and 1 is written for 0: compare as sets on the torus.
        assert np.abs(back[:2] - array[:2]).max() < 1e-9
        for start, stop in ((2, 10), (10, 18), (18, 30)):
            mine = back[start:stop][back[start:stop].sum(axis=1) > 0]
            theirs = array[start:stop][array[start:stop].sum(axis=1) > 0]
            off = (mine - theirs) * 1.5
            assert np.abs(off - np.round(off)).max() < 1e-9


def test_augmentations_keep_the_crystal(known):
    rng = np.random.default_rng(1)
    for crystal in known[:8]:
        layout = some_layout(crystal, 2)
        for array in augmented(crystal, layout, 4, rng=rng):
            copy = decode_points(array, layout)
            assert copy.volume / copy.n_atoms == pytest.approx(crystal.volume / crystal.n_atoms, rel=1e-9)
            assert same_crystal(copy, crystal) == pytest.approx(0.0, abs=1e-4)


def test_axes_and_origins_keep_every_distance(known):
    crystal = next(c for c in known if c.n_atoms > 6)
    for order in ((1, 0, 2), (2, 0, 1), (0, 2, 1)):
        moved = translated(axes_permuted(crystal, order), np.array([0.3, 0.7, 0.123]))
        assert moved.volume > 0
        assert distances(moved) == pytest.approx(distances(crystal), abs=1e-9)


def test_an_odd_permutation_of_axes_makes_no_mirror_image():
    # alpha-quartz-like helix: chirality is told by the triple product of three labelled bond vectors
    lattice = np.array([[5.0, 0, 0], [0, 6.0, 0], [0, 0, 7.0]])
    sites = np.array([[0.1, 0.1, 0.1], [0.3, 0.1, 0.1], [0.1, 0.3, 0.1], [0.1, 0.1, 0.3]])
    crystal = Crystal.from_arrays(lattice, ["O", "Mg", "Mn", "Fe"], sites)

    def handedness(c):
        f = np.array(c.frac_coords)
        v = f[1:] - f[0]
        return np.sign(np.linalg.det((v - np.round(v)) @ np.array(c.lattice)))

    layout = PointLayout((("O", 1), ("Mg", 1), ("Mn", 1), ("Fe", 1)))
    for order in ((1, 0, 2), (1, 2, 0)):
        copy = decode_points(encode_points(axes_permuted(crystal, order), layout), layout)
        assert handedness(copy) == handedness(crystal)


def test_doubling_doubles():
    salt = Crystal.from_arrays(np.eye(3) * 4.2, ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    twice = doubled(salt, 2)
    assert twice.n_atoms == 4
    assert twice.volume == pytest.approx(2 * salt.volume)
    assert same_crystal(twice, salt) is not None


def test_niggli_reduction_keeps_the_crystal_and_shortens_the_cell():
    skewed = np.array([[3.0, 0, 0], [9.0, 4.0, 0], [1.0, 7.0, 5.0]])
    crystal = Crystal.from_arrays(skewed, ["Mg", "O"], [[0, 0, 0], [0.4, 0.5, 0.6]])
    reduced = niggli_reduced(crystal)
    assert np.linalg.norm(reduced.lattice, axis=1).max() < np.linalg.norm(skewed, axis=1).max()
    assert same_crystal(reduced, crystal) is not None


def test_the_order_of_slots_is_no_part_of_the_crystal():
    crystal = Crystal.from_arrays(np.eye(3) * 5, ["O", "O", "Mg"], [[0.1, 0, 0], [0.5, 0.2, 0], [0.7, 0.7, 0.7]])
    array = encode_points(crystal, KIM_LAYOUT)
    shuffled = slots_shuffled(array, KIM_LAYOUT, rng=np.random.default_rng(0))
    assert not np.array_equal(array, shuffled)
    assert sorted(decode_points(shuffled, KIM_LAYOUT).frac_coords) == sorted(
        decode_points(array, KIM_LAYOUT).frac_coords
    )


def test_what_does_not_fit_is_refused_with_the_limit():
    with pytest.raises(CapabilityError, match="9 Mg in its cell and the layout 8 slots"):
        KIM_LAYOUT.counts(Composition.parse("Mg9O9"))
    with pytest.raises(CapabilityError, match=r"no slots for it\. .* train for a system that holds Fe"):
        KIM_LAYOUT.counts(Composition.parse("FeO"))
    with pytest.raises(InputError, match="shape"):
        decode_points(np.zeros((4, 3)), KIM_LAYOUT)


def test_impossible_arrays_are_verdicts():
    points = np.zeros(KIM_LAYOUT.shape)
    assert isinstance(decode_points(points, KIM_LAYOUT), Verdict)
    points[0], points[1] = 0.2, 0.5
    assert decode_points(points, KIM_LAYOUT).reason == "Every slot is empty."
    points[1] = [0.9, 0.2, 0.2]
    assert "make no cell" in decode_points(points, KIM_LAYOUT).reason
    points[0, 0] = np.nan
    assert "not finite" in decode_points(points, KIM_LAYOUT).reason


def test_a_layout_covers_what_it_was_made_for():
    formulas = [Composition.parse(f) for f in ("MgO", "Mg2MnO4")]
    assert PointLayout.covering(formulas).slots == (("Mg", 2), ("Mn", 1), ("O", 4))
