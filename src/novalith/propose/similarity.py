"""How readily one element takes another's place, mined from data.

Two sources, both symmetric in spirit:

* *Ions* (Hautier, Fischer, Ehrlacher, Jain, Ceder, Inorg. Chem. 50, 656, 2011): weights lambda(a, b) fitted to pairs
  of isostructural ICSD compounds, P(a, b) = exp(lambda(a, b)) / Z; a pair never seen has `NEVER_SEEN`. What is used is
  lambda(a, b) - lambda(a, a)/2 - lambda(b, b)/2, at most 0, so that common ions are not preferred for being common.
  The table is pymatgen's; it knows 230 ions and, for example, neither telluride nor phosphide.
* *Elements*: among the known formulas, A and B meet wherever one formula becomes the other by replacing A by B. With
  m(A, B) such meetings, s(A, B) = log[(m(A, B) + 1/2) / sqrt(d(A) d(B))] and d(A) the number of slots that A fills
  (the counting idea of Glawe, Sanna, Gross, Marques, New J. Phys. 18, 093011, 2016, without their ordering).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Composition

#: The counts of a composition without the checks: tens of thousands are read at a time.
Counts = tuple[tuple[str, int], ...]

_PART = re.compile(r"([A-Z][a-z]?)(\d*)")

#: Weight of an ion pair that was never observed (alpha of pymatgen's implementation).
NEVER_SEEN = -5.0
#: Largest oxidation state in size.
STATE_OFFSET = 9


@dataclass(frozen=True, eq=False)
class ElementSimilarity:
    """Log-similarity of elements.

    Attributes:
        log_similarity: (118, 118), by atomic number minus one; symmetric, 0 on the diagonal, negative elsewhere.
    """

    log_similarity: np.ndarray[Any, Any]

    def of(self, a: str, b: str) -> float:
        """Log-similarity of two elements."""
        return float(self.log_similarity[ATOMIC_NUMBERS[a] - 1, ATOMIC_NUMBERS[b] - 1])


def mine_elements(formulas: Sequence[Counts]) -> ElementSimilarity:
    """Count in known formulas (distinct, reduced) which elements stand in for each other."""
    from scipy.sparse import csr_matrix

    entries = [(row, ATOMIC_NUMBERS[symbol] - 1, n) for row, counts in enumerate(formulas) for symbol, n in counts]
    row, element, number = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    # a slot is a formula with one element blanked out; its key is a sum of random words, one per (element, number)
    words = np.random.default_rng(0).integers(0, 2**63, size=(len(ELEMENTS), int(number.max(initial=0)) + 1))
    word = words[element, number].astype(np.uint64)
    total = np.zeros(len(formulas), dtype=np.uint64)
    np.add.at(total, row, word)
    _, slot = np.unique(total[row] - word + words[0, number].astype(np.uint64) * np.uint64(3), return_inverse=True)
    members = csr_matrix((np.ones(len(slot)), (slot, element)), shape=(int(slot.max(initial=0)) + 1, len(ELEMENTS)))
    meetings = (members.T @ members).toarray()
    filled = np.maximum(meetings.diagonal(), 1.0)
    similarity = np.minimum(np.log((meetings + 0.5) / np.sqrt(np.outer(filled, filled))), 0.0)
    np.fill_diagonal(similarity, 0.0)
    return ElementSimilarity(similarity)


@lru_cache(maxsize=200_000)
def read_counts(formula: str) -> Counts:
    """(symbol, number) pairs of a whole-number formula in alphabetical order; quick where there are no brackets."""
    if "(" in formula:
        return Composition.parse(formula).counts
    return tuple(sorted((symbol, int(number or 1)) for symbol, number in _PART.findall(formula)))


@cache
def ion_similarity() -> tuple[dict[str, int], np.ndarray[Any, Any]]:
    """Index of each ion ("Fe3+", "Na1+") and the matrix of log-similarities of Hautier's table."""
    from pymatgen.core import structure_prediction

    path = Path(structure_prediction.__file__).parent / "data" / "lambda.json"
    rows = [row for row in json.loads(path.read_text(encoding="utf-8")) if "D1+" not in row]
    index = {ion: i for i, ion in enumerate(sorted({row[0] for row in rows} | {row[1] for row in rows}))}
    weights = np.full((len(index), len(index)), NEVER_SEEN)
    for a, b, weight in rows:
        weights[index[a], index[b]] = weights[index[b], index[a]] = float(weight)
    own = weights.diagonal()
    return index, np.minimum(weights - own[:, None] / 2 - own[None, :] / 2, 0.0)


@cache
def ion_cube() -> np.ndarray[Any, Any]:
    """Ion similarity of (old element, its state + `STATE_OFFSET`, new element in that state); NaN where unknown."""
    index, matrix = ion_similarity()
    cube = np.full((len(ELEMENTS), 2 * STATE_OFFSET + 1, len(ELEMENTS)), np.nan)
    for state in range(-STATE_OFFSET, STATE_OFFSET + 1):
        ions = [(i, index[ion_name(s, state)]) for i, s in enumerate(ELEMENTS) if state and ion_name(s, state) in index]
        if ions:
            elements, rows = np.array(ions).T
            cube[elements[:, None], state + STATE_OFFSET, elements[None, :]] = matrix[rows[:, None], rows[None, :]]
    return cube


def ion_name(symbol: str, state: float) -> str:
    """As the ion table spells it: "Na1+", "Fe3+", "O2-"; a mean state is rounded to the nearest whole one."""
    whole = round(state)
    return f"{symbol}{abs(whole)}{'-' if whole < 0 else '+'}"
