"""Relaxation of positions and cell to a minimum of a potential, with an honest ending.

BFGS in the frame of the start (`novalith.relax.quasi_newton`) does the work; where it stalls, FIRE
(`novalith.relax.fire`) goes on from the best point. Every crystal on the way is judged before it is entered
(`novalith.relax.walk`). Convergence is judged on the forces on the atoms and on the stress themselves, not on a mixture
of both.
"""

from __future__ import annotations

from novalith.materials import Crystal
from novalith.relax.base import Ending, Potential, PotentialInfo, Relaxation
from novalith.relax.fire import fire
from novalith.relax.quasi_newton import quasi_newton
from novalith.relax.settings import RelaxSettings, Windows
from novalith.relax.walk import Point, Refusal, Walk

__all__ = ["RelaxSettings", "Windows", "relax", "without_result"]


def relax(crystal: Crystal, potential: Potential, settings: RelaxSettings) -> Relaxation:
    """Relax a crystal; whatever happens is an ending, never an exception.

    Symmetry is kept as far as the forces have it and is never imposed.
    """
    walk = Walk(crystal, potential, settings)
    start = walk.look(walk.frame.start(crystal))
    if isinstance(start, Refusal):
        return without_result(crystal, potential.info, start.ending, start.reason, n_evaluations=walk.n_evaluations)
    point, refusal = quasi_newton(walk, start)
    if refusal is not None and walk.capped(point) is None:
        point, refusal = fire(walk, point)
    return _relaxation(walk, potential, crystal, point, refusal)


def _relaxation(
    walk: Walk, potential: Potential, initial: Crystal, point: Point, refusal: Refusal | None
) -> Relaxation:
    return Relaxation(
        initial=initial,
        final=point.crystal,
        ending=Ending.CONVERGED if refusal is None else refusal.ending,
        energy_ev_per_atom=point.energy_ev / point.crystal.n_atoms,
        max_force_ev_per_a=point.max_force_ev_per_a,
        max_stress_gpa=point.max_stress_gpa,
        n_steps=walk.n_steps,
        n_evaluations=walk.n_evaluations,
        energy_scale=potential.energy_scale,
        potential=potential.info.label,
        reason="" if refusal is None else refusal.reason,
    )


def without_result(
    crystal: Crystal, potential: PotentialInfo, ending: Ending, reason: str, n_evaluations: int = 0
) -> Relaxation:
    """A relaxation that never got an energy."""
    return Relaxation(
        initial=crystal,
        final=crystal,
        ending=ending,
        energy_ev_per_atom=None,
        max_force_ev_per_a=None,
        max_stress_gpa=None,
        n_steps=0,
        n_evaluations=n_evaluations,
        energy_scale=potential.energy_scale,
        potential=potential.label,
        reason=reason,
    )
