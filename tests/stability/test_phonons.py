"""Phonons: frequencies of a chain of known springs, verdicts on crystals whose fate is known, refusals beforehand."""

import numpy as np
import pytest

from novalith.errors import InputError
from novalith.materials import Crystal
from novalith.relax.base import Evaluated, Potential, PotentialInfo
from novalith.stability.cost import Limits, pace
from novalith.stability.phonons import PhononSettings, cost, phonons

pytest.importorskip("phonopy", reason="the extra 'validate' is not installed")

FACE_CENTRED = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
BODY_CENTRED = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2


class Harmonic(Potential):
    """Springs of stiffness k between nearest neighbours of a simple cubic crystal of edge 3 Å, along and across."""

    info = PotentialInfo("harmonic", "1", "springs", "nobody")
    along, across = 3.0, 1.0

    def evaluate(self, crystal: Crystal) -> Evaluated:
        lattice = np.array(crystal.lattice)
        frac = np.array(crystal.frac_coords)
        counts = np.round(np.linalg.norm(lattice, axis=1) / 3.0).astype(int)
        moved = frac @ lattice
        ideal = np.round(moved / 3.0)
        shift = moved - ideal * 3.0
        index = {tuple(row): i for i, row in enumerate(ideal.astype(int) % counts)}
        forces = np.zeros_like(moved)
        for i, place in enumerate(ideal.astype(int)):
            for axis in range(3):
                for sign in (1, -1):
                    j = index[tuple((place + sign * np.eye(3, dtype=int)[axis]) % counts)]
                    stiffness = np.full(3, self.across)
                    stiffness[axis] = self.along
                    forces[i] += stiffness * (shift[j] - shift[i])
        return Evaluated(0.0, forces, np.zeros((3, 3)))


def test_a_cubic_net_of_springs_has_the_frequencies_of_its_formula() -> None:
    """At the corner of the zone w^2 = 4 (k_along + 2 k_across) / m: every neighbour moves the other way."""
    polonium = Crystal.from_arrays(np.eye(3) * 3.0, ["Po"], [[0, 0, 0]])
    result = phonons(polonium, Harmonic(), PhononSettings(supercell_a=10.0))
    assert result.multiples == (4, 4, 4)
    ev_per_a2_u, thz = 1.602176634e-19 / 1e-20 / 1.66053906660e-27, 2 * np.pi * 1e12
    expected = np.sqrt(4 * (3.0 + 2 * 1.0) / 208.98243 * ev_per_a2_u) / thz
    assert result.highest_thz == pytest.approx(expected, rel=1e-3)
    assert result.verdict.passed
    assert result.lowest_thz == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "crystal", "stable"),
    [
        ("NaCl", Crystal.from_arrays(FACE_CENTRED * 5.69, ["Na", "Cl"], [[0] * 3, [0.5] * 3]), True),
        ("aluminium", Crystal.from_arrays(FACE_CENTRED * 4.04, ["Al"], [[0] * 3]), True),
        ("body-centred titanium", Crystal.from_arrays(BODY_CENTRED * 3.25, ["Ti"], [[0] * 3]), False),
        ("NaCl as CsCl", Crystal.from_arrays(np.eye(3) * 3.45, ["Na", "Cl"], [[0] * 3, [0.5] * 3]), False),
    ],
)
def test_the_fate_of_known_crystals(chgnet, name, crystal, stable) -> None:
    result = phonons(crystal, chgnet, PhononSettings(supercell_a=6.0))
    assert result.verdict.passed == stable, f"{name}: {result.verdict.reason}"
    assert (result.lowest_thz < -0.5) != stable
    assert len(result.bands.distance) == len(result.bands.frequencies_thz)
    assert next(label for _, label in result.bands.ticks) == "G"


def test_the_corner_of_the_zone_is_always_looked_at(chgnet) -> None:
    """Cubic strontium titanate tilts its octahedra: the mode sits at (1/2, 1/2, 1/2) alone."""
    edges = [[0] * 3, [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    titanate = Crystal.from_arrays(np.eye(3) * 3.95, ["Sr", "Ti", "O", "O", "O"], edges)
    result = phonons(titanate, chgnet, PhononSettings())
    assert not result.verdict.passed
    assert result.lowest_at == (0.5, 0.5, 0.5)


def test_the_cost_is_known_beforehand(chgnet) -> None:
    salt = Crystal.from_arrays(FACE_CENTRED * 5.69, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    told = cost(salt, pace(salt, chgnet), PhononSettings())
    assert told.atoms == 128
    huge = cost(salt, pace(salt, chgnet), PhononSettings(supercell_a=80.0))
    verdict = huge.verdict(Limits())
    assert not verdict.passed
    assert "GB" in verdict.reason


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="displacement_a"):
        PhononSettings(displacement_a=-0.01)
