"""D3: its energy far out is the published C6, its forces and stress are derivatives, its scale is its own."""

import numpy as np
import pytest

from novalith.materials import Crystal
from novalith.relax.base import MP2020_PBE, Evaluated, OutOfReachError, Potential, PotentialInfo
from novalith.relax.potentials import load_potential, potential_info

pytest.importorskip("dftd3", reason="the extra 'validate' is not installed")

from novalith.relax.potentials.dispersion import BOHR_A, HARTREE_EV, Dispersion


class Nothing(Potential):
    """A potential that is zero everywhere."""

    info = PotentialInfo("nothing", "1", "none", "nobody")

    def evaluate(self, crystal: Crystal) -> Evaluated:
        return Evaluated(0.0, np.zeros((crystal.n_atoms, 3)), np.zeros((3, 3)))


D3 = Dispersion(Nothing(), PotentialInfo("d3", "1", "D3", "grimme2010d3", dispersion=True))


def two_argon_atoms(distance_a):
    """In a cell so large that images add next to nothing."""
    cell = 60.0
    return Crystal.from_arrays(np.eye(3) * cell, ["Ar", "Ar"], [[0, 0, 0], [distance_a / cell, 0, 0]])


def test_far_apart_two_argon_atoms_attract_with_their_c6():
    """64.6 hartree bohr^6 in Grimme et al. (2010), table III; the C8 term adds a few percent at 10 Å."""
    alone = Crystal.from_arrays(np.eye(3) * 60.0, ["Ar"], [[0, 0, 0]])
    for distance in (10.0, 14.0):
        energy = D3.evaluate(two_argon_atoms(distance)).energy_ev - 2 * D3.evaluate(alone).energy_ev
        c6 = -energy / HARTREE_EV * (distance / BOHR_A) ** 6
        assert 64 < c6 < 64.6 * (1 + 2.5 * (6 / distance) ** 2), distance


def test_forces_and_stress_are_derivatives():
    rng = np.random.default_rng(0)
    lattice = np.array([[3.1, 0, 0], [-1.5, 2.7, 0.1], [0.3, 0.2, 6.2]])
    frac = np.array([[0, 0, 0.25], [1 / 3, 2 / 3, 0.5], [0.4, 0.6, 0.1]]) + 0.02 * rng.normal(size=(3, 3))
    species, h = ["Mo", "S", "S"], 1e-3
    there = D3.evaluate(Crystal.from_arrays(lattice, species, frac))

    def energy(strain, shift):
        strained = lattice @ (np.eye(3) + strain)
        positions = frac @ strained
        positions[1] += shift
        return D3.evaluate(Crystal.from_arrays(strained, species, positions @ np.linalg.inv(strained))).energy_ev

    for i in range(3):
        shift = np.eye(3)[i] * h
        force = -(energy(np.zeros((3, 3)), shift) - energy(np.zeros((3, 3)), -shift)) / (2 * h)
        assert there.forces_ev_per_a[1, i] == pytest.approx(force, abs=1e-4)  # neighbours enter and leave at 32 Å
        for j in range(3):
            strain = np.zeros((3, 3))
            strain[i, j] += h / 2
            strain[j, i] += h / 2
            stress = (energy(strain, 0.0) - energy(-strain, 0.0)) / (2 * h) / abs(np.linalg.det(lattice))
            assert there.stress_ev_per_a3[i, j] == pytest.approx(stress, abs=1e-4)


def test_the_sum_has_a_scale_of_its_own():
    info = potential_info("chgnet-d3")
    assert info.dispersion
    assert not potential_info("chgnet").dispersion
    assert info.energy_scale not in (MP2020_PBE, potential_info("sevennet-d3").energy_scale)


def test_energies_add_up(chgnet):
    salt = Crystal.from_arrays([[0, 2.85, 2.85], [2.85, 0, 2.85], [2.85, 2.85, 0]], ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    both = load_potential("chgnet-d3").evaluate(salt)
    assert both.energy_ev == pytest.approx(chgnet.evaluate(salt).energy_ev + D3.evaluate(salt).energy_ev, abs=1e-5)
    assert D3.evaluate(salt).energy_ev < -0.1


def test_an_element_without_coefficients_is_out_of_reach():
    with pytest.raises(OutOfReachError, match="Rf"):
        D3.evaluate(Crystal.from_arrays(np.eye(3) * 4, ["Rf"], [[0, 0, 0]]))
