"""The hull against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from novalith.errors import InputError, ScaleError
from novalith.materials import Composition
from novalith.stability.hull import ConvexHull, Phase, judge_formation_energy

SCALE = "by hand"


def phase(formula: str, energy: float, scale: str = SCALE) -> Phase:
    return Phase(Composition.parse(formula), energy, formula, scale)


@pytest.fixture
def binary() -> ConvexHull:
    # The line from Mg3O (-1.0 at x(O) = 1/4) to MgO3 (-2.0 at 3/4) passes -1.5 at 1/2; MgO lies below it.
    return ConvexHull([phase("Mg3O", -1.0), phase("MgO", -2.5), phase("MgO3", -2.0)])


def test_a_known_binary_phase_lies_on_the_line_between_its_neighbours(binary: ConvexHull) -> None:
    # Mg3O at 1/4 lies on the line from Mg (0) to MgO (-2.5 at 1/2), which is -1.25 there: 0.25 above it.
    position = binary.position(Composition.parse("Mg3O"), -1.0, SCALE)
    assert position.energy_above_hull_ev_per_atom == pytest.approx(0.25, abs=1e-9)
    assert position.decomposition == (("Mg", pytest.approx(0.5)), ("MgO", pytest.approx(0.5)))


def test_a_new_ground_state_is_negative_and_falls_into_its_neighbours(binary: ConvexHull) -> None:
    # x(O) = 5/8, between MgO (1/2, -2.5) and MgO3 (3/4, -2.0): -2.25 on the line.
    position = binary.position(Composition.parse("Mg3O5"), -2.3, SCALE)
    assert position.energy_above_hull_ev_per_atom == pytest.approx(-0.05, abs=1e-9)
    assert dict(position.decomposition) == {"MgO": pytest.approx(0.5), "MgO3": pytest.approx(0.5)}


def test_leaving_a_phase_out_measures_it_against_the_others(binary: ConvexHull) -> None:
    # Without MgO the line Mg3O-MgO3 is lowered by Mg-MgO3: -2.0 * (1/2)/(3/4) = -4/3, above Mg3O-MgO3's -1.5.
    position = binary.without(Composition.parse("MgO")).position(Composition.parse("MgO"), -2.5, SCALE)
    assert position.energy_above_hull_ev_per_atom == pytest.approx(-1.0, abs=1e-9)
    assert dict(position.decomposition) == {"Mg3O": pytest.approx(0.5), "MgO3": pytest.approx(0.5)}


def test_a_ternary_falls_into_three_phases_with_shares_of_atoms() -> None:
    # Na2Si2O5 = Na2SiO3 + SiO2 (6 and 3 of 9 atoms): energies made by hand.
    hull = ConvexHull([phase("Na2SiO3", -2.6), phase("SiO2", -3.0), phase("Na2O", -1.6)])
    position = hull.position(Composition.parse("Na2Si2O5"), -2.7, SCALE)
    assert dict(position.decomposition) == {"Na2SiO3": pytest.approx(6 / 9), "SiO2": pytest.approx(3 / 9)}
    assert position.energy_above_hull_ev_per_atom == pytest.approx(-2.7 - (-2.6 * 6 - 3.0 * 3) / 9, abs=1e-9)
    # NaSiO without the silicate: 1/2 Na2O + 1/4 SiO2 + 3/4 Si hold 1.5, 0.75 and 0.75 atoms, -1.55 eV/atom;
    # 1/2 SiO2 + Na + 1/2 Si would reach only -1.5.
    apart = hull.without(Composition.parse("Na2SiO3")).position(Composition.parse("NaSiO"), 0.0, SCALE)
    assert dict(apart.decomposition) == {
        "Na2O": pytest.approx(0.5),
        "SiO2": pytest.approx(0.25),
        "Si": pytest.approx(0.25),
    }
    assert apart.energy_above_hull_ev_per_atom == pytest.approx(0.5 * 1.6 + 0.25 * 3.0, abs=1e-9)


def test_it_agrees_with_pymatgen_on_random_quaternary_hulls() -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    rng = np.random.default_rng(7)
    phases = [phase("LiFePO4", -2.5)]
    for counts in rng.integers(0, 5, (80, 4)):
        named = tuple((s, int(n)) for s, n in zip(("Li", "Fe", "P", "O"), counts, strict=True) if n)
        if len(named) > 1:
            phases.append(Phase(Composition(named), float(rng.uniform(-2.0, 0.2)), "random", SCALE))
    hull = ConvexHull(phases)
    diagram = PhaseDiagram(
        [
            PDEntry(p.composition.to_pymatgen(), p.formation_energy_ev_per_atom * p.composition.n_atoms)
            for p in hull.phases
        ]
    )
    for p in hull.phases:
        ours = hull.position(p.composition, p.formation_energy_ev_per_atom, SCALE).energy_above_hull_ev_per_atom
        entry = PDEntry(p.composition.to_pymatgen(), p.formation_energy_ev_per_atom * p.composition.n_atoms)
        assert ours == pytest.approx(diagram.get_e_above_hull(entry, allow_negative=True), abs=1e-8)


def test_elements_stand_at_zero_even_when_not_listed(binary: ConvexHull) -> None:
    assert binary.energy(Composition.parse("Mg")) == 0.0
    assert {p.composition.formula for p in binary.stable_phases()} == {"Mg", "O2", "MgO", "MgO3"}


def test_of_two_polymorphs_the_lower_competes() -> None:
    hull = ConvexHull([phase("TiO2", -3.0), phase("Ti2O4", -3.1)])
    assert hull.energy(Composition.parse("TiO2")) == pytest.approx(-3.1, abs=1e-12)


def test_scales_never_mix_and_both_are_named(binary: ConvexHull) -> None:
    with pytest.raises(ScaleError, match=r"(?s)PBE.*r2SCAN"):
        ConvexHull([phase("MgO", -3.0, "PBE"), phase("Mg3O", -1.0, "r2SCAN")])
    with pytest.raises(ScaleError, match=r"'r2SCAN'.*'by hand'"):
        binary.position(Composition.parse("MgO"), -3.0, "r2SCAN")


def test_an_absurd_phase_is_quarantined_and_named_not_stable() -> None:
    hull = ConvexHull([phase("MgO", -3.0), phase("Mg2O", -1e6)])
    assert [p.id for p in hull.quarantined] == ["Mg2O"]
    assert hull.energy(Composition.parse("Mg2O")) == pytest.approx(-3.0 * 2 / 3, abs=1e-9)


@pytest.mark.parametrize("energy", [-32.7, 6.1, math.nan, math.inf])
def test_an_absurd_candidate_is_refused_with_the_numbers(binary: ConvexHull, energy: float) -> None:
    assert not judge_formation_energy(energy).passed
    with pytest.raises(InputError, match=r"eV/atom is outside -6 to 6"):
        binary.position(Composition.parse("MgO"), energy, SCALE)


def test_a_phase_without_energy_is_refused() -> None:
    with pytest.raises(InputError, match=r"MgO.*not a number"):
        ConvexHull([phase("MgO", math.nan)])


def test_a_foreign_element_is_named(binary: ConvexHull) -> None:
    with pytest.raises(InputError, match="no phases of Ca"):
        binary.position(Composition.parse("CaO"), -3.0, SCALE)


def test_hundreds_of_phases_lie_where_pymatgen_puts_them() -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    rng = np.random.default_rng(3)
    phases = [
        Phase(Composition(tuple(zip("CNOF", map(int, c), strict=True))), float(rng.uniform(-2, 0)), "random", SCALE)
        for c in rng.integers(1, 9, (400, 4))
    ]
    hull = ConvexHull(phases)
    entries = [
        PDEntry(p.composition.to_pymatgen(), p.formation_energy_ev_per_atom * p.composition.n_atoms)
        for p in hull.phases
    ]
    diagram = PhaseDiagram(entries)
    for p, entry in zip(hull.phases, entries, strict=True):
        ours = hull.position(p.composition, p.formation_energy_ev_per_atom, SCALE).energy_above_hull_ev_per_atom
        assert ours == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-6)
