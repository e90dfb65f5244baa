"""The shipped predictor of compositions: what its card says of it is so, and it knows simple chemistry."""

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.recipes.composition_predictors import WEIGHTS, default_predictor
from novalith.represent.formula_table import read_formulas


def test_the_card_describes_the_file():
    card = tomllib.loads(WEIGHTS.with_suffix(".toml").read_text(encoding="utf-8"))
    model = default_predictor()
    assert card["kind"] == "set-network" and card["members"] == len(model.members)
    assert card["parameters"] == sum(p.numel() for m in model.members for p in m.parameters())
    assert "CC BY 4.0" in card["training_data_licence"]
    assert WEIGHTS.stat().st_size < 600_000
    for name in model.targets:
        assert name in card["output"]


def test_it_knows_simple_compounds():
    # Measured enthalpies of formation in eV/atom (NIST-JANAF): NaCl -2.13, MgO -3.12, Al2O3 -3.47, and an alloy near 0.
    said = default_predictor().predict(read_formulas(["NaCl", "MgO", "Al2O3", "CuAu"]), "formation_energy")
    assert said.value == pytest.approx([-2.13, -3.12, -3.47, 0.0], abs=0.5)
    assert said.in_range.all()
    gap = default_predictor().predict(read_formulas(["Fe3Al", "AlCu2Mn"]), "band_gap")
    assert (gap.value < 0.1).all()


def test_bundled_formation_energies_come_out():
    known = Library().oqmd
    formulas = sorted(known)[:: max(1, len(known) // 1500)]
    said = default_predictor().predict(read_formulas(formulas), "formation_energy")
    error = np.abs(said.value - [known[f] for f in formulas])
    assert np.nanmedian(error) < 0.08
    assert np.isnan(said.value).mean() < 0.02


@pytest.mark.skipif("NOVALITH_DATA" not in os.environ, reason="NOVALITH_DATA names no folder of data")
def test_rows_that_it_never_saw():
    from novalith.recipes.predictor_bench import oqmd_rows

    _, val, _ = oqmd_rows(Path(os.environ["NOVALITH_DATA"]))
    some = val.select(np.arange(0, len(val), 25))
    said = default_predictor().predict(some.table, "formation_energy")
    error = np.abs(said.value - some.values[:, 0])
    assert error.mean() < 0.1
    assert 0.6 < (error < said.uncertainty).mean() < 0.77
