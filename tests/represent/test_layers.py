"""Layers are found by bonds: in any cell, against ASE's reading, with refusals that say why."""

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.represent.layers import (
    MIN_VACUUM_A,
    VACUUM_A,
    Monolayer,
    as_monolayer,
    dimensionality,
    monolayer_of,
    stacked,
)


@pytest.fixture(scope="module")
def library():
    return Library()


def crystal_of(library, id_):
    return next(k.crystal for k in library.structures if k.id == id_)


def in_another_cell(crystal, matrix):
    """The same crystal described by integer combinations of its cell vectors, turned in space."""
    structure = crystal.to_structure()
    structure.make_supercell(matrix)
    angle = 0.7
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    turned = Crystal.from_arrays(
        structure.lattice.matrix @ turn, [str(s) for s in structure.species], structure.frac_coords
    )
    assert turned.volume > 0
    return turned


def test_ranks_agree_with_ase(library):
    """ASE's code is by the authors of the method."""
    from ase.geometry.dimensionality import analyze_dimensionality

    sample = [k for k in library.structures if k.crystal.n_atoms <= 12][::140]
    assert len(sample) > 20
    for known in sample:
        theirs = analyze_dimensionality(known.crystal.to_atoms(), method="RDA")
        ours = dimensionality(known.crystal)
        match = [t for t in theirs if t.dimtype == "".join(f"{r}" for r in ours.ranks) + "D"]
        assert match, known.id
        assert match[0].score >= theirs[0].score - 0.02, known.id
        assert ours.score == pytest.approx(match[0].score, abs=0.05), known.id


@pytest.mark.parametrize(
    ("id_", "atoms", "thickness"), [("mp-984", 2, 0.0), ("mp-2815", 3, 3.13), ("mp-1434", 3, 3.13)]
)
def test_known_monolayers(library, id_, atoms, thickness):
    """Boron nitride and two stackings of MoS2 (S-Mo-S sheets 3.13 Å thick, Mo-Mo 3.19 Å in PBE)."""
    layer = monolayer_of(crystal_of(library, id_))
    assert isinstance(layer, Monolayer)
    assert layer.crystal.n_atoms == atoms
    assert layer.thickness_a == pytest.approx(thickness, abs=0.01)
    assert layer.vacuum_a == pytest.approx(VACUUM_A)
    assert layer.crystal.lattice[2][:2] == (0.0, 0.0)
    assert layer.area_a2 == pytest.approx(layer.crystal.volume / layer.crystal.lattice[2][2])


def test_both_stackings_hold_the_same_layer(library):
    one, other = (monolayer_of(crystal_of(library, i)) for i in ("mp-2815", "mp-1434"))
    assert one.area_a2 == pytest.approx(other.area_a2, rel=1e-3)
    assert one.thickness_a == pytest.approx(other.thickness_a, abs=2e-3)


@pytest.mark.parametrize("matrix", [[[1, 1, 0], [0, 1, 1], [0, 0, 1]], [[2, 0, 0], [0, 1, 0], [1, 0, 2]]])
def test_the_cell_does_not_matter(library, matrix):
    for id_ in ("mp-1434", "mp-157", "mp-34202"):
        crystal = crystal_of(library, id_)
        before, after = monolayer_of(crystal), monolayer_of(in_another_cell(crystal, matrix))
        per_atom = [m.area_a2 / m.crystal.n_atoms for m in (before, after)]
        assert per_atom[0] == pytest.approx(per_atom[1], rel=1e-6), id_
        assert before.thickness_a == pytest.approx(after.thickness_a, abs=1e-6), id_
        assert before.gap_a == pytest.approx(after.gap_a, abs=1e-6), id_


def test_pairs_of_layers_that_nearly_touch_are_still_taken_one_by_one(library):
    """In the 6H stacking of CdI2 some layers are bonded to pairs at a smaller cutoff than others."""
    layer = monolayer_of(crystal_of(library, "mp-567359"))
    assert layer.crystal.n_atoms == 3


def test_thickness_gap_and_area_fill_the_volume(library):
    for id_ in ("mp-984", "mp-2815", "mp-157"):
        crystal = crystal_of(library, id_)
        layer = monolayer_of(crystal)
        layers = crystal.n_atoms / layer.crystal.n_atoms
        assert layers * layer.area_a2 * (layer.thickness_a + layer.gap_a) == pytest.approx(crystal.volume, rel=1e-6)


def test_what_is_not_layered_is_refused_with_a_reason(library):
    verdict = monolayer_of(crystal_of(library, "mp-22862"))
    assert isinstance(verdict, Verdict)
    assert not verdict.passed
    assert "a network in three directions" in verdict.reason


def test_ions_between_layers_are_named():
    """Layers of carbon with lithium in between: LiC6 at its measured lengths."""
    a, c = 4.305, 3.706
    lattice = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]]
    x = 1 / 3
    carbon = [[x, 0, 0], [0, x, 0], [1 - x, 1 - x, 0], [1 - x, 0, 0], [0, 1 - x, 0], [x, x, 0]]
    crystal = Crystal.from_arrays(lattice, ["Li"] + ["C"] * 6, [[0, 0, 0.5], *carbon])
    verdict = monolayer_of(crystal)
    assert isinstance(verdict, Verdict)


def test_a_stack_of_monolayers_gives_the_monolayer_back(library):
    layer = monolayer_of(crystal_of(library, "mp-2815"))
    again = monolayer_of(stacked(layer, 3.2, (1 / 3, 2 / 3)))
    assert again.gap_a == pytest.approx(3.2)
    assert again.area_a2 == pytest.approx(layer.area_a2)


def test_slabs_are_read_with_their_vacuum(library):
    layer = monolayer_of(crystal_of(library, "mp-2815"), vacuum_a=15.0)
    read = as_monolayer(in_another_cell(layer.crystal, [[1, 0, 0], [1, 1, 0], [0, 0, 1]]))
    assert isinstance(read, Monolayer)
    assert read.vacuum_a == pytest.approx(15.0)
    assert as_monolayer(layer.crystal, 30.0).vacuum_a == pytest.approx(30.0)


def test_bulk_crystals_and_slabs_without_vacuum_are_no_monolayers(library):
    salt = as_monolayer(crystal_of(library, "mp-22862"))
    assert "a network in three directions" in salt.reason
    two_layers = as_monolayer(crystal_of(library, "mp-2815"))
    assert "2 layers" in two_layers.reason
    thin = as_monolayer(stacked(monolayer_of(crystal_of(library, "mp-2815")), MIN_VACUUM_A - 5))
    assert "5.0 Å between a layer and the next" in thin.reason


def test_too_little_vacuum_is_an_error_of_the_caller(library):
    with pytest.raises(InputError, match="too little"):
        monolayer_of(crystal_of(library, "mp-984"), vacuum_a=3.0)
