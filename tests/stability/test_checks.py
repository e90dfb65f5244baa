"""Checks by name: unknown names, costs over the limit and bad input are answers, not exceptions."""

import numpy as np
import pytest

from novalith.errors import MissingExtraError, UnknownNameError
from novalith.materials import Crystal
from novalith.stability import checks
from novalith.stability.checks import CHECKS, Toolbox, check_names, cost_of, require, run_check
from novalith.stability.cost import Cost, Limits

pytest.importorskip("phonopy", reason="the extra 'validate' is not installed")

FACE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
SALT = Crystal.from_arrays(FACE * 5.69, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
SHEET = Crystal.from_arrays(
    [[2.51, 0, 0], [-1.255, 2.1737, 0], [0, 0, 18]], ["B", "N"], [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]]
)


@pytest.fixture(scope="module")
def tools():
    return Toolbox()


def test_names():
    assert check_names("phonons, elasticity,phonons") == ("phonons", "elasticity")
    assert check_names("all") == tuple(CHECKS)
    with pytest.raises(UnknownNameError, match="elasticity"):
        check_names("elastcity")


def test_every_cost_is_told(tools):
    for check in ("formation-energy", "phonons", "elasticity", "second-opinion"):
        assert isinstance(cost_of(check, SALT, tools), Cost)


def test_a_bulk_crystal_has_no_layer_to_lift(tools):
    finding = run_check("exfoliation", SALT, tools)
    assert not finding.verdict.passed
    assert "a network in three directions" in finding.verdict.reason


def test_what_is_too_dear_is_refused_with_the_estimate():
    cheap = Toolbox(limits=Limits(seconds=0.01))
    finding = run_check("phonons", SALT, cheap)
    assert not finding.verdict.passed
    assert "128 atoms" in finding.verdict.reason
    assert not finding.values


def test_formation_energy_and_moduli(tools):
    """Sodium chloride: -2.1 eV/atom measured, 25 GPa."""
    energy = run_check("formation-energy", SALT, tools)
    assert energy.values["formation_energy_ev_per_atom"] == pytest.approx(-2.1, abs=0.1)
    stiffness = run_check("elasticity", SALT, tools)
    assert stiffness.values["bulk_modulus_gpa"] == pytest.approx(25, abs=6)


def test_a_sheet_is_treated_as_one(tools):
    assert "monolayer" in run_check("elasticity", SHEET, tools).verdict.reason
    finding = run_check("phonons", SHEET, tools)
    assert finding.verdict.passed, finding.verdict.reason
    assert finding.values["highest_thz"] > 30
    names = {label for _, label in finding.bands.ticks}
    assert names == {"G", "M", "K"}


def test_an_element_beyond_the_potential_is_a_verdict(tools):
    curium = Crystal.from_arrays(np.eye(3) * 4, ["Cm"], [[0] * 3])
    finding = run_check("formation-energy", curium, tools)
    assert not finding.verdict.passed
    assert "not trained" in finding.verdict.reason


def test_a_missing_package_is_said_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda _: None)
    require(["elasticity"])
    with pytest.raises(MissingExtraError, match=r"novalith\[validate\]"):
        require(["elasticity", "phonons"])
    with pytest.raises(MissingExtraError, match=r"novalith\[sevennet\]"):
        require(["second-opinion"])


def test_a_potential_without_a_zero_is_a_verdict():
    finding = run_check("formation-energy", SALT, Toolbox("chgnet-d3"))
    assert not finding.verdict.passed
    assert "no zero" in finding.verdict.reason
