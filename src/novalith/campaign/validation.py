"""Validation of a short list: every check of every crystal once, its cost told first, what is finished kept.

::

    validation/results.log        one record a finding, appended when it ends
    validation/validation.csv     the findings as a table
    validation/validation.json    the same, with the phonon bands

The same call goes on where it was stopped. A finding is reused when crystal, check, potential and limits are the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novalith.campaign.findings import (
    DATA,
    FOLDER,
    Row,
    finding_to_json,
    read_validation,
    row_from_json,
    row_to_json,
    with_validations,
)
from novalith.campaign.folder import CampaignFolder, load_run
from novalith.campaign.observer import Observer, Silence
from novalith.campaign.outputs import csv_text
from novalith.campaign.record import RunRecord
from novalith.data.door import read_structures
from novalith.errors import EmptyResultError, InputError, StorageError
from novalith.materials import Crystal, Verdict
from novalith.stability.checks import Finding, Toolbox, cost_of, require, run_check
from novalith.stability.cost import Cost, duration
from novalith.store.files import folder_lock, make_folder, write_atomic
from novalith.store.log import AppendLog

LOG, TABLE = "results.log", "validation.csv"
COLUMNS = ("id", "formula", "check", "passed", "reason", "values", "potential", "wall_s")


@dataclass(frozen=True)
class Target:
    """A crystal to validate, under the id of its file or candidate."""

    id: str
    crystal: Crystal


def gather_targets(
    inputs: Sequence[Path], top: int, out: Path | None
) -> tuple[list[Target], tuple[tuple[str, Verdict], ...], Path]:
    """What to validate: the best of a campaign, or structures in files.

    Returns:
        The targets, (id, why) of structures that could not be read, and the folder for the results.

    Raises:
        InputError: files without a folder for the results, or a campaign among other things.
        StorageError: a path does not exist.
    """
    if any(CampaignFolder(path).plan.is_file() for path in inputs):
        if len(inputs) > 1 or out is not None:
            raise InputError("Give one campaign folder alone; its findings are kept in it.")
        ranked = load_run(inputs[0]).ranked[:top]
        return [Target(row.id, row.crystal) for row in ranked], (), inputs[0] / FOLDER
    for path in inputs:
        if not path.exists():
            raise StorageError(f"{path} does not exist; check the path.")
    if out is None:
        raise InputError("Give --out, a folder for the findings about structures in files.")
    targets: dict[str, Target] = {}
    refused: list[tuple[str, Verdict]] = []
    for path in inputs:
        reading = read_structures(path)
        refused += reading.refused
        for name, crystal in reading.accepted:
            unique = name if name not in targets else f"{name}_{len(targets)}"
            targets[unique] = Target(unique, crystal)
    return list(targets.values()), tuple(refused), out


def told_costs(targets: Sequence[Target], checks: Sequence[str], tools: Toolbox) -> tuple[str, ...]:
    """One sentence a crystal and check on what it will cost, and their sum last; nothing is computed but the pace."""
    require(checks)
    lines, seconds = [], 0.0
    for target in targets:
        for check in checks:
            cost = cost_of(check, target.crystal, tools)
            lines.append(f"{target.id}, {cost if isinstance(cost, Cost) else f'{check}: {cost.reason}'}")
            if isinstance(cost, Cost) and cost.verdict(tools.limits).passed:
                seconds += cost.seconds
    count = f"{len(targets)} crystal{'s' * (len(targets) != 1)}, {len(checks)} check{'s' * (len(checks) != 1)}"
    return (*lines, f"In all about {duration(seconds)} for {count} (one core).")


def validate(
    targets: Sequence[Target],
    checks: Sequence[str],
    tools: Toolbox,
    out: Path,
    *,
    observer: Observer | None = None,
) -> tuple[Row, ...]:
    """Make checks, or go on with those in the folder.

    Args:
        targets: what to validate.
        checks: names, in the order in which they are made.
        tools: potentials, limits and tables.
        out: folder for the log and the tables.
        observer: hears the costs first, then of every finding.

    Raises:
        EmptyResultError: there is nothing to validate.
        MissingExtraError: a package that a check needs is not installed.
    """
    if not targets:
        raise EmptyResultError("There is no crystal to validate.")
    require(checks)
    told = observer or Silence()
    make_folder(out)
    rows = []
    with folder_lock(out), AppendLog(out / LOG) as log:
        known = {record["key"]: record for record in log.records}
        open_ = [t for t in targets if any(_key(t, check, tools) not in known for check in checks)]
        for line in told_costs(open_, checks, tools) if open_ else ("Everything was validated before.",):
            told.note(line)
        told.stage("Validating", len(targets) * len(checks))
        for target in targets:
            for check in checks:
                key = _key(target, check, tools)
                if key not in known:
                    finding = run_check(check, target.crystal, tools)
                    known[key] = {"key": key, "id": target.id, **_to_json(target, finding)}
                    log.append(known[key])
                    told.note(
                        f"{target.id}, {check}: {'passed' if finding.verdict.passed else 'NOT PASSED'}. "
                        f"{finding.verdict.reason}"
                    )
                rows.append(row_from_json({**known[key], "id": target.id}))
                told.advance(1)
        _write(_merged(out, rows), out)
    return tuple(rows)


def validate_run(record: RunRecord, checks: Sequence[str], top: int, tools: Toolbox, observer: Observer) -> RunRecord:
    """Validate the best candidates of a campaign; the findings stay in its folder.

    Args:
        record: the finished campaign.
        checks: names.
        top: how many candidates, from the first.
        tools: potentials, limits and tables.
        observer: hears the costs first.
    """
    targets = [Target(row.id, row.crystal) for row in record.ranked[:top]]
    validate(targets, checks, tools, record.folder / FOLDER, observer=observer)
    return with_validations(record, read_validation(record.folder))


def table_text(rows: Sequence[Row]) -> str:
    """The findings for the terminal."""
    lines = []
    for row in rows:
        values = ", ".join(f"{name} {value:.4g}" for name, value in row.finding.values.items())
        mark = "passed" if row.finding.verdict.passed else "NOT PASSED"
        lines.append(f"{row.id} ({row.formula}) {row.finding.check}: {mark}. {row.finding.verdict.reason}")
        if values:
            lines.append(f"    {values}")
    return "\n".join(lines)


def _key(target: Target, check: str, tools: Toolbox) -> str:
    limits = f"{tools.limits.seconds:g} s {tools.limits.memory_gb:g} GB"
    return f"{target.crystal.content_id} {check} {tools.first.info.label} {limits}"


def _to_json(target: Target, finding: Finding) -> dict[str, Any]:
    return {"formula": target.crystal.composition.formula, **finding_to_json(finding)}


def _merged(out: Path, rows: Sequence[Row]) -> list[Row]:
    """The findings of this call and those of earlier calls that it did not make again."""
    fresh = {(row.id, row.finding.check) for row in rows}
    earlier = read_validation(out.parent) if out.name == FOLDER else {}
    old_formulas = {row.id: row.formula for row in rows}
    path = out / DATA
    if path.is_file():
        old_formulas = {r["id"]: r["formula"] for r in json.loads(path.read_text(encoding="utf-8"))} | old_formulas
    kept = [
        Row(id_, old_formulas[id_], finding)
        for id_, findings in earlier.items()
        for finding in findings
        if (id_, finding.check) not in fresh
    ]
    return [*rows, *kept]


def _write(rows: Sequence[Row], out: Path) -> None:
    cells = (
        (
            row.id,
            row.formula,
            row.finding.check,
            row.finding.verdict.passed,
            row.finding.verdict.reason,
            " ".join(f"{name}={value:.6g}" for name, value in row.finding.values.items()),
            row.finding.potential,
            row.finding.wall_s,
        )
        for row in rows
    )
    write_atomic(out / TABLE, csv_text(COLUMNS, cells))
    write_atomic(out / DATA, json.dumps([row_to_json(row) for row in rows], allow_nan=False))
