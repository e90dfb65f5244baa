"""The column reader against `Composition.parse`, formula by formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from novalith.errors import InputError
from novalith.materials import ATOMIC_NUMBERS, Composition
from novalith.represent.formula_table import element_keys, formula_keys, read_formulas, table_of

PIECES = "Na Cl O H Fe Po C Co CO 2 3 12 0 ( ) (OH)2 x Xx D é 1.5 - 100000 100001 9999999 Na2 S".split()
pieces = st.sampled_from([*PIECES, " ", "\n"])
texts = st.lists(pieces, max_size=8).map("".join)


def one_by_one(text: str):
    try:
        composition = Composition.parse(text)
    except InputError:
        return None
    return {ATOMIC_NUMBERS[s]: n for s, n in composition.reduced.counts}


@given(st.lists(texts, max_size=12))
@example(["", ""])
@example(["(NaCl", "KCl)", "K(Cl)"])
@example(["Na((Cl)2)3", "Na(Cl2)(O)3", "Ca(OH)2(Cl)", "()2Na", "Na()", "(2Na)"])
@example(["CH3CH2OH", "Po3", "(Po)3", "NaPo2", "O00", "O02", "NaNa100000"])
@settings(max_examples=300, deadline=None)
def test_every_formula_reads_as_it_does_alone(formulas):
    table = read_formulas(formulas)
    assert len(table) == len(formulas)
    for row, text in enumerate(formulas):
        expected = one_by_one(text)
        assert dict(table.parts(row)) == (expected or {}), text
        assert (row in table.problems) == (expected is None), text


def test_problems_are_the_sentences_of_the_parser():
    table = read_formulas(["NaCl", "Сl2"])  # the second begins with a Cyrillic letter
    assert list(table.problems) == [1]
    assert "U+0421" in table.problems[1]


def test_many_elements_in_one_formula_are_read():
    formula = "".join(list(ATOMIC_NUMBERS)[:40])
    assert len(read_formulas([formula, "NaCl"]).parts(0)) == 40


def test_keys_tell_chemical_systems_apart():
    keys = element_keys(read_formulas(["NaCl", "Cl2Na", "NaCl3", "KCl", "NaClO"]))
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys.tolist())) == 3


@pytest.mark.parametrize("text", ["Li10GeP2S12", "Ca(OH)2", "(NH4)2SO4"])
def test_counts_are_reduced(text):
    assert dict(read_formulas([text]).parts(0)) == one_by_one(text)


def test_keys_agree_across_tables_and_orders():
    left = read_formulas(["Fe2O3", "NaCl", "Li4SnS4", "K2Cr2O7"])
    right = read_formulas(["ClNa", "S4Li4Sn", "Fe4O6", "Fe3O4"])
    assert np.isin(formula_keys(left), formula_keys(right)).tolist() == [True, True, True, False]


def test_a_table_from_arrays_is_reduced_and_sorted_and_names_empty_rows():
    table = table_of(np.array([[8, 0, 26], [0, 0, 0], [17, 11, 0]]), np.array([[6, 5, 4], [1, 1, 1], [1, 1, 1]]))
    assert [table.parts(row) for row in range(3)] == [((8, 3), (26, 2)), (), ((11, 1), (17, 1))]
    assert list(table.problems) == [1]
    assert table.composition(0).formula == "Fe2O3"
    assert table.select(np.array([2, 1])).problems == {1: "It holds no element."}
