"""Composition features against matminer 0.10.1 (stored answers) and sums done by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from novalith.materials import ATOMIC_NUMBERS
from novalith.represent.composition_features import (
    ELEMNET_ELEMENTS,
    element_fractions,
    holds_only,
    magpie_features,
    magpie_names,
    set_form,
)
from novalith.represent.formula_table import read_formulas

REFERENCE = json.loads((Path(__file__).parent / "magpie_reference.json").read_text(encoding="utf-8"))


def test_all_132_statistics_are_matminers():
    assert list(magpie_names()) == REFERENCE["names"]
    formulas = list(REFERENCE["rows"])
    ours = magpie_features(read_formulas(formulas))
    np.testing.assert_allclose(ours, [REFERENCE["rows"][f] for f in formulas], rtol=2e-6, atol=1e-5)


def test_statistics_by_hand():
    row = dict(zip(magpie_names(), magpie_features(read_formulas(["Fe2O3"]))[0].tolist(), strict=True))
    assert row["MagpieData mean Number"] == pytest.approx((2 * 26 + 3 * 8) / 5)
    assert row["MagpieData avg_dev Number"] == pytest.approx(0.4 * (26 - 15.2) + 0.6 * (15.2 - 8), rel=1e-6)
    assert row["MagpieData mode Number"] == 8


def test_elemnet_reads_86_elements_without_the_missing_eight():
    assert len(ELEMNET_ELEMENTS) == 86
    assert not set("He Ne Ar Po At Rn Fr Ra Am".split()) & set(ELEMNET_ELEMENTS)
    table = read_formulas(["LiFePO4", "PoO2", "not a formula"])
    x = element_fractions(table)
    assert x.shape == (3, 86)
    assert x[0, ELEMNET_ELEMENTS.index("O")] == pytest.approx(4 / 7)
    assert x.sum(axis=1) == pytest.approx([1, 2 / 3, 0])
    assert holds_only(table).tolist() == [True, False, True]


def test_sets_do_not_depend_on_the_multiple_of_a_formula():
    form = set_form(read_formulas(["Fe2O3", "Fe4O6", "Na", "?"]))
    assert (form.elements[0] == form.elements[1]).all()
    assert (form.fractions[0] == form.fractions[1]).all()
    assert form.fractions.sum(axis=1) == pytest.approx([1, 1, 1, 0])
    assert form.mask.sum(axis=1).tolist() == [2, 2, 1, 0]
    assert set(form.elements[0]) - {0} == {ATOMIC_NUMBERS["Fe"], ATOMIC_NUMBERS["O"]}


def test_a_row_that_cannot_be_read_and_an_element_without_data_stay_finite():
    x = magpie_features(read_formulas(["Og", "Xx2", "XeF2"]))
    assert np.isfinite(x).all()
    assert not x[1].any()
