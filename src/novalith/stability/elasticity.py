r"""Elastic constants and moduli from stresses of strained cells whose atoms have relaxed.

With a small strain :math:`e_j` in Voigt's notation (xx, yy, zz, 2 yz, 2 xz, 2 xy) and the stress it leaves once the
atoms have relaxed,

.. math:: C_{ij} = \frac{\sigma_i(+\delta\,e_j) - \sigma_i(-\delta\,e_j)}{2\delta}, \qquad S = C^{-1},

made symmetric. The moduli of a polycrystal lie between Voigt's (equal strain) and Reuss's (equal stress),

.. math::
   9 K_V = (C_{11}+C_{22}+C_{33}) + 2(C_{12}+C_{13}+C_{23}), \qquad 1/K_R = \sum_{i,j \le 3} S_{ij}

   15 G_V = (C_{11}+C_{22}+C_{33}) - (C_{12}+C_{13}+C_{23}) + 3(C_{44}+C_{55}+C_{66})

   15/G_R = 4(S_{11}+S_{22}+S_{33}) - 4(S_{12}+S_{13}+S_{23}) + 3(S_{44}+S_{55}+S_{66})

and Hill's are their means. A crystal is mechanically stable when every eigenvalue of C is positive (Born). Where one is
not, averages over S mean nothing; K_V, the resistance to even compression, is then what is said of its bulk modulus.

Sources: Hill, Proc. Phys. Soc. A 65, 349 (1952); Mouhat and Coudert, Phys. Rev. B 90, 224104 (2014); de Jong et al.,
Sci. Data 2, 150009 (2015), for the amplitude of the strains.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Crystal, Verdict
from novalith.relax.base import Potential
from novalith.relax.frame import Frame
from novalith.relax.relaxer import RelaxSettings, relax
from novalith.relax.walk import GPA_PER_EV_PER_A3
from novalith.stability.cost import Cost, estimate

Array = NDArray[np.float64]

NAME = "elasticity"
SOURCE = "Mouhat and Coudert, Phys. Rev. B 90, 224104 (2014)"
#: Strain in either direction; de Jong et al. used 0.005 and 0.01.
AMPLITUDE = 0.0075
#: Index pairs of Voigt's notation.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
#: Relaxations before and after straining; with ten times these bounds Ti2Cu and antimony stopped short of their minima
#: and had a lowest eigenvalue of -0.3 and -76 instead of 7 and -4 GPa.
WHOLE = RelaxSettings(max_force_ev_per_a=0.001, max_stress_gpa=0.005)
ATOMS = RelaxSettings(max_force_ev_per_a=0.001, fixed_cell=True)
#: Allowed for in the estimate: evaluations of the first relaxation and of each of the twelve others; 8 and 3.5 on
#: average over 95 crystals.
_N_WHOLE, _N_ATOMS = 8, 4
#: Constants below this are symmetry's zeros, GPa.
_ZERO_GPA = 0.05


@dataclass(frozen=True)
class Elasticity:
    """How stiff a crystal is.

    Attributes:
        verdict: whether it is mechanically stable, or why there is no answer.
        constants_gpa: (6, 6) C in Voigt's notation and the axes of `crystal`, GPa; None where there is no answer.
        bulk_modulus_gpa: Hill's mean, or Voigt's where the crystal is not mechanically stable, GPa.
        shear_modulus_gpa: Hill's mean, GPa.
        bounds_gpa: (K_R, K_V, G_R, G_V), GPa.
        crystal: the relaxed crystal.
        potential: name and version.
        wall_s: time spent, s.
    """

    verdict: Verdict
    constants_gpa: tuple[tuple[float, ...], ...] | None = None
    bulk_modulus_gpa: float | None = None
    shear_modulus_gpa: float | None = None
    bounds_gpa: tuple[float, float, float, float] | None = None
    crystal: Crystal | None = None
    potential: str = ""
    wall_s: float = 0.0

    @property
    def named_constants(self) -> dict[str, float]:
        """C11, C12 ... C66 that are not zero, as "c11_gpa": 170.0, rounded to 0.1 GPa."""
        if self.constants_gpa is None:
            return {}
        upper = {f"c{i + 1}{j + 1}_gpa": self.constants_gpa[i][j] for i in range(6) for j in range(i, 6)}
        return {name: round(value, 1) for name, value in upper.items() if abs(value) >= _ZERO_GPA}

    @property
    def poisson_ratio(self) -> float | None:
        """Of the polycrystal: (3K - 2G) / (6K + 2G)."""
        k, g = self.bulk_modulus_gpa, self.shear_modulus_gpa
        return None if k is None or g is None else (3 * k - 2 * g) / (6 * k + 2 * g)


def cost(crystal: Crystal, seconds_per_atom: float) -> Cost:
    """What `elasticity` will take."""
    return estimate(NAME, _N_WHOLE + 12 * _N_ATOMS, crystal.n_atoms, seconds_per_atom)


def elasticity(crystal: Crystal, potential: Potential) -> Elasticity:
    """Relax a crystal, strain it in twelve ways and read its stiffness from the stresses."""
    start = time.perf_counter()
    label = potential.info.label
    whole = relax(crystal, potential, WHOLE)
    if not whole.converged:
        return _no_answer(f"It did not relax ({whole.ending.value}): {whole.reason}", label, start)
    columns = []
    for i, j in VOIGT:
        stresses = []
        for sign in (1, -1):
            strained = _strained(whole.final, i, j, sign * AMPLITUDE)
            relaxation = relax(strained, potential, ATOMS)
            if not relaxation.converged:
                reason = f"Its atoms did not relax under strain ({relaxation.ending.value}): {relaxation.reason}"
                return _no_answer(reason, label, start)
            stresses.append(_voigt(potential.evaluate(relaxation.final).stress_ev_per_a3))
        columns.append((stresses[0] - stresses[1]) / (2 * AMPLITUDE))
    constants = np.stack(columns, axis=1) * GPA_PER_EV_PER_A3
    return _result((constants + constants.T) / 2, whole.final, label, time.perf_counter() - start)


def moduli(constants_gpa: Array) -> tuple[float, float, float, float]:
    """(K_R, K_V, G_R, G_V) of elastic constants (6, 6), GPa."""
    c, s = constants_gpa, np.linalg.inv(constants_gpa)
    off = [(0, 1), (0, 2), (1, 2)]
    c_diagonal, s_diagonal = np.trace(c[:3, :3]), np.trace(s[:3, :3])
    c_off, s_off = sum(c[p] for p in off), sum(s[p] for p in off)
    c_shear, s_shear = np.trace(c[3:, 3:]), np.trace(s[3:, 3:])
    return (
        float(1 / s[:3, :3].sum()),
        float((c_diagonal + 2 * c_off) / 9),
        float(15 / (4 * s_diagonal - 4 * s_off + 3 * s_shear)),
        float((c_diagonal - c_off + 3 * c_shear) / 15),
    )


def _strained(crystal: Crystal, i: int, j: int, amount: float) -> Crystal:
    """Under one strain of Voigt's notation, in which a shear counts twice."""
    strain = np.zeros((3, 3))
    strain[i, j] += amount / 2
    strain[j, i] += amount / 2
    lattice = Frame.of(crystal, fixed_cell=True).lattice @ (np.eye(3) + strain)
    return Crystal.from_arrays(lattice, crystal.species, crystal.frac_coords)


def _voigt(stress: Array) -> Array:
    return np.array([stress[pair] for pair in VOIGT])


def _no_answer(reason: str, label: str, start: float) -> Elasticity:
    verdict = Verdict(False, f"{NAME}: no answer", reason, SOURCE)
    return Elasticity(verdict, potential=label, wall_s=time.perf_counter() - start)


def _result(constants: Array, crystal: Crystal, label: str, wall_s: float) -> Elasticity:
    lowest = float(np.linalg.eigvalsh(constants)[0])
    rows = tuple(tuple(float(x) for x in row) for row in constants)
    if lowest <= 0:
        k_voigt = float(constants[:3, :3].sum()) / 9
        reason = (
            f"It yields without resistance: the lowest eigenvalue of the elastic constants is {lowest:.1f} GPa. "
            f"Against even compression it has {k_voigt:.0f} GPa."
        )
        verdict = Verdict(False, NAME, reason, SOURCE)
        return Elasticity(verdict, rows, k_voigt, crystal=crystal, potential=label, wall_s=wall_s)
    k_reuss, k_voigt, g_reuss, g_voigt = moduli(constants)
    bulk, shear = (k_reuss + k_voigt) / 2, (g_reuss + g_voigt) / 2
    reason = f"Mechanically stable: bulk modulus {bulk:.0f} GPa, shear modulus {shear:.0f} GPa."
    return Elasticity(
        verdict=Verdict(True, NAME, reason, SOURCE),
        constants_gpa=rows,
        bulk_modulus_gpa=bulk,
        shear_modulus_gpa=shear,
        bounds_gpa=(k_reuss, k_voigt, g_reuss, g_voigt),
        crystal=crystal,
        potential=label,
        wall_s=wall_s,
    )
