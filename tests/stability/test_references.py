"""Formation energies against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from novalith.errors import InputError
from novalith.materials import Composition
from novalith.stability.references import formation_energy


def test_mgo_by_hand() -> None:
    # (2 * -6.0 - (-1.5) - (-5.0)) / 2 per formula unit
    assert formation_energy(Composition.parse("MgO"), -6.0, {"Mg": -1.5, "O": -5.0}) == pytest.approx(-2.75)


def test_amounts_weigh_the_references() -> None:
    # Al2O3 at -7.0: 2/5 of -3.5 and 3/5 of -5.0 are taken off.
    assert formation_energy(Composition.parse("Al2O3"), -7.0, {"Al": -3.5, "O": -5.0}) == pytest.approx(-7.0 + 1.4 + 3)


def test_a_missing_reference_is_named() -> None:
    with pytest.raises(InputError, match="no reference energy of Mg"):
        formation_energy(Composition.parse("MgO"), -6.0, {"O": -5.0})


def test_an_energy_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        formation_energy(Composition.parse("MgO"), math.nan, {"Mg": -1.5, "O": -5.0})
