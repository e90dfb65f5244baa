"""Scored fields as CSV, JSON and text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from novalith.recipes.fields import ScoredField
from novalith.store.files import write_atomic

#: First columns of the CSV; scripts rely on their names and order.
COLUMNS = (
    "field",
    "score",
    "probability",
    "uncertainty",
    "nearest_reported",
    "reported",
    "known_parts",
    "strongest_pair",
)


def fields_csv(fields: Sequence[ScoredField]) -> str:
    """One row a field, in the order given; numbers that are not known are empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(f) for f in fields)
    return out.getvalue()


def _row(scored: ScoredField) -> list[str]:
    parts = pair = ""
    if scored.why is not None:
        known, unknown = len(scored.why.reported_parts), len(scored.why.unreported_parts)
        parts = f"{known} of {known + unknown}"
        best = scored.why.pairs[0]
        pair = f"{'-'.join(best.pair)} {best.log_lift:+.2f}"
    return [
        scored.field.name,
        f"{scored.score:.4f}",
        _number(scored.probability),
        _number(scored.uncertainty),
        _nearest(scored),
        "yes" if scored.reported else "no",
        parts,
        pair,
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _nearest(scored: ScoredField) -> str:
    return "; ".join(f"{field} ({likeness:.2f})" for field, likeness in scored.nearest[:3])


def show_fields(fields: Sequence[ScoredField], path: Path | None, as_json: bool, n_shown: int = 50) -> str:
    """Write the CSV where a path is given, and say the result as JSON or as a table of the first rows."""
    if path is not None:
        write_atomic(path, fields_csv(fields))
    if as_json:
        rows = csv.DictReader(io.StringIO(fields_csv(fields)))
        return json.dumps({"fields": list(rows), "csv": str(path) if path else None}, indent=2)
    lines = [f"{'':4s} {'field':20s}{'score':>8s}{'prob.':>7s}{'+-':>6s}  nearest reported fields"]
    for i, f in enumerate(fields[:n_shown], start=1):
        probability = "" if f.probability is None else f"{f.probability:.2f}"
        uncertainty = "" if f.uncertainty is None else f"{f.uncertainty:.2f}"
        mark = " [reported]" if f.reported else ""
        lines.append(f"{i:4d} {f.field.name:20s}{f.score:8.2f}{probability:>7s}{uncertainty:>6s}  {_nearest(f)}{mark}")
    if len(fields) > n_shown:
        lines.append(f"... {len(fields) - n_shown} more")
    return "\n".join([*lines, *([f"Wrote {path}."] if path else [])])


def show_reasons(scored: ScoredField, as_json: bool) -> str:
    """The reasons of one field as text or JSON."""
    why = scored.why
    if why is None:
        raise ValueError("The field was scored without reasons.")
    if as_json:
        record = {
            "field": scored.field.name,
            "score": scored.score,
            "probability": scored.probability,
            "uncertainty": scored.uncertainty,
            "reported": scored.reported,
            "nearest": [[f.name, likeness] for f, likeness in scored.nearest],
            "pairs": [["-".join(p.pair), p.n_reported, p.log_lift] for p in why.pairs],
            "reported_parts": [f.name for f in why.reported_parts],
            "unreported_parts": [f.name for f in why.unreported_parts],
        }
        return json.dumps(record, indent=2)
    lines = [f"{scored.field}: score {scored.score:.2f}, probability {_number(scored.probability) or 'not calibrated'}"]
    lines.append("This field is reported." if scored.reported else "No list reports this field.")
    lines.append(f"Nearest reported fields: {_nearest(scored) or 'none within one substitution'}.")
    lines += [
        f"Pair {'-'.join(p.pair)}: in {p.n_reported} reported fields, log lift {p.log_lift:+.2f}" for p in why.pairs
    ]
    lines.append(f"Reported parts: {', '.join(f.name for f in why.reported_parts) or 'none'}.")
    lines.append(f"Unreported parts: {', '.join(f.name for f in why.unreported_parts) or 'none'}.")
    return "\n".join(lines)
