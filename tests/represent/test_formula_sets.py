"""Sets of formulas give back what was put in, however it was ordered and repeated."""

import numpy as np
import pytest

from novalith.errors import InputError
from novalith.represent.formula_sets import FormulaSet, among, pack, unpack
from novalith.represent.formula_table import formula_keys, read_formulas

FORMULAS = ["NaCl", "Al2O3", "H511O", "KMnO4", "LiFePO4", "CsHNOFSiPCl", "Xe2", "NaH"]


def test_keys_give_the_formulas_back():
    table = read_formulas(FORMULAS)
    assert formula_keys(unpack(pack(table))).tolist() == formula_keys(table).tolist()


def test_order_and_multiples_do_not_matter():
    a, b = (pack(read_formulas(f)) for f in (["O3Al2", "Cl4Na4"], ["Al2O3", "NaCl"]))
    assert a.tolist() == b.tolist()


def test_the_order_of_keys_is_that_of_searches():
    keys = np.unique(pack(read_formulas(FORMULAS[:5])))
    assert among(pack(read_formulas(FORMULAS)), keys).tolist() == [True] * 5 + [False] * 3
    assert not among(keys, keys[:0]).any()


def test_blocks_add_up_to_the_distinct_formulas():
    rng = np.random.default_rng(0)
    names = [f"Na{a}Cl{b}O{c}" for a in range(1, 8) for b in range(1, 8) for c in range(1, 8)]
    drawn = [names[i] for i in rng.integers(len(names), size=3000)]
    distinct = FormulaSet()
    for start in range(0, 3000, 500):
        distinct.add(pack(read_formulas(drawn[start : start + 500])))
    assert distinct.keys.tolist() == np.unique(pack(read_formulas(drawn))).tolist()
    assert len(distinct) < len(names)


def test_what_does_not_fit_a_key_is_refused():
    for formula in ("H512O", "HLiBeBCNOFNa"):
        with pytest.raises(InputError, match="up to 8 elements"):
            pack(read_formulas([formula]))
