"""Findings of validations as data: read from a campaign folder, joined to its record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from novalith.campaign.doubts import NO_PHONONS
from novalith.campaign.record import RunRecord
from novalith.errors import CorruptDataError
from novalith.materials import Verdict
from novalith.stability.checks import Finding
from novalith.stability.phonons import Bands

#: Where findings lie in a campaign folder.
FOLDER, DATA = "validation", "validation.json"
#: BibTeX keys of what a check uses beyond the potential of the campaign.
CITED: Mapping[str, tuple[str, ...]] = {
    "phonons": ("togo2023phonopy",),
    "exfoliation": ("grimme2010d3", "grimme2011damping"),
    "second-opinion": ("park2024sevennet",),
}


@dataclass(frozen=True)
class Row:
    """One finding.

    Attributes:
        id: of the target.
        formula: reduced.
        finding: what was found.
    """

    id: str
    formula: str
    finding: Finding


def read_validation(root: Path) -> dict[str, tuple[Finding, ...]]:
    """The findings that a campaign folder holds, by candidate; none where nothing was validated.

    Raises:
        CorruptDataError: the file cannot be read.
    """
    path = root / FOLDER / DATA
    if not path.is_file():
        return {}
    found: dict[str, tuple[Finding, ...]] = {}
    try:
        for record in json.loads(path.read_text(encoding="utf-8")):
            row = row_from_json(record)
            found[row.id] = (*found.get(row.id, ()), row.finding)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{path} cannot be read ({error}). Delete it and validate again.") from error
    return found


def with_validations(record: RunRecord, found: Mapping[str, tuple[Finding, ...]]) -> RunRecord:
    """A record that shows what was found, cites what found it and doubts what did not pass."""
    made = {finding.check for findings in found.values() for finding in findings if finding.values}
    keys = [key for check in sorted(made) for key in CITED.get(check, ()) if key not in record.cited]
    ranked = tuple(replace(row, doubts=_doubts(row.doubts, found.get(row.id, ()))) for row in record.ranked)
    return replace(record, ranked=ranked, validations=dict(found), cited=(*record.cited, *dict.fromkeys(keys)))


def _doubts(doubts: tuple[str, ...], findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Doubts, with those that a finding settled left out and those that one raised put first."""
    raised = (f"Validation, {f.check}: {f.verdict.reason}" for f in findings if not f.verdict.passed)
    computed = any(f.check == "phonons" and f.values for f in findings)
    kept = (d.replace(NO_PHONONS, "") if computed else d for d in doubts)
    return tuple(dict.fromkeys((*raised, *kept)))


def row_to_json(row: Row) -> dict[str, Any]:
    """A finding as plain data."""
    return {"id": row.id, "formula": row.formula, **finding_to_json(row.finding)}


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """A finding without its target."""
    bands = finding.bands
    return {
        "check": finding.check,
        "passed": finding.verdict.passed,
        "rule": finding.verdict.rule,
        "reason": finding.verdict.reason,
        "source": finding.verdict.source,
        "values": {name: value for name, value in finding.values.items() if math.isfinite(value)},
        "potential": finding.potential,
        "wall_s": round(finding.wall_s, 2),
        "bands": None if bands is None else [list(bands.distance), bands.frequencies_thz, bands.ticks],
    }


def row_from_json(record: Mapping[str, Any]) -> Row:
    """The inverse of `row_to_json`."""
    bands = None
    if record["bands"] is not None:
        distance, frequencies, ticks = record["bands"]
        bands = Bands(tuple(distance), tuple(tuple(f) for f in frequencies), tuple((x, str(s)) for x, s in ticks))
    verdict = Verdict(record["passed"], record["rule"], record["reason"], record["source"])
    finding = Finding(record["check"], verdict, record["values"], record["wall_s"], record["potential"], bands)
    return Row(record["id"], record["formula"], finding)
