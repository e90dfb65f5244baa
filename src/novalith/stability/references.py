r"""From the energy a potential gives to a formation energy.

.. math:: \Delta E_f = E - \sum_i c_i\,\mu_i

with the energy :math:`E` of the material (eV/atom), its atomic fractions :math:`c_i` and the energies :math:`\mu_i` of
the elements in their reference states (eV/atom) *by the same potential*. Only then do constant offsets of a potential
cancel. CHGNet's energies already carry the corrections of the MP2020 scheme (Wang et al., Sci. Rep. 11, 15496, 2021),
so nothing is corrected here; oxygen's reference is the solid of the Materials Project, whose energy was fitted, not a
molecule.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from novalith.errors import InputError
from novalith.materials import Composition


def formation_energy(composition: Composition, energy_ev_per_atom: float, references: Mapping[str, float]) -> float:
    """Formation energy relative to the elements, eV/atom.

    Args:
        composition: what the energy belongs to.
        energy_ev_per_atom: its energy by the potential that gave the references, eV/atom.
        references: element -> energy of its reference state, eV/atom.

    Raises:
        InputError: an element has no reference, or the energy is not a finite number.
    """
    if not math.isfinite(energy_ev_per_atom):
        raise InputError(f"The energy of {composition} is {energy_ev_per_atom}; expected a finite number of eV/atom.")
    missing = [s for s in composition.field.elements if s not in references]
    if missing:
        raise InputError(
            f"There is no reference energy of {', '.join(missing)}, so {composition} has no formation energy; choose a "
            "potential whose elemental references hold it, or leave the element out."
        )
    return energy_ev_per_atom - sum(composition.fraction(s) * references[s] for s in composition.field.elements)
