"""Files that we write are plain, say what made them, and read back as the same crystal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from novalith.data.door import read_structures
from novalith.data.library import Library
from novalith.data.writers import Frame, cif_text, write_cif, write_extxyz, write_poscar
from novalith.errors import InputError
from novalith.materials import Crystal


@pytest.fixture
def salt() -> Crystal:
    positions = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    anions = [(x, y, (z + 0.5) % 1) for x, y, z in positions]
    return Crystal.from_arrays(np.eye(3) * 5.64, ["Na"] * 4 + ["Cl"] * 4, positions + anions)


def neighbour_distances(crystal: Crystal) -> list[float]:
    return sorted(float(x) for x in np.round(crystal.to_structure().get_neighbor_list(4.5)[3], 6))


def test_a_symmetrised_cif_names_group_and_tolerance_and_reads_back(tmp_path: Path, salt: Crystal) -> None:
    path = tmp_path / "salt.cif"
    write_cif(salt, path, symprec=0.1, name="NaCl-ab/ü 1", notes=["Run 7f3, 0.05 eV/Å"])
    text = path.read_text(encoding="ascii")
    assert "# symmetry found by spglib at symprec 0.1 A" in text
    assert "# Run 7f3, 0.05 eV/A" in text
    assert "\ndata_NaCl-ab_1\n" in text
    assert "_symmetry_Int_Tables_number   225" in text
    assert (text.count("\n  Na"), text.count("\n  Cl")) == (1, 1)  # one site each, the operators make the others
    ((_, again),) = read_structures(path).accepted
    assert neighbour_distances(again) == pytest.approx(neighbour_distances(salt), abs=1e-5)


def test_a_p1_cif_lists_every_atom(tmp_path: Path, salt: Crystal) -> None:
    write_cif(salt, tmp_path / "p1.cif", symprec=None, name="p1")
    text = (tmp_path / "p1.cif").read_text(encoding="ascii")
    assert "# P1, no symmetry was sought" in text
    ((_, again),) = read_structures(tmp_path / "p1.cif").accepted
    assert again.n_atoms == 8
    assert neighbour_distances(again) == pytest.approx(neighbour_distances(salt), abs=1e-5)


def test_a_name_without_ascii_still_names_the_block(salt: Crystal) -> None:
    assert "\ndata_crystal\n" in cif_text(salt, symprec=None, name="Ü")


def test_a_note_cannot_end_its_comment(salt: Crystal) -> None:
    text = cif_text(salt, symprec=None, name="x", notes=["a\ndata_evil"])
    assert "\ndata_evil" not in text


def test_poscar_reads_back(tmp_path: Path, salt: Crystal) -> None:
    mixed = Crystal.from_arrays(salt.lattice, salt.species[::-1], salt.frac_coords)
    write_poscar(mixed, tmp_path / "POSCAR")
    assert (tmp_path / "POSCAR").read_text().splitlines()[5].split() == ["Cl", "Na"]
    ((_, again),) = read_structures(tmp_path / "POSCAR").accepted
    assert again.composition == mixed.composition
    assert neighbour_distances(again) == pytest.approx(neighbour_distances(mixed), abs=1e-9)


def test_extxyz_holds_total_energy_and_forces(tmp_path: Path, salt: Crystal) -> None:
    from ase.io import read

    forces = np.arange(24, dtype=float).reshape(8, 3)
    path = tmp_path / "all.extxyz"
    write_extxyz([Frame("a", salt, -27.25, forces, {"rank": 1}), Frame("b", salt)], path)
    first, second = read(path, index=":")
    assert first.get_potential_energy() == -27.25
    assert np.allclose(first.get_forces(), forces)
    assert (first.info["id"], first.info["rank"], second.info["id"]) == ("a", 1, "b")
    assert second.calc is None
    assert [name for name, _ in read_structures(path).accepted] == ["all#1", "all#2"]


def test_forces_of_another_shape_are_refused(tmp_path: Path, salt: Crystal) -> None:
    with pytest.raises(InputError, match=r"shape \(2, 3\); expected \(8, 3\)"):
        write_extxyz([Frame("a", salt, -27.25, np.zeros((2, 3)))], tmp_path / "x.extxyz")


def test_colliding_atoms_are_written_in_p1() -> None:
    collided = Crystal.from_arrays(np.eye(3) * 4, ["Mg", "Mg", "O"], [[0, 0, 0], [0.001, 0, 0], [0.5, 0.5, 0.5]])
    text = cif_text(collided, symprec=0.01, name="collided")
    assert "P1, no symmetry was sought" in text
    assert text.count("Mg0 ") == 1 and text.count("Mg1 ") == 1


@pytest.mark.parametrize("row", [7, 19, 20, 27, 33, 36, 43, 45])
def test_a_cif_of_a_nearly_symmetric_crystal_maps_atoms_onto_one_another(tmp_path: Path, row: int) -> None:
    """Elements of the bundle with every atom moved by 0.05 A: at 0.1 A they have more symmetry than is idealised."""
    exact = Library().structures[row].crystal
    moves = 0.05 * np.random.default_rng(row).standard_normal((exact.n_atoms, 3))
    moved = Crystal.from_arrays(
        exact.lattice, exact.species, np.array(exact.frac_coords) + moves @ np.linalg.inv(np.array(exact.lattice))
    )
    write_cif(moved, tmp_path / "moved.cif", symprec=0.1, name="moved")
    reading = read_structures(tmp_path / "moved.cif")
    assert not reading.refused
    assert StructureMatcher().fit(reading.accepted[0][1].to_structure(), moved.to_structure())
