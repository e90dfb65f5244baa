"""One-hot matrices give formulas back exactly, say what does not fit, and are read as published."""

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.errors import InputError
from novalith.represent.composition_one_hot import (
    REPORTED_85,
    OneHotLayout,
    counts_by_argmax,
    counts_by_threshold,
    encode_counts,
    expand,
    table_of_counts,
)
from novalith.represent.formula_table import formula_keys, read_formulas

PLAIN, ABSENT = OneHotLayout(REPORTED_85, 8), OneHotLayout(REPORTED_85, 10, absent=True)


@pytest.mark.parametrize("layout", [PLAIN, ABSENT])
def test_every_reported_formula_comes_back_or_is_named(layout):
    table = read_formulas(sorted(Library().reported))
    encoded = encode_counts(table, layout)
    assert len(encoded.rows) + len(encoded.problems) == len(table)
    assert len(encoded.rows) > 5_000
    cells = expand(encoded.counts[:3000], layout)
    assert cells.shape == (3000, 85, layout.n_columns)
    original = formula_keys(table.select(encoded.rows[:3000]))
    for counts in (
        encoded.counts[:3000],
        counts_by_threshold(cells, layout, 0.2),
        counts_by_argmax(cells, layout, 0.5),
    ):
        back = table_of_counts(counts, layout)
        assert not back.problems
        assert formula_keys(back).tolist() == original.tolist()


def test_a_matrix_is_what_the_paper_draws():
    counts = encode_counts(read_formulas(["Al2O3"]), PLAIN).counts
    x = expand(counts, PLAIN)[0]
    assert x.sum() == 2
    assert x[REPORTED_85.index("Al"), 1] == x[REPORTED_85.index("O"), 2] == 1
    with_absent = expand(counts, ABSENT)[0]
    assert (with_absent.sum(axis=1) == 1).all()
    assert with_absent[REPORTED_85.index("Al"), 2] == with_absent[REPORTED_85.index("Xe"), 0] == 1


def test_what_does_not_fit_is_named_with_its_row():
    encoded = encode_counts(read_formulas(["NaCl", "XeArF", "Al2O9", "Xx", "Li4O2"]), PLAIN)
    assert encoded.rows.tolist() == [0, 4]
    assert encoded.problems[1] == "it holds Ar, which is not among the 85 elements"
    assert encoded.problems[2] == "it holds an element 9 times; at most 8 fit"
    assert set(encoded.problems) == {1, 2, 3}


def test_the_last_passing_cell_wins_and_the_largest_wins():
    layout = OneHotLayout(("Na", "Cl"), 3)
    cells = np.array([[[0.9, 0.1, 0.2], [0.19, 0.19, 0.0]], [[0.3, 0.6, 0.1], [0.0, 0.0, 0.2]]])
    assert counts_by_threshold(cells, layout, 0.2).tolist() == [[3, 0], [2, 3]]
    assert counts_by_argmax(cells, layout, 0.2).tolist() == [[1, 0], [2, 3]]
    with_absent = OneHotLayout(("Na", "Cl"), 2, absent=True)
    assert counts_by_argmax(cells, with_absent).tolist() == [[0, 0], [1, 2]]
    assert counts_by_threshold(cells, with_absent, 0.5).tolist() == [[0, 0], [1, 0]]
    with pytest.raises(InputError, match="floor"):
        counts_by_argmax(cells, layout)


def test_empty_and_crowded_rows_are_problems_and_the_rest_is_reduced():
    counts = np.zeros((4, 85), dtype=np.uint8)
    counts[1, :9] = 1
    counts[2, :2] = 4
    counts[3, 5] = 2
    table = table_of_counts(counts, PLAIN, (2, 8))
    assert table.parts(2) == ((1, 1), (3, 1))
    assert table.problems == {
        0: "It decodes to no element.",
        1: "It decodes to 9 elements; 2 to 8 were expected.",
        3: "It decodes to 1 elements; 2 to 8 were expected.",
    }
    assert len(table) == 4


def test_a_layout_refuses_what_it_cannot_mean():
    for elements, count in (((), 3), (("Na", "Na"), 3), (("Na",), 0), (("Na",), 256)):
        with pytest.raises(InputError, match="distinct"):
            OneHotLayout(elements, count)
