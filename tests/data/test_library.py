"""The bundled tables against what is known without them, and hiding against a search for leaks."""

import dataclasses
import re
from collections.abc import Mapping

import numpy as np
import pytest

from novalith.data.library import Hidden, Library
from novalith.errors import CorruptDataError, UnknownNameError
from novalith.materials import Composition, Crystal
from novalith.represent.gene import encode_gene

#: Enthalpies of formation at 298 K, kJ/mol (NIST-JANAF), and atoms a formula.
MEASURED = {
    "NaCl": (-411.12, 2),
    "MgO": (-601.24, 2),
    "Al2O3": (-1675.69, 5),
    "SiO2": (-910.86, 3),
    "CaO": (-635.09, 2),
}
KJ_PER_MOL_IN_EV = 1 / 96.485


@pytest.fixture(scope="module")
def library():
    return Library()


def test_sizes_of_the_tables(library):
    assert len(library.structures) == 6317
    assert len({known.id for known in library.structures}) == 6317
    assert len({known.formula for known in library.structures}) == 5667
    assert len(library.hull_energies) == 95118
    assert len(library.oqmd) == 341614
    assert len(library.reported) == 7696
    assert len(library.wyckoff_prior) == 12593
    assert sum(pattern.count for pattern in library.wyckoff_prior) == 88678


@pytest.mark.parametrize("formula", sorted(MEASURED))
def test_formation_energies_lie_near_measured_ones(library, formula):
    enthalpy, n_atoms = MEASURED[formula]
    assert library.hull_energies[formula] == pytest.approx(enthalpy * KJ_PER_MOL_IN_EV / n_atoms, abs=0.15)
    assert formula in library.reported


def test_a_spinel_is_more_stable_than_its_oxides(library):
    energies = library.hull_energies
    assert 7 * energies["MgAl2O4"] < 2 * energies["MgO"] + 5 * energies["Al2O3"]


def test_elements_are_the_zero_of_formation_energies(library):
    elements = [f for f in library.hull_energies if re.fullmatch(r"[A-Z][a-z]?\d*", f)]
    assert len(elements) > 80
    assert max(abs(library.hull_energies[f]) for f in elements) < 0.02


def test_rock_salt_is_rock_salt(library):
    (salt,) = library.structures_of("Na2Cl2")
    assert salt.id == "mp-22862"
    assert salt.gene.spacegroup == 225
    assert sorted(str(orbit) for orbit in salt.gene.orbits) == ["Cl 4a", "Na 4b"]
    assert (salt.crystal.volume / salt.crystal.n_atoms * 8) ** (1 / 3) == pytest.approx(5.64, rel=0.02)
    periclase = next(known for known in library.structures_of("MgO") if known.id == "mp-1265")
    assert periclase.properties["bulk_modulus_gpa"] == pytest.approx(160, rel=0.1)  # Fei, Am. Mineral. 84, 272 (1999)


def test_the_formula_that_looks_like_a_missing_value(library):
    assert "NaN" in library.hull_energies


def test_properties_are_physical(library):
    for known in library.structures:
        properties = known.properties
        assert abs(properties.get("formation_energy_ev_per_atom", 0.0)) < 5
        assert properties.get("energy_above_hull_ev_per_atom", 0.0) >= 0
        assert -1 < properties.get("poisson_ratio", 0.0) < 0.5
        assert properties.get("bulk_modulus_gpa", 1.0) > 0
        assert properties.get("refractive_index", 1.0) >= 1
        assert not any(np.isnan(value) for value in properties.values())
    assert max(map(abs, library.hull_energies.values())) < 5
    assert max(map(abs, library.oqmd.values())) < 5


def test_the_structures_own_energies_are_those_of_the_hull_table(library):
    lowest = {}
    for known in library.structures:
        energy = known.properties.get("formation_energy_ev_per_atom")
        if energy is not None and known.formula in library.hull_energies:
            lowest[known.formula] = min(energy, lowest.get(known.formula, np.inf))
    differences = np.array([energy - library.hull_energies[formula] for formula, energy in lowest.items()])
    assert len(differences) > 3600
    assert np.median(np.abs(differences)) < 0.005


def test_genes_belong_to_their_crystals(library):
    for known in library.structures:
        assert known.gene.composition.formula == known.formula == known.crystal.composition.formula
    for known in library.structures[:: len(library.structures) // 60]:
        assert encode_gene(known.crystal) == known.gene, known.id


def test_formulas_are_spelled_as_composition_spells_them(library):
    rng = np.random.default_rng(7)
    for table in (library.hull_energies, library.oqmd, library.reported):
        formulas = sorted(table)
        for i in rng.choice(len(formulas), size=300, replace=False):
            assert Composition.parse(formulas[i]).formula == formulas[i]


@pytest.mark.parametrize("spacegroup", [2, 47, 62, 166, 225, 230])
def test_wyckoff_letters_add_up_to_the_cell(library, spacegroup):
    from pyxtal.symmetry import Group

    multiplicity = {w.letter: w.multiplicity for w in Group(spacegroup).Wyckoff_positions}
    patterns = [p for p in library.wyckoff_prior if p.spacegroup == spacegroup]
    assert patterns
    assert all(sum(multiplicity[letter] for letter in p.letters) == p.n_atoms for p in patterns)


def test_elemental_references_by_name(library):
    assert library.elemental_references("chgnet")["Fe"] == pytest.approx(-8.36, abs=0.2)
    with pytest.raises(UnknownNameError, match="chgnet"):
        library.elemental_references("chgnett")


def strings_in(value):
    """Every text and every formula that a value holds, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Crystal):
        yield value.composition.formula
    elif isinstance(value, Mapping):
        for key, content in value.items():
            yield from strings_in(key)
            yield from strings_in(content)
    elif isinstance(value, (tuple, list, set, frozenset)):
        for content in value:
            yield from strings_in(content)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from strings_in(getattr(value, field.name))


def test_a_hidden_formula_cannot_be_read_anywhere(library):
    """A canary, drawn among formulas that every table lists, is in no attribute, public or private, of the library."""
    everywhere = {known.formula for known in library.structures} & set(library.hull_energies) & set(library.oqmd)
    candidates = sorted(everywhere & library.reported)
    canary = candidates[np.random.default_rng().integers(len(candidates))]
    ids = {known.id for known in library.structures_of(canary)}
    blind = Library(Hidden(formulas=frozenset({canary})))
    for name in dir(blind):
        if not name.startswith("__"):
            getattr(blind, name)
    assert blind.structures_of(canary) == ()
    state = {name: value for name, value in vars(blind).items() if name != "hidden"}
    assert {"structures", "hull_energies", "reported", "oqmd", "wyckoff_prior"} <= set(state)
    assert not (ids | {canary}) & set(strings_in(state)), canary
    assert len(blind.structures) == len(library.structures) - len(ids)
    assert len(blind.oqmd) == len(library.oqmd) - 1


def test_a_hidden_system_hides_exactly_its_elements(library):
    blind = Library(Hidden.of(["O-Mg"]))
    fields = {known.crystal.composition.field.name for known in blind.structures}
    assert "Mg-O" not in fields
    assert {"Mg", "Al-Mg-O"} <= fields
    for table in (blind.hull_energies, blind.oqmd, blind.reported):
        assert not [f for f in table if set(re.findall("[A-Z][a-z]?", f)) == {"Mg", "O"}]
    assert set(library.hull_energies) - set(blind.hull_energies) >= {"MgO", "MgO2"}


def test_a_hidden_id_hides_one_structure_and_leaves_its_formula(library):
    blind = Library(Hidden.of(["mp-1265"]))
    assert {k.id for k in library.structures_of("MgO")} - {k.id for k in blind.structures_of("MgO")} == {"mp-1265"}
    assert blind.hull_energies["MgO"] == library.hull_energies["MgO"]


def test_a_missing_table_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("novalith.data.library.BUNDLE", tmp_path)
    (tmp_path / "hull.parquet").write_bytes(b"PAR1 and no more")
    for name, table in (("hull.parquet", "hull_energies"), ("reported.txt", "reported")):
        with pytest.raises(CorruptDataError, match=name):
            getattr(Library(), table)
