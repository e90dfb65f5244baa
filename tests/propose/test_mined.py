"""What is learnt from known materials: similar elements and volumes."""

from __future__ import annotations

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Composition
from novalith.propose.similarity import STATE_OFFSET, ion_cube, ion_similarity, mine_elements, read_counts
from novalith.propose.templates import mined_similarity
from novalith.propose.volumes import fit_volumes


def test_counting_by_hand() -> None:
    """Na and K meet once, beside Cl; Na fills four slots (beside Cl, Br, I, H), K one, Br one."""
    found = mine_elements([read_counts(f) for f in ("NaCl", "KCl", "NaBr", "NaI", "NaH")])
    assert found.of("Na", "K") == found.of("K", "Na") == pytest.approx(np.log(1.5 / np.sqrt(4 * 1)))
    assert found.of("K", "Br") == pytest.approx(np.log(0.5))  # never met
    assert found.of("Na", "Na") == 0.0


@pytest.mark.parametrize(("element", "nearest"), [("Li", "Na"), ("S", "Se"), ("Cl", "Br"), ("Zr", "Hf"), ("Sr", "Ba")])
def test_neighbours_in_the_periodic_table_are_found(element: str, nearest: str, library: Library) -> None:
    row = mined_similarity(library).log_similarity[ATOMIC_NUMBERS[element] - 1].copy()
    row[ATOMIC_NUMBERS[element] - 1] = -np.inf
    top = [ELEMENTS[i] for i in np.argsort(-row)[:4]]
    assert nearest in top


def test_ion_similarity_is_that_of_the_published_table() -> None:
    """Against pymatgen's own reading of the weights."""
    from pymatgen.core import Species
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

    index, matrix = ion_similarity()
    table = SubstitutionProbability()
    assert len(index) == len(table.species) == 230
    for a, b in (("Na1+", "K1+"), ("Sr2+", "Ba2+"), ("O2-", "S2-"), ("Fe3+", "Al3+"), ("Li1+", "U6+")):
        one, other = Species.from_str(a), Species.from_str(b)
        expected = table.get_lambda(one, other) - (table.get_lambda(one, one) + table.get_lambda(other, other)) / 2
        assert matrix[index[a], index[b]] == pytest.approx(min(expected, 0.0))
    hydrogen, sodium, potassium = (ATOMIC_NUMBERS[s] - 1 for s in ("H", "Na", "K"))
    assert ion_cube()[sodium, STATE_OFFSET + 1, potassium] == matrix[index["Na1+"], index["K1+"]]
    assert np.isnan(ion_cube()[hydrogen, STATE_OFFSET - 1]).all()  # the table has no hydride


def test_formulas_are_read_as_by_the_parser() -> None:
    for formula in ("Li4SnS4", "Ca(HO)2", "NaN3", "CO", "Co", "Al2(SO4)3"):
        assert read_counts(formula) == Composition.parse(formula).counts


def test_volumes_are_recovered_where_they_add_up() -> None:
    true = {"Na": 20.0, "K": 40.0, "Rb": 50.0}
    formulas = [Composition.parse(f) for f in ("Na", "K", "Rb", "NaK", "Na2K", "KRb", "NaRb3") * 30]
    volumes = [sum(true[s] * n for s, n in c.counts) for c in formulas]
    model = fit_volumes(formulas, volumes)
    assert model.volume(Composition.parse("NaK2")) == pytest.approx(100.0, rel=0.02)
    assert model.shares(Composition.parse("Na"))["Na"] == pytest.approx(20.0, rel=0.02)


def test_volumes_of_left_out_structures_are_predicted(library: Library) -> None:
    crystals = [k.crystal for k in library.structures]
    shuffled = np.random.default_rng(0).permutation(len(crystals))
    fitted, left_out = shuffled[: len(crystals) * 4 // 5], shuffled[len(crystals) * 4 // 5 :]
    model = fit_volumes([crystals[i].composition for i in fitted], [crystals[i].volume for i in fitted])
    errors = [abs(model.volume(crystals[i].composition) / crystals[i].volume - 1) for i in left_out]
    assert np.median(errors) < 0.07
    assert np.mean(np.array(errors) < 0.15) > 0.82
