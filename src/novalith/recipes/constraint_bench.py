"""Exact constraints: formulas drawn under demands, and how many break one.

Each demand is checked by code that shares nothing with the masks that enforce it: `novalith.propose.compositions.unmet`
counts elements and atoms, `novalith.screen.chemistry` judges charges.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from novalith.propose.compositions import CompositionModel, FormulaRequest, unmet
from novalith.represent.formula_table import formula_keys
from novalith.screen.chemistry import ChemistryOptions

#: Name -> demand.
CONSTRAINTS = {
    "only Li P S Cl O N": FormulaRequest(allowed=frozenset("Li P S Cl O N".split()), n_elements=(2, 6)),
    "with Li and a halide of 3 to 5 elements": FormulaRequest(require=frozenset({"Li", "Cl"}), n_elements=(3, 5)),
    "neutral by icsd24": FormulaRequest(rules=ChemistryOptions("icsd24", pauling=False), n_elements=(2, 6)),
    "balanced by smact14, at most 12 atoms": FormulaRequest(
        rules=ChemistryOptions("smact14"), n_elements=(2, 6), max_atoms=12
    ),
    "Li-Sn-S-Cl, all of them, balanced by icsd24": FormulaRequest(
        allowed=frozenset("Li Sn S Cl".split()),
        require=frozenset("Li Sn S Cl".split()),
        rules=ChemistryOptions("icsd24"),
        n_elements=(4, 4),
        max_atoms=24,
    ),
}


@dataclass(frozen=True)
class ConstraintFigures:
    """What came of one demand.

    Attributes:
        name: the demand.
        n_draws: formulas drawn.
        n_distinct: of them different.
        violations: reason -> number of draws that break it; empty where none does.
        draws_per_second: with the making of the masks.
    """

    name: str
    n_draws: int
    n_distinct: int
    violations: dict[str, int]
    draws_per_second: float


def constraint_figures(model: CompositionModel, n_draws: int, *, rng: np.random.Generator) -> list[ConstraintFigures]:
    """Draw under each of `CONSTRAINTS` and count what breaks it."""
    figures = []
    for name, request in CONSTRAINTS.items():
        start = time.perf_counter()
        table = model.draw(n_draws, request, rng=rng)
        seconds = time.perf_counter() - start
        broken = Counter(reason for reason in unmet(table, request) if reason)
        distinct = len(np.unique(formula_keys(table)))
        figures.append(ConstraintFigures(name, len(table), distinct, dict(broken), len(table) / seconds))
    return figures
