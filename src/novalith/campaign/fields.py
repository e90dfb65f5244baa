"""The ladder from its top rung: rank phase fields, then run a campaign in each of the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from novalith.campaign.observer import Observer, Silence
from novalith.campaign.outputs import csv_text
from novalith.campaign.plan import Plan
from novalith.campaign.record import RunRecord
from novalith.errors import EmptyResultError
from novalith.recipes.fields import ScoredField
from novalith.store.files import make_folder, write_atomic

FIELD_COLUMNS = (
    "rank",
    "field",
    "score",
    "probability",
    "uncertainty",
    "ranked_crystals",
    "best_formula",
    "best_energy_above_hull_ev_per_atom",
    "note",
)


def discover_in_fields(
    scored: Sequence[ScoredField],
    plan_for: Callable[[str], Plan],
    run: Callable[[Plan, Path], RunRecord],
    out: Path,
    *,
    observer: Observer | None = None,
) -> list[tuple[ScoredField, RunRecord | None]]:
    """Run a campaign in each of the best unreported fields; `out/fields.csv` sums them up.

    Args:
        scored: the fields to go down into, best first.
        plan_for: the plan of the campaign in a chemical system.
        run: runs one campaign in a folder.
        out: each field gets a folder of its own in it.
        observer: hears of the progress.

    Returns:
        The fields, best first, each with its campaign, or None where nothing could be proposed in it.
    """
    observer = observer or Silence()
    make_folder(out)
    results: list[tuple[ScoredField, RunRecord | None]] = []
    notes = []
    for place, field in enumerate(scored, start=1):
        observer.note(f"Field {place} of {len(scored)}: {field.field.name}")
        try:
            results.append((field, run(plan_for(field.field.name), out / field.field.name)))
            notes.append("")
        except EmptyResultError as error:
            observer.note(str(error))
            results.append((field, None))
            notes.append(str(error))
    rows = [
        _row(place, *result, note) for place, (result, note) in enumerate(zip(results, notes, strict=True), start=1)
    ]
    write_atomic(out / "fields.csv", csv_text(FIELD_COLUMNS, rows))
    return results


def _row(place: int, field: ScoredField, record: RunRecord | None, note: str) -> tuple[object, ...]:
    ranked = record.ranked if record is not None else ()
    best = min(ranked, key=lambda row: row.energy_above_hull_ev_per_atom, default=None)
    return (
        place,
        field.field.name,
        f"{field.score:.4f}",
        "" if field.probability is None else f"{field.probability:.4f}",
        "" if field.uncertainty is None else f"{field.uncertainty:.4f}",
        len(ranked),
        "" if best is None else best.crystal.composition.formula,
        "" if best is None else f"{best.energy_above_hull_ev_per_atom:.4f}",
        note,
    )
