"""FIRE: a ball that rolls downhill and is stopped when it turns uphill.

Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), with its published constants. It needs no smooth second derivatives
and no falling energy, so it goes on where BFGS stalls.
"""

from __future__ import annotations

import numpy as np

from novalith.relax.walk import Point, Refusal, Walk

TIME_STEP, MAX_TIME_STEP = 0.1, 1.0
N_MIN, F_INC, F_DEC, ALPHA_START, F_ALPHA = 5, 1.1, 0.5, 0.1, 0.99
#: Largest step, Å.
MAX_STEP_A = 0.1


def fire(walk: Walk, start: Point) -> tuple[Point, Refusal | None]:
    """Roll from `start`; the refusal says why the point is not converged."""
    point, velocity = start, np.zeros_like(start.x)
    time_step, alpha, downhill = TIME_STEP, ALPHA_START, 0
    while not walk.converged(point):
        capped = walk.capped(point)
        if capped is not None:
            return point, capped
        force = -point.gradient
        if force @ velocity > 0:
            velocity = (1 - alpha) * velocity + alpha * force * np.linalg.norm(velocity) / np.linalg.norm(force)
            downhill += 1
            if downhill > N_MIN:
                time_step, alpha = min(time_step * F_INC, MAX_TIME_STEP), alpha * F_ALPHA
        else:
            velocity, time_step, alpha, downhill = np.zeros_like(velocity), time_step * F_DEC, ALPHA_START, 0
        velocity = velocity + time_step * force
        step = time_step * velocity
        step *= min(1.0, MAX_STEP_A / max(walk.frame.longest(step), 1e-12))
        trial = walk.look(point.x + step)
        if isinstance(trial, Refusal):
            return point, trial
        point = trial
        walk.n_steps += 1
    return point, None
