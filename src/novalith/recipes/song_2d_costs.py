"""What the dear stages of `song-2d` will take, told before they are made and held against the limits of the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from novalith.materials import Crystal
from novalith.relax.base import Potential
from novalith.represent.layers import Monolayer
from novalith.stability import exfoliation, phonons
from novalith.stability.cost import Cost, Limits, duration, pace

#: Vibrations of a layer: multiples of a and b alone.
IN_PLANE = phonons.PhononSettings(in_plane=True)


def cost_of_exfoliation(layer: Monolayer, relaxed: Crystal, potential: Potential) -> Cost:
    """Of one layer and its bulk, or the stacks that stand for it."""
    return exfoliation.cost(replace(layer, crystal=relaxed), pace(relaxed, potential))


def cost_of_phonons(relaxed: Crystal, potential: Potential) -> Cost:
    """Of the vibrations of one layer."""
    return phonons.cost(relaxed, pace(relaxed, potential), IN_PLANE)


def told_costs(costs: Sequence[Cost], limits: Limits) -> str:
    """The sum in one sentence; empty where there is nothing to make."""
    if not costs:
        return ""
    within = [cost for cost in costs if cost.verdict(limits).passed]
    layers = f"{len(within)} layer{'s' * (len(within) != 1)}"
    told = f"{costs[0].check} of {layers} will take about {duration(sum(c.seconds for c in within))} on one core"
    over = len(costs) - len(within)
    return f"{told}; {over} would take more than the limits allow and will not be made." if over else f"{told}."
