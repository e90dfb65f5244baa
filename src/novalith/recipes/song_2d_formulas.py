"""The first half of `song-2d`: a stream of formulas, the chemistry rules and the classifier, in bounded memory.

Every formula of the stream is kept or rejected under one reason, stage by stage. Of the scores, the numbers that reach
each threshold are kept for every number of elements; of the formulas, those that reach the threshold asked for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.propose.compositions import concatenated
from novalith.recipes.formula_stream import FormulaBlock
from novalith.recipes.two_dimensional_classifier import THRESHOLDS, TwoDimensionalClassifier
from novalith.represent.formula_sets import MAX_COUNT, MAX_ELEMENTS, FormulaSet, among, pack
from novalith.represent.formula_table import FormulaTable
from novalith.screen.chemistry import ChemistryOptions, judge_table

#: The numbers of elements of the published table; the last one stands for more as well.
ARITIES = (1, 2, 3, 4, 5)


@dataclass
class Stage:
    """One step of the funnel: entered = kept + rejected, each rejection under its reason.

    Attributes:
        name: what was done.
        entered: how many came in.
        kept: how many go on.
        rejected: reason -> how many.
        wall_s: time spent, s.
    """

    name: str
    entered: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    wall_s: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time of a block of code."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.wall_s += time.perf_counter() - start

    def take(self, reason: str = "") -> None:
        """Count one that is kept, or rejected for a reason."""
        self.entered += 1
        if reason:
            self.rejected[reason] += 1
        else:
            self.kept += 1

    def record(self) -> dict[str, Any]:
        """For JSON and tables."""
        told = "; ".join(f"{count} {reason}" for reason, count in self.rejected.most_common())
        return {
            "stage": self.name,
            "in": self.entered,
            "kept": self.kept,
            "rejected": sum(self.rejected.values()),
            "seconds": round(self.wall_s, 1),
            "why": told,
        }


@dataclass(frozen=True, eq=False)
class ScreenedFormulas:
    """What the stream left.

    Attributes:
        table: formulas that reach the threshold, best first.
        scores: (n,) s of them.
        stages: formulas, rules, classifier.
        above: threshold -> number of elements -> formulas that reach it, of all that passed the rules.
    """

    table: FormulaTable
    scores: NDArray[np.float64]
    stages: tuple[Stage, ...]
    above: Mapping[float, Mapping[int, int]]

    def threshold_records(self) -> list[dict[str, Any]]:
        """The published table for this stream."""
        names = {arity: f"{arity} elements" for arity in ARITIES} | {ARITIES[-1]: f"{ARITIES[-1]} or more"}
        return [
            {"s >=": t, "total": sum(counts.values())} | {names[a]: counts.get(a, 0) for a in ARITIES}
            for t, counts in self.above.items()
        ]


def screen_formulas(
    blocks: Iterable[FormulaBlock],
    classifier: TwoDimensionalClassifier,
    rules: ChemistryOptions | None,
    threshold: float,
    watch: Callable[[int], None] = lambda _: None,
) -> ScreenedFormulas:
    """Run a stream through rules and classifier.

    Args:
        blocks: the stream.
        classifier: scores.
        rules: what formulas must satisfy; None asks nothing.
        threshold: least s.
        watch: told how many formulas each block had.
    """
    first, second, third = Stage("formulas"), Stage("chemistry rules"), Stage(f"classifier, s >= {threshold:g}")
    seen = FormulaSet()
    above: dict[float, Counter[int]] = {t: Counter() for t in THRESHOLDS}
    tables: list[FormulaTable] = []
    scores: list[NDArray[np.float64]] = []
    source = iter(blocks)
    while True:
        with first.timed():  # drawing or reading is part of it
            block = next(source, None)
            if block is None:
                break
            table = _fresh(block.table, seen, first)
        with second.timed():
            table = _ruled(table, rules, second)
        with third.timed():
            found = classifier.scores(table)
            _count(table, found, above)
            kept = found >= threshold
            third.entered += len(table)
            third.kept += int(kept.sum())
            third.rejected["below the threshold"] += int((~kept).sum())
            tables.append(table.select(kept))
            scores.append(found[kept])
        watch(len(block.table))
    table, values = concatenated(tables), np.concatenate([np.zeros(0), *scores])
    order = np.argsort(-values, kind="stable")
    return ScreenedFormulas(table.select(order), values[order], (first, second, third), above)


def _fresh(table: FormulaTable, seen: FormulaSet, stage: Stage) -> FormulaTable:
    """The formulas of a block that were not met before."""
    stage.entered += len(table)
    readable = np.ones(len(table), dtype=bool)
    readable[list(table.problems)] = False
    stage.rejected["no formula"] += int((~readable).sum())
    fits = (table.atomic_numbers > 0).sum(axis=1) <= MAX_ELEMENTS
    fits &= table.counts.max(axis=1, initial=0) <= MAX_COUNT
    stage.rejected[f"more than {MAX_ELEMENTS} elements or {MAX_COUNT} atoms of one"] += int((readable & ~fits).sum())
    table = table.select(readable & fits)
    keys = pack(table)
    new = np.zeros(len(keys), dtype=bool)
    new[np.unique(keys, return_index=True)[1]] = True
    new &= ~among(keys, seen.keys)
    stage.rejected["met before"] += int((~new).sum())
    seen.add(keys[new])
    stage.kept += int(new.sum())
    stage.rejected = +stage.rejected
    return table.select(new)


def _ruled(table: FormulaTable, rules: ChemistryOptions | None, stage: Stage) -> FormulaTable:
    stage.entered += len(table)
    balanced = np.ones(len(table), dtype=bool) if rules is None else judge_table(table, rules).balanced
    stage.kept += int(balanced.sum())
    stage.rejected["no charge-balanced assignment of oxidation states"] += int((~balanced).sum())
    stage.rejected = +stage.rejected
    return table.select(balanced)


def _count(table: FormulaTable, scores: NDArray[np.float64], above: Mapping[float, Counter[int]]) -> None:
    arity = np.minimum((table.atomic_numbers > 0).sum(axis=1), ARITIES[-1])
    for threshold, counts in above.items():
        counts.update(arity[scores >= threshold].tolist())
