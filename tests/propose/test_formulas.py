"""Formulas that a chemist expects, in an order that a chemist understands."""

from __future__ import annotations

import math

import pytest

from novalith.data.library import Library
from novalith.errors import EmptyResultError
from novalith.materials import Composition, PhaseField
from novalith.propose.formulas import enumerate_formulas, formulas_of
from novalith.propose.oxidation_states import neutral_states, state_probabilities
from novalith.propose.request import parse_request


def listed(system: str, library: Library, n: int, **options: object) -> list[str]:
    return [f.composition.formula for f in enumerate_formulas(PhaseField.parse(system), library, **options)][:n]  # type: ignore[arg-type]


def test_magnesium_titanates_come_first(library: Library) -> None:
    assert set(listed("Mg-Ti-O", library, 3)) == {"MgTiO3", "Mg2TiO4", "MgTi2O5"}


def test_known_lithium_thiostannates_and_chlorides_are_found(library: Library) -> None:
    formulas = listed("Li-Sn-S-Cl", library, 40)
    assert {"Li2SnS3", "Li4SnS4", "Li3SnS3Cl", "LiSnCl3"} <= set(formulas)
    complete = [f for f in formulas[:20] if len(Composition.parse(f).field) == 4]
    assert len(complete) >= 10


def test_every_formula_with_an_anion_is_neutral_within_the_limits(library: Library) -> None:
    for scored in enumerate_formulas(PhaseField.parse("K-Fe-P-O"), library, max_atoms=16):
        assert scored.composition.n_atoms <= 16
        assert max(n for _, n in scored.composition.counts) <= 8
        assert scored.composition == scored.composition.reduced
        if "O" in scored.composition.field:
            assert neutral_states(scored.composition) is not None
            assert "neutral as" in scored.reason


def test_scores_fall_and_the_limit_holds(library: Library) -> None:
    scores = [f.score for f in enumerate_formulas(PhaseField.parse("Na-Mn-O"), library, limit=30)]
    assert len(scores) == 30
    assert scores == sorted(scores, reverse=True)
    assert all(math.isfinite(s) for s in scores)


def test_required_elements_are_in_every_formula(library: Library) -> None:
    formulas = listed("Li-Sn-S-Cl", library, 200, require=frozenset({"Sn", "Cl"}))
    assert formulas
    assert all({"Sn", "Cl"} <= set(Composition.parse(f).field.elements) for f in formulas)


def test_intermetallic_fields_are_ranked_by_precedent_and_say_so(library: Library) -> None:
    best = enumerate_formulas(PhaseField.parse("Ni-Al"), library)[:4]
    assert {"AlNi", "AlNi3", "Al3Ni"} <= {f.composition.formula for f in best}
    assert all("no anion" in f.reason for f in best)


@pytest.mark.parametrize("system", ["O-F", "He-Ne", "Na-Ar"])
def test_impossible_fields_say_which_states_were_tried(system: str, library: Library) -> None:
    with pytest.raises(EmptyResultError, match="oxidation states") as caught:
        enumerate_formulas(PhaseField.parse(system), library)
    for symbol in system.split("-"):
        states = state_probabilities(symbol)
        assert f"{symbol} ({', '.join(f'{q:+d}' for q in states) or 'none known'})" in str(caught.value)


def test_a_request_for_a_formula_asks_for_that_alone(library: Library) -> None:
    assert formulas_of(parse_request("Li8Sn2S8"), library) == (Composition.parse("Li4SnS4"),)


@pytest.mark.parametrize(
    ("formula", "states"),
    [
        ("Li4SnS4", {"Li": 1, "Sn": 4, "S": -2}),
        ("Fe3O4", {"Fe": 8 / 3, "O": -2}),
        ("MgTi2O5", {"Mg": 2, "Ti": 4, "O": -2}),
        ("Na2S2", {"Na": 1, "S": -1}),
        ("LiCoO2", {"Li": 1, "Co": 3, "O": -2}),
    ],
)
def test_states_are_those_of_a_textbook(formula: str, states: dict[str, float]) -> None:
    found = neutral_states(Composition.parse(formula))
    assert found is not None
    assert dict(found.of) == pytest.approx(states)


@pytest.mark.parametrize("formula", ["NaCl2", "NiAl", "OF2"])
def test_compounds_without_neutral_states_have_none(formula: str) -> None:
    assert neutral_states(Composition.parse(formula)) is None
