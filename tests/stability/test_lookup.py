"""What a person is told of a formula, a system and structures, with a table made by hand."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from novalith.errors import InputError
from novalith.materials import Composition, Crystal, PhaseField
from novalith.relax.base import MP2020_PBE
from novalith.stability.lookup import answer, csv_text, place_formula, place_structures, stable_rows, table_text

# Alloys carry no correction, so that the numbers of the table are those of the hull.
SHELF = SimpleNamespace(
    hull_energies={"CuAu": -0.06, "Cu3Au": -0.05, "CuAu3": -0.01},
    elemental_references=lambda _potential: {"Cu": -4.0, "Au": -3.0},
)


def test_a_known_formula_is_held_against_the_others() -> None:
    row = place_formula(SHELF, Composition.parse("CuAu"))  # type: ignore[arg-type]
    # Cu3Au and Au meet at 2/3 * -0.05; CuAu3 does better together with Cu3Au? (-0.05 - 0.01) / 2 = -0.03: no.
    assert row.energy_above_hull_ev_per_atom == pytest.approx(-0.06 + 0.05 * 2 / 3)
    assert dict(row.decomposition) == {"Cu3Au": pytest.approx(2 / 3), "Au": pytest.approx(1 / 3)}
    assert row.products == "0.667 Cu3Au + 0.333 Au"


def test_a_given_energy_competes_with_its_own_formula_too() -> None:
    row = place_formula(SHELF, Composition.parse("CuAu"), -0.04)  # type: ignore[arg-type]
    assert row.energy_above_hull_ev_per_atom == pytest.approx(0.02)


def test_an_unknown_formula_says_what_to_do() -> None:
    with pytest.raises(InputError, match=r"Cu5Au is not in the bundled table.*--energy"):
        place_formula(SHELF, Composition.parse("Cu5Au"))  # type: ignore[arg-type]


def test_a_system_lists_its_stable_phases() -> None:
    # At 3/4 Au the line from CuAu to Au is -0.03: CuAu3 at -0.01 is unstable.
    rows = stable_rows(SHELF, PhaseField.parse("Cu-Au"))  # type: ignore[arg-type]
    assert [r.formula for r in rows] == ["Au", "Cu", "Cu3Au", "CuAu"]
    assert all(r.energy_above_hull_ev_per_atom <= 0 for r in rows)  # type: ignore[operator]


def test_structures_are_placed_by_the_potential_and_none_is_lost() -> None:
    def evaluate(crystal: Crystal) -> SimpleNamespace:
        return SimpleNamespace(energy_ev=-3.55 * crystal.n_atoms if len(crystal.species) == 2 else -900.0)

    model = SimpleNamespace(name="springs", energy_scale=MP2020_PBE, evaluate=evaluate)
    alloy = Crystal.from_arrays(np.eye(3) * 3, ["Cu", "Au"], [[0] * 3, [0.5] * 3])
    wild = Crystal.from_arrays(np.eye(3) * 3, ["Cu"], [[0] * 3])
    good, bad = place_structures(SHELF, [("x", alloy), ("=wild", wild)], model)  # type: ignore[arg-type]
    assert good.formation_energy_ev_per_atom == pytest.approx(-0.05)
    assert good.energy_above_hull_ev_per_atom == pytest.approx(0.01)
    assert bad.energy_above_hull_ev_per_atom is None
    assert "outside -6 to 6 eV/atom" in bad.note
    rows = list(csv.DictReader(io.StringIO(csv_text([good, bad]))))
    assert [r["energy_above_hull_ev_per_atom"] for r in rows] == ["0.010000", ""]
    assert rows[1]["id"] == "'=wild"
    assert len(table_text([good, bad]).splitlines()) == 2
    assert good.to_json()["decomposition"] == [{"formula": "CuAu", "fraction_of_atoms": pytest.approx(1.0)}]


def test_what_was_typed_is_told_apart(tmp_path: Path) -> None:
    assert answer(SHELF, "CuAu")[0].formula == "CuAu"  # type: ignore[arg-type]
    assert len(answer(SHELF, "Cu-Au")) == 4  # type: ignore[arg-type]
    with pytest.raises(InputError, match="belongs to one formula"):
        answer(SHELF, "Cu-Au", -0.1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="holds no structures"):
        answer(SHELF, str(tmp_path))  # type: ignore[arg-type]
