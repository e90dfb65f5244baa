"""Composing: every formula is as asked and ranked with reasons, every draw is accounted for, blind runs forget."""

import csv
import io

import numpy as np
import pytest
from typer.testing import CliRunner

from novalith.cli.main import build
from novalith.data.library import Hidden, Library
from novalith.errors import CapabilityError, EmptyResultError, InputError, UnknownNameError
from novalith.propose.request import parse_request
from novalith.recipes.compose import ComposeOrder, compose, default_sequence, formulas_for, write_rows
from novalith.recipes.composition_predictors import default_predictor
from novalith.recipes.formula_ranking import KNOWN_NATS, rank_formulas
from novalith.represent.formula_table import read_formulas
from novalith.screen.chemistry import ChemistryOptions, judge_formulas


@pytest.fixture(scope="module")
def library():
    return Library()


def test_every_formula_is_of_the_system_and_balanced(library):
    composed = compose(ComposeOrder("Li-Sn-S-Cl", n=60, seed=1), library)
    assert len(composed.ranked) == 60
    assert composed.sample.drawn == 60 + sum(composed.sample.rejected.values())
    for row in composed.ranked:
        assert set(row.composition.field.elements) == {"Li", "Sn", "S", "Cl"}
        assert row.balanced
    assert all(v.balanced for v in judge_formulas([r.composition for r in composed.ranked], ChemistryOptions("icsd24")))
    scores = [row.score for row in composed.ranked]
    assert scores == sorted(scores, reverse=True)
    rows = list(csv.DictReader(io.StringIO(write_rows(composed))))
    assert [r["formula"] for r in rows] == [r.composition.formula for r in composed.ranked]
    assert {"formation_energy", "decomposition_energy_uncertainty", "known", "charges", "extrapolation"} <= set(rows[0])


def test_known_formulas_are_told_apart_and_likely_ones_come_first(library):
    table = read_formulas(["NaCl", "NaCl3", "Na7Cl5", "Li4SnS4"])
    ranked = rank_formulas(table, library, default_sequence(), default_predictor())
    by_formula = {r.composition.formula: r for r in ranked}
    assert by_formula["NaCl"].known == "reported"
    assert by_formula["Na7Cl5"].known == "new"
    assert by_formula["NaCl"].log_likelihood > by_formula["Na7Cl5"].log_likelihood + 2
    assert by_formula["NaCl"].score + KNOWN_NATS > by_formula["NaCl3"].score
    assert "Na+1" in by_formula["NaCl"].reason
    assert "reported" in by_formula["NaCl"].reason
    assert not by_formula["Na7Cl5"].balanced


def test_a_target_moves_the_formulas_and_a_far_one_is_an_extrapolation(library):
    mean = {}
    for value in (-3.5, -0.5):
        order = ComposeOrder("any", n=150, targets=(("formation_energy", value),), seed=3)
        composed = compose(order, library)
        assert not composed.warnings
        mean[value] = np.mean([r.estimates["formation_energy"].value for r in composed.ranked])
    assert mean[-3.5] < mean[-0.5] - 1.0
    far = compose(ComposeOrder("Li-O", n=3, targets=(("formation_energy", -40.0),)), library)
    assert "training range" in far.warnings[0]
    assert write_rows(far).splitlines()[1].endswith("True")


def test_the_formulas_of_a_search_come_from_the_model_unless_it_is_blind(library):
    request = parse_request("Mg-Ti-O", require="Mg,Ti,O")
    ranked = formulas_for(request, library, rng=np.random.default_rng(0))
    again = formulas_for(request, library, rng=np.random.default_rng(0))
    formulas = [r.composition.formula for r in ranked]
    assert formulas == [r.composition.formula for r in again]
    assert {"MgTiO3", "Mg2TiO4"} <= set(formulas[:40])
    assert formulas_for(request, Library(Hidden.of(["MgTiO3"])), rng=np.random.default_rng(0)) == ()
    assert formulas_for(parse_request("MgTiO3"), library, rng=np.random.default_rng(0)) == ()


def test_a_system_of_metals_is_served_without_charges(library):
    ranked = formulas_for(parse_request("Cu-Zn"), library, rng=np.random.default_rng(0))
    assert ranked
    assert {"Cu", "Zn"} >= {e for r in ranked for e in r.composition.field.elements}


def test_bad_orders_are_refused_with_what_would_do(library):
    with pytest.raises(UnknownNameError, match="sequence"):
        compose(ComposeOrder("Li-O", recipe="sequnce"), library)
    with pytest.raises(InputError, match="Li-Sn-S"):
        compose(ComposeOrder("Li4SnS4"), library)
    with pytest.raises(InputError, match="1 or more"):
        compose(ComposeOrder("Li-O", n=0), library)
    with pytest.raises(EmptyResultError, match="no formula"):
        compose(ComposeOrder("Mg-Zn"), library)
    with pytest.raises(CapabilityError, match="He"):
        compose(ComposeOrder("He-O"), library)
    with pytest.raises(CapabilityError, match="ding"):
        compose(ComposeOrder("Li-O", near="Li2O"), library)


def test_screening_enumerates_a_system_and_orders_it_by_predicted_stability(library):
    composed = compose(ComposeOrder("Mg-Ti-O", n=12, recipe="screening", max_atoms=12), library)
    assert composed.sample.drawn == 12 + sum(composed.sample.rejected.values())
    worse = [
        max(r.estimates["decomposition_energy"].value, r.estimates["energy_above_predicted_hull"].value)
        for r in composed.ranked
        if r.estimates["decomposition_energy"].in_range
    ]
    assert worse == sorted(worse)
    assert all(r.balanced for r in composed.ranked)
    with pytest.raises(CapabilityError, match="one chemical system"):
        compose(ComposeOrder("any", recipe="screening"), library)


@pytest.mark.parametrize("recipe", ["matgan", "ding"])
def test_the_published_models_draw_too(library, recipe):
    order = ComposeOrder("any", n=10, recipe=recipe, require=frozenset({"O"}), seed=2)
    composed = compose(order, library)
    assert len(composed.ranked) == 10
    assert all("O" in r.composition.field.elements and r.balanced for r in composed.ranked)


def test_the_latent_space_is_walked(library):
    near = compose(ComposeOrder("any", n=6, recipe="ding", near="LiFePO4", rules=None), library)
    assert any({"Li", "O"} <= set(r.composition.field.elements) for r in near.ranked)
    walk = compose(ComposeOrder("any", n=8, recipe="ding", between=("NaCl", "MgO"), rules=None), library)
    assert "MgO" in {r.composition.formula for r in walk.ranked}


def test_the_verb_writes_a_table(tmp_path):
    out = tmp_path / "formulas.csv"
    asked = ["compose", "Na-Cl-O", "-n", "10", "--subsystems", "--csv", str(out), "--json", "--n-elements", "2-3"]
    result = CliRunner().invoke(build(), asked)
    assert result.exit_code == 0, result.output
    assert '"formulas": 10' in result.output
    assert len(out.read_text().splitlines()) == 11
