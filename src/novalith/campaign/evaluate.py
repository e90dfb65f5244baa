"""Evaluation of structures from anywhere: validity, uniqueness, novelty, stability, and how many are all of it.

Every count is a *joint* count over all structures that were given, failures included, never a product of rates. Beside
the counts stand the evaluator, the hull, the novelty reference, the tolerances and the relaxations spent: a number
without them means nothing.

- *valid*: cell, distances and charge rules of `novalith.screen` pass for the structure as given;
- *unique*: no structure before it in the list is the same after relaxation (at the house tolerances);
- *novel*: not a known structure of the bundled data, judged after relaxation;
- *stable*: converged, at most 0 (strict) or 0.1 eV/atom (loose) above the hull of the bundled MP table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from novalith.campaign.finish import CHARGE_RULE
from novalith.campaign.observer import Observer, Silence
from novalith.data.library import Library
from novalith.materials import Crystal, Verdict
from novalith.relax.base import Relaxation
from novalith.relax.pool import RelaxationPool
from novalith.relax.potentials import CHGNET, potential_info
from novalith.relax.settings import RelaxSettings
from novalith.represent.gene import SYMPREC, spacegroup_of
from novalith.screen.cell import CellSanity
from novalith.screen.distances import Distances
from novalith.screen.duplicates import group_duplicates
from novalith.screen.novelty import Grade, NoveltyIndex
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL
from novalith.stability.hull import ConvexHull, judge_formation_energy
from novalith.stability.references import formation_energy
from novalith.stability.table import TABLE_REFERENCES, table_phases

#: "Stable" at the loose setting: the limit of metastability of most published tables, eV/atom.
LOOSE_EV_PER_ATOM = 0.1


@dataclass(frozen=True)
class EvaluatedStructure:
    """Every verdict on one structure.

    Attributes:
        id: as given.
        formula: reduced formula.
        n_atoms: sites as given.
        spacegroup: after relaxation where it converged, else as given.
        valid: whether all rules pass for the structure as given.
        invalid_because: the first rule that fails, with its numbers.
        ending: how its relaxation ended.
        energy_above_hull_ev_per_atom: None where the relaxation did not converge or an element has no reference.
        same_as: id of the first structure equal to it, its own where it is the first.
        novelty: grade against the bundled data.
        nearest_known: formula and id of the nearest known material.
    """

    id: str
    formula: str
    n_atoms: int
    spacegroup: int
    valid: bool
    invalid_because: str
    ending: str
    energy_above_hull_ev_per_atom: float | None
    same_as: str
    novelty: str
    nearest_known: str


def evaluate(
    structures: Sequence[tuple[str, Crystal]],
    refused: Sequence[tuple[str, Verdict]],
    library: Library,
    *,
    settings: RelaxSettings | None = None,
    workers: int = 1,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Judge structures one by one and together.

    Args:
        structures: (id, crystal) pairs that could be read.
        refused: (id, verdict) of those that could not; they count in every denominator.
        library: the novelty reference and the hull.
        settings: of the relaxations.
        workers: relaxations at a time.
        observer: hears of the progress.

    Returns:
        {"protocol": ..., "summary": ..., "structures": [...], "refused": {...}}, ready for JSON.
    """
    observer = observer or Silence()
    settings = settings or RelaxSettings()
    potential = CHGNET.name
    observer.stage("Relaxing", len(structures))
    relaxed: dict[str, Relaxation] = {}
    if structures:
        with RelaxationPool(potential, settings, workers) as pool:
            for identifier, relaxation in pool.run(structures):
                relaxed[identifier] = relaxation
                observer.advance(1)
    finals = [relaxed[i].final for i, _ in structures]
    first = group_duplicates(finals)
    novelties = NoveltyIndex(library).judge_many(finals)
    references = library.elemental_references(TABLE_REFERENCES)
    rows = []
    for k, (identifier, crystal) in enumerate(structures):
        verdict = _first_failure(crystal)
        rows.append(
            EvaluatedStructure(
                id=identifier,
                formula=crystal.composition.formula,
                n_atoms=crystal.n_atoms,
                spacegroup=spacegroup_of(finals[k])[0],
                valid=verdict.passed,
                invalid_because=verdict.reason if not verdict.passed else "",
                ending=relaxed[identifier].ending.value,
                energy_above_hull_ev_per_atom=_above_hull(relaxed[identifier], library, references),
                same_as=structures[first[k]][0],
                novelty=novelties[k].grade.value,
                nearest_known=f"{novelties[k].nearest_formula} ({novelties[k].nearest_id})",
            )
        )
    return {
        "protocol": _protocol(potential, settings, len(structures)),
        "summary": _summary(rows, len(refused)),
        "structures": [asdict(row) for row in rows],
        "refused": {identifier: verdict.reason for identifier, verdict in refused},
    }


def _first_failure(crystal: Crystal) -> Verdict:
    verdicts = (rule.check(crystal) for rule in (CellSanity(), Distances(), CHARGE_RULE))
    return next((v for v in verdicts if not v.passed), Verdict(True, "all"))


def _above_hull(relaxation: Relaxation, library: Library, references: Any) -> float | None:
    composition = relaxation.final.composition
    if not relaxation.converged or relaxation.energy_ev_per_atom is None:
        return None
    if not set(composition.field.elements) <= set(references):
        return None
    energy = formation_energy(composition, relaxation.energy_ev_per_atom, references)
    if not judge_formation_energy(energy).passed:
        return None
    hull = ConvexHull(table_phases(library, composition.field))
    return hull.position(composition, energy, relaxation.energy_scale).energy_above_hull_ev_per_atom


def _protocol(potential: str, settings: RelaxSettings, n: int) -> dict[str, Any]:
    info = potential_info(potential)
    return {
        "evaluator": f"{info.name} {info.version}",
        "energy_scale": info.energy_scale,
        "hull": "bundled MP table (95,118 reduced formulas), MP2020-corrected",
        "novelty_reference": "bundled MP structures and formula lists",
        "matcher": {"ltol": MATCHER_LTOL, "stol": MATCHER_STOL, "angle_tol": MATCHER_ANGLE_DEG},
        "symprec_a": SYMPREC,
        "max_force_ev_per_a": settings.max_force_ev_per_a,
        "relaxations": n,
        "judged": "stability, uniqueness and novelty after relaxation; validity as given",
    }


def _summary(rows: Sequence[EvaluatedStructure], n_refused: int) -> dict[str, Any]:
    def stable(row: EvaluatedStructure, limit: float) -> bool:
        energy = row.energy_above_hull_ev_per_atom
        return energy is not None and energy <= limit

    unique = {row.id for row in rows if row.same_as == row.id}
    novel = {row.id for row in rows if row.novelty != Grade.KNOWN_STRUCTURE.value}
    counts = {
        "given": len(rows) + n_refused,
        "refused": n_refused,
        "valid": sum(row.valid for row in rows),
        "converged": sum(row.ending == "converged" for row in rows),
        "unique": len(unique),
        "novel": len(novel),
        "stable": sum(stable(row, 0.0) for row in rows),
        "metastable": sum(stable(row, LOOSE_EV_PER_ATOM) for row in rows),
        "sun": sum(stable(row, 0.0) and row.id in unique & novel for row in rows),
        "msun": sum(stable(row, LOOSE_EV_PER_ATOM) and row.id in unique & novel for row in rows),
        "p1": sum(row.spacegroup == 1 for row in rows),
    }
    return {**counts, "stable_limit_ev_per_atom": 0.0, "metastable_limit_ev_per_atom": LOOSE_EV_PER_ATOM}
