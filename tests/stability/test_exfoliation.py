"""Exfoliation energies against calculations that treat dispersion from first principles, and honest refusals."""

import pytest

from novalith.data.library import Library
from novalith.errors import CapabilityError, InputError
from novalith.relax.potentials import load_potential
from novalith.represent.layers import monolayer_of
from novalith.stability.cost import Limits, pace
from novalith.stability.exfoliation import cost, exfoliation_energy

pytest.importorskip("dftd3", reason="the extra 'validate' is not installed")


@pytest.fixture(scope="module")
def crystals():
    wanted = {"mp-48": "graphite", "mp-2815": "MoS2", "mp-23210": "MgCl2"}
    return {wanted[k.id]: k.crystal for k in Library().structures if k.id in wanted}


@pytest.fixture(scope="module")
def potential():
    return load_potential("chgnet-d3")


@pytest.mark.parametrize(("name", "reference"), [("graphite", 18.32), ("MoS2", 20.53)])
def test_exfoliation_energies_are_those_of_the_random_phase_approximation(crystals, potential, name, reference):
    """meV/Å2 from Björkman et al., Phys. Rev. Lett. 108, 235502 (2012); D3 on a network is good to half of it."""
    result = exfoliation_energy(monolayer_of(crystals[name]), None, potential)
    assert result.verdict.passed
    assert result.bulk_from == "parent"
    assert reference / 1.5 < result.energy_mev_per_a2 < reference * 1.5
    area = result.layer.volume / result.layer.lattice[2][2]
    assert result.energy_mev_per_a2 == pytest.approx(1000 * result.energy_ev_per_atom * result.layer.n_atoms / area)
    assert result.dispersion_ev_per_atom > 0.7 * result.energy_ev_per_atom


def test_without_dispersion_there_is_no_answer(crystals):
    with pytest.raises(CapabilityError, match="chgnet-d3"):
        exfoliation_energy(monolayer_of(crystals["MgCl2"]), None, load_potential("chgnet"))


def test_a_foreign_bulk_is_refused(crystals, potential):
    with pytest.raises(InputError, match="no bulk of a layer"):
        exfoliation_energy(monolayer_of(crystals["MgCl2"]), crystals["MoS2"], potential)


def test_a_stack_is_built_where_no_parent_is_known(crystals, potential):
    """The stack of six registries comes within 10 meV/atom of the known stacking of magnesium chloride."""
    from dataclasses import replace

    layer = monolayer_of(crystals["MgCl2"])
    known = exfoliation_energy(layer, None, potential)
    built = exfoliation_energy(replace(layer, parent=None), None, potential)
    assert built.bulk_from.startswith("stacked")
    assert built.energy_ev_per_atom == pytest.approx(known.energy_ev_per_atom, abs=0.01)


def test_the_cost_is_told_and_can_be_too_high(crystals, potential):
    layer = monolayer_of(crystals["MgCl2"])
    told = cost(layer, pace(layer.crystal, potential))
    assert told.verdict(Limits()).passed
    verdict = told.verdict(Limits(seconds=1e-4))
    assert not verdict.passed
    assert "of at most" in verdict.reason
