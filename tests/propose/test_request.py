"""What the user types is read as meant, or refused with what to do."""

from __future__ import annotations

import numpy as np
import pytest

from novalith.errors import ContradictionError, EmptyResultError, InputError, UnknownNameError
from novalith.materials import Composition
from novalith.propose.occupations import is_possible, share_orbits
from novalith.propose.request import parse_request


@pytest.mark.parametrize("text", ["Li-Sn-S-Cl", "Li,Sn,S,Cl", " Cl Li S Sn ", "Li - Sn - S - Cl"])
def test_systems(text: str) -> None:
    request = parse_request(text)
    assert request.field.name == "Cl-Li-S-Sn"
    assert request.composition is None


@pytest.mark.parametrize(
    ("text", "formula"), [("Li4SnS4", "Li4SnS4"), ("Si", "Si"), ("Ca(OH)2", "Ca(HO)2"), ("CO", "CO")]
)
def test_formulas(text: str, formula: str) -> None:
    request = parse_request(text)
    assert request.composition is not None
    assert request.composition.formula == formula


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", InputError, "Li-Sn-S-Cl"),
        ("Li-Xx", UnknownNameError, "Xx"),
        ("Li-Li", InputError, "repeats Li"),
        ("Li-SnS2", InputError, "SnS2"),
        ("Li0.5Sn", InputError, "whole numbers"),
    ],
)
def test_nonsense_is_refused(text: str, error: type[InputError], says: str) -> None:
    with pytest.raises(error, match=says):
        parse_request(text)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ContradictionError, match="required and denied"):
        parse_request("Li-Sn-S", require="Li", deny="Li")
    with pytest.raises(ContradictionError, match="Denying"):
        parse_request("Li4SnS4", deny="S")
    with pytest.raises(ContradictionError, match="not in the field"):
        parse_request("Li-Sn-S", require="O")


def test_impossible_space_groups_are_named() -> None:
    with pytest.raises(EmptyResultError, match=r"NaCl in space group 227 .* 2 atoms"):
        parse_request("NaCl", spacegroup=227, max_atoms=2)
    with pytest.raises(EmptyResultError, match="21 atoms, more than the 20"):
        parse_request("Li7P3S11", max_atoms=20)
    assert parse_request("NaCl", spacegroup=227, max_atoms=4).spacegroup == 227


@pytest.mark.parametrize(
    ("formula", "spacegroup", "max_atoms", "possible"),
    [
        ("NaCl", 225, 2, True),
        ("NaCl", 227, 4, True),  # Zintl phases: NaTl
        ("NaCl", 227, 2, False),  # the smallest position, 8a, holds two atoms of the primitive cell
        ("CaTiO3", 221, 5, True),
        ("CaTiO3", 194, 5, False),  # 2a + 2b + 6g: ten atoms
        ("CaTiO3", 194, 10, True),
        ("Li7P3S11", 225, 21, False),
        ("Li7P3S11", 2, 21, True),
        ("Si", 230, 24, True),
        ("Si", 230, 7, False),  # 16a: eight atoms
    ],
)
def test_which_formulas_fill_which_groups(formula: str, spacegroup: int, max_atoms: int, possible: bool) -> None:
    assert is_possible(Composition.parse(formula), spacegroup, max_atoms) is possible


def test_orbits_are_shared_out_exactly() -> None:
    rng = np.random.default_rng(0)
    shares = [share_orbits(("a", "b", "c"), 221, (1, 1, 3), rng) for _ in range(40)]
    assert set(shares) == {(("a",), ("b",), ("c",)), (("b",), ("a",), ("c",))}
    both = share_orbits(("a", "b", "c"), 221, (2, 3), rng)
    assert both is not None
    assert [sorted(letters) for letters in both] == [["a", "b"], ["c"]]
    assert share_orbits(("a", "b"), 221, (1, 2), rng) is None
    assert share_orbits(("c", "d"), 221, (2, 4), rng) is None
