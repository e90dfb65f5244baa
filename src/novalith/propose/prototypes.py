"""Prototype enumeration: every formula on every known skeleton of its stoichiometry.

A skeleton is a gene without the names of its elements. For a formula, every skeleton of known structures with the same
anonymous stoichiometry is taken with every assignment of elements that gives the formula; the geometry comes from the
known structure on that skeleton which is nearest. With X the Pauling electronegativity and z_j = ln(d_j / <d>) the
relative size of role j (d^3 its volume in the compound by `novalith.propose.volumes`), the distance is

    D = sum_j |X(B_j) - X(A_j)| + 2 sum_j |z(B_j) - z(A_j)|

and skeletons are ranked by the smallest D over their structures, less 0.1 ln(number of structures on the skeleton).
The weights were chosen on one half of 400 bundled ternaries and quaternaries hidden by formula. Unlike substitution,
nothing here asks whether such an exchange was ever seen: the method crosses families of chemistry.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from novalith.materials import ATOMIC_NUMBERS, Candidate, Composition
from novalith.propose.base import Evaluation, Proposer, Request
from novalith.propose.formulas import formulas_of
from novalith.propose.templates import Proposal, TemplateTable, assignments, build, fits, template_table
from novalith.propose.volumes import electronegativities

if TYPE_CHECKING:
    from novalith.data.library import Library

#: Weight of relative sizes against electronegativities, per unit of ln(d).
SIZE_WEIGHT = 2.0
#: Weight of the logarithm of the number of known structures on a skeleton.
FREQUENCY_WEIGHT = 0.1


class Prototypes(Proposer):
    """Formulas on the skeletons of known structures."""

    name = "prototypes"
    honours = frozenset({"field", "composition", "deny", "require", "spacegroup", "max_atoms"})

    def __init__(self, library: Library) -> None:
        self._library = library

    def propose(self, request: Request, rng: np.random.Generator) -> Iterator[Candidate]:
        """Yield prototypes, formulas taking turns, the nearest first; `rng` is not used: the ranking decides alone."""
        del rng
        table = template_table(self._library)
        formulas = formulas_of(request, self._library)
        usable: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for i in fits(table, request):
            usable[tuple(sorted(table.templates[i].counts))].append(i)
        profiles = _Profiles(table)
        queues = (rank(table, usable[formula.anonymous], formula, profiles) for formula in formulas)
        yield from build(table, take_turns(queues), request, self.name, "prototype_score")

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Do nothing: the ranking is fixed."""


def rank(table: TemplateTable, templates: Iterable[int], formula: Composition, profiles: _Profiles) -> list[Proposal]:
    """The nearest structure of every skeleton and assignment of one formula, best first."""
    target = profiles.of(formula)
    nearest: dict[tuple[int, tuple[str, ...]], Proposal] = {}
    for i in templates:
        template = table.templates[i]
        own = profiles.of(Composition(tuple(zip(template.elements, template.counts, strict=True))))
        bonus = FREQUENCY_WEIGHT * float(np.log(table.frequency[template.skeleton]))
        for elements in assignments(template.counts, formula):
            if elements == template.elements:
                continue
            distance = sum(
                abs(target[new][0] - own[old][0]) + SIZE_WEIGHT * abs(target[new][1] - own[old][1])
                for old, new in zip(template.elements, elements, strict=True)
            )
            proposal = Proposal(bonus - distance, i, elements)
            key = proposal.key(table)
            if key not in nearest or proposal.score > nearest[key].score:
                nearest[key] = proposal
    return sorted(nearest.values(), key=lambda p: -p.score)


def take_turns(queues: Iterable[list[Proposal]]) -> Iterator[Proposal]:
    """The first of each queue, then the second of each, and so on."""
    for row in itertools.zip_longest(*queues):
        yield from (proposal for proposal in row if proposal is not None)


class _Profiles:
    """Electronegativity and relative size of each element in a compound, kept once computed."""

    def __init__(self, table: TemplateTable) -> None:
        self._volumes = table.volumes
        self._known: dict[Composition, dict[str, tuple[float, float]]] = {}

    def of(self, composition: Composition) -> dict[str, tuple[float, float]]:
        """(X, ln(d / <d>)) by symbol."""
        if composition not in self._known:
            sizes = {s: v ** (1 / 3) for s, v in self._volumes.shares(composition).items()}
            mean = sum(sizes.values()) / len(sizes)
            scale = electronegativities()
            self._known[composition] = {
                s: (float(scale[ATOMIC_NUMBERS[s] - 1]), float(np.log(d / mean))) for s, d in sizes.items()
            }
        return self._known[composition]
