"""How a set of drawn formulas compares with a set of known ones, in a few numbers.

Frequencies are per formula: f_e is the share of element e among all mentions of elements, p_ef that of the pair {e, f}
among all pairs within formulas, a_k the share of formulas with k elements. Two sets differ by the total variation

    TV(f, g) = 1/2 sum |f - g|,    0 for equal sets, 1 for sets without anything in common.

A finite sample differs from its own source by TV > 0; compare sets of equal size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ELEMENTS
from novalith.represent.formula_table import FormulaTable, formula_keys
from novalith.screen.chemistry import ChemistryOptions, judge_table
from novalith.screen.oxidation import load_states

#: The oxidation states of the published tables.
PUBLISHED_RULES = ChemistryOptions("smact14")

_N = len(ELEMENTS) + 1
_MAX_ARITY = 12


@dataclass(frozen=True, eq=False)
class Reference:
    """What drawn formulas are compared with.

    Attributes:
        shares: neutral, balanced and all-metal shares.
        elements: (119,) f_e by atomic number.
        pairs: (119 * 119,) p_ef, the smaller atomic number first.
        arities: (13,) a_k.
    """

    shares: Mapping[str, float]
    elements: NDArray[np.float64]
    pairs: NDArray[np.float64]
    arities: NDArray[np.float64]

    @classmethod
    def of(cls, table: FormulaTable) -> Reference:
        """From a table; rows with problems are left out."""
        return cls(
            rule_shares(table),
            _normal(element_counts(table)),
            _normal(_pair_counts(table)),
            _normal(arity_counts(table)),
        )


def measure(drawn: FormulaTable, reference: Reference) -> dict[str, float]:
    """Shares of the draws and their distance to a reference.

    Returns:
        decoded: share of draws that are formulas; of these, neutral, balanced and metals, and unique among all draws;
        element_tv, pair_tv and arity_tv; distance, pair_tv + arity_tv + what the balanced share lacks.
    """
    arity = (drawn.atomic_numbers > 0).sum(axis=1)
    kept = drawn.select(arity > 0)
    if not len(kept):
        return {"decoded": 0.0, "neutral": 0.0, "balanced": 0.0, "metals": 0.0, "unique": 0.0,
                "element_tv": 1.0, "pair_tv": 1.0, "arity_tv": 1.0, "distance": 3.0}  # fmt: skip
    own = Reference.of(kept)
    figures = {"decoded": len(kept) / len(drawn), **own.shares}
    figures["unique"] = len(np.unique(formula_keys(kept))) / len(drawn)
    figures["element_tv"] = total_variation(own.elements, reference.elements)
    figures["pair_tv"] = total_variation(own.pairs, reference.pairs)
    figures["arity_tv"] = total_variation(own.arities, reference.arities)
    lacking = max(0.0, reference.shares["balanced"] - figures["balanced"])
    figures["distance"] = figures["pair_tv"] + figures["arity_tv"] + lacking
    return {name: round(float(value), 5) for name, value in figures.items()}


def rule_shares(table: FormulaTable, rules: ChemistryOptions = PUBLISHED_RULES) -> dict[str, float]:
    """Neutral, balanced and all-metal shares of the rows that are formulas."""
    present = (table.atomic_numbers > 0).any(axis=1)
    verdicts = judge_table(table, rules)
    n = max(1, int(present.sum()))
    return {
        "neutral": float(verdicts.neutral[present].sum() / n),
        "balanced": float(verdicts.balanced[present].sum() / n),
        "metals": float(all_metals(table)[present].sum() / n),
    }


def all_metals(table: FormulaTable) -> NDArray[np.bool_]:
    """(n,) whether every element is a metal, by the list that the chemistry rules use for alloys."""
    metal = np.array([*load_states(PUBLISHED_RULES.oxidation_set).is_metal], dtype=bool)
    metal[0] = True
    return np.asarray(metal[table.atomic_numbers].all(axis=1) & (table.atomic_numbers > 0).any(axis=1))


def element_counts(table: FormulaTable) -> NDArray[np.int64]:
    """(119,) formulas that hold each element, by atomic number."""
    counts = np.bincount(table.atomic_numbers.ravel(), minlength=_N)
    counts[0] = 0
    return counts


def arity_counts(table: FormulaTable) -> NDArray[np.int64]:
    """(13,) formulas of each number of elements, the last of 12 or more; rows without elements do not count."""
    arity = np.minimum((table.atomic_numbers > 0).sum(axis=1), _MAX_ARITY)
    counts = np.bincount(arity, minlength=_MAX_ARITY + 1)
    counts[0] = 0
    return counts


def total_variation(f: NDArray[np.float64], g: NDArray[np.float64]) -> float:
    """Half the sum of the absolute differences of two frequencies."""
    return float(np.abs(f - g).sum() / 2)


def _pair_counts(table: FormulaTable) -> NDArray[np.int64]:
    z = np.sort(table.atomic_numbers, axis=1)
    counts = np.zeros(_N * _N, dtype=np.int64)
    for i in range(z.shape[1]):
        for j in range(i + 1, z.shape[1]):
            both = z[:, i] > 0
            counts += np.bincount(z[both, i] * _N + z[both, j], minlength=_N * _N)
    return counts


def _normal(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return counts / max(1, int(counts.sum()))
