"""A plan is written and read back whole, and a folder belongs to one plan."""

from dataclasses import replace

import pytest

from novalith.campaign.plan import Plan, ResolvedPlan, check_same, read_plan
from novalith.errors import CampaignError, ContradictionError, CorruptDataError, InputError, UnknownNameError

PLAN = Plan(ask="Li-Sn-S-Cl", deny=("Cl",), hidden=("Li4SnS4", "Å is only text"), seed=3)
RESOLVED = ResolvedPlan(PLAN, {"novalith": "0.1.0"}, {"hull": "ab" * 32})


def test_toml_round_trip(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(RESOLVED.to_toml(), encoding="utf-8")
    assert read_plan(path) == RESOLVED


def test_the_run_id_depends_on_choices_versions_and_data():
    others = [
        replace(RESOLVED, plan=replace(PLAN, seed=4)),
        replace(RESOLVED, versions={"novalith": "0.2.0"}),
        replace(RESOLVED, cards={"hull": "cd" * 32}),
    ]
    assert len({RESOLVED.run_id, *(o.run_id for o in others)}) == 4


def test_another_plan_in_the_folder_is_refused_and_the_difference_named(tmp_path):
    path = tmp_path / "plan.toml"
    check_same(path, RESOLVED, RESOLVED)
    with pytest.raises(CampaignError, match="seed: 3 there, 4 now"):
        check_same(path, RESOLVED, replace(RESOLVED, plan=replace(PLAN, seed=4)))


def test_a_plan_edited_by_hand_is_refused(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(RESOLVED.to_toml().replace('"seed"', '"sede"'), encoding="utf-8")
    with pytest.raises(CorruptDataError, match="sede"):
        read_plan(path)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"generators": ("substitutoin",)}, UnknownNameError, "Did you mean 'substitution'"),
        ({"hull": "tabel"}, UnknownNameError, "Did you mean 'table'"),
        ({"budget": 0}, InputError, "budget"),
        ({"ask": "Li-Xy"}, InputError, "Xy"),
        ({"deny": ("Li", "Sn", "S", "Cl")}, ContradictionError, "leaves nothing"),
        ({"require": ("Ba",)}, ContradictionError, "Ba is required but not in the field"),
        ({"spacegroup": 231}, InputError, "1 to 230"),
        ({"seed": -1}, InputError, "seed"),
    ],
)
def test_wrong_plans_are_refused_before_anything_is_written(change, error, says):
    with pytest.raises(error, match=says):
        replace(PLAN, **change)


def test_a_chemical_system_means_all_of_its_elements_unless_told_otherwise():
    assert PLAN.request().require == {"Li", "Sn", "S"}
    assert replace(PLAN, subsystems=True).request().require == frozenset()
