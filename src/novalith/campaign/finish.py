"""From finished relaxations to the ranked table: pure functions of the results and the bundled data.

Only converged relaxations are ranked. After relaxation every crystal is judged again: sane energy, distances, the space
group that was asked for, known structures it may have fallen into, duplicates (of which the lowest in energy stays).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from novalith.campaign.doubts import doubts_about
from novalith.campaign.funnel import Funnel
from novalith.campaign.plan import Plan
from novalith.campaign.ranking import Sortable, rank
from novalith.campaign.record import RankedCrystal
from novalith.materials import Candidate, Verdict
from novalith.relax.base import Relaxation
from novalith.represent.gene import spacegroup_of
from novalith.screen.charge import ChargeBalance
from novalith.screen.chemistry import ChemistryOptions
from novalith.screen.distances import Distances
from novalith.screen.duplicates import group_duplicates
from novalith.screen.novelty import Grade, Novelty, NoveltyIndex
from novalith.stability.hull import ConvexHull, HullPosition, Phase, judge_formation_energy
from novalith.stability.references import formation_energy

RESULT_STAGES = (
    "relaxation",
    "sane energy",
    "relaxed distances",
    "relaxed space group",
    "relaxed duplicate",
    "relaxed into a known structure",
)

#: Mixed valence and alloys are real: the rule here asks whether any charges make sense, not whether they are simple.
CHARGE_RULE = ChargeBalance(ChemistryOptions(alloys_pass=True, mixed_valence=True))


@dataclass(frozen=True)
class Surroundings:
    """What results are judged against.

    Attributes:
        novelty: the bundled tables, hidden rows removed, and the user's references.
        references: energy of each element, eV/atom: the zero of formation energies.
        phases: competing phases of the hull.
        missing: formulas known to compete whose energy is not at hand.
    """

    novelty: NoveltyIndex
    references: Mapping[str, float]
    phases: tuple[Phase, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Judged:
    """A converged relaxation with everything that its row needs."""

    candidate: Candidate
    relaxation: Relaxation
    formation_energy_ev_per_atom: float
    spacegroup: tuple[int, str]

    @property
    def energy(self) -> float:
        return self.formation_energy_ev_per_atom


def judge_results(
    plan: Plan,
    queue: Sequence[Candidate],
    results: Mapping[str, Relaxation],
    around: Surroundings,
) -> tuple[tuple[RankedCrystal, ...], Funnel]:
    """Rank the converged relaxations of a queue.

    Returns:
        The rows of the table, best first, and the funnel of the stages after relaxation.
    """
    funnel = Funnel(RESULT_STAGES)
    distances = Distances()
    judged: list[_Judged] = []
    for candidate in queue:
        relaxation = results[candidate.id]
        if not funnel.passes("relaxation", candidate, _ended_well(relaxation)):
            continue
        energy = formation_energy(relaxation.final.composition, relaxation.energy_ev_per_atom or 0.0, around.references)
        if not funnel.passes("sane energy", candidate, judge_formation_energy(energy)):
            continue
        if not funnel.passes("relaxed distances", candidate, distances.check(relaxation.final)):
            continue
        group = spacegroup_of(relaxation.final)
        if not funnel.passes("relaxed space group", candidate, _in_spacegroup(plan, group[0])):
            continue
        judged.append(_Judged(candidate, relaxation, energy, group))
    distinct = _lowest_of_each(judged, funnel)
    return _ranked(plan, distinct, funnel, around), funnel


def _ended_well(relaxation: Relaxation) -> Verdict:
    return Verdict(relaxation.converged, relaxation.ending.value, relaxation.reason or relaxation.ending.value)


def _in_spacegroup(plan: Plan, found: int) -> Verdict:
    asked = plan.spacegroup
    return Verdict(asked in (0, found), "space group", f"It relaxed to space group {found}; {asked} was asked for.")


def _lowest_of_each(judged: Sequence[_Judged], funnel: Funnel) -> list[_Judged]:
    by_energy = sorted(judged, key=lambda j: (j.energy, j.candidate.id))
    first = group_duplicates([j.relaxation.final for j in by_energy])
    kept = []
    for i, item in enumerate(by_energy):
        verdict = Verdict(
            first[i] == i, "duplicate", f"It relaxed to the same crystal as {by_energy[first[i]].candidate.id}."
        )
        if funnel.passes("relaxed duplicate", item.candidate, verdict):
            kept.append(item)
    return kept


def _ranked(plan: Plan, distinct: Sequence[_Judged], funnel: Funnel, around: Surroundings) -> tuple[RankedCrystal, ...]:
    hull = ConvexHull(around.phases)
    novelties = around.novelty.judge_many([j.relaxation.final for j in distinct])
    rows: list[tuple[_Judged, Novelty, HullPosition]] = []
    for item, novelty in zip(distinct, novelties, strict=True):
        known = novelty.grade is Grade.KNOWN_STRUCTURE and not plan.keep_known
        verdict = Verdict(not known, "known structure", f"It is {novelty.nearest_formula} ({novelty.nearest_id}).")
        if funnel.passes("relaxed into a known structure", item.candidate, verdict):
            final = item.relaxation.final
            rows.append((item, novelty, hull.position(final.composition, item.energy, item.relaxation.energy_scale)))
    order = rank(
        [
            Sortable(
                item.candidate.id,
                item.relaxation.final.composition.formula,
                item.candidate.lineage.generator,
                position.energy_above_hull_ev_per_atom,
            )
            for item, _, position in rows
        ]
    )
    return tuple(_row(place, *rows[i], around.missing) for place, i in enumerate(order, start=1))


def _row(
    place: int, item: _Judged, novelty: Novelty, position: HullPosition, missing: tuple[str, ...]
) -> RankedCrystal:
    relaxation = item.relaxation
    charge = CHARGE_RULE.check(relaxation.final)
    doubts = doubts_about(relaxation, position.energy_above_hull_ev_per_atom, novelty, item.spacegroup[0], missing)
    return RankedCrystal(
        rank=place,
        id=item.candidate.id,
        crystal=relaxation.final,
        proposed=item.candidate.crystal,
        spacegroup=item.spacegroup[0],
        spacegroup_symbol=item.spacegroup[1],
        formation_energy_ev_per_atom=item.energy,
        energy_above_hull_ev_per_atom=position.energy_above_hull_ev_per_atom,
        decomposition=position.decomposition,
        novelty=novelty,
        lineage=item.candidate.lineage,
        max_force_ev_per_a=relaxation.max_force_ev_per_a or 0.0,
        n_steps=relaxation.n_steps,
        energy_ev_per_atom=relaxation.energy_ev_per_atom,
        doubts=doubts if charge.passed else (f"Charges: {charge.reason}", *doubts),
    )
