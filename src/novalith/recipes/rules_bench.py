"""The chemistry rules against SMACT 4.0.2: verdicts that differ, and how many times as fast, on one core in one run.

Both judge the same formulas in the same process; times are processor seconds, so that other work on the machine counts
for neither. Ours are the best of three, with reading the formulas from text and without. Where SMACT gives up a
mixed-valence search (beyond a million combinations) the row is counted as capped and not compared. SMACT judges some
thousand formulas a second: all tables under all options take about an hour.
"""

from __future__ import annotations

import itertools
import resource
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.training_table import formulas_of_table
from novalith.errors import MissingExtraError
from novalith.recipes.field_report import Table
from novalith.represent.formula_table import read_formulas
from novalith.screen.chemistry import OXIDATION_SETS, ChemistryOptions, judge_table, stream_verdicts

#: Table -> column of its formulas.
TABLES = {
    "icsd_formulas_85x8": "reduced_formula",
    "oqmd_compositions": "formula",
    "mp_ground_states": "formula",
    "icsd_reported_formulas": "reduced_formula",
}
#: (pauling, alloys, mixed valence)
OPTION_SETS = tuple(itertools.product((True, False), (False, True), (False, True)))


@dataclass(frozen=True)
class RulesBench:
    """What to compare.

    Attributes:
        data: folder with the tables.
        n: most formulas of each table, drawn at random.
        tables: some of `TABLES`.
        sets: some of `OXIDATION_SETS`.
        options: some of `OPTION_SETS`.
        seed: draws the formulas.
    """

    data: Path
    n: int = 30_000
    tables: Sequence[str] = tuple(TABLES)
    sets: Sequence[str] = tuple(OXIDATION_SETS)
    options: Sequence[tuple[bool, bool, bool]] = OPTION_SETS
    seed: int = 0


def compare_rules(request: RulesBench, tell: Callable[[str], None] = lambda _: None) -> Table:
    """One row a table, state set and option set.

    Raises:
        MissingExtraError: SMACT is not installed.
        StorageError: a table cannot be read.
    """
    records = []
    for table in request.tables:
        formulas = _formulas(request.data, table, request.n, request.seed)
        judge_table(read_formulas(formulas[:100]), ChemistryOptions())
        for name, (pauling, alloys, mixed) in itertools.product(request.sets, request.options):
            records.append(_compared(table, formulas, ChemistryOptions(name, pauling, alloys, mixed)))
            tell(_row(records[-1]))
    differing = sum(r["differing"] for r in records)
    slowest = min((r["ratio"] for r in records), default=float("nan"))
    lines = [_HEADER, *map(_row, records), f"{differing} differing verdicts; smallest ratio {slowest:.0f}"]
    return Table("Chemistry rules against SMACT 4.0.2", records, "\n".join(lines))


def two_cores(request: RulesBench) -> Table:
    """Formulas a second with one process and with two, wall time, after both have warmed up."""
    formulas = _formulas(request.data, "icsd_reported_formulas", 10**9, request.seed) * 8
    half = len(formulas) // 2
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_count_balanced, [formulas[:half], formulas[half:]]))
        times = {}
        for workers, parts in ((1, [formulas]), (2, [formulas[:half], formulas[half:]])):
            start = time.perf_counter()
            list(pool.map(_count_balanced, parts))
            times[workers] = time.perf_counter() - start
    records = [{"processes": w, "formulas_per_second": round(len(formulas) / s)} for w, s in times.items()]
    text = "\n".join(f"{r['processes']} processes: {r['formulas_per_second']:,} formulas a second" for r in records)
    return Table("Chemistry rules on two cores", records, text)


def memory_of_stream(request: RulesBench, n: int, tell: Callable[[str], None] = lambda _: None) -> Table:
    """Peak memory of the process at each tenth of a stream of n formulas."""
    source = _formulas(request.data, "icsd_reported_formulas", 10**9, request.seed)
    step, start, records = max(n // 10, 1), time.perf_counter(), []
    endless: Iterator[str] = itertools.islice(itertools.cycle(source), n)
    for done, _ in enumerate(stream_verdicts(endless, ChemistryOptions()), start=1):
        if done % step == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            records.append(
                {"formulas": done, "seconds": round(time.perf_counter() - start, 1), "peak_mb": round(peak, 1)}
            )
            tell(_memory_row(records[-1]))
    return Table("Memory of a stream of formulas", records, "\n".join(map(_memory_row, records)))


def _formulas(folder: Path, table: str, n: int, seed: int) -> list[str]:
    formulas = list(dict.fromkeys(formulas_of_table(folder / f"{table}.parquet", TABLES[table])))
    if len(formulas) <= n:
        return formulas
    rows = np.random.default_rng(seed).choice(len(formulas), n, replace=False)
    return [formulas[i] for i in sorted(rows.tolist())]


def _compared(table: str, formulas: list[str], options: ChemistryOptions) -> dict[str, Any]:
    theirs, capped, smact_s = _smact_verdicts(formulas, options)
    ours, whole_s, judging_s = _our_verdicts(formulas, options)
    wrong = [f for f, a, b, c in zip(formulas, theirs, ours, capped, strict=True) if a != b and not c]
    return {
        "table": table,
        "set": options.oxidation_set,
        "pauling": options.pauling,
        "alloys": options.alloys_pass,
        "mixed": options.mixed_valence,
        "n": len(formulas),
        "valid": round(float(ours.mean()), 4),
        "differing": len(wrong),
        "capped": int(capped.sum()),
        "smact_per_second": round(len(formulas) / smact_s),
        "ours_per_second": round(len(formulas) / whole_s),
        "ratio": round(smact_s / whole_s, 1),
        "ratio_judging": round(smact_s / judging_s, 1),
        "examples": wrong[:3],
    }


def _smact_verdicts(
    formulas: list[str], options: ChemistryOptions
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
    """Verdicts, which of them come from a search given up, and processor seconds."""
    try:
        from smact.screening import smact_validity
    except ImportError:
        raise MissingExtraError("smact", "dev", "Comparing the chemistry rules") from None

    name = None if options.oxidation_set == "icsd24_consensus3" else options.oxidation_set
    verdicts, capped = np.zeros(len(formulas), dtype=bool), np.zeros(len(formulas), dtype=bool)
    start = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i, formula in enumerate(formulas):
            before = len(caught)
            verdicts[i] = smact_validity(
                formula,
                use_pauling_test=options.pauling,
                include_alloys=options.alloys_pass,
                oxidation_states_set=name,
                mixed_valence=options.mixed_valence,
            )
            capped[i] = any("Mixed-valence" in str(w.message) for w in caught[before:])
            if len(caught) > 1000:
                caught.clear()
    return verdicts, capped, time.process_time() - start


def _our_verdicts(formulas: list[str], options: ChemistryOptions) -> tuple[NDArray[np.bool_], float, float]:
    """Verdicts, seconds with reading the formulas, seconds of judging alone (best of three)."""
    whole, judging = [], []
    for _ in range(3):
        start = time.process_time()
        table = read_formulas(formulas)
        middle = time.process_time()
        judged = judge_table(table, options)
        end = time.process_time()
        whole.append(end - start)
        judging.append(end - middle)
    return judged.balanced, min(whole), min(judging)


def _count_balanced(formulas: list[str]) -> int:
    return int(judge_table(read_formulas(formulas), ChemistryOptions()).balanced.sum())


_HEADER = (
    f"{'table':24s}{'set':19s}{'pauling alloys mixed':22s}{'n':>7s}{'valid':>7s}{'differ':>7s}{'capped':>7s}"
    f"{'smact/s':>9s}{'ours/s':>11s}{'ratio':>7s}{'judging only':>14s}"
)


def _row(r: dict[str, Any]) -> str:
    flags = f"{r['pauling']!s:8s}{r['alloys']!s:7s}{r['mixed']!s:7s}"
    return (
        f"{r['table']:24s}{r['set']:19s}{flags:22s}{r['n']:7d}{r['valid']:7.3f}{r['differing']:7d}{r['capped']:7d}"
        f"{r['smact_per_second']:9d}{r['ours_per_second']:11d}{r['ratio']:7.0f}{r['ratio_judging']:14.0f} "
        f"{' '.join(r['examples'])}"
    ).rstrip()


def _memory_row(r: dict[str, Any]) -> str:
    return f"{r['formulas']:>12,} formulas  {r['seconds']:7.1f} s  peak {r['peak_mb']:6.0f} MB"
