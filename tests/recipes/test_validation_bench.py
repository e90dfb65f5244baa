"""The benchmark of validations: summaries of known records, logs that resume, refusals without data."""

import numpy as np
import pytest

from novalith.errors import InputError
from novalith.materials import Composition
from novalith.recipes.validation_bench import (
    STABLE,
    UNSTABLE,
    Bench,
    _kept,
    elastic_records,
    prototype,
    summary,
)


def test_the_figures_of_a_summary_are_those_of_the_definitions():
    records = [
        {"ours_ev_per_atom": a, "dft_ev_per_atom": b, "bulk": "parent", "gap_a": 3.0, "wall_s": 1.0}
        for a, b in ((0.10, 0.12), (0.25, 0.18), (0.30, 0.31), (0.05, 0.02))
    ]
    figures = summary("exfoliation", [*records, {"ours_ev_per_atom": None, "bulk": ""}])
    assert figures["rows"] == 5
    assert figures["all"]["answered"] == 4
    assert figures["all"]["mae_ev_per_atom"] == pytest.approx(0.13 / 4)
    assert figures["all"]["called_right"] == 0.75
    assert figures["all"]["always_below_would_get"] == 0.75
    assert figures["all"]["rank_correlation"] == pytest.approx(1.0)
    assert figures["relaxed bulk layered by its bonds"]["answered"] == 4


def test_the_lists_are_long_enough_and_their_crystals_are_what_they_say():
    assert len(STABLE) == 10
    assert len(UNSTABLE) >= 5
    formulas = {name: prototype(*case).composition.formula for name, case in UNSTABLE.items()}
    assert all(Composition.parse(name.split(",")[0]).formula == formula for name, formula in formulas.items())


def test_what_a_log_holds_is_not_computed_again(tmp_path):
    bench, made = Bench(None, tmp_path, 3), []

    def one(case):
        made.append(case)
        return {"id": f"{case}", "value": case}

    cases = [(f"{i}", i) for i in range(3)]
    first = _kept(bench, "toy", cases[:2], one, lambda _: None)
    assert _kept(bench, "toy", cases, one, lambda _: None)[:2] == first
    assert made == [0, 1, 2]


def test_without_the_public_tables_their_name_is_said(tmp_path):
    with pytest.raises(InputError, match="NOVALITH_DATA"):
        elastic_records(Bench(None, tmp_path, 3), np.random.default_rng(0), lambda _: None)
