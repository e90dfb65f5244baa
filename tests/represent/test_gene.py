"""Genes against structures whose space groups and Wyckoff positions are in every textbook."""

from __future__ import annotations

import numpy as np
import pytest

from novalith.errors import InputError
from novalith.materials import Crystal, Gene, Orbit, Verdict
from novalith.represent.gene import canonical_gene, encode_gene, primitive, spacegroup_of, symmetrised
from novalith.represent.wyckoff import (
    equivalent_letterings,
    lattice_points,
    wyckoff_positions,
    wyckoff_sites,
)

FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))


def cubic(a: float, species: list[str], sites: list[tuple[float, float, float]]) -> Crystal:
    return Crystal.from_arrays(np.eye(3) * a, species, sites)


def fcc(a: float, species: list[str], sites: list[tuple[float, float, float]]) -> Crystal:
    return Crystal.from_arrays(np.array(FCC) * a, species, sites)


KNOWN = {
    "rock salt": (fcc(5.64, ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)]), 225, "Fm-3m", ["Cl 4a", "Na 4b"], 8),
    "zinc blende": (fcc(5.41, ["Zn", "S"], [(0, 0, 0), (0.25, 0.25, 0.25)]), 216, "F-43m", ["S 4a", "Zn 4c"], 8),
    "caesium chloride": (cubic(4.12, ["Cs", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)]), 221, "Pm-3m", ["Cl 1a", "Cs 1b"], 2),
    "perovskite": (
        cubic(3.9, ["Sr", "Ti", "O", "O", "O"], [(0, 0, 0), (0.5,) * 3, (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]),
        221,
        "Pm-3m",
        ["O 3c", "Sr 1a", "Ti 1b"],
        5,
    ),
    "fluorite": (
        fcc(5.46, ["Ca", "F", "F"], [(0, 0, 0), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75)]),
        225,
        "Fm-3m",
        ["Ca 4a", "F 8c"],
        12,
    ),
    "diamond": (fcc(3.57, ["C", "C"], [(0, 0, 0), (0.25, 0.25, 0.25)]), 227, "Fd-3m", ["C 8a"], 8),
    "rutile": (
        Crystal.from_arrays(
            np.diag([4.59, 4.59, 2.96]),
            ["Ti", "Ti", "O", "O", "O", "O"],
            [(0, 0, 0), (0.5,) * 3, (0.305, 0.305, 0), (-0.305, -0.305, 0), (0.195, 0.805, 0.5), (0.805, 0.195, 0.5)],
        ),
        136,
        "P4_2/mnm",
        ["O 4f", "Ti 2a"],
        6,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_textbook_structures_have_their_genes(name: str) -> None:
    crystal, number, symbol, orbits, size = KNOWN[name]
    gene = encode_gene(crystal)
    assert isinstance(gene, Gene)
    assert (gene.spacegroup, sorted(map(str, gene.orbits))) == (number, orbits)
    assert spacegroup_of(crystal) == (number, symbol)
    assert symmetrised(crystal).n_atoms == size == gene.composition.n_atoms
    assert gene.composition.reduced == crystal.composition.reduced


@pytest.mark.parametrize("name", KNOWN)
def test_a_gene_does_not_depend_on_cell_origin_or_order(name: str) -> None:
    crystal = KNOWN[name][0]
    rng = np.random.default_rng(5)
    supercell = Crystal.from_structure(crystal.to_structure().make_supercell((2, 1, 1)))
    order = rng.permutation(supercell.n_atoms)
    moved = Crystal.from_arrays(
        supercell.lattice,
        [supercell.species[i] for i in order],
        (np.array(supercell.frac_coords) + rng.random(3))[order],
    )
    assert encode_gene(moved) == encode_gene(crystal)
    assert encode_gene(primitive(moved)) == encode_gene(crystal)
    assert primitive(moved).n_atoms == crystal.n_atoms
    assert primitive(moved).volume == pytest.approx(crystal.volume, rel=1e-6)


def test_origin_choices_of_caesium_chloride_are_one_gene() -> None:
    one = Gene(221, (Orbit("Cs", 1, "a"), Orbit("Cl", 1, "b")))
    other = Gene(221, (Orbit("Cs", 1, "b"), Orbit("Cl", 1, "a")))
    assert one != other
    assert canonical_gene(one) == canonical_gene(other) == encode_gene(KNOWN["caesium chloride"][0])


def test_skeletons_ignore_the_names_of_elements() -> None:
    rng = np.random.default_rng(0)
    crystal = KNOWN["perovskite"][0]
    reference = encode_gene(crystal)
    assert isinstance(reference, Gene)
    for _ in range(10):
        a, b, c = rng.choice(["Ba", "Zr", "S", "Li", "Xe", "Au", "H"], 3, replace=False)
        renamed = Crystal(
            crystal.lattice, tuple({"Sr": a, "Ti": b, "O": c}[s] for s in crystal.species), crystal.frac_coords
        )
        gene = encode_gene(renamed)
        assert isinstance(gene, Gene)
        assert gene.skeleton == reference.skeleton


def test_atoms_on_top_of_each_other_give_a_verdict_and_stay_as_they_are() -> None:
    crystal = cubic(4.0, ["Na", "Na"], [(0, 0, 0), (0.001, 0, 0)])
    verdict = encode_gene(crystal)
    assert isinstance(verdict, Verdict)
    assert not verdict.passed
    assert "0.1 Å" in verdict.reason
    assert spacegroup_of(crystal) == (1, "P1")
    assert primitive(crystal) == crystal == symmetrised(crystal)


def test_wyckoff_tables_agree_with_spglib() -> None:
    """Points on a position, expanded by its sites, are found by spglib at that multiplicity and letter."""
    rng = np.random.default_rng(3)
    lattices = {
        75: np.diag([5.0, 5.0, 7.3]),
        62: np.diag([5.0, 6.1, 7.3]),
        225: np.eye(3) * 9.0,
        136: np.diag([7, 7, 5.0]),
    }
    for number, lattice in lattices.items():
        general = wyckoff_positions(number)[-1]
        for position in wyckoff_positions(number):
            # a general orbit of another element pins the space group and the origin
            pin = wyckoff_sites(number, general.letter)
            sites = wyckoff_sites(number, position.letter)
            points = [matrices @ rng.random(3) + shifts for matrices, shifts in (pin, sites)]
            assert len(points[1]) == position.multiplicity
            species = ["Ar"] * general.multiplicity + ["Na"] * position.multiplicity
            gene = encode_gene(Crystal.from_arrays(lattice, species, np.vstack(points)), symprec=1e-4)
            assert isinstance(gene, Gene)
            assert gene.spacegroup == number
            sodium = next(o for o in gene.orbits if o.element == "Na")
            letters = {lettering[position.letter] for lettering in equivalent_letterings(number)}
            assert (sodium.multiplicity, sodium.letter in letters) == (position.multiplicity, True)


def test_lattice_points_follow_the_first_letter_of_the_symbol() -> None:
    expected = {1: 1, 5: 2, 22: 4, 23: 2, 38: 2, 62: 1, 139: 2, 146: 3, 166: 3, 194: 1, 225: 4, 229: 2}
    assert {n: lattice_points(n) for n in expected} == expected


def test_numbers_of_positions_and_impossible_input() -> None:
    assert sum(len(wyckoff_positions(n)) for n in range(1, 231)) == 1731  # International Tables A: 1731 positions
    assert wyckoff_positions(47)[-1].letter == "A"
    with pytest.raises(InputError, match="no z"):
        wyckoff_sites(225, "z")
    with pytest.raises(InputError, match="231"):
        wyckoff_positions(231)
