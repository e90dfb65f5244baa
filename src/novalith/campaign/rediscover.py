"""Blind rediscovery: hide known compounds, ask for their formula, count what comes back.

For each target its reduced formula is hidden from every table, each generator alone and all together run with the same
budget of relaxations, and a target counts as found where a converged crystal equals its known structure at the house
tolerances (`novalith.screen.tolerances`). Rank is the place among that run's distinct converged crystals by energy. A
crystal proposed by several runs is relaxed once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from novalith.campaign.discover import discover, settings_of
from novalith.campaign.observer import Observer, Silence
from novalith.campaign.plan import Plan
from novalith.campaign.record import RunRecord
from novalith.data.door import read_structures
from novalith.data.library import Library
from novalith.errors import EmptyResultError, InputError
from novalith.materials import Crystal
from novalith.relax.pool import RelaxationPool
from novalith.screen.duplicates import same_crystal
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL
from novalith.store.cache import FolderCache
from novalith.store.files import make_folder, write_atomic

TOGETHER = "together"


@dataclass(frozen=True)
class Target:
    """A known compound to be found again.

    Attributes:
        id: its id in the target file.
        crystal: its known structure.
    """

    id: str
    crystal: Crystal

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return self.crystal.composition.formula


@dataclass(frozen=True)
class Attempt:
    """What one run for one target came to.

    Attributes:
        id: of the target.
        formula: of the target.
        run: the generator that ran alone, or "together".
        found: whether a converged crystal equals the known structure.
        rank: its place by energy among the run's distinct converged crystals, from 1; None where not found.
        generator: who proposed it; None where not found.
        relaxations: relaxations spent by the run.
        rms_distance: matcher distance in (V/N)^(1/3); None where not found.
        energy_above_hull_ev_per_atom: of the crystal found, against the hull without the target.
        note: why nothing was relaxed, where that is so.
    """

    id: str
    formula: str
    run: str
    found: bool
    rank: int | None
    generator: str | None
    relaxations: int
    rms_distance: float | None
    energy_above_hull_ev_per_atom: float | None
    note: str = ""


def rediscover(
    targets: Sequence[Target],
    base: Plan,
    work: Path,
    *,
    workers: int = 1,
    top: int | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Run every target blind and summarise.

    Args:
        targets: known compounds.
        base: the plan of every run; its ask, hidden list and generators are set for each target and run.
        work: folder for the runs and the shared relaxations; runs of an interrupted call are taken up again.
        workers: relaxations at a time.
        top: count a target as found only at this rank or better; None for any rank.
        observer: hears of the progress.

    Returns:
        {"protocol": ..., "targets": [...], "summary": {run: {...}}}, ready for JSON.
    """
    observer = observer or Silence()
    make_folder(work)
    names = base.generators if len(base.generators) == 1 else (*base.generators, TOGETHER)
    attempts: list[Attempt] = []
    observer.stage("Blind runs", len(targets) * len(names))
    with RelaxationPool(base.potential, settings_of(base), workers) as pool:
        runs = _Runs(work, pool, FolderCache(work / "relaxations"), top)
        for target in targets:
            for name in names:
                generators = base.generators if name == TOGETHER else (name,)
                plan = replace(base, ask=target.formula, hidden=(target.formula,), generators=generators)
                attempts.append(_attempt(target, name, plan, runs))
                observer.advance(1)
    return {
        "protocol": {
            "budget": base.budget,
            "seed": base.seed,
            "top": top,
            "potential": base.potential,
            "matcher": {"ltol": MATCHER_LTOL, "stol": MATCHER_STOL, "angle_tol": MATCHER_ANGLE_DEG},
            "hidden": "the reduced formula of the target, from structures, hull table, reported and OQMD formulas",
        },
        "targets": [asdict(a) for a in attempts],
        "summary": {name: _summary([a for a in attempts if a.run == name]) for name in names},
    }


@dataclass(frozen=True)
class _Runs:
    """What all runs share: where they lie, the workers, relaxations done before, the rank that counts."""

    work: Path
    pool: RelaxationPool
    cache: FolderCache
    top: int | None


def _attempt(target: Target, name: str, plan: Plan, runs: _Runs) -> Attempt:
    folder = runs.work / f"{target.id}-{name}"
    done = folder.with_suffix(".json")
    if done.exists():
        return Attempt(**json.loads(done.read_text(encoding="utf-8")))
    try:
        record = discover(plan, folder, pool=runs.pool, cache=runs.cache)
        attempt = _judge(target, name, record, runs.top)
    except EmptyResultError as error:
        attempt = Attempt(target.id, target.formula, name, False, None, None, 0, None, None, str(error))
    write_atomic(done, json.dumps(asdict(attempt)))
    shutil.rmtree(folder, ignore_errors=True)
    return attempt


def _judge(target: Target, name: str, record: RunRecord, top: int | None) -> Attempt:
    by_energy = sorted(record.ranked, key=lambda row: (row.energy_above_hull_ev_per_atom, row.id))
    for place, row in enumerate(by_energy[:top], start=1):
        distance = same_crystal(row.crystal, target.crystal)
        if distance is not None:
            return Attempt(
                id=target.id,
                formula=target.formula,
                run=name,
                found=True,
                rank=place,
                generator=row.lineage.generator,
                relaxations=record.n_relaxations,
                rms_distance=distance,
                energy_above_hull_ev_per_atom=row.energy_above_hull_ev_per_atom,
            )
    return Attempt(target.id, target.formula, name, False, None, None, record.n_relaxations, None, None)


def _summary(attempts: Sequence[Attempt]) -> dict[str, Any]:
    ranks = sorted(a.rank for a in attempts if a.rank is not None)
    return {
        "targets": len(attempts),
        "found": len(ranks),
        "share_found": len(ranks) / len(attempts) if attempts else 0.0,
        "found_at_rank_1": sum(r == 1 for r in ranks),
        "median_rank": ranks[len(ranks) // 2] if ranks else None,
        "relaxations": sum(a.relaxations for a in attempts),
        "without_proposals": sum(a.relaxations == 0 for a in attempts),
    }


#: Targets drawn from the bundled data: ternaries and quaternaries of at most this many atoms.
TARGET_ARITIES, TARGET_MAX_ATOMS = (3, 4), 20


def draw_targets(library: Library, n: int, seed: int) -> list[Target]:
    """Draw bundled ternaries and quaternaries of at most 20 atoms, one a formula, without replacement."""
    rng = np.random.default_rng(seed)
    eligible: dict[str, Target] = {}
    for known in library.structures:
        if len(known.crystal.composition.field) in TARGET_ARITIES and known.crystal.n_atoms <= TARGET_MAX_ATOMS:
            eligible.setdefault(known.formula, Target(known.id, known.crystal))
    if not 1 <= n <= len(eligible):
        raise InputError(f"{n} targets were asked for; the bundled data hold 1 to {len(eligible)}.")
    formulas = sorted(eligible)
    return [eligible[formulas[i]] for i in rng.choice(len(formulas), size=n, replace=False)]


def read_targets(path: Path) -> list[Target]:
    """Targets from a Parquet or CSV file with the columns id, formula and cif.

    Raises:
        InputError: a row cannot be read; it is named.
    """
    reading = read_structures(path)
    if reading.refused:
        identifier, verdict = reading.refused[0]
        raise InputError(
            f"{path}: {len(reading.refused)} targets cannot be read; the first is {identifier}: {verdict.reason}"
        )
    return [Target(identifier, crystal) for identifier, crystal in reading.accepted]


def summary_text(result: Mapping[str, Any]) -> str:
    """A line a run: how many were found, and where."""
    protocol = result["protocol"]
    lines = [
        f"Blind rediscovery, seed {protocol['seed']}, {protocol['budget']} relaxations a run, {protocol['potential']}, "
        f"matcher {protocol['matcher']}",
        f"{'run':<20}{'targets':>8}{'found':>7}{'share':>8}{'rank 1':>8}{'median rank':>13}{'relaxations':>13}",
    ]
    for name, s in result["summary"].items():
        lines.append(
            f"{name:<20}{s['targets']:>8}{s['found']:>7}{s['share_found']:>8.2f}{s['found_at_rank_1']:>8}"
            f"{s['median_rank'] or '-':>13}{s['relaxations']:>13}"
        )
    return "\n".join(lines)
