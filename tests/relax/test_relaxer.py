from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import InputError
from novalith.materials import Crystal
from novalith.relax.base import Ending, Evaluated, Potential
from novalith.relax.fire import fire
from novalith.relax.frame import Frame, pack, unpack
from novalith.relax.model_hessian import model_hessian
from novalith.relax.relaxer import RelaxSettings, relax
from novalith.relax.walk import Point, Walk

from .conftest import TOY, Springs, perovskite, rattled, rock_salt

SETTINGS = RelaxSettings()


# Minima of CHGNet 0.3.0 on these lines, found with the published package (its FIRE to 0.001 eV/Å, from both sides).
@pytest.mark.parametrize(
    ("cation", "anion", "start_a", "expected_a"), [("Na", "Cl", 5.5, 5.697), ("Mg", "O", 4.4, 4.257)]
)
def test_cell_edges_are_those_of_the_potential(
    cation: str, anion: str, start_a: float, expected_a: float, chgnet: Potential
) -> None:
    result = relax(rock_salt(cation, anion, start_a), chgnet, SETTINGS)
    assert result.converged
    assert (4 * result.final.volume) ** (1 / 3) == pytest.approx(expected_a, abs=0.01)


def test_a_rattled_crystal_falls_back_to_the_ideal_one(chgnet: Potential) -> None:
    tight = RelaxSettings(max_force_ev_per_a=0.005, max_stress_gpa=0.02)
    ideal = relax(rock_salt("Mg", "O", 4.2), chgnet, tight)
    found = relax(rattled(rock_salt("Mg", "O", 4.2), 3), chgnet, tight)
    assert found.converged
    assert found.energy_ev_per_atom == pytest.approx(ideal.energy_ev_per_atom, abs=1e-4)
    assert found.n_evaluations <= 25


def test_a_result_states_what_the_potential_says_of_the_final_crystal(chgnet: Potential) -> None:
    result = relax(rattled(perovskite(), 2), chgnet, SETTINGS)
    again = chgnet.evaluate(result.final)
    assert result.energy_ev_per_atom == pytest.approx(again.energy_ev / 5, abs=1e-6)
    assert np.linalg.norm(again.forces_ev_per_a, axis=1).max() <= SETTINGS.max_force_ev_per_a + 1e-5
    assert np.abs(again.stress_ev_per_a3).max() * 160.2176634 <= SETTINGS.max_stress_gpa + 1e-4
    assert result.energy_scale == chgnet.energy_scale
    assert result.potential == "chgnet 0.3.0+sha256:d14ab7c0"
    assert result.reason == ""


def test_symmetry_is_kept(chgnet: Potential) -> None:
    result = relax(rock_salt("Na", "Cl", 5.3), chgnet, SETTINGS)
    lattice = np.array(result.final.lattice)
    metric = lattice @ lattice.T
    edge = metric[0, 0]
    np.testing.assert_allclose(metric, edge * np.array([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]]), rtol=1e-5)
    np.testing.assert_allclose(result.final.frac_coords[1], 0.5, atol=1e-5)


def test_a_fixed_cell_stays(chgnet: Potential) -> None:
    start = rattled(perovskite(), 5)
    result = relax(start, chgnet, RelaxSettings(fixed_cell=True))
    assert result.converged
    assert result.final.lattice == start.lattice
    assert result.max_stress_gpa is not None
    assert result.max_stress_gpa > SETTINGS.max_stress_gpa


def test_the_step_cap_is_an_ending(chgnet: Potential) -> None:
    result = relax(rattled(perovskite(), 2), chgnet, replace(SETTINGS, max_steps=2))
    assert result.ending is Ending.CAPPED
    assert result.n_evaluations == 3
    assert "After 2 steps a force of" in result.reason


def test_a_start_that_cannot_be_a_crystal_explodes(chgnet: Potential) -> None:
    result = relax(rock_salt("Na", "Cl", 0.9), chgnet, SETTINGS)
    assert (result.ending, result.n_evaluations) == (Ending.EXPLODED, 0)
    assert "Å3/atom" in result.reason
    assert result.energy_ev_per_atom is None
    close = Crystal(((4.0, 0, 0), (0, 4.0, 0), (0, 0, 4.0)), ("Na", "Cl"), ((0, 0, 0), (0.05, 0, 0)))
    assert relax(close, chgnet, SETTINGS).reason == "Two atoms are 0.20 Å apart; at least 0.5 Å are needed."


class Repulsion(Potential):
    """Every atom pushes the cell outwards for ever."""

    info = TOY

    def evaluate(self, crystal: Crystal) -> Evaluated:
        n, volume = crystal.n_atoms, crystal.volume
        return Evaluated(-n * np.log(volume), np.zeros((n, 3)), -n / volume * np.eye(3))


def test_a_cell_that_grows_without_end_explodes() -> None:
    result = relax(rock_salt("Na", "Cl", 5.6), Repulsion(), SETTINGS)
    assert result.ending is Ending.EXPLODED
    assert "outside of 2 to 250" in result.reason
    assert result.final.volume / 2 <= 250  # the last sane one


def test_an_isolated_atom_is_out_of_reach(chgnet: Potential) -> None:
    apart = Crystal(((7.0, 0, 0), (0, 7.0, 0), (0, 0, 7.0)), ("Cs", "Cs"), ((0, 0, 0), (0.5, 0.5, 0.5)))
    result = relax(apart, chgnet, SETTINGS)
    assert result.ending is Ending.OUT_OF_REACH
    assert "no neighbour within 6 Å" in result.reason


class Broken(Springs):
    """Springs that answer NaN from a certain call on: a network meets this only where it is broken."""

    def __init__(self, good_calls: int) -> None:
        self.left = good_calls

    def evaluate(self, crystal: Crystal) -> Evaluated:
        self.left -= 1
        answer = super().evaluate(crystal)
        return answer if self.left >= 0 else replace(answer, forces_ev_per_a=np.full((crystal.n_atoms, 3), np.nan))


@pytest.mark.parametrize("good_calls", [0, 3])
def test_not_a_number_is_an_ending(good_calls: int) -> None:
    result = relax(rattled(rock_salt("Na", "Cl", 5.6), 1), Broken(good_calls), SETTINGS)
    assert result.ending is Ending.NAN
    assert result.reason == "The potential gave forces that cannot be read as numbers."
    assert (result.energy_ev_per_atom is None) == (good_calls == 0)


def test_springs_relax_to_their_rest_length() -> None:
    # Six neighbours at a/2: the minimum of the springs is a = 6 Å, whatever the start.
    result = relax(
        rattled(rock_salt("Na", "Cl", 6.2), 7, strain=0.02),
        Springs(),
        RelaxSettings(max_force_ev_per_a=1e-4, max_stress_gpa=1e-3),
    )
    assert result.converged
    assert result.energy_ev_per_atom == pytest.approx(0.0, abs=1e-6)


def test_fire_finds_the_same_minimum(chgnet: Potential) -> None:
    start = rattled(rock_salt("Mg", "O", 4.2), 3)
    walk = Walk(start, chgnet, SETTINGS)
    point = walk.look(walk.frame.start(start))
    assert isinstance(point, Point)
    end, refusal = fire(walk, point)
    assert refusal is None
    best = relax(start, chgnet, SETTINGS)
    assert end.energy_ev / 2 == pytest.approx(best.energy_ev_per_atom, abs=1e-3)
    assert walk.n_evaluations > best.n_evaluations


class Liar(Springs):
    """Forces that point uphill: no energy ever falls along them."""

    def evaluate(self, crystal: Crystal) -> Evaluated:
        answer = super().evaluate(crystal)
        return replace(answer, forces_ev_per_a=-answer.forces_ev_per_a, stress_ev_per_a3=-answer.stress_ev_per_a3)


def test_forces_that_contradict_the_energy_do_not_converge() -> None:
    result = relax(rattled(rock_salt("Na", "Cl", 6.1), 1, strain=0.01, shift_a=0.05), Liar(), SETTINGS)
    assert not result.converged


def test_the_gradient_in_the_frame_is_the_slope_of_the_energy() -> None:
    start = rattled(rock_salt("Na", "Cl", 6.2), 4)
    walk = Walk(start, Springs(), SETTINGS)
    rng = np.random.default_rng(0)
    x = walk.frame.start(start) + rng.normal(0, 0.05, 12)
    point = walk.look(x)
    assert isinstance(point, Point)
    for i in range(12):
        h = np.zeros(12)
        h[i] = 1e-5
        up, down = walk.look(x + h), walk.look(x - h)
        assert isinstance(up, Point)
        assert isinstance(down, Point)
        assert (up.energy_ev - down.energy_ev) / 2e-5 == pytest.approx(point.gradient[i], abs=1e-6)


def test_packed_strains_keep_the_scalar_product() -> None:
    rng = np.random.default_rng(1)
    a, b = (m + m.T for m in rng.normal(size=(2, 3, 3)))
    np.testing.assert_allclose(pack(a) @ pack(b), np.sum(a * b))
    np.testing.assert_allclose(unpack(pack(a)), a)


def test_a_frame_gives_its_start_back() -> None:
    crystal = rattled(perovskite(), 8)
    frame = Frame.of(crystal, fixed_cell=False)
    back = frame.crystal(frame.start(crystal))
    assert back is not None
    np.testing.assert_allclose(back.frac_coords, crystal.frac_coords, atol=1e-12)
    assert back.lattice == crystal.lattice


@pytest.mark.parametrize("fixed_cell", [True, False])
def test_the_model_of_second_derivatives_is_positive_and_ignores_the_origin(fixed_cell: bool) -> None:
    crystal = rattled(perovskite(), 9)
    model = model_hessian(crystal, fixed_cell)
    np.testing.assert_allclose(model, model.T, atol=1e-12)
    assert np.linalg.eigvalsh(model).min() > 0
    moved = Crystal.from_arrays(crystal.lattice, crystal.species, np.array(crystal.frac_coords) + 0.3)
    np.testing.assert_allclose(model_hessian(moved, fixed_cell), model, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "value"), [("max_force_ev_per_a", 0.0), ("max_stress_gpa", float("nan")), ("max_steps", -1)]
)
def test_settings_without_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        RelaxSettings(**{name: value})
