"""Ion exchange and substitution into known structures, ranked by data-mined probabilities.

Every known structure within the request's size is a template, and every injective map of its elements to allowed ones
is a proposal. With A_j the element on role j, B_j the one put there, q_j the states of the template and r_j those of
the product,

    score = sum over changed roles of [s_el(A_j, B_j) + s_ion(A_j, B_j; q_j)] / 2
            - sum_j |r_j - q_j| - [neutrality lost]

with the similarities of `novalith.propose.similarity` (s_el stands in where the ion table does not know an ion) and 1
for [neutrality lost] where just one of the two compositions can be neutral. On bundled ternaries and quaternaries
hidden by formula no other weights did measurably better.

For a phase field, a formula term is added (see `_formula_terms`), and the i-th structure of one formula loses
i * `CROWDING`, so that a formula with many templates does not keep the others waiting.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.materials import ATOMIC_NUMBERS, Candidate, Composition
from novalith.propose.base import Evaluation, Proposer, Request
from novalith.propose.oxidation_states import best_assignments
from novalith.propose.similarity import STATE_OFFSET, ion_cube
from novalith.propose.templates import (
    Proposal,
    TemplateTable,
    build,
    fits,
    states_of,
    template_table,
)

if TYPE_CHECKING:
    from novalith.data.library import Library

#: Loss of score per earlier structure of the same formula, in nats.
CROWDING = 0.5
#: Loss for a formula that cannot be neutral, in nats; about that of three rare oxidation states.
UNBALANCED = 6.0
#: Loss for each element of the field that the formula lacks, in nats.
LACKING = 1.5
#: Loss for a formula outside the request's list of formulas, in nats.
UNLISTED = 1.0
#: Proposals kept from the ranking of a field, before duplicates are removed.
N_KEPT = 20_000


class Substitution(Proposer):
    """Known structures with some or all of their elements replaced."""

    name = "substitution"
    honours = frozenset({"field", "composition", "deny", "require", "spacegroup", "max_atoms"})

    def __init__(self, library: Library) -> None:
        self._library = library

    def propose(self, request: Request, rng: np.random.Generator) -> Iterator[Candidate]:
        """Yield substituted structures, the most probable first; `rng` is not used: the ranking decides alone."""
        del rng
        table = template_table(self._library)
        yield from build(table, rank(table, request), request, self.name, "substitution_log_score")

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Do nothing: the ranking is fixed."""


def rank(table: TemplateTable, request: Request) -> list[Proposal]:
    """All proposals for a request, best first; ties keep the order of the library, then the alphabet."""
    by_arity: defaultdict[int, list[int]] = defaultdict(list)
    for i in fits(table, request):
        by_arity[len(table.templates[i].elements)].append(i)
    found: list[Proposal] = []
    for arity, indices in sorted(by_arity.items()):
        block = _Block(table, indices)
        for elements in _targets(request, arity):
            scores = block.scores(elements)
            if request.composition is not None:
                wanted = dict(request.composition.reduced.counts)
                scores[(block.counts != [wanted[e] for e in elements]).any(axis=1)] = -np.inf
            else:
                scores += _formula_terms(request, elements, block.counts)
            rows = np.flatnonzero(np.isfinite(scores))
            found += [Proposal(float(scores[row]), indices[row], elements) for row in rows]
    found.sort(key=lambda p: -p.score)
    return found if request.composition is not None else uncrowded(table, found[:N_KEPT])


def uncrowded(table: TemplateTable, proposals: Iterable[Proposal]) -> list[Proposal]:
    """Best-first proposals reordered so that the i-th of a formula and gene counts `CROWDING` * i less."""
    earlier: Counter[Composition] = Counter()
    seen = set()
    adjusted = []
    for proposal in proposals:
        key = proposal.key(table)
        if key in seen:
            continue
        seen.add(key)
        composition = proposal.composition(table)
        adjusted.append((proposal.score - CROWDING * earlier[composition], proposal))
        earlier[composition] += 1
    return [proposal for _, proposal in sorted(adjusted, key=lambda pair: -pair[0])]


def _targets(request: Request, arity: int) -> Iterator[tuple[str, ...]]:
    """The ordered choices of allowed elements that satisfy the request."""
    if request.composition is not None and len(request.field) != arity:
        return
    for chosen in itertools.permutations(sorted(request.allowed), arity):
        if request.require <= set(chosen):
            yield chosen


class _Block:
    """Templates with the same number of elements as arrays."""

    def __init__(self, table: TemplateTable, indices: Sequence[int]) -> None:
        templates = [table.templates[i] for i in indices]
        self.similarity = table.similarity.log_similarity
        self.elements = np.array([[ATOMIC_NUMBERS[e] - 1 for e in t.elements] for t in templates])  # (n, k)
        self.counts = np.array([t.counts for t in templates])  # (n, k)
        self.states = np.full(self.counts.shape, np.nan)  # (n, k), NaN in rows without neutral states
        for row, t in zip(self.states, templates, strict=True):
            states = states_of(Composition(tuple(zip(t.elements, t.counts, strict=True))))
            if states is not None:
                row[:] = [dict(states)[e] for e in t.elements]

    def scores(self, elements: tuple[str, ...]) -> np.ndarray[Any, Any]:
        """Scores (n,) of putting `elements` on the roles; minus infinity where nothing changes."""
        new = np.array([ATOMIC_NUMBERS[e] - 1 for e in elements])
        mined = self.similarity[self.elements, new]
        neutral = np.isfinite(self.states)
        whole = np.where(neutral, self.states, 0).round().astype(int) + STATE_OFFSET
        ions = ion_cube()[self.elements, whole, new]
        exchange = (mined + np.where(np.isfinite(ions), ions, mined)) / 2
        changed = self.elements != new
        product, states = best_assignments(elements, self.counts)
        shift = np.where(neutral & np.isfinite(product)[:, None], np.abs(states - self.states), 0.0)
        lost = neutral.all(axis=1) != np.isfinite(product)
        total = np.where(changed, exchange, 0.0).sum(axis=1) - shift.sum(axis=1) - lost
        return np.where(changed.any(axis=1), total, -np.inf)


def _formula_terms(request: Request, elements: tuple[str, ...], counts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What speaks for the formulas themselves, in nats (n,).

    With formulas in the request: -ln(1 + place / 5) for the listed ones, the last place and `UNLISTED` less for others.
    Without: the log-probability of the oxidation states, or -`UNBALANCED`, and -`LACKING` per element left out.
    """
    if request.formulas:
        places = _places(request.formulas)
        last = np.log1p(len(places) / 5) + UNLISTED
        amounts = [tuple(sorted(zip(elements, row, strict=True))) for row in counts.tolist()]
        return np.array([-np.log1p(places[a] / 5) if a in places else -last for a in amounts])
    balance, _ = best_assignments(elements, counts)
    return np.maximum(balance, -UNBALANCED) - LACKING * (len(request.allowed) - len(elements))


@lru_cache(maxsize=8)
def _places(formulas: tuple[Composition, ...]) -> dict[tuple[tuple[str, int], ...], int]:
    return {composition.reduced.counts: place for place, composition in reversed(list(enumerate(formulas)))}
