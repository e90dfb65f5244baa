r"""A second potential's answer to the same question; where two disagree, neither is to be trusted.

Both relax the crystal, and both total energies become formation energies on the Materials Project's corrected scale,

.. math:: \Delta E_f = E + \delta_\mathrm{MP2020} - \sum_i c_i\,\mu_i

with the corrections :math:`\delta` of the scheme where a potential was trained before them, and the project's own
elements :math:`\mu`. The absolute difference is shown as the uncertainty of the energy. It is a lower one: both learned
from much the same calculations and share what those got wrong.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from novalith.data.library import Library
from novalith.data.mp2020 import mp2020_correction
from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.relax.base import MP2020_PBE, PBE_UNCORRECTED, OutOfReachError, Potential, Relaxation
from novalith.relax.relaxer import RelaxSettings, relax
from novalith.stability.cost import Cost, estimate
from novalith.stability.references import formation_energy
from novalith.stability.table import TABLE_REFERENCES

NAME = "second-opinion"
SOURCE = "Park et al., J. Chem. Theory Comput. 20, 4857 (2024)"
#: Two opinions that differ by more do not agree: about the mean error of either on new compounds, eV/atom.
AGREE_EV_PER_ATOM = 0.08
#: Relative difference of the volumes beyond which they describe two structures.
AGREE_VOLUME = 0.1
SETTINGS = RelaxSettings()
_N_RELAX = 10
#: SevenNet takes this many times as long as CHGNet for the same crystal (measured, one core).
_SLOWER = 5


@dataclass(frozen=True)
class SecondOpinion:
    """Two potentials on one crystal.

    Attributes:
        verdict: whether they agree, or why there is no answer.
        formation_energies_ev_per_atom: of the first and the second, MP2020 scale, eV/atom.
        disagreement_ev_per_atom: the absolute difference, eV/atom.
        volumes_a3_per_atom: after relaxation by each, Å3/atom.
        force_left_ev_per_a: largest force of the second potential where the first one sees none, eV/Å.
        potentials: names and versions.
        wall_s: time spent, s.
    """

    verdict: Verdict
    formation_energies_ev_per_atom: tuple[float, float] | None = None
    disagreement_ev_per_atom: float | None = None
    volumes_a3_per_atom: tuple[float, float] | None = None
    force_left_ev_per_a: float | None = None
    potentials: tuple[str, str] = ("", "")
    wall_s: float = 0.0


def cost(crystal: Crystal, seconds_per_atom: float) -> Cost:
    """What `second_opinion` will take, by the pace of the first potential."""
    return estimate(NAME, 2 * _N_RELAX, crystal.n_atoms, seconds_per_atom * (1 + _SLOWER) / 2)


def second_opinion(crystal: Crystal, first: Potential, second: Potential, library: Library) -> SecondOpinion:
    """Ask two potentials.

    Args:
        crystal: what to ask about.
        first: the potential that found it.
        second: the other one.
        library: its elements of the Materials Project are the zero of both.

    Raises:
        InputError: an element has no reference energy.
    """
    start = time.perf_counter()
    potentials = first.info.label, second.info.label
    answers: list[Relaxation] = []
    for potential in (first, second):
        answer = relax(crystal if not answers else answers[0].final, potential, SETTINGS)
        if not answer.converged:
            reason = f"{potential.name} did not relax it ({answer.ending.value}): {answer.reason}"
            verdict = Verdict(False, f"{NAME}: no answer", reason, SOURCE)
            return SecondOpinion(verdict, potentials=potentials, wall_s=time.perf_counter() - start)
        answers.append(answer)
    one, two = (mp2020_formation_energy(a, library) for a in answers)
    volumes = answers[0].final.volume / crystal.n_atoms, answers[1].final.volume / crystal.n_atoms
    try:
        forces = second.evaluate(answers[0].final).forces_ev_per_a
        left: float | None = float(np.linalg.norm(forces, axis=1).max())
    except OutOfReachError:
        left = None
    return SecondOpinion(
        verdict=_verdict(one, two, volumes),
        formation_energies_ev_per_atom=(one, two),
        disagreement_ev_per_atom=abs(one - two),
        volumes_a3_per_atom=volumes,
        force_left_ev_per_a=left,
        potentials=potentials,
        wall_s=time.perf_counter() - start,
    )


def mp2020_formation_energy(relaxation: Relaxation, library: Library) -> float:
    """Formation energy of a relaxation on the Materials Project's corrected scale, eV/atom.

    Raises:
        InputError: an element has no reference, or the potential is on neither scale of the Materials Project.
    """
    composition = relaxation.final.composition
    energy = relaxation.energy_ev_per_atom or 0.0
    if relaxation.energy_scale == PBE_UNCORRECTED:
        energy += mp2020_correction(composition)
    elif relaxation.energy_scale != MP2020_PBE:
        raise InputError(f"Energies of {relaxation.potential} ({relaxation.energy_scale}) have no zero in the bundle.")
    return formation_energy(composition, energy, library.elemental_references(TABLE_REFERENCES))


def _verdict(one: float, two: float, volumes: tuple[float, float]) -> Verdict:
    apart = abs(one - two)
    swell = abs(volumes[1] / volumes[0] - 1)
    if apart > AGREE_EV_PER_ATOM:
        reason = (
            f"Formation energy {one:.3f} ± {apart:.3f} eV/atom: the two differ by {1000 * apart:.0f} meV/atom "
            f"({one:.3f} and {two:.3f} eV/atom)."
        )
        return Verdict(False, NAME, reason, SOURCE)
    if swell > AGREE_VOLUME:
        return Verdict(False, NAME, f"The volumes differ by {100 * swell:.0f} %: two structures.", SOURCE)
    reason = f"Formation energy {one:.3f} ± {apart:.3f} eV/atom: the two differ by {1000 * apart:.0f} meV/atom."
    return Verdict(True, NAME, reason, SOURCE)
