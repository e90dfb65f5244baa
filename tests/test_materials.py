"""The vocabulary refuses what is not chemistry and says why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novalith.errors import InputError
from novalith.materials import ELEMENTS, Candidate, Composition, Crystal, Gene, Lineage, Orbit, PhaseField, Verdict


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("LiFePo4", "Did you mean PO4"),
        ("D2O", "deuterium"),
        ("Xx2O", "Did you mean 'Xe'"),
        ("Na0Cl", "zero"),
        ("Na1000000Cl", "at most 100000"),
        ("Li3.3SnS3.3Cl0.7", "fractional"),
        ("Ca(OH2", "never closed"),
        ("CaOH)2", "never opened"),
        ("2NaCl", "before any element"),
        ("Na\u0421l", "U\\+0421"),
        ("nacl", "cannot be read"),
        ("Na-Cl", "cannot be read"),
    ],
)
def test_wrong_formulas_are_refused_with_the_cause(text, says):
    with pytest.raises(InputError, match=says):
        Composition.parse(text)


def test_formulas_with_brackets_and_common_factors():
    water = Composition.parse("Ca2(OH)4")
    assert dict(water.counts) == {"Ca": 2, "O": 4, "H": 4}
    assert water.reduced == Composition.parse("CaO2H2")
    assert water.formula == Composition.parse("H2CaO2").formula
    assert Composition.parse("SrTiO3").anonymous == (1, 1, 3)


@given(st.dictionaries(st.sampled_from(ELEMENTS[:94]), st.integers(1, 9), min_size=1, max_size=5))
def test_reduced_formula_is_read_back(counts):
    composition = Composition(tuple(counts.items())).reduced
    if len(counts) > 1 and counts.get("Po", 0) < 3:  # elements are spelled as molecules, O2
        reread = Composition.parse(composition.formula).reduced
        assert reread == composition


def test_fields_are_sets():
    assert PhaseField.parse("Li-Sn-S-Cl") == PhaseField.parse("Cl,S Sn Li")
    with pytest.raises(InputError, match="repeats As"):
        PhaseField.parse("As-As-Cd-Cl")
    with pytest.raises(InputError, match="at least one element"):
        PhaseField.parse(" ")


def rock_salt():
    positions = [(0, 0, 0), (0.5, 0.5, 0.5)]
    lattice = 2.8 * (np.ones((3, 3)) - np.eye(3))
    return Crystal.from_arrays(lattice, ["Na", "Cl"], positions)


def test_crystals_survive_pymatgen_and_ase_and_json():
    crystal = rock_salt()
    assert Crystal.from_json(crystal.to_json()) == crystal
    for back in (Crystal.from_structure(crystal.to_structure()), Crystal.from_atoms(crystal.to_atoms())):
        assert back.species == crystal.species
        assert np.allclose(back.lattice, crystal.lattice)
        assert np.allclose(back.frac_coords, crystal.frac_coords)


def test_left_handed_cells_become_right_handed_without_moving_an_atom():
    structure = rock_salt().to_structure()
    left = structure.copy()
    left.lattice = type(left.lattice)(-left.lattice.matrix)
    crystal = Crystal.from_structure(left)
    assert crystal.volume > 0
    assert crystal.to_structure().distance_matrix == pytest.approx(left.distance_matrix)


@pytest.mark.parametrize(
    ("lattice", "species", "positions", "says"),
    [
        (np.eye(3), ["Na"], [(0, 0, 0), (0.5, 0.5, 0.5)], "one position a site"),
        (np.eye(3), [], [], "at least one site"),
        (np.zeros((3, 3)), ["Na"], [(0, 0, 0)], "volume"),
        (np.full((3, 3), np.nan), ["Na"], [(0, 0, 0)], "finite"),
        (np.eye(3), ["Vac"], [(0, 0, 0)], "Unknown element"),
    ],
)
def test_impossible_crystals_are_refused(lattice, species, positions, says):
    with pytest.raises(InputError, match=says):
        Crystal.from_arrays(lattice, species, positions)


def test_disorder_is_refused_not_rounded():
    structure = rock_salt().to_structure()
    structure[0] = {"Na": 0.5, "K": 0.5}
    with pytest.raises(InputError, match="disordered"):
        Crystal.from_structure(structure)


def test_identity_is_content():
    one, other = rock_salt(), rock_salt()
    assert one == other
    assert hash(one) == hash(other)
    assert one.content_id == other.content_id
    moved = Crystal.from_arrays(one.lattice, one.species, [(0, 0, 0), (0.5, 0.5, 0.51)])
    assert moved.content_id != one.content_id
    assert Candidate(one, Lineage("a")) == Candidate(one, Lineage("b"))
    assert Candidate(one, Lineage("a")).id == f"NaCl-{one.content_id[:10]}"


def test_genes_that_differ_in_elements_share_their_skeleton():
    salt = Gene(225, (Orbit("Na", 4, "a"), Orbit("Cl", 4, "b")))
    oxide = Gene(225, (Orbit("O", 4, "b"), Orbit("Mg", 4, "a")))
    caesium = Gene(221, (Orbit("Cs", 1, "a"), Orbit("Cl", 1, "b")))
    assert salt.skeleton == oxide.skeleton
    assert salt.skeleton != caesium.skeleton
    assert salt.composition.n_atoms == 8
    with pytest.raises(InputError, match="1 to 230"):
        Gene(231, salt.orbits)


def test_a_rejection_without_a_reason_is_a_fault():
    with pytest.raises(ValueError, match="reason"):
        Verdict(False, "distances")
