"""Phases of the bundled table: the right field, on the scale of the potential."""

from __future__ import annotations

from types import SimpleNamespace

from novalith.materials import PhaseField
from novalith.relax.base import MP2020_PBE
from novalith.stability.table import table_phases

SHELF = SimpleNamespace(hull_energies={"NaBr": -1.5, "Na2S": -1.2, "NaCl": -2.1, "Na": 0.0, "NaN": 0.5, "Cu3Au": -0.05})


def test_only_compounds_inside_the_field_and_all_its_elements() -> None:
    phases = table_phases(SHELF, PhaseField.parse("Na-Br-S"))  # type: ignore[arg-type]
    assert [(p.composition.formula, p.id) for p in phases] == [
        ("Br", "element"), ("Na", "element"), ("Na2S", "MP hull table"), ("NaBr", "MP hull table"), ("S", "element"),
    ]  # fmt: skip
    assert {p.energy_scale for p in phases} == {MP2020_PBE}


def test_energies_are_those_of_the_library() -> None:
    phases = table_phases(SHELF, PhaseField.parse("Na-Br-S-Cu-Au"))  # type: ignore[arg-type]
    energies = {p.composition.formula: p.formation_energy_ev_per_atom for p in phases}
    assert (energies["NaBr"], energies["Na2S"], energies["Cu3Au"], energies["Na"]) == (-1.5, -1.2, -0.05, 0.0)


def test_the_compound_nan_is_no_missing_value() -> None:
    formulas = [p.composition.formula for p in table_phases(SHELF, PhaseField.parse("Na-N"))]  # type: ignore[arg-type]
    assert formulas == ["N2", "Na", "NaN"]
