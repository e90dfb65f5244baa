"""The small parts of the bench of compositions on tiny tables: rules agree with SMACT, constraints hold."""

import numpy as np
import pandas as pd
import pytest

from novalith.errors import StorageError
from novalith.propose.compositions import CompositionModel
from novalith.recipes.constraint_bench import CONSTRAINTS, constraint_figures
from novalith.recipes.rules_bench import RulesBench, compare_rules, memory_of_stream
from novalith.represent.formula_table import table_of


class Careless(CompositionModel):
    """Draws NaCl, or Li2O, whatever it is asked."""

    name, honours, elements = "careless", frozenset(), ("Na", "Cl", "Li", "O")

    @property
    def target_ranges(self):
        return {}

    def draw(self, n, request, *, rng):  # noqa: ARG002  careless by design
        pick = rng.integers(0, 2, n)
        return table_of(np.array([[11, 17], [3, 8]])[pick], np.array([[1, 1], [2, 1]])[pick])

    def save(self, path):
        raise NotImplementedError


def test_violations_are_found_where_a_model_is_careless():
    figures = {f.name: f for f in constraint_figures(Careless(), 400, rng=np.random.default_rng(0))}
    assert set(figures) == set(CONSTRAINTS)
    free = figures["neutral by icsd24"]
    assert free.violations == {}
    assert free.n_distinct == 2
    strict = figures["Li-Sn-S-Cl, all of them, balanced by icsd24"]
    assert sum(strict.violations.values()) == 400


def test_the_rules_agree_with_smact_and_are_timed(tmp_path):
    pytest.importorskip("smact")
    formulas = ["NaCl", "Fe3O4", "Mn3W3C", "CuZn", "LiFePO4", "Na3Cl", "XeF2", "B4C"] * 3 + ["Al2O3"]
    pd.DataFrame({"formula": formulas}).to_parquet(tmp_path / "mp_ground_states.parquet")
    request = RulesBench(tmp_path, tables=("mp_ground_states",), sets=("smact14", "icsd24"))
    table = compare_rules(request)
    assert len(table.records) == 2 * 8
    assert {r["differing"] for r in table.records} == {0}
    assert {r["n"] for r in table.records} == {9}
    assert "0 differing verdicts" in table.text


def test_a_stream_is_measured_and_a_missing_table_is_named(tmp_path):
    pd.DataFrame({"reduced_formula": ["NaCl", "MgO"]}).to_parquet(tmp_path / "icsd_reported_formulas.parquet")
    table = memory_of_stream(RulesBench(tmp_path), 20_000)
    assert [r["formulas"] for r in table.records] == list(range(2000, 20_001, 2000))
    with pytest.raises(StorageError, match="mp_ground_states"):
        compare_rules(RulesBench(tmp_path, tables=("mp_ground_states",)))
