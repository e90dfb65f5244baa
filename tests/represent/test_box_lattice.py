"""The lattice found again from a box of density, against crystals whose lattices are known."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from novalith.materials import ATOMIC_NUMBERS, Verdict
from novalith.represent.box_folding import atoms_in_cell, cell_peaks, folded, most_consistent, shown_share
from novalith.represent.box_lattice import corrected_cell, lattice_candidates, self_difference
from novalith.represent.density_box import Box, atoms_in_box, box_density, box_species

BOX = Box()
ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
RUTILE = Structure.from_spacegroup(
    "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
)


def boxed(structure, offset=(0.0, 0.0, 0.0)):
    numbers = np.array([ATOMIC_NUMBERS[s.specie.symbol] for s in structure])
    atoms = atoms_in_box(structure.lattice.matrix, structure.cart_coords, numbers, np.array(offset), BOX)
    return box_density(*atoms, BOX), box_species(*atoms, BOX)


def one_hot(species):
    return np.eye(97, dtype=np.float32)[species.reshape(-1)]


def test_the_density_of_an_atom_holds_its_electrons_and_peaks_at_the_atom():
    density = box_density(np.array([[5.0, 5.5, 6.0]]), np.array([26]), BOX)
    assert density.sum() * BOX.voxel_a**3 == pytest.approx(26, rel=1e-3)
    peak = np.unravel_index(density.argmax(), density.shape)
    assert np.abs(BOX.axis_a[list(peak)] - [5.0, 5.5, 6.0]).max() <= BOX.voxel_a / 2 + 1e-9
    assert density.max() == pytest.approx(26 * (2 * np.pi) ** -1.5, rel=0.05)


def test_atoms_outside_the_box_reach_into_it():
    near = box_density(np.array([[-0.5, 5.0, 5.0]]), np.array([8]), BOX)
    assert near[0].sum() > near[3].sum() > 0


def test_of_two_atoms_the_nearer_one_owns_a_voxel():
    species = box_species(np.array([[5.0, 5.0, 5.0], [5.0, 5.0, 5.9]]), np.array([8, 1]), BOX)
    line = species[14, 14]  # at x = y = 4.83 Å
    assert [line[14], line[17]] == [8, 1]
    assert set(np.unique(species)) == {0, 1, 8}


def test_a_box_differs_from_itself_by_nothing_and_from_a_random_shift_by_about_one():
    rng = np.random.default_rng(0)
    noise = rng.random((32, 32, 32))
    difference, shifts = self_difference(noise, BOX)
    centre = len(shifts) // 2
    assert difference[centre, centre, centre] == pytest.approx(0, abs=1e-9)
    assert np.median(difference[np.isfinite(difference)]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("offset", [(0.0, 0.0, 0.0), (1.1, 2.3, 0.7), (3.9, 0.2, 4.4)])
def test_rock_salt_is_found_at_any_offset(offset):
    density, _ = boxed(ROCK_SALT, offset)
    cells = lattice_candidates(density, BOX)
    assert not isinstance(cells, Verdict)
    volumes = [abs(np.linalg.det(c)) for c in cells]
    assert all(np.rint(v / (5.64**3 / 4)) in (1, 2, 4) for v in volumes)  # whole numbers of primitive cells
    primitive = Lattice(cells[int(np.argmin(volumes))]).get_niggli_reduced_lattice()
    assert np.allclose(primitive.abc, 5.64 / np.sqrt(2), atol=0.03)
    assert primitive.volume == pytest.approx(5.64**3 / 4, rel=0.02)


def test_a_cell_that_is_nearly_right_is_corrected():
    density, _ = boxed(RUTILE, (0.4, 0.2, 1.0))
    wrong = RUTILE.lattice.matrix * [[1.04], [0.97], [1.03]]
    corrected = corrected_cell(density, wrong, BOX)[0]
    assert np.allclose(corrected, RUTILE.lattice.matrix, atol=0.03)
    assert np.abs(wrong - RUTILE.lattice.matrix).max() > 0.1


def test_a_flat_density_has_no_lattice():
    verdict = lattice_candidates(np.ones((32, 32, 32)), BOX)
    assert isinstance(verdict, Verdict)
    assert "flat" in verdict.reason


def test_noise_has_no_lattice_or_a_bad_one_but_never_an_error():
    found = lattice_candidates(np.random.default_rng(1).random((32, 32, 32)), BOX)
    assert isinstance(found, Verdict | list)


def test_folding_a_periodic_field_gives_back_one_period():
    cell = np.diag([4.0, 5.0, 3.2])
    x = BOX.axis_a
    field = np.cos(2 * np.pi * x / 4.0)[:, None, None] + np.cos(2 * np.pi * x / 3.2)[None, None, :] + 0 * x[:, None]
    mean, seen = folded(field, cell, BOX)
    assert seen == 1.0
    expected = np.cos(2 * np.pi * np.arange(mean.shape[0]) / mean.shape[0])
    assert np.allclose(mean.mean(axis=(1, 2)), expected, atol=0.04)  # linear between voxels of a third of 1 Å


def test_a_cell_larger_than_the_box_is_not_shown():
    assert shown_share(np.diag([8.0, 8.0, 8.0]), BOX).passed
    assert "shows" in shown_share(np.diag([14.0, 8.0, 8.0]), BOX).reason


@pytest.mark.parametrize("structure", [ROCK_SALT, RUTILE], ids=["rock salt", "rutile"])
def test_atoms_of_the_true_species_map_are_the_crystal(structure):
    from pymatgen.analysis.structure_matcher import StructureMatcher

    density, species = boxed(structure, (0.9, 1.7, 0.3))
    cells = [atoms_in_cell(one_hot(species), c, BOX) for c in lattice_candidates(density, BOX)]
    best = most_consistent([c for c in cells if not isinstance(c, Verdict)])
    rms = StructureMatcher().get_rms_dist(best.crystal.to_structure(), structure)
    assert rms is not None
    assert rms[0] < 0.02
    assert best.inconsistency < 0.1


def test_a_wrong_cell_is_less_consistent_than_the_right_one():
    _, species = boxed(RUTILE)
    right = atoms_in_cell(one_hot(species), RUTILE.lattice.matrix, BOX)
    wrong = atoms_in_cell(one_hot(species), RUTILE.lattice.matrix * 0.87, BOX)
    assert isinstance(wrong, Verdict) or wrong.inconsistency > 3 * right.inconsistency


def test_an_empty_map_is_an_empty_decode():
    verdict = atoms_in_cell(one_hot(np.zeros((32, 32, 32), dtype=int)), np.eye(3) * 4, BOX)
    assert isinstance(verdict, Verdict)
    assert verdict.reason.startswith("0 atoms")


def test_peaks_are_found_across_the_faces_of_a_cell():
    axis = np.arange(16) / 16
    bump = np.exp(-((np.minimum(axis, 1 - axis) * 4) ** 2) / (2 * 0.4**2))
    peaks = cell_peaks(bump[:, None, None] * bump[None, :, None] * bump[None, None, :], np.eye(3) * 4)
    assert len(peaks) == 1
    assert np.allclose(np.minimum(peaks, 1 - peaks), 0, atol=0.01)


def test_hydrogen_bonded_to_oxygen_is_an_atom_of_its_own():
    hydroxide = Structure(
        Lattice.orthorhombic(3.2, 3.4, 4.8), ["Mg", "O", "H"], [[0, 0, 0], [0.5, 0.5, 0.3], [0.5, 0.5, 0.5]]
    )
    _, species = boxed(hydroxide, (0.3, 0.2, 0.1))
    found = atoms_in_cell(one_hot(species), hydroxide.lattice.matrix, BOX).crystal
    assert sorted(found.species) == ["H", "Mg", "O"]
    positions = {s: np.array(f) for s, f in zip(found.species, found.frac_coords, strict=True)}
    apart = positions["H"] - positions["O"]
    bond = np.linalg.norm((apart - np.rint(apart)) * [3.2, 3.4, 4.8])
    assert bond == pytest.approx(0.96, abs=0.1)
