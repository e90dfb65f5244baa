"""The objects of a campaign as JSON records and back; floats keep all their digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from novalith.campaign.record import FunnelStage, RankedCrystal, RunRecord
from novalith.materials import Candidate, Composition, Crystal, Gene, Lineage, Orbit
from novalith.relax.base import Ending, Relaxation
from novalith.screen.novelty import Grade, Novelty
from novalith.stability.hull import Phase

Record = dict[str, Any]


def lineage_to_json(lineage: Lineage) -> Record:
    """A lineage with its gene as [space group, [element, multiplicity, letter], ...]."""
    gene = lineage.gene
    return {
        "generator": lineage.generator,
        "move": lineage.move,
        "parents": list(lineage.parents),
        "gene": None if gene is None else [gene.spacegroup, *([*vars(o).values()] for o in gene.orbits)],
        "scores": [list(s) for s in lineage.scores],
    }


def lineage_from_json(record: Mapping[str, Any]) -> Lineage:
    """The inverse of `lineage_to_json`."""
    gene = record["gene"]
    return Lineage(
        generator=record["generator"],
        move=record["move"],
        parents=tuple(record["parents"]),
        gene=None if gene is None else Gene(gene[0], tuple(Orbit(*orbit) for orbit in gene[1:])),
        scores=tuple((name, value) for name, value in record["scores"]),
    )


def candidate_to_json(candidate: Candidate) -> Record:
    """A candidate with its lineage."""
    return {"crystal": candidate.crystal.to_json(), "lineage": lineage_to_json(candidate.lineage)}


def candidate_from_json(record: Mapping[str, Any]) -> Candidate:
    """The inverse of `candidate_to_json`."""
    return Candidate(Crystal.from_json(record["crystal"]), lineage_from_json(record["lineage"]))


def relaxation_to_json(relaxation: Relaxation) -> Record:
    """A relaxation; the ending by its value."""
    return {
        **{k: v for k, v in vars(relaxation).items() if k not in ("initial", "final", "ending")},
        "initial": relaxation.initial.to_json(),
        "final": relaxation.final.to_json(),
        "ending": relaxation.ending.value,
    }


def relaxation_from_json(record: Mapping[str, Any]) -> Relaxation:
    """The inverse of `relaxation_to_json`."""
    crystals = {k: Crystal.from_json(record[k]) for k in ("initial", "final")}
    return Relaxation(**{**record, **crystals, "ending": Ending(record["ending"])})


def record_to_json(record: RunRecord) -> Record:
    """A whole campaign; its folder is left out, so that it can be moved, and so are validations, which have a file."""
    apart = ("folder", "funnel", "ranked", "competing", "validations")
    flat = {k: v for k, v in vars(record).items() if k not in apart}
    return {
        **flat,
        "plan": {section: dict(values) for section, values in record.plan.items()},
        "funnel": [asdict(stage) for stage in record.funnel],
        "ranked": [_ranked_to_json(row) for row in record.ranked],
        "competing": [
            [p.composition.formula, p.formation_energy_ev_per_atom, p.id, p.energy_scale] for p in record.competing
        ],
    }


def record_from_json(record: Mapping[str, Any], folder: Path) -> RunRecord:
    """The inverse of `record_to_json`."""
    return RunRecord(
        **{
            **record,
            "folder": folder,
            "funnel": tuple(FunnelStage(**stage) for stage in record["funnel"]),
            "ranked": tuple(_ranked_from_json(row) for row in record["ranked"]),
            "unranked": {k: tuple(v) for k, v in record["unranked"].items()},
            "competing": tuple(Phase(Composition.parse(f), e, i, s) for f, e, i, s in record["competing"]),
            "cited": tuple(record["cited"]),
            "formulas": tuple(tuple(entry) for entry in record.get("formulas", ())),
        }
    )


def _ranked_to_json(row: RankedCrystal) -> Record:
    return {
        **vars(row),
        "crystal": row.crystal.to_json(),
        "proposed": row.proposed.to_json(),
        "novelty": {**vars(row.novelty), "grade": row.novelty.grade.value},
        "lineage": lineage_to_json(row.lineage),
    }


def _ranked_from_json(row: Mapping[str, Any]) -> RankedCrystal:
    properties = row["properties"]
    return RankedCrystal(
        **{
            **row,
            "crystal": Crystal.from_json(row["crystal"]),
            "proposed": Crystal.from_json(row["proposed"]),
            "decomposition": tuple((f, x) for f, x in row["decomposition"]),
            "novelty": Novelty(**{**row["novelty"], "grade": Grade(row["novelty"]["grade"])}),
            "lineage": lineage_from_json(row["lineage"]),
            "doubts": tuple(row["doubts"]),
            "properties": None if properties is None else {k: tuple(v) for k, v in properties.items()},
        }
    )
