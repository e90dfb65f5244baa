"""Oxidation states with probabilities, and the most probable neutral assignment of a composition.

Notation: element i has n_i atoms, each in state q_i with probability p_i(q_i); an assignment is neutral when
sum_i n_i q_i = 0, and its log-probability is sum_i log p_i(q_i). One element may be of mixed valence: its atoms
share two neighbouring states a < b, so that its mean state lies strictly between them; this costs `MIXED_VALENCE`.

The probabilities are the occurrences in the Inorganic Crystal Structure Database counted by the authors of pymatgen
(Ong et al., Comput. Mater. Sci. 68, 314, 2013; table `icsd_bv.yaml`), completed by the common states of pymatgen's
periodic table where an element is not in it.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from novalith.materials import Composition

#: States rarer than this share of an element's charged occurrences are taken for mistakes of assignment.
RAREST = 0.01
#: Log-probability of one element being of mixed valence: roughly one compound in twenty of the ICSD assignments.
MIXED_VALENCE = math.log(0.05)


@dataclass(frozen=True)
class States:
    """A neutral assignment.

    Attributes:
        of: (symbol, mean oxidation state) pairs in the order of the composition.
        log_probability: sum of the logarithms of the probabilities of the states.
    """

    of: tuple[tuple[str, float], ...]
    log_probability: float

    def __str__(self) -> str:
        return " ".join(f"{symbol}{state:+.3g}" for symbol, state in self.of)


@cache
def state_probabilities(symbol: str) -> dict[int, float]:
    """Charged states of an element and their probabilities, in ascending order; empty for a noble gas."""
    counts = {q: n for q, n in _occurrences().get(symbol, {}).items() if q != 0}
    total = sum(counts.values())
    kept = {q: n for q, n in counts.items() if n >= RAREST * total}
    if not kept:
        from pymatgen.core import Element

        kept = dict.fromkeys(Element(symbol).common_oxidation_states, 1)
    return {q: n / sum(kept.values()) for q, n in sorted(kept.items())}


def neutral_states(composition: Composition) -> States | None:
    """The most probable neutral assignment of states, None where there is none.

    A single element has none: it is neutral without any charge.
    """
    symbols = tuple(s for s, _ in composition.counts)
    best, choice = best_assignments(symbols, np.array([[n for _, n in composition.reduced.counts]]))
    if not np.isfinite(best[0]):
        return None
    return States(tuple(zip(symbols, choice[0].tolist(), strict=True)), float(best[0]))


def best_assignments(
    symbols: tuple[str, ...], counts: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The most probable neutral assignment of many compositions of the same elements.

    Args:
        symbols: the elements, k of them.
        counts: atoms per element, (n, k).

    Returns:
        Log-probabilities (n,), minus infinity where no assignment is neutral, and mean states (n, k).
    """
    states, costs = _combinations(symbols)  # (c, k), (c,)
    best = np.full(len(counts), -np.inf)
    chosen = np.zeros(counts.shape)
    if not len(states):
        return best, chosen
    charge = counts @ states.T  # (n, c)
    _improve(best, chosen, np.where(charge == 0, costs, -np.inf), lambda _rows, columns: states[columns])
    for i, symbol in enumerate(symbols):
        above, cost_above = _steps_up(symbol, states[:, i])
        missing = -charge / counts[:, i : i + 1]  # by how much the mean state of element i must rise
        mixed = (missing > 0) & (missing < above)
        scores = np.where(mixed, costs + cost_above + MIXED_VALENCE, -np.inf)

        def shifted(rows: Any, columns: Any, i: int = i, missing: Any = missing) -> Any:
            mean = states[columns].astype(float)
            mean[:, i] += missing[rows, columns]
            return mean

        _improve(best, chosen, scores, shifted)
    return best, chosen


def _improve(best: Any, chosen: Any, scores: Any, states_of: Any) -> None:
    """Take over, in place, the assignments that beat the best so far."""
    columns = scores.argmax(axis=1)
    rows = np.flatnonzero(scores[np.arange(len(scores)), columns] > best)
    best[rows] = scores[rows, columns[rows]]
    chosen[rows] = states_of(rows, columns[rows])


@cache
def _combinations(symbols: tuple[str, ...]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Every choice of one state an element, (c, k), and its log-probability, (c,)."""
    tables = [state_probabilities(s) for s in symbols]
    states = np.array(list(itertools.product(*tables)), dtype=np.int64).reshape(-1, len(symbols))
    costs = [sum(math.log(p) for p in row) for row in itertools.product(*(t.values() for t in tables))]
    return states, np.array(costs)


def _steps_up(symbol: str, lower: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Distance to the next higher state of the same sign and its log-probability; zero where there is none."""
    table = state_probabilities(symbol)
    following = {a: (b - a, math.log(table[b])) for a, b in itertools.pairwise(table) if a * b > 0}
    steps = [following.get(int(q), (0, 0.0)) for q in lower]
    return np.array([s for s, _ in steps]), np.array([c for _, c in steps])


#: One line of the section "occurrence" of the table: an ion and how often it occurs.
_OCCURRENCE = re.compile(r"^  \"?([A-Z][a-z]?)(\d*)([+-])\"?: (\d+)$", re.MULTILINE)


@cache
def _occurrences() -> dict[str, dict[int, int]]:
    """Element -> state -> count. The section is read by lines: the YAML reader takes three seconds for the file."""
    import pymatgen.core

    text = (Path(pymatgen.core.__file__).parent / "icsd_bv.yaml").read_text(encoding="utf-8")
    _, _, section = text.partition("\noccurrence:\n")
    found: dict[str, dict[int, int]] = {}
    for symbol, size, sign, count in _OCCURRENCE.findall(section):
        found.setdefault(symbol, {})[int(size or 1) * (1 if sign == "+" else -1)] = int(count)
    return found
