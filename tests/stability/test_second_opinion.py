"""Second opinions: corrections put both potentials on one scale; disagreement is said as such."""

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.data.mp2020 import mp2020_correction
from novalith.errors import InputError
from novalith.materials import Composition, Crystal
from novalith.relax.base import MP2020_PBE, PBE_UNCORRECTED, Evaluated, Potential, PotentialInfo
from novalith.relax.relaxer import RelaxSettings, relax
from novalith.stability.second_opinion import mp2020_formation_energy, second_opinion

LIBRARY = Library()
FACE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
OXIDE = Crystal.from_arrays(FACE * 4.25, ["Mg", "O"], [[0] * 3, [0.5] * 3])


class Flat(Potential):
    """One energy an atom, no forces."""

    def __init__(self, energy, scale):
        self.energy, self.info = energy, PotentialInfo("flat", "1", scale, "nobody")

    def evaluate(self, crystal: Crystal) -> Evaluated:
        return Evaluated(self.energy * crystal.n_atoms, np.zeros((crystal.n_atoms, 3)), np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("formula", "expected"), [("MgO", -0.687 / 2), ("Fe2O3", (2 * -2.256 + 3 * -0.687) / 5), ("Si", 0)]
)
def test_corrections_are_those_of_the_scheme(formula, expected):
    """Wang et al., Sci. Rep. 11, 15496 (2021): -0.687 eV an oxide ion, -2.256 eV an iron."""
    assert mp2020_correction(Composition.parse(formula)) == pytest.approx(expected)


def test_energies_before_the_correction_are_corrected():
    """PBE's magnesium oxide has -5.98 eV/atom in the Materials Project before and -6.32 after the correction."""
    raw = relax(OXIDE, Flat(-5.977, PBE_UNCORRECTED), RelaxSettings())
    done = relax(OXIDE, Flat(-5.977 - 0.3435, MP2020_PBE), RelaxSettings())
    assert mp2020_formation_energy(raw, LIBRARY) == pytest.approx(mp2020_formation_energy(done, LIBRARY))
    assert mp2020_formation_energy(raw, LIBRARY) == pytest.approx(-3.04, abs=0.02)


def test_agreement_and_disagreement(chgnet):
    near = second_opinion(OXIDE, chgnet, Flat(-6.30, MP2020_PBE), LIBRARY)
    assert near.verdict.passed
    assert f"± {near.disagreement_ev_per_atom:.3f} eV/atom" in near.verdict.reason
    far = second_opinion(OXIDE, chgnet, Flat(-5.90, MP2020_PBE), LIBRARY)
    assert not far.verdict.passed
    assert "differ by" in far.verdict.reason
    assert far.disagreement_ev_per_atom == pytest.approx(0.41, abs=0.03)


def test_a_foreign_scale_has_no_zero(chgnet):
    with pytest.raises(InputError, match="no zero"):
        second_opinion(OXIDE, chgnet, Flat(-6.3, "moon"), LIBRARY)


@pytest.mark.slow
def test_sevennet_agrees_on_magnesium_oxide(chgnet):
    pytest.importorskip("sevenn", reason="the extra 'sevennet' is not installed")
    from novalith.relax.potentials import load_potential

    result = second_opinion(OXIDE, chgnet, load_potential("sevennet"), LIBRARY)
    assert result.verdict.passed, result.verdict.reason
    assert result.force_left_ev_per_a < 0.05
