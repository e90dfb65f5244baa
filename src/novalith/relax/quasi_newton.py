"""BFGS from a model of the second derivatives, within a radius that it trusts.

The step is p = -H g with the inverse second derivatives H, cut to the radius. Every look, entered or not, teaches H
(Nocedal and Wright, Numerical Optimization, 2nd ed., eq. 6.17); a look that finds a higher energy is not entered and
shrinks the radius.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from novalith.relax.base import Ending
from novalith.relax.model_hessian import model_hessian
from novalith.relax.walk import Point, Refusal, Walk

Array = NDArray[np.float64]

#: Radius of the first step and the largest ever, Å; below the last one the energy is not as smooth as BFGS needs.
FIRST_RADIUS_A, MAX_RADIUS_A, MIN_RADIUS_A = 0.2, 0.4, 1e-3
#: A rise of the energy that is rounding and not a rise, eV/atom.
ROUNDING_EV_PER_ATOM = 2e-6


def quasi_newton(walk: Walk, start: Point) -> tuple[Point, Refusal | None]:
    """Descend from `start`; the refusal says why the point is not converged."""
    inverse = walk.hold(model_hessian(start.crystal, walk.settings.fixed_cell))
    rounding = ROUNDING_EV_PER_ATOM * start.crystal.n_atoms
    point, radius, fresh = start, FIRST_RADIUS_A, True
    refusal: Refusal | None = None
    while not walk.converged(point):
        capped = walk.capped(point)
        if capped is not None:
            return point, capped
        if radius < MIN_RADIUS_A:
            return point, refusal or Refusal(Ending.CAPPED, "The energy rises in the direction of the forces.")
        step: Array = -inverse @ point.gradient
        length = walk.frame.longest(step)
        if length > radius:
            step = step * (radius / length)
            length = radius
        trial = walk.look(point.x + step)
        if isinstance(trial, Refusal):
            refusal, radius = trial, length / 4
            continue
        inverse = _learn(inverse, step, trial.gradient - point.gradient, fresh)
        fresh = False
        if trial.energy_ev <= point.energy_ev + rounding:
            radius = min(MAX_RADIUS_A, max(radius, 2 * length))
            point = trial
            walk.n_steps += 1
        else:
            radius = length / 2
    return point, None


def _learn(inverse: Array, s: Array, y: Array, fresh: bool) -> Array:
    """The BFGS update of the inverse second derivatives by a step s that changed the gradient by y."""
    curvature = float(s @ y)
    if curvature <= 1e-4 * float(s @ s):  # eV/Å2; no update where the energy curves downwards
        return inverse
    if fresh:  # the model has the right shape but not the right scale (Nocedal and Wright, eq. 6.20)
        inverse = inverse * min(max(curvature / float(y @ inverse @ y), 0.1), 10.0)
    hy = inverse @ y
    return (
        inverse
        + np.outer(s, s) * (1 + float(y @ hy) / curvature) / curvature
        - (np.outer(hy, s) + np.outer(s, hy)) / curvature
    )
