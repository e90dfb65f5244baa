"""The bench of conditioned generators tells one that obeys from one that does not listen."""

import numpy as np
import pytest

from novalith.errors import EmptyResultError
from novalith.propose.compositions import CompositionModel
from novalith.recipes.composition_bench import split_formulas
from novalith.recipes.condition_bench import TARGET, condition_records, lowest, slope
from novalith.represent.formula_sets import among, pack
from novalith.represent.formula_table import read_formulas

#: NaCl_x has the value -x / 2 eV/atom.
FORMULAS = [f"NaCl{x}" for x in range(1, 9)] + [f"KCl{x}" for x in range(1, 9)]
VALUES = np.array([-x / 2 for x in range(1, 9)] * 2)
KEYS = pack(read_formulas(FORMULAS))


class Obedient(CompositionModel):
    """Draws the formulas whose value was asked for, or, where it does not listen, all of them."""

    name, honours, elements = "obedient", frozenset(), ("Na",)
    target_ranges = {TARGET: (-4.0, 0.0)}  # noqa: RUF012

    def __init__(self, listens):
        self.listens = listens

    def draw(self, n, request, *, rng):
        x = round(-2 * dict(request.targets)[TARGET]) if self.listens else None
        chosen = [f for f in FORMULAS if x is None or f.endswith(f"Cl{x}")] or ["XeF2"]
        return read_formulas([chosen[i] for i in rng.integers(len(chosen), size=n)])

    def save(self, path):
        raise NotImplementedError


def records(listens):
    split = split_formulas("test", read_formulas(FORMULAS))
    grid = (-3.5, -3.0, -2.0, -1.0, 0.0)
    table = lowest(KEYS, VALUES)
    return split, condition_records(Obedient(listens), split, table, 200, grid=grid, rng=np.random.default_rng(0))


def test_a_model_that_obeys_has_slope_one_and_one_that_does_not_listen_none():
    _, obeyed = records(listens=True)
    assert slope(obeyed) == pytest.approx(1.0)
    assert [r["mean_absolute_error"] for r in obeyed[:4]] == [0.0] * 4
    assert obeyed[4]["n_tabulated"] == 0
    assert obeyed[4]["n_distinct"] == 1
    assert slope(records(listens=False)[1]) == pytest.approx(0.0)


def test_formulas_that_were_trained_on_are_told_from_those_left_out():
    split, ignored = records(listens=False)
    assert ignored[0]["n_tabulated"] == len(FORMULAS)
    assert ignored[0]["n_left_out"] == len(split.left_out) == 2
    mean = VALUES[among(KEYS, split.left_out)].mean()
    assert ignored[0]["mean_left_out"] == pytest.approx(mean)


def test_the_lowest_value_of_a_formula_counts_and_unknown_ones_have_none():
    table = lowest(pack(read_formulas(["NaCl", "KCl", "Na2Cl2"])), np.array([-1.0, -3.0, -2.0]))
    values = table.of(pack(read_formulas(["ClNa", "KCl", "LiCl"])))
    assert values[:2].tolist() == [-2.0, -3.0]
    assert np.isnan(values[2])


def test_a_slope_needs_two_points():
    with pytest.raises(EmptyResultError, match="draw more"):
        slope(records(listens=True)[1][4:])
