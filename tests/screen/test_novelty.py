"""Grades of novelty and the name of the nearest known material."""

from __future__ import annotations

import numpy as np
import pytest
from crystals import SmallLibrary, caesium_chloride, disguises, perovskite, rock_salt, rutile, zinc_blende

from novalith.materials import Composition
from novalith.screen.composition_distance import composition_distances, cumulative_shares
from novalith.screen.novelty import HULL_TABLE, OQMD, REPORTED, Grade, NoveltyIndex

NACL = rock_salt("Na", "Cl", 5.64)


@pytest.fixture(scope="module")
def index() -> NoveltyIndex:
    library = SmallLibrary(
        crystals=[
            ("mp-1", NACL, -2.1),
            ("mp-2", rock_salt("Mg", "O", 4.21), -3.0),
            ("mp-3", perovskite("Sr", "Ti", "O", 3.9), -3.5),
            ("mp-4", caesium_chloride("Cs", "Cl", 4.12), -2.2),
            ("mp-5", rock_salt("Cs", "Cl", 6.9), -2.3),
            ("mp-6", rutile("Ti", "O", 4.59, 2.96), -3.3),
        ],
        hull_energies={"KCl": -2.2, "NaCl": -2.1},
        reported=frozenset({"KCl", "Na3Cl2"}),
        oqmd={"RbI": -1.5},
    )
    return NoveltyIndex(library)


def test_nacl_in_every_disguise_is_known(index):
    for name, crystal in disguises(NACL, np.random.default_rng(0)).items():
        verdict = index.judge(crystal)
        assert verdict.grade is Grade.KNOWN_STRUCTURE, name
        assert (verdict.nearest_id, verdict.nearest_formula) == ("mp-1", "NaCl")
        assert 0 <= verdict.rms_distance < 0.1


def test_nacl_as_caesium_chloride_is_another_structure_with_its_prototype_named(index):
    verdict = index.judge(caesium_chloride("Na", "Cl", 3.4))
    assert verdict.grade is Grade.OTHER_STRUCTURE
    assert verdict.nearest_id == "mp-1"
    assert verdict.rms_distance is None
    assert "arrangement is that of CsCl (mp-4)" in verdict.note


def test_the_lowest_polymorph_stands_for_a_known_formula(index):
    verdict = index.judge(zinc_blende("Cs", "Cl", 7.5))
    assert (verdict.grade, verdict.nearest_id) == (Grade.OTHER_STRUCTURE, "mp-5")


@pytest.mark.parametrize(
    ("crystal", "source"),
    [(rock_salt("K", "Cl", 6.29), HULL_TABLE), (rock_salt("Rb", "I", 7.3), OQMD)],
)
def test_a_listed_formula_without_structure_is_known(index, crystal, source):
    verdict = index.judge(crystal)
    assert (verdict.grade, verdict.nearest_id) == (Grade.KNOWN_FORMULA, source)
    assert verdict.nearest_formula == crystal.composition.formula


def test_a_new_formula_names_the_nearest_by_chemistry(index):
    verdict = index.judge(perovskite("Ba", "Ti", "O", 4.0))
    assert verdict.grade is Grade.NEW_FORMULA
    assert (verdict.nearest_id, verdict.nearest_formula) == ("mp-3", "SrTiO3")
    assert "arrangement is that of SrTiO3" in verdict.note


def test_a_new_formula_of_a_known_system_names_one_of_the_same_elements(index):
    # NaCl3 in a made-up cell: Na3Cl2 and NaCl hold the same elements, NaCl is nearer.
    verdict = index.judge(perovskite("Na", "Cl", "Cl", 4.5))
    assert verdict.grade is Grade.NEW_FORMULA
    assert verdict.nearest_formula == "NaCl"
    reported = NoveltyIndex(SmallLibrary(crystals=[("x", NACL, 0.0)], reported=frozenset({"NaCl5"})))
    assert reported.judge(perovskite("Na", "Cl", "Cl", 4.5)).nearest_formula in {"NaCl", "NaCl5"}
    assert REPORTED == "reported formulas"


def test_metals_that_may_share_a_site_are_named(index):
    verdict = index.judge(perovskite("Cr", "Ta", "O", 3.9))
    assert "Cr and Ta may share a site" in verdict.note
    assert "share a site" not in index.judge(perovskite("Ba", "Ti", "O", 4.0)).note


def test_references_of_the_user_count():
    index = NoveltyIndex(SmallLibrary(crystals=[]), references=[("mine", NACL)])
    verdict = index.judge(NACL)
    assert (verdict.grade, verdict.nearest_id) == (Grade.KNOWN_STRUCTURE, "mine")
    assert NoveltyIndex(SmallLibrary(crystals=[])).judge(NACL).grade is Grade.NEW_FORMULA


def test_judging_many_keeps_the_order(index):
    crystals = [rock_salt("K", "Cl", 6.29), NACL, rock_salt("Rb", "I", 7.3)]
    assert [n.nearest_formula for n in index.judge_many(crystals)] == ["KCl", "NaCl", "RbI"]


def test_similar_elements_are_near_and_moving_more_atoms_is_farther():
    near = [Composition.parse(f) for f in ("NaCl", "KCl", "NaBr", "NaCl2", "FeO")]
    distances = composition_distances(near[0], cumulative_shares(near))
    assert distances[0] == 0
    assert distances[1] == pytest.approx(0.5)  # half of the atoms move one step: K and Na are neighbours
    assert distances[1] < distances[4]
    assert distances[2] < distances[4]
