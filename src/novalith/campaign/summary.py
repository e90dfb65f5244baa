"""A finished campaign in a few lines, for a terminal or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from novalith.campaign.gather import BUDGET, READING
from novalith.campaign.outputs import CANDIDATE_COLUMNS, table_row
from novalith.campaign.record import RunRecord
from novalith.recipes.fields import ScoredField


def summary_json(record: RunRecord) -> dict[str, Any]:
    """The table, the funnel and where things lie."""
    return {
        "folder": str(record.folder),
        "title": record.title,
        "hull": record.hull_mode,
        "energy_scale": record.energy_scale,
        "n_relaxations": record.n_relaxations,
        "n_ranked": len(record.ranked),
        "funnel": [
            {"stage": s.name, "entered": s.entered, "kept": s.kept, "rejected": dict(s.rejected)} for s in record.funnel
        ],
        "candidates": [dict(zip(CANDIDATE_COLUMNS, table_row(row), strict=True)) for row in record.ranked],
    }


def fields_text(results: Sequence[tuple[ScoredField, RunRecord | None]], out: Path) -> str:
    """A line for each field of a ladder that began with fields."""
    lines = []
    for field, record in results:
        count = "nothing could be proposed" if record is None else f"{len(record.ranked)} crystals ranked"
        lines.append(f"{field.field.name:<20} score {field.score:6.2f}  {count}  {out / field.field.name}")
    return "\n".join([*lines, f"Table: {out / 'fields.csv'}"])


def summary_text(record: RunRecord, n_rows: int = 10) -> str:
    """Counts, the first rows and the files to look at."""
    converged = record.n_relaxations - len(record.unranked)
    lines = [
        f"{record.title}: {record.n_relaxations} relaxations, {converged} converged, {len(record.ranked)} ranked.",
        f"{'rank':>4}  {'formula':<16}{'space group':<14}{'meV/atom above hull':>20}  {'novelty':<34}generator",
    ]
    lines[1:1] = _given_told(record)
    lines += [
        f"{row.rank:>4}  {row.crystal.composition.formula:<16}{row.spacegroup_symbol:<14}"
        f"{1000 * row.energy_above_hull_ev_per_atom:>20.0f}  {row.novelty.grade.value:<34}{row.lineage.generator}"
        for row in record.ranked[:n_rows]
    ]
    if not record.ranked:
        lines.append("Nothing could be ranked; rejected.csv and unranked.csv say why.")
    lines.append(f"Report: {record.folder / 'report.html'}   Table: {record.folder / 'candidates.csv'}")
    lines.append(f"Energies by a potential ({record.energy_scale}); expect errors of about 0.08 eV/atom.")
    return "\n".join(lines)


def _given_told(record: RunRecord) -> list[str]:
    """What became of given structures before they were screened; no line where all had their turn."""
    stages = {stage.name: stage for stage in record.funnel}
    if READING not in stages:
        return []
    n, unread = stages[READING].entered, sum(stages[READING].rejected.values())
    late = sum(stages[BUDGET].rejected.values()) if BUDGET in stages else 0
    if not unread and not late:
        return []
    return [
        f"Of {n} structures given, {unread} could not be read and {late} came after the budget was spent (raise "
        "--budget); rejected.csv names them."
    ]
