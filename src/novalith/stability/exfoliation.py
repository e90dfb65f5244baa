r"""Exfoliation energy: what it costs to lift one layer out of its bulk crystal.

.. math:: E_\mathrm{exf} = \frac{E_\mathrm{layer}}{n_\mathrm{layer}} - \frac{E_\mathrm{bulk}}{n_\mathrm{bulk}}
   \qquad\text{(eV/atom)}, \qquad \gamma = \frac{n_\mathrm{layer}\,E_\mathrm{exf}}{A} \qquad\text{(meV/Å}^2)

with the relaxed energy of the bulk crystal and that of one layer in vacuum, relaxed with its cell free in the plane
alone, n atoms and an area A. Both come from one potential *with* dispersion: PBE and what was trained on it bind layers
by next to nothing, so a potential without it is refused rather than answered by.

The bulk is a known parent where there is one. Otherwise layers are stacked in `REGISTRIES` and the lowest relaxed
stack counts, which makes the energy a lower bound: the true stacking may be another.

Sources: Jung, Park and Ihm, Nano Lett. 18, 2759 (2018), for the definition; Zhou et al., Sci. Data 6, 86 (2019), for
the limit of 0.2 eV/atom below which 2DMatPedia calls a layer potentially exfoliable.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from novalith.errors import CapabilityError, InputError
from novalith.materials import Crystal, Verdict
from novalith.relax.base import Ending, Potential, Relaxation
from novalith.relax.potentials.dispersion import Dispersion
from novalith.relax.relaxer import RelaxSettings, relax, without_result
from novalith.represent.layers import Monolayer, monolayer_of, stacked
from novalith.stability.cost import Cost, estimate

NAME = "exfoliation"
SOURCE = "Zhou et al., Sci. Data 6, 86 (2019)"
#: Below this a layer may come off, eV/atom.
LIMIT_EV_PER_ATOM = 0.2

#: How the next layer is moved against the one below, in fractions of a and b: on top, the two hollows of a hexagonal
#: net, and the edges and the middle of a rectangular one.
REGISTRIES = ((0.0, 0.0), (1 / 3, 2 / 3), (2 / 3, 1 / 3), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
#: Gap that stacked layers start from, Å; the median of the layered crystals of the bundle is 3.1.
START_GAP_A = 3.2

#: Energies per area need tighter relaxations than a ranking: 0.02 GPa on a cell that is four fifths vacuum.
LAYER = RelaxSettings(max_force_ev_per_a=0.02, max_stress_gpa=0.02, in_plane=True)
BULK = RelaxSettings(max_force_ev_per_a=0.02, max_stress_gpa=0.05)
#: Evaluations allowed for in the estimate; graphite, BN, MoS2, MgCl2, Bi2Te3 and P took 5 to 17 and 1 to 10.
_N_BULK, _N_LAYER = 12, 6


@dataclass(frozen=True)
class Exfoliation:
    """What lifting a layer costs.

    Attributes:
        verdict: whether the energy is below `LIMIT_EV_PER_ATOM`, or why there is none.
        energy_ev_per_atom: eV/atom.
        energy_mev_per_a2: meV/Å2.
        dispersion_ev_per_atom: the share of the dispersion correction in it; None where the potential is not such a
            sum.
        layer: the relaxed layer.
        bulk: the relaxed bulk.
        bulk_from: "parent", or the shift of the stack that was lowest.
        gap_a: between the layers of the relaxed bulk, Å; None where bonds join them.
        potential: name and version.
        wall_s: time spent, s.
    """

    verdict: Verdict
    energy_ev_per_atom: float | None = None
    energy_mev_per_a2: float | None = None
    dispersion_ev_per_atom: float | None = None
    layer: Crystal | None = None
    bulk: Crystal | None = None
    bulk_from: str = ""
    gap_a: float | None = None
    potential: str = ""
    wall_s: float = 0.0


def cost(monolayer: Monolayer, seconds_per_atom: float) -> Cost:
    """What `exfoliation_energy` will take."""
    layer = estimate(NAME, _N_LAYER, monolayer.crystal.n_atoms, seconds_per_atom)
    bulks = [monolayer.crystal.n_atoms] * len(REGISTRIES) if monolayer.parent is None else [monolayer.parent.n_atoms]
    parts = [layer, *(estimate(NAME, _N_BULK, n, seconds_per_atom) for n in bulks)]
    return Cost(
        NAME,
        sum(p.evaluations for p in parts),
        max(p.atoms for p in parts),
        sum(p.seconds for p in parts),
        max(p.memory_gb for p in parts),
    )


def exfoliation_energy(monolayer: Monolayer, bulk: Crystal | None, potential: Potential) -> Exfoliation:
    """Relax a layer and its bulk and compare them.

    Args:
        monolayer: from `novalith.represent.layers`.
        bulk: the layered crystal it belongs to; with None its parent, and without one a stack of its own.
        potential: with dispersion.

    Raises:
        CapabilityError: the potential has no dispersion.
        InputError: the bulk has another formula than the layer.
    """
    if not potential.info.dispersion:
        raise CapabilityError(
            f"{potential.info.label} has no dispersion, which is what holds layers together; its exfoliation energies "
            "mean nothing. Use chgnet-d3 or sevennet-d3."
        )
    start = time.perf_counter()
    parent = monolayer.parent if bulk is None else bulk
    if parent is not None and parent.composition.formula != monolayer.crystal.composition.formula:
        raise InputError(f"{parent.composition} is no bulk of a layer of {monolayer.crystal.composition}.")
    layer = relax(monolayer.crystal, potential, LAYER)
    stack, bulk_from = _lowest_bulk(monolayer, parent, potential) if layer.converged else (layer, "")
    result = _compare(layer, stack, potential)
    return replace(result, bulk_from=bulk_from, potential=potential.info.label, wall_s=time.perf_counter() - start)


def _lowest_bulk(monolayer: Monolayer, parent: Crystal | None, potential: Potential) -> tuple[Relaxation, str]:
    if parent is not None:
        return relax(parent, potential, BULK), "parent"
    starts = [(shift, stacked(monolayer, START_GAP_A, shift)) for shift in REGISTRIES]
    stacks = [
        (relax(crystal, potential, BULK), f"stacked with a shift of {a:.2f}, {b:.2f}") for (a, b), crystal in starts
    ]
    held = [(r, name) for r, name in stacks if r.converged and isinstance(monolayer_of(r.final), Monolayer)]
    if not held:
        reason = f"None of {len(stacks)} stacks of the layer relaxed to a layered crystal."
        return without_result(monolayer.crystal, potential.info, Ending.CAPPED, reason), ""
    return min(held, key=lambda pair: pair[0].energy_ev_per_atom or 0.0)


def _compare(layer: Relaxation, bulk: Relaxation, potential: Potential) -> Exfoliation:
    for name, relaxation in (("layer", layer), ("bulk", bulk)):
        if not relaxation.converged or relaxation.energy_ev_per_atom is None:
            reason = f"The {name} did not relax ({relaxation.ending.value}): {relaxation.reason}"
            return Exfoliation(Verdict(False, f"{NAME}: no answer", reason, SOURCE))
    energy = (layer.energy_ev_per_atom or 0.0) - (bulk.energy_ev_per_atom or 0.0)
    sheet = layer.final
    area = sheet.volume / sheet.lattice[2][2]
    read = monolayer_of(bulk.final)
    gap = read.gap_a if isinstance(read, Monolayer) else None
    return Exfoliation(
        verdict=_verdict(energy, gap),
        energy_ev_per_atom=energy,
        energy_mev_per_a2=1000 * energy * sheet.n_atoms / area,
        dispersion_ev_per_atom=_dispersion(sheet, bulk.final, potential),
        layer=sheet,
        bulk=bulk.final,
        gap_a=gap,
    )


def _verdict(energy: float, gap: float | None) -> Verdict:
    if energy < 0:
        reason = f"The layer lies {-1000 * energy:.0f} meV/atom below its bulk: the bulk is not its ground state."
        return Verdict(False, NAME, reason, SOURCE)
    grown = "" if gap is not None else " By its bonds the relaxed bulk is no stack of separate layers."
    within = energy < LIMIT_EV_PER_ATOM
    side = "below" if within else "not below"
    reason = f"{1000 * energy:.0f} meV/atom is {side} {1000 * LIMIT_EV_PER_ATOM:.0f} meV/atom.{grown}"
    return Verdict(within, NAME, reason, SOURCE)


def _dispersion(layer: Crystal, bulk: Crystal, potential: Potential) -> float | None:
    if not isinstance(potential, Dispersion):
        return None
    return potential.correction(layer).energy_ev / layer.n_atoms - potential.correction(bulk).energy_ev / bulk.n_atoms
