"""Likeness of formulas: by hand on four elements, never to itself, the same whatever the order of the rows."""

import numpy as np
import pytest

from novalith.materials import ATOMIC_NUMBERS
from novalith.represent.formula_likeness import FLOOR, FormulaLikeness
from novalith.represent.formula_table import read_formulas

SIMILARITY = np.full((118, 118), -9.0)
np.fill_diagonal(SIMILARITY, 0.0)
for a, b, s in (("Mo", "W", -1.0), ("S", "Se", -2.0), ("Na", "K", -1.0), ("Mo", "Na", -4.0)):
    i, j = ATOMIC_NUMBERS[a] - 1, ATOMIC_NUMBERS[b] - 1
    SIMILARITY[i, j] = SIMILARITY[j, i] = s
LIKENESS = FormulaLikeness.of(read_formulas(["MoS2", "WSe2"]), read_formulas(["Na2S", "NaMoS4", "NaCl"]), SIMILARITY)


def test_both_numbers_are_those_of_their_formulas():
    nearest, summed = LIKENESS.features(read_formulas(["WS2"]))[0]
    # MoS2: -1, WSe2: -2; Na2S with W on Na and S on S: -9 - 9, since two of one go on two of the other
    others = -9.0 - 9.0
    assert nearest == pytest.approx(-1 - others, abs=0.02)
    assert summed == pytest.approx(np.log(np.exp(-1) + np.exp(-2)) - others, abs=0.02)


def test_a_formula_is_never_compared_with_itself():
    nearest, _ = LIKENESS.features(read_formulas(["MoS2"]))[0]
    assert nearest == pytest.approx(-3 - (-18), abs=0.02)  # to WSe2 by two exchanges, not to itself by none


def test_elements_of_equal_counts_are_set_the_best_way():
    likeness = FormulaLikeness.of(read_formulas(["KMoS4"]), read_formulas(["NaCl"]), SIMILARITY)
    for formula in ("NaWS4", "WNaS4"):
        assert likeness.features(read_formulas([formula]))[0, 0] == pytest.approx(-2 - FLOOR, abs=0.02)


def test_strange_kinds_and_bad_rows_are_like_none():
    table = read_formulas(["Al7O3", "no formula", "LiNaKRbCsF6", "WS2"])
    features = LIKENESS.features(table)
    assert (features[:3] == 0).all()
    assert features[3, 0] > 0


def test_stored_and_read_back_it_says_the_same():
    table = read_formulas(["WS2", "KCl", "NaWS4", "K2S"])
    again = FormulaLikeness.of_tensors(LIKENESS.tensors("x"), "x")
    assert (again.features(table) == LIKENESS.features(table)).all()
