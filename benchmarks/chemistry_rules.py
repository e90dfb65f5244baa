"""Chemistry rules against SMACT 4.0.2: verdicts that differ, and how many times faster, on one core in one run.

Run `NOVALITH_DATA=DIR python benchmarks/chemistry_rules.py --n 30000` with the four formula tables in DIR; `--sets`,
`--tables` and `--options` narrow it down. SMACT judges about 1,000 to 3,000 formulas a second, so the whole table
takes an hour; ours is timed on the same formulas, with and without reading them from text. Where SMACT gives up a
mixed-valence search (beyond a million combinations), the row is counted as capped and not compared.

`--memory N` instead streams N formulas through the rules and prints the peak memory at each tenth of the way.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from novalith.screen.chemistry import OXIDATION_SETS, ChemistryOptions, judge_table, stream_verdicts
from novalith.represent.formula_table import read_formulas

TABLES = {
    "icsd_formulas_85x8": "reduced_formula",
    "oqmd_compositions": "formula",
    "mp_ground_states": "formula",
    "icsd_reported_formulas": "reduced_formula",
}
#: (pauling, alloys, mixed valence)
OPTION_SETS = list(itertools.product((True, False), (False, True), (False, True)))


def load(folder: Path, table: str, n: int, seed: int) -> list[str]:
    formulas = pd.read_parquet(folder / f"{table}.parquet")[TABLES[table]].astype(str).drop_duplicates().tolist()
    if len(formulas) <= n:
        return formulas
    rows = np.random.default_rng(seed).choice(len(formulas), n, replace=False)
    return [formulas[i] for i in sorted(rows.tolist())]


def smact_verdicts(formulas: list[str], options: ChemistryOptions) -> tuple[np.ndarray, np.ndarray, float]:
    """Verdicts, which of them come from a search given up, and seconds."""
    from smact.screening import smact_validity

    name = None if options.oxidation_set == "icsd24_consensus3" else options.oxidation_set
    verdicts, capped = np.zeros(len(formulas), dtype=bool), np.zeros(len(formulas), dtype=bool)
    start = time.perf_counter()
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
    return verdicts, capped, time.perf_counter() - start


def our_verdicts(formulas: list[str], options: ChemistryOptions) -> tuple[np.ndarray, float, float]:
    """Verdicts, seconds with reading the formulas, seconds of judging alone (best of three)."""
    whole, judging = [], []
    for _ in range(3):
        start = time.perf_counter()
        table = read_formulas(formulas)
        middle = time.perf_counter()
        judged = judge_table(table, options)
        end = time.perf_counter()
        whole.append(end - start)
        judging.append(end - middle)
    return judged.balanced, min(whole), min(judging)


def compare(folder: Path, arguments: argparse.Namespace) -> int:
    print(f"{'table':24s}{'set':19s}{'pauling alloys mixed':22s}{'n':>7s}{'valid':>7s}{'differ':>7s}{'capped':>7s}"
          f"{'smact/s':>9s}{'ours/s':>11s}{'ratio':>7s}{'judging only':>14s}")  # fmt: skip
    differing = 0
    slowest = float("inf")
    for table in arguments.tables:
        formulas = load(folder, table, arguments.n, arguments.seed)
        judge_table(read_formulas(formulas[:100]), ChemistryOptions())
        for name, (pauling, alloys, mixed) in itertools.product(arguments.sets, arguments.options):
            options = ChemistryOptions(name, pauling, alloys, mixed)
            theirs, capped, smact_s = smact_verdicts(formulas, options)
            ours, whole_s, judging_s = our_verdicts(formulas, options)
            wrong = [f for f, a, b, c in zip(formulas, theirs, ours, capped, strict=True) if a != b and not c]
            differing += len(wrong)
            slowest = min(slowest, smact_s / whole_s)
            flags = f"{pauling!s:8s}{alloys!s:7s}{mixed!s:7s}"
            print(f"{table:24s}{name:19s}{flags:22s}{len(formulas):7d}{ours.mean():7.3f}{len(wrong):7d}"
                  f"{int(capped.sum()):7d}{len(formulas) / smact_s:9.0f}{len(formulas) / whole_s:11.0f}"
                  f"{smact_s / whole_s:7.0f}{smact_s / judging_s:14.0f} {' '.join(wrong[:3])}", flush=True)  # fmt: skip
    print(f"\n{differing} differing verdicts; smallest ratio {slowest:.0f} (formulas read from text, one core)")
    return 1 if differing else 0


def memory(folder: Path, n: int, seed: int) -> int:
    source = load(folder, "icsd_reported_formulas", 10**9, seed)
    step = max(n // 10, 1)
    balanced, start = 0, time.perf_counter()
    endless = itertools.islice(itertools.cycle(source), n)
    for done, verdict in enumerate(stream_verdicts(endless, ChemistryOptions()), start=1):
        balanced += verdict.balanced
        if done % step == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{done:>10,} formulas  {time.perf_counter() - start:7.1f} s  peak {peak:6.0f} MB", flush=True)
    print(f"{balanced:,} balanced")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("NOVALITH_DATA"))
    parser.add_argument("--n", type=int, default=30_000, help="formulas of each table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--sets", nargs="+", default=list(OXIDATION_SETS), choices=list(OXIDATION_SETS))
    parser.add_argument(
        "--options",
        nargs="+",
        default=OPTION_SETS,
        type=lambda text: tuple(flag == "1" for flag in text),
        help="triples of 0 and 1 for Pauling, alloys, mixed valence; 100 is Pauling alone",
    )
    parser.add_argument("--memory", type=int, default=0, help="stream this many formulas instead")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("set NOVALITH_DATA or give --data: the folder with the four formula tables")
    print(f"seed {arguments.seed}, one thread, Python {sys.version.split()[0]}, numpy {np.__version__}")
    if arguments.memory:
        return memory(Path(arguments.data), arguments.memory, arguments.seed)
    return compare(Path(arguments.data), arguments)


if __name__ == "__main__":
    sys.exit(main())
