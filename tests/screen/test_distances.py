"""The distance rule against crystals whose distances are known, and against pymatgen's neighbour list."""

from __future__ import annotations

import numpy as np
import pytest
from crystals import caesium_chloride, rattled, rock_salt, rutile, strained
from hypothesis import given, settings
from hypothesis import strategies as st

from novalith.materials import Crystal
from novalith.screen.distances import Distances, tightest_contact


def test_nacl_passes_and_its_contact_is_half_the_cell_edge():
    crystal = rock_salt("Na", "Cl", 5.64)
    contact = tightest_contact(crystal, 1.2)
    assert {crystal.species[contact.first], crystal.species[contact.second]} == {"Na", "Cl"}
    assert contact.distance_a == pytest.approx(2.82)
    assert contact.ratio == pytest.approx(2.82 / (1.66 + 1.02))  # radii of Cordero 2008
    assert Distances().check(crystal).passed


def test_a_collision_is_rejected_with_pair_distance_and_limit():
    crystal = Crystal.from_arrays(np.eye(3) * 6, ["Na", "Cl"], [(0.98, 0, 0), (0.05, 0, 0)])
    verdict = Distances().check(crystal)
    assert not verdict.passed
    assert verdict.rule == "distances"
    assert "Cl-Na 0.42 Å apart" in verdict.reason
    assert "0.6" in verdict.reason


def test_an_atom_meets_its_own_image():
    verdict = Distances().check(Crystal.from_arrays(np.diag([1.0, 8.0, 8.0]), ["Cs"], [(0, 0, 0)]))
    assert "Cs-Cs 1.00 Å" in verdict.reason


def test_two_atoms_on_one_spot_are_rejected():
    crystal = Crystal.from_arrays(np.eye(3) * 5, ["O", "O"], [(0.1, 0.2, 0.3), (0.1, 0.2, 0.3)])
    assert not Distances().check(crystal).passed


def test_a_cell_thinner_than_any_bond_is_rejected_soon():
    crystal = Crystal.from_arrays(np.diag([1e-3, 1e3, 1e3]), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)])
    assert not Distances().check(crystal).passed


def test_a_heavy_element_without_a_measured_radius_is_judged():
    assert Distances().check(caesium_chloride("Cf", "Cl", 4.2)).passed


def _shortest_by_pymatgen(crystal: Crystal, cutoff: float) -> float:
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers[s]] for s in crystal.species])
    first, second, _, distance = crystal.to_structure().get_neighbor_list(cutoff)
    return float((distance / (radii[first] + radii[second])).min())


@given(seed=st.integers(0, 10_000), shear=st.floats(-3, 3), stretch=st.floats(0.3, 3))
@settings(max_examples=60, deadline=None)
def test_the_tightest_contact_is_that_of_pymatgen_in_skewed_cells(seed, shear, stretch):
    rng = np.random.default_rng(seed)
    lattice = np.diag([3.0 * stretch, 4.0, 5.0 / stretch]) + np.array([[0, 0, 0], [shear, 0, 0], [0, shear, 0]])
    crystal = Crystal.from_arrays(lattice, ["Li", "O", "Cs"], rng.uniform(size=(3, 3)))
    ours = tightest_contact(crystal, 1.0)
    if ours.ratio <= 1.0:
        assert ours.ratio == pytest.approx(_shortest_by_pymatgen(crystal, 6.0), abs=1e-6)


def test_the_verdict_does_not_depend_on_the_fraction_of_moving_the_cell():
    rng = np.random.default_rng(0)
    crystal = rattled(strained(rutile("Ti", "O", 4.6, 2.96), 0.03, rng), 0.1, rng)
    moved = Crystal.from_arrays(crystal.lattice, crystal.species, np.array(crystal.frac_coords) + 0.37)
    assert tightest_contact(moved, 1.0).distance_a == pytest.approx(tightest_contact(crystal, 1.0).distance_a)
