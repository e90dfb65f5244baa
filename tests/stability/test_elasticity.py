"""Elastic constants: moduli as pymatgen averages them, springs with known constants, measured salts."""

import numpy as np
import pytest

from novalith.materials import Crystal
from novalith.relax.base import Evaluated, Potential, PotentialInfo
from novalith.relax.walk import GPA_PER_EV_PER_A3
from novalith.stability.cost import pace
from novalith.stability.elasticity import VOIGT, cost, elasticity, moduli

CONSTANTS = np.array(
    [
        [170, 60, 50, 0, 0, 0],
        [60, 150, 40, 0, 0, 0],
        [50, 40, 130, 0, 0, 0],
        [0, 0, 0, 45, 0, 0],
        [0, 0, 0, 0, 55, 0],
        [0, 0, 0, 0, 0, 65],
    ],
    dtype=float,
)


def test_averages_agree_with_pymatgen():
    from pymatgen.analysis.elasticity import ElasticTensor

    theirs = ElasticTensor.from_voigt(CONSTANTS)
    ours = moduli(CONSTANTS)
    assert ours == pytest.approx((theirs.k_reuss, theirs.k_voigt, theirs.g_reuss, theirs.g_voigt))


class Block(Potential):
    """A block of given elastic constants around a cubic cell of 4 Å, whatever atoms it holds."""

    info = PotentialInfo("block", "1", "block", "nobody")

    def __init__(self, constants_gpa):
        self.constants = constants_gpa / GPA_PER_EV_PER_A3

    def evaluate(self, crystal: Crystal) -> Evaluated:
        strain = np.array(crystal.lattice) / 4.0 - np.eye(3)
        strain = (strain + strain.T) / 2
        voigt = np.array([strain[p] * (1 if p[0] == p[1] else 2) for p in VOIGT])
        six = self.constants @ voigt
        stress = np.zeros((3, 3))
        for value, (i, j) in zip(six, VOIGT, strict=True):
            stress[i, j] = stress[j, i] = value
        return Evaluated(0.5 * 64 * float(voigt @ six), np.zeros((crystal.n_atoms, 3)), stress)


CUBE = Crystal.from_arrays(np.eye(3) * 4, ["Cu"], [[0, 0, 0]])


def test_the_constants_of_a_block_come_back():
    result = elasticity(CUBE, Block(CONSTANTS))
    np.testing.assert_allclose(result.constants_gpa, CONSTANTS, atol=1e-6)
    assert result.bounds_gpa == pytest.approx(moduli(CONSTANTS))
    assert result.bulk_modulus_gpa == pytest.approx(np.mean(result.bounds_gpa[:2]))


def test_a_block_that_gives_way_is_unstable():
    soft = CONSTANTS.copy()
    soft[0, 1] = soft[1, 0] = 200.0
    result = elasticity(CUBE, Block(soft))
    assert not result.verdict.passed
    assert "eigenvalue" in result.verdict.reason
    assert result.bulk_modulus_gpa == pytest.approx((170 + 150 + 130 + 2 * (200 + 50 + 40)) / 9)  # Voigt's still holds
    assert result.shear_modulus_gpa is None


def test_constants_are_named_and_zeros_left_out():
    named = elasticity(CUBE, Block(CONSTANTS)).named_constants
    assert named == {
        "c11_gpa": 170.0, "c12_gpa": 60.0, "c13_gpa": 50.0, "c22_gpa": 150.0, "c23_gpa": 40.0, "c33_gpa": 130.0,
        "c44_gpa": 45.0, "c55_gpa": 55.0, "c66_gpa": 65.0,
    }  # fmt: skip


def test_salts_are_soft_and_oxides_hard(chgnet):
    """Measured: KCl 17.5 GPa (Anderson 1966), MgO 160 GPa (Spetzler 1970); CHGNet is soft by about a fifth."""
    face_centred = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
    salt = Crystal.from_arrays(face_centred * 6.38, ["K", "Cl"], [[0] * 3, [0.5] * 3])
    oxide = Crystal.from_arrays(face_centred * 4.25, ["Mg", "O"], [[0] * 3, [0.5] * 3])
    assert elasticity(salt, chgnet).bulk_modulus_gpa == pytest.approx(17.5, rel=0.15)
    result = elasticity(oxide, chgnet)
    assert 110 < result.bulk_modulus_gpa < 175
    c = np.array(result.constants_gpa)
    assert c[0, 0] == pytest.approx(c[1, 1], rel=0.02)
    assert cost(oxide, pace(oxide, chgnet)).evaluations > 12
