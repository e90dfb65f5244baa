r"""A potential with the D3 dispersion correction added: what holds layers together, which PBE does not describe.

.. math:: E = E_\mathrm{potential} - \sum_{A<B} \sum_{n=6,8} s_n \frac{C_n^{AB}}{R_{AB}^n + f(R_0^{AB})^n}

with coefficients :math:`C_n` that depend on the coordination of the two atoms and the rational damping of Becke and
Johnson, :math:`f(R_0) = a_1 R_0 + a_2`. The constants s_8, a_1 and a_2 are those fitted for PBE (0.7875, 0.4289,
4.4407 bohr), the functional that the potentials here were trained on; there is no three-body term. Forces and stress
are included.

The sum is a scale of its own: it must not meet energies without dispersion on one hull.

Sources: Grimme, Antony, Ehrlich and Krieg, J. Chem. Phys. 132, 154104 (2010); Grimme, Ehrlich and Goerigk, J. Comput.
Chem. 32, 1456 (2011). Computed by the library s-dftd3 (LGPL-3).
"""

from __future__ import annotations

import numpy as np

from novalith.errors import MissingExtraError
from novalith.materials import Crystal
from novalith.relax.base import Evaluated, OutOfReachError, Potential, PotentialInfo

#: CODATA 2018.
BOHR_A = 0.529177210903
HARTREE_EV = 27.211386245988
#: The library has reference coefficients up to lawrencium; its data end there.
_MAX_ATOMIC_NUMBER = 103


class Dispersion(Potential):
    """A potential plus D3(BJ).

    Args:
        potential: whatever lacks dispersion.
        info: name, version and energy scale of the sum.

    Raises:
        MissingExtraError: the package `dftd3` is not installed.
    """

    def __init__(self, potential: Potential, info: PotentialInfo) -> None:
        try:
            from dftd3.interface import DispersionModel, RationalDampingParam
        except ImportError:
            raise MissingExtraError("dftd3", "validate", "The dispersion correction D3") from None
        self._model = DispersionModel
        self._damping = RationalDampingParam
        self._potential = potential
        self.info = info

    def evaluate(self, crystal: Crystal) -> Evaluated:
        """Energy, forces and stress with dispersion.

        Raises:
            OutOfReachError: the potential or the correction does not know an element.
        """
        plain, correction = self._potential.evaluate(crystal), self.correction(crystal)
        return Evaluated(
            plain.energy_ev + correction.energy_ev,
            plain.forces_ev_per_a + correction.forces_ev_per_a,
            plain.stress_ev_per_a3 + correction.stress_ev_per_a3,
        )

    def correction(self, crystal: Crystal) -> Evaluated:
        """The dispersion alone."""
        atoms = crystal.to_atoms()
        if atoms.numbers.max() > _MAX_ATOMIC_NUMBER:
            raise OutOfReachError(f"D3 has no coefficients for {crystal.species[int(atoms.numbers.argmax())]}.")
        model = self._model(atoms.numbers, atoms.positions / BOHR_A, atoms.cell[:] / BOHR_A, np.array([True] * 3))
        # Made anew each time: the library's objects must not outlive its module when the interpreter ends.
        answer = model.get_dispersion(self._damping(method="pbe", atm=False), grad=True)
        return Evaluated(
            energy_ev=float(answer["energy"]) * HARTREE_EV,
            forces_ev_per_a=-np.array(answer["gradient"]) * HARTREE_EV / BOHR_A,
            stress_ev_per_a3=np.array(answer["virial"]) * HARTREE_EV / crystal.volume,
        )
