"""Drawing formulas: what a model does not honour is filtered, counted, and nothing is lost."""

import numpy as np
import pytest

from novalith.errors import CapabilityError, ContradictionError
from novalith.propose.compositions import CompositionModel, FormulaRequest, concatenated, draw_formulas, unmet
from novalith.represent.formula_table import read_formulas, table_of
from novalith.screen.chemistry import ChemistryOptions


class Dice(CompositionModel):
    """Draws Na, Cl or O with counts 0 to 3."""

    name, honours = "dice", frozenset()
    elements = ("Na", "Cl", "O")

    @property
    def target_ranges(self):
        return {"formation_energy": (-4.0, 0.0)}

    def draw(self, n, request, *, rng):  # noqa: ARG002  it honours nothing
        return table_of(np.tile([11, 17, 8], (n, 1)), rng.integers(0, 4, (n, 3)))

    def save(self, path):
        raise NotImplementedError


def test_in_is_kept_plus_rejected_and_kept_is_as_asked():
    request = FormulaRequest(require=frozenset({"Na"}), max_atoms=6, rules=ChemistryOptions())
    sample = draw_formulas(Dice(), 50, request, max_draws=3000, rng=np.random.default_rng(0))
    formulas = [sample.table.composition(row).formula for row in range(len(sample.table))]
    assert sample.drawn == 3000 == len(formulas) + sum(sample.rejected.values())
    assert "NaCl" in formulas
    assert len(formulas) == len(set(formulas))
    assert not any(unmet(sample.table, request))
    assert {"no formula", "without Na", "drawn before"} <= set(sample.rejected)


def test_the_number_asked_for_is_not_exceeded():
    sample = draw_formulas(Dice(), 3, FormulaRequest(), rng=np.random.default_rng(0))
    assert len(sample.table) == 3


def test_what_a_model_does_not_know_is_refused_by_name():
    with pytest.raises(CapabilityError, match="Xe"):
        Dice().check(FormulaRequest(allowed=frozenset({"Na", "Xe"})))
    with pytest.raises(CapabilityError, match="band_gap"):
        Dice().check(FormulaRequest(targets=(("band_gap", 1.0),)))
    with pytest.raises(ContradictionError, match="required"):
        FormulaRequest(allowed=frozenset({"Na"}), require=frozenset({"Cl"}))
    assert "-4 to 0" in Dice().extrapolations(FormulaRequest(targets=(("formation_energy", -9.0),)))[0]


def test_tables_of_other_widths_are_joined():
    joined = concatenated([read_formulas(["NaCl", "??"]), read_formulas(["Li4SnS4"])])
    assert [joined.parts(row) for row in range(3)][2] == read_formulas(["Li4SnS4"]).parts(0)
    assert list(joined.problems) == [1]
