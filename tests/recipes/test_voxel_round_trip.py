"""Errors of a round trip are those that were put in, and the bench counts every crystal once."""

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.materials import Crystal
from novalith.recipes.voxel_bench import VoxelBench, tables
from novalith.recipes.voxel_round_trip import round_trip
from novalith.represent.point_cloud import niggli_reduced


@pytest.fixture(scope="module")
def crystal():
    return next(k.crystal for k in Library().structures if k.crystal.n_atoms == 8 and k.gene.spacegroup < 15)


def test_the_same_crystal_has_no_error_wherever_its_origin_is(crystal):
    moved = Crystal.from_arrays(crystal.lattice, crystal.species, np.asarray(crystal.frac_coords) + 0.3)
    trip = round_trip(crystal, moved, same_cell=True)
    assert max(trip.edge_a, trip.angle_deg, trip.atom_a) < 1e-6


def test_errors_put_in_are_the_errors_found(crystal):
    frac = np.array(crystal.frac_coords)
    frac[0] += np.array([0.1, 0.0, 0.0]) @ np.linalg.inv(np.asarray(crystal.lattice))
    trip = round_trip(crystal, Crystal.from_arrays(crystal.lattice, crystal.species, frac), same_cell=True)
    assert trip.atom_a == pytest.approx(0.1 * 7 / 8, rel=1e-3)  # less the shift that all eight have in common
    longer = np.asarray(crystal.lattice) * 1.01
    trip = round_trip(crystal, Crystal.from_arrays(longer, crystal.species, crystal.frac_coords), same_cell=True)
    assert trip.edge_a == pytest.approx(0.01 * np.linalg.norm(np.asarray(crystal.lattice), axis=1).max(), rel=1e-6)
    assert trip.angle_deg < 1e-6
    other = Crystal.from_arrays(crystal.lattice, ["Xe", *crystal.species[1:]], crystal.frac_coords)
    assert round_trip(crystal, other, same_cell=True).atom_a == np.inf


def test_another_cell_of_the_lattice_is_laid_on_the_given_one(crystal):
    first = niggli_reduced(crystal)
    change = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    turned = Crystal.from_arrays(
        change @ np.asarray(first.lattice), first.species, np.asarray(first.frac_coords) @ np.linalg.inv(change)
    )
    assert round_trip(first, turned, same_cell=False).atom_a < 1e-6
    mirrored = Crystal.from_arrays(np.diag([3.0, 4.0, 5.0]), ["Si"], [[0, 0, 0]])
    assert round_trip(first, mirrored, same_cell=False).atom_a == np.inf


def test_the_bench_counts_every_crystal_once(tmp_path):
    said = []
    errors, costs, outside = tables(VoxelBench(None, tmp_path, n=3, seed=1), said.append)
    assert [r["representation"] for r in errors.records] == ["imatgen", "hoffmann", "court", "points"]
    for row in errors.records:
        left_out = sum(r["crystals"] for r in outside.records if r["representation"] == row["representation"])
        assert row["tried"] == row["inside"] + left_out and row["inside"] == 3
        assert row["all three"] == 1.0
    numbers = {r["representation"]: r["numbers"] for r in costs.records}
    assert numbers["court"] == 5 * 32**3 and numbers["hoffmann"] == 2 * 30**3
    assert numbers["points"] < 100 < numbers["imatgen"]
