"""Sameness: a crystal in disguise is itself, another structure is not, and the pre-filter loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
from crystals import caesium_chloride, disguises, perovskite, rattled, rock_salt, rutile, supercell, zinc_blende

from novalith.materials import Crystal
from novalith.screen import duplicates
from novalith.screen.duplicates import Reduced, group_duplicates, may_match, same_crystal
from novalith.screen.fingerprint import fingerprint

CRYSTALS = [
    rock_salt("Na", "Cl", 5.64),
    caesium_chloride("Na", "Cl", 3.4),
    zinc_blende("Na", "Cl", 6.2),
    rutile("Ti", "O", 4.59, 2.96),
    perovskite("Sr", "Ti", "O", 3.9),
]


@pytest.mark.parametrize("crystal", CRYSTALS, ids=lambda c: c.composition.formula)
def test_a_crystal_in_disguise_is_itself(crystal):
    for name, other in disguises(crystal, np.random.default_rng(1)).items():
        assert same_crystal(crystal, other) is not None, name
        assert same_crystal(other, crystal) is not None, name


def test_the_distance_grows_with_the_rattle():
    crystal = CRYSTALS[4]
    small, large = (same_crystal(crystal, rattled(crystal, r, np.random.default_rng(2))) for r in (0.02, 0.1))
    assert small < large < 0.1
    assert same_crystal(crystal, crystal) == pytest.approx(0.0, abs=1e-6)


def test_polymorphs_and_other_formulas_differ():
    for i, a in enumerate(CRYSTALS):
        for b in CRYSTALS[i + 1 :]:
            assert same_crystal(a, b) is None


def test_groups_name_the_first_of_each():
    rng = np.random.default_rng(3)
    crystals = [*CRYSTALS[:3], *disguises(CRYSTALS[1], rng).values(), *disguises(CRYSTALS[0], rng).values()]
    assert group_duplicates(crystals) == [0, 1, 2, *[1] * 6, *[0] * 6]
    assert group_duplicates([]) == []


def test_many_copies_of_few_crystals_cost_about_one_comparison_each(monkeypatch):
    calls = []
    real = duplicates.matches
    monkeypatch.setattr(duplicates, "matches", lambda a, b: calls.append(1) or real(a, b))
    rng = np.random.default_rng(4)
    crystals = [rattled(CRYSTALS[i % 3], 0.02, rng) for i in range(60)]
    assert group_duplicates(crystals) == [i % 3 for i in range(60)]
    assert len(calls) <= 60


def _random_crystal(rng: np.random.Generator) -> Crystal:
    lattice = np.diag(rng.uniform(4, 6, 3)) + rng.uniform(-0.5, 0.5, (3, 3))
    return Crystal.from_arrays(lattice, ["Na", "Na", "Cl", "Cl"], rng.uniform(size=(4, 3)))


def test_the_prefilter_loses_no_pair_that_the_matcher_finds_equal():
    from pymatgen.analysis.structure_matcher import StructureMatcher

    plain = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5)  # reduces the cells by itself
    rng = np.random.default_rng(5)
    pairs = [(c, d) for c in CRYSTALS for d in disguises(c, rng).values()]
    pairs += [(c, rattled(c, 0.4, rng)) for c in CRYSTALS for _ in range(3)]
    randoms = [_random_crystal(rng) for _ in range(8)]
    pairs += [(a, b) for i, a in enumerate(randoms) for b in randoms[i + 1 :]]
    found = 0
    for a, b in pairs:
        expected = plain.fit(a.to_structure(), b.to_structure())
        found += expected
        if len(Reduced.of(a).structure) == len(Reduced.of(b).structure):
            assert (same_crystal(a, b) is not None) == expected
        else:
            assert not expected
    assert found >= 30


def test_the_fingerprint_knows_neither_cell_nor_origin_nor_order():
    crystal = CRYSTALS[3]
    mine = Reduced.of(crystal).fingerprint
    for name in ("supercell", "shift", "axes"):
        other = disguises(crystal, np.random.default_rng(6))[name]
        theirs = fingerprint(np.array(other.lattice), np.array(other.frac_coords), other.species)
        assert np.abs(mine - theirs).max() < 1e-6, name


def test_the_fingerprint_of_nacl_is_that_of_its_shells():
    crystal = CRYSTALS[0]
    numbers = Reduced.of(crystal).fingerprint.reshape(2, 2, 8)  # Cl, Na
    # One atom in (a/2)^3: 6 unlike atoms at 1, then 8 at sqrt(3); 12 like atoms at sqrt(2).
    assert numbers[0, 1] == pytest.approx([1] * 6 + [np.sqrt(3)] * 2)
    assert numbers[0, 0] == pytest.approx([np.sqrt(2)] * 8)


def test_noise_that_hides_the_primitive_cell_of_a_supercell_hides_no_crystal():
    crystal = CRYSTALS[4]
    double = supercell(crystal, (1, 1, 2))
    frac = np.array(double.frac_coords)
    oxygens = [i for i, s in enumerate(double.species) if s == "O"][:2]  # one oxygen and its copy, 0.28 Å out of step
    frac[oxygens, 0] += np.array([0.14, -0.14]) / 3.9
    double = Crystal.from_arrays(double.lattice, double.species, frac)
    assert len(Reduced.of(double).structure) == 2 * crystal.n_atoms
    assert same_crystal(crystal, double) is not None
    assert same_crystal(double, crystal) is not None
    assert group_duplicates([double, crystal]) == [0, 0]


def test_a_superstructure_is_not_its_parent():
    parent = CRYSTALS[4]
    double = supercell(parent, (1, 1, 2))
    frac = np.array(double.frac_coords)
    frac[np.array(double.species) == "O", 0] += (
        0.35 / 3.9 * np.where(frac[np.array(double.species) == "O", 2] < 0.5, 1, -1)
    )
    assert same_crystal(parent, Crystal.from_arrays(double.lattice, double.species, frac)) is None


def test_the_prefilter_is_worth_its_while():
    reduced = [Reduced.of(c) for c in CRYSTALS[:3]]
    assert not may_match(reduced[0], reduced[1])
    assert may_match(reduced[0], reduced[0])
