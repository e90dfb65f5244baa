"""Screening a chemical system with a predictor whose hull is known: NaCl is the only valley."""

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.errors import CapabilityError, EmptyResultError, InputError
from novalith.materials import PhaseField
from novalith.predict.base import Prediction
from novalith.predict.composition import CompositionPredictor, TrainingDomain
from novalith.recipes.virtual_screening import ScreeningRequest, enumerate_formulas, screen_formulas, screen_system
from novalith.represent.composition_features import fractions_of
from novalith.represent.formula_table import read_formulas
from novalith.screen.chemistry import ChemistryOptions

FIELD = PhaseField.parse("Na-Cl")


class Valley(CompositionPredictor):
    """-4 x (1 - x) except that NaCl lies 0.5 lower; the direct prediction claims that everything is stable."""

    def __init__(self, targets=("formation_energy", "decomposition_energy")):
        training = read_formulas(["Na7Cl", "NaCl7"])
        self._domain = TrainingDomain.of(training, {t: np.array([-3.0, 1.0]) for t in targets})

    @property
    def domain(self):
        return self._domain

    def values(self, table, target):
        x = np.where(table.atomic_numbers == 11, fractions_of(table), 0).sum(axis=1)
        energy = -4 * x * (1 - x) - 0.5 * (x == 0.5)
        if target == "decomposition_energy":
            energy = np.full(len(x), -0.01)
        return Prediction(energy, np.full(len(x), 0.05))


def test_counts_are_reduced_and_complete():
    table = enumerate_formulas(ScreeningRequest(PhaseField.parse("Na-Cl-O"), max_count=3, max_atoms=6))
    pairs = sum(np.gcd(a, b) == 1 for a in range(1, 4) for b in range(1, 4))
    triples = sum(
        np.gcd.reduce([a, b, c]) == 1 and a + b + c <= 6 for a in range(1, 4) for b in range(1, 4) for c in range(1, 4)
    )
    assert len(table) == 3 * pairs + triples
    with pytest.raises(InputError, match="lower"):
        enumerate_formulas(ScreeningRequest(PhaseField.parse("Na-Cl-O-S-Fe-Mn"), max_count=30, max_atoms=200))


def test_a_formula_is_stable_only_where_both_say_so():
    request = ScreeningRequest(FIELD, max_count=6, max_atoms=9, rules=None)
    found = screen_system(request, Valley(), Library())
    by_formula = {row.formula: row for row in found.ranked}
    assert found.enumerated == len(found.ranked) and found.rejected == 0
    assert by_formula["NaCl"].stable and by_formula["NaCl"].known
    # Every formula claims to be stable; next to NaCl the hull of the same model says otherwise.
    beside = by_formula["Na5Cl4"]
    assert beside.decomposition_energy < 0 < beside.hull_distance and not beside.stable
    assert found.ranked[0].formula == "NaCl"
    order = [max(r.decomposition_energy, r.hull_distance) for r in found.ranked if r.in_range]
    assert order == sorted(order)


def test_what_is_out_of_range_comes_last():
    found = screen_formulas(["NaCl", "Na9Cl", "Na2Cl", "Na3Cl2", "x"], None, 10, Valley(), Library())
    assert found.ranked[-1].formula == "Na9Cl" and "% Na" in found.ranked[-1].reason
    assert (found.enumerated, found.rejected) == (5, 1)


def test_rules_and_missing_targets():
    balanced = screen_system(ScreeningRequest(FIELD, max_count=4), Valley(), Library())
    assert [r.formula for r in balanced.ranked if r.formula == "Na4Cl3"] == []
    assert balanced.rejected > 0
    with pytest.raises(CapabilityError, match="needs formation_energy"):
        screen_system(ScreeningRequest(FIELD), Valley(("band_gap",)), Library())
    with pytest.raises(EmptyResultError, match="passes the chemistry rules"):
        screen_formulas(["Na4Cl3"], ChemistryOptions(), 5, Valley(), Library())
    alone = screen_system(ScreeningRequest(FIELD, max_count=3, rules=None), Valley(("formation_energy",)), Library())
    assert np.isnan(alone.ranked[0].decomposition_energy)
    assert alone.ranked[0].formula == "NaCl"
