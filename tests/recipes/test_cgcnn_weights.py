"""The shipped graph network: what its card says of it is so, and it knows textbook crystals."""

import os
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from novalith.data.plain_cif import read_plain_cif
from novalith.materials import Crystal
from novalith.recipes.cgcnn import WEIGHTS, default_structure_predictor
from novalith.recipes.cgcnn_data import in_test_part

FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def cubic(a, symbols, shift):
    second = [[x + s for x, s in zip(p, shift, strict=True)] for p in FCC]
    return Crystal.from_arrays(np.eye(3) * a, [symbols[0]] * 4 + [symbols[1]] * 4, FCC + second)


#: Textbook crystals at their measured cells, Å.
CRYSTALS = {
    "NaCl": cubic(5.64, ("Na", "Cl"), (0.5, 0, 0)),
    "MgO": cubic(4.21, ("Mg", "O"), (0.5, 0, 0)),
    "GaAs": cubic(5.65, ("Ga", "As"), (0.25, 0.25, 0.25)),
    "Cu": Crystal.from_arrays(np.eye(3) * 3.61, ["Cu"] * 4, FCC),
    "CsCl": Crystal.from_arrays(np.eye(3) * 4.12, ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
}


def test_the_card_describes_the_file():
    card = tomllib.loads(WEIGHTS.with_suffix(".toml").read_text(encoding="utf-8"))
    model = default_structure_predictor()
    assert card["kind"] == "cgcnn"
    assert card["members"] == len(model.members)
    assert card["parameters"] == sum(p.numel() for m in model.members for p in m.parameters())
    assert "CC BY 4.0" in card["training_data_licence"]
    assert WEIGHTS.stat().st_size < 2_600_000
    for name in model.targets:
        assert name in card["output"]


def test_it_knows_textbook_crystals():
    said = default_structure_predictor().predict_all(list(CRYSTALS.values()))
    names = list(CRYSTALS)

    def value(target, name):
        return said[target].value[names.index(name)]

    # Measured enthalpies of formation (NIST-JANAF), eV/atom: NaCl -2.13, MgO -3.12; GaAs -0.4; CsCl -2.3; an element 0.
    energies = [value("formation_energy", n) for n in ("NaCl", "MgO", "GaAs", "CsCl", "Cu")]
    assert energies == pytest.approx([-2.13, -3.12, -0.4, -2.3, 0.0], abs=0.3)
    # Measured bulk moduli, GPa: NaCl 25, MgO 160, GaAs 75, Cu 140.
    moduli = [value("bulk_modulus", n) for n in ("NaCl", "MgO", "GaAs", "Cu")]
    assert moduli == pytest.approx([25, 160, 75, 140], rel=0.3)
    assert value("band_gap", "Cu") == 0
    assert value("band_gap", "NaCl") > 3
    # Measured n: NaCl 1.54, MgO 1.74, GaAs 3.3; and epsilon = n^2 to the error of two heads.
    indices = np.array([value("refractive_index", n) for n in ("NaCl", "MgO", "GaAs")])
    assert indices == pytest.approx([1.54, 1.74, 3.3], rel=0.2)
    constants = [value("dielectric_constant", n) for n in ("NaCl", "MgO", "GaAs")]
    assert constants == pytest.approx(indices**2, rel=0.15)
    for target in ("formation_energy", "bulk_modulus"):
        assert said[target].in_range.all()


@pytest.mark.skipif("NOVALITH_DATA" not in os.environ, reason="needs the folder of public tables in NOVALITH_DATA")
def test_errors_on_systems_that_it_never_saw():
    frame = pd.read_parquet(Path(os.environ["NOVALITH_DATA"]) / "mp_structures.parquet")
    test = np.array([in_test_part("-".join(sorted(system.split("-")))) for system in frame["chemsys"]])
    rows = frame[test].iloc[::6]
    crystals = [read_plain_cif(text, "row", 3000) for text in rows["cif"]]
    said = default_structure_predictor().predict(crystals, "formation_energy")
    error = np.abs(said.value - rows["formation_energy_per_atom"].to_numpy())
    assert len(error) > 300
    assert np.nanmean(error) < 0.08
    assert (error <= said.uncertainty).mean() == pytest.approx(0.683, abs=0.12)
