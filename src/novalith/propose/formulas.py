"""Which formulas to try in a phase field: charge-balanced enumeration, ordered by a stated score.

For a formula f with elements B_i, counts n_i and a formula unit of N atoms, the score (in nats, larger is better) is

    score = max over neutral states of sum_i ln p_i(q_i)          how usual the oxidation states are
          + ln sum over known g of exp(sum_i s(A_i, B_i))         how many known formulas look like it
          - `SIZE` * N - `LACKING` * (elements of the field that f lacks)

The first term is that of `novalith.propose.oxidation_states`. In the second, g runs over the known formulas with the
same counts on elements A_i and s is the mined similarity of elements (`novalith.propose.similarity`): a formula that is
itself known contributes 1, one that differs by a usual exchange about 0.2, and a stoichiometry without precedent gets
`UNPRECEDENTED` in all. It replaces the frequency of the anonymous stoichiometry, which it contains.

A formula with a nonmetal must be neutral. In a field of metals and metalloids alone nothing is an anion: the first term
is 0 and the second decides. A formula without a nonmetal in a field that has one keeps at least `UNBALANCED`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.errors import EmptyResultError
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Composition, PhaseField
from novalith.propose.base import Request
from novalith.propose.oxidation_states import best_assignments, state_probabilities
from novalith.propose.templates import known_formulas, mined_similarity

if TYPE_CHECKING:
    from novalith.data.library import Library

#: Largest count of an element in a formula unit; 98 % of the formulas of the hull table stay below it.
MAX_COUNT = 8
#: Loss per atom of the formula unit, nats.
SIZE = 0.05
#: Loss per element of the field that a formula lacks, nats.
LACKING = 5.0
#: Second term of a stoichiometry that no known formula has.
UNPRECEDENTED = -12.0
#: Least first term of a formula without a nonmetal in a field that has one.
UNBALANCED = -8.0


@dataclass(frozen=True)
class ScoredFormula:
    """A formula worth trying.

    Attributes:
        composition: in smallest whole numbers.
        score: nats, larger is better; comparable within one phase field.
        reason: one sentence on what speaks for it.
    """

    composition: Composition
    score: float
    reason: str


def enumerate_formulas(
    field: PhaseField,
    library: Library,
    *,
    require: frozenset[str] = frozenset(),
    max_atoms: int = 24,
    limit: int = 200,
) -> list[ScoredFormula]:
    """The best formulas of a phase field, best first.

    Args:
        field: elements that may occur, at most as many as the longest formulas known.
        library: the known formulas.
        require: elements that must occur.
        max_atoms: largest number of atoms of a formula unit.
        limit: how many to return.

    Raises:
        EmptyResultError: no formula of the field can be neutral; says which states were tried.
    """
    groups = [
        _score(elements, field, library, max_atoms)
        for arity in range(max(1, len(require), min(2, len(field))), len(field) + 1)  # of several elements none alone
        for elements in itertools.combinations(field.elements, arity)
        if require <= set(elements)
    ]
    ranked = [(float(s), g, row) for g, group in enumerate(groups) for row, s in enumerate(group.scores) if s > -np.inf]
    if not ranked:
        raise EmptyResultError(_impossible(field, require, max_atoms))
    ranked.sort(key=lambda entry: (-entry[0], int(groups[entry[1]].counts[entry[2]].sum()), entry[1:]))
    return [groups[g].scored(row) for _, g, row in ranked[:limit]]


def formulas_of(request: Request, library: Library, limit: int = 50) -> tuple[Composition, ...]:
    """The formulas a request asks for: its composition, its list, or the best ones of its field."""
    if request.composition is not None:
        return (request.composition.reduced,)
    if request.formulas:
        return tuple(dict.fromkeys(f.reduced for f in request.formulas if request.admits(f)))
    allowed = PhaseField(tuple(request.allowed))
    scored = enumerate_formulas(allowed, library, require=request.require, max_atoms=request.max_atoms, limit=limit)
    return tuple(f.composition for f in scored)


@dataclass(frozen=True, eq=False)
class _Group:
    """The formulas that hold each of a few elements, as arrays with one row a formula."""

    elements: tuple[str, ...]
    counts: np.ndarray[Any, Any]
    scores: np.ndarray[Any, Any]
    states: np.ndarray[Any, Any]  # mean oxidation states; zero where there are no neutral ones or none matter
    precedents: tuple[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None, ...]  # the most similar known formula

    def scored(self, row: int) -> ScoredFormula:
        composition = Composition(tuple(zip(self.elements, self.counts[row].tolist(), strict=True)))
        if len(self.elements) == 1:
            return ScoredFormula(composition, float(self.scores[row]), "the element itself")
        if self.states[row].any():
            states = " ".join(f"{e}{q:+.3g}" for e, q in zip(self.elements, self.states[row].tolist(), strict=True))
            told = f"neutral as {states}"
        else:
            told = "no anion among its elements, ranked by similar known formulas"
        near = self.precedents[row]
        like = "a stoichiometry without precedent" if near is None else f"like the known {_spell(*near)}"
        return ScoredFormula(composition, float(self.scores[row]), f"{told}; {like}")


def _score(elements: tuple[str, ...], field: PhaseField, library: Library, max_atoms: int) -> _Group:
    """Score every formula that holds each of the elements."""
    loss = LACKING * (len(field) - len(elements))
    if len(elements) == 1:
        return _Group(elements, np.ones((1, 1), int), np.zeros(1), np.zeros((1, 1)), (None,))
    counts = _count_vectors(len(elements), max_atoms)
    balance, states = best_assignments(elements, counts)
    if _has_anion(elements):
        first = balance
    elif _has_anion(field.elements):
        first = np.maximum(balance, UNBALANCED)
    else:
        first, states = np.zeros(len(counts)), np.zeros(states.shape)
    precedent, nearest = _precedents(elements, counts, library)
    return _Group(elements, counts, first + precedent - SIZE * counts.sum(axis=1) - loss, states, nearest)


def _has_anion(elements: Iterable[str]) -> bool:
    """Whether there is a nonmetal among them."""
    from pymatgen.core import Element

    return not all(Element(e).is_metal or Element(e).is_metalloid for e in elements)


@lru_cache(maxsize=16)
def _count_vectors(arity: int, max_atoms: int) -> np.ndarray[Any, Any]:
    """Every ratio of counts up to `MAX_COUNT` in smallest whole numbers, (n, arity)."""
    grid = np.indices((MAX_COUNT,) * arity).reshape(arity, -1).T + 1
    return grid[(grid.sum(axis=1) <= max_atoms) & (np.gcd.reduce(grid, axis=1) == 1)]


def _precedents(
    elements: tuple[str, ...], counts: np.ndarray[Any, Any], library: Library
) -> tuple[np.ndarray[Any, Any], tuple[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None, ...]]:
    """The second term of the score for each row of counts, and the known formula that adds most to it."""
    known, amounts = _known_arrays(library)[len(elements)]
    similarity = mined_similarity(library).log_similarity
    new = np.array([ATOMIC_NUMBERS[e] - 1 for e in elements])
    base = (MAX_COUNT + 1) ** np.arange(len(elements))
    place = np.full(int(base.sum()) * MAX_COUNT + 1, -1)
    place[counts @ base] = np.arange(len(counts))
    total, best, nearest = np.zeros(len(counts)), np.full(len(counts), -np.inf), np.full(len(counts), -1)
    for order in map(list, itertools.permutations(range(len(elements)))):
        rows = place[amounts[:, order] @ base] if len(known) else np.zeros(0, dtype=np.int64)
        inside = np.flatnonzero(rows >= 0)
        rows, likeness = rows[inside], similarity[known[inside][:, order], new].sum(axis=1)
        np.add.at(total, rows, np.exp(likeness))
        ascending = np.argsort(likeness, kind="stable")
        better = ascending[likeness[ascending] > best[rows[ascending]]]
        best[rows[better]], nearest[rows[better]] = likeness[better], inside[better]  # of equal rows the last one stays
    told = tuple(None if i < 0 else (known[i], amounts[i]) for i in nearest.tolist())
    return np.log(np.maximum(total, np.exp(UNPRECEDENTED))), told


def _spell(known: np.ndarray[Any, Any], amounts: np.ndarray[Any, Any]) -> str:
    return Composition(tuple(zip((ELEMENTS[i] for i in known), amounts.tolist(), strict=True))).formula


@lru_cache(maxsize=2)
def _known_arrays(library: Library) -> defaultdict[int, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Known formulas by number of elements: element indices (m, k) and counts (m, k), none above `MAX_COUNT`."""
    rows: defaultdict[int, list[Any]] = defaultdict(list)
    for formula in known_formulas(library):
        if all(n <= MAX_COUNT for _, n in formula):
            rows[len(formula)].append([(ATOMIC_NUMBERS[s] - 1, n) for s, n in formula])
    empty = np.zeros((0, 0), dtype=np.int64)
    arrays: defaultdict[int, tuple[Any, Any]] = defaultdict(lambda: (empty, empty))
    for arity, formulas in rows.items():
        block = np.array(formulas, dtype=np.int64)
        arrays[arity] = (block[:, :, 0], block[:, :, 1])
    return arrays


def _impossible(field: PhaseField, require: frozenset[str], max_atoms: int) -> str:
    tried = []
    for symbol in field.elements:
        states = ", ".join(f"{q:+d}" for q in state_probabilities(symbol)) or "none known"
        tried.append(f"{symbol} ({states})")
    needing = f" with {', '.join(sorted(require))}" if require else ""
    return (
        f"No formula of {field}{needing} with up to {MAX_COUNT} of each element and {max_atoms} atoms is neutral with "
        f"the oxidation states {'; '.join(tried)}. Add an element of the opposite charge, or give an exact formula, "
        "which is tried whatever its charge."
    )
