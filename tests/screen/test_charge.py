"""The charge rule on crystals."""

from __future__ import annotations

from crystals import caesium_chloride, rock_salt, rutile

from novalith.screen.charge import ChargeBalance
from novalith.screen.chemistry import ChemistryOptions


def test_ionic_crystals_pass_with_their_states_and_alloys_fail_unless_let_through():
    rule = ChargeBalance()
    verdict = rule.check(rutile("Ti", "O", 4.59, 2.96))
    assert verdict.passed
    assert "Ti+4 O-2" in verdict.reason
    assert rule.check(rock_salt("Na", "Cl", 5.64)).passed
    alloy = caesium_chloride("Ni", "Al", 2.88)
    assert not rule.check(alloy).passed
    assert "nearest" in rule.check(alloy).reason
    assert ChargeBalance(ChemistryOptions(alloys_pass=True)).check(alloy).passed
