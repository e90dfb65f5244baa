"""From a request to the queue of relaxations: proposers take turns, screens decide, the budget ends it.

Each proposer in turn draws candidates, best first, until one passes every screen; so each gets an equal share of the
budget until its source is exhausted, and the rest goes to the others. For a chemical system no formula may take more
than a stated share of the budget. Given structures are all looked at while there is budget; those for which there is
none are counted at a stage of their own. The queue is a pure function of the plan and the bundled data.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from novalith.campaign.funnel import Funnel
from novalith.campaign.plan import Plan
from novalith.errors import EmptyResultError
from novalith.materials import Candidate, Verdict
from novalith.propose.base import Proposer, Request
from novalith.propose.structures import NAME as STRUCTURES
from novalith.screen.base import Rule
from novalith.screen.duplicates import Reduced, matches, may_match
from novalith.screen.novelty import Grade, NoveltyIndex

#: A proposer gives up after this many proposals for each relaxation of the budget; given structures have an end.
DRAWS_PER_RELAXATION = 40

#: This many formulas share the budget, or as many as there are.
FORMULAS_PER_BUDGET = 15

#: The first stages of a campaign that proposes given structures: what can be read, and what has its turn.
READING, BUDGET = "reading", "budget"
#: Stages of the screens of crystals; a stage whose screen is not asked is left out: a formula is taken as it is.
RULE_STAGES = ("cell", "distances", "charge")
PROPOSAL_STAGES = ("request", *RULE_STAGES, "share of the formula", "duplicate", "known structure")


def proposal_stages(plan: Plan) -> tuple[str, ...]:
    """The stages before relaxation, in order."""
    return (READING, BUDGET, *PROPOSAL_STAGES) if plan.structures else PROPOSAL_STAGES


@dataclass(frozen=True)
class Gathered:
    """The queue and how it came about.

    Attributes:
        queue: candidates to relax, in order.
        funnel: what happened to every proposal.
        drawn: generator -> number of proposals drawn.
        formulas: (formula, score in nats, reason) of the formulas they were drawn for, best first; see `RunRecord`.
    """

    queue: tuple[Candidate, ...]
    funnel: Funnel
    drawn: dict[str, int]
    formulas: tuple[tuple[str, float, str], ...] = ()


class _Screens:
    """All questions to a proposal, in the order of their cost."""

    def __init__(self, plan: Plan, request: Request, rules: Sequence[Rule], novelty: NoveltyIndex) -> None:
        asked = {rule.name for rule in rules}
        self.funnel = Funnel(tuple(s for s in proposal_stages(plan) if s not in RULE_STAGES or s in asked))
        self._plan, self._request, self._rules, self._novelty = plan, request, rules, novelty
        self._queued: dict[str, list[tuple[Candidate, Reduced]]] = {}
        sharing = max(1, min(FORMULAS_PER_BUDGET, len(request.formulas)))
        self._quota = math.ceil(plan.budget / sharing)

    def admit(self, candidate: Candidate) -> bool:
        """Whether a proposal is worth a relaxation; a refusal is counted with its reason."""
        passes, crystal = self.funnel.passes, candidate.crystal
        self._read()
        if not passes("request", candidate, self._as_requested(candidate)):
            return False
        for rule in self._rules:
            if not passes(rule.name, candidate, rule.check(crystal)):
                return False
        if not passes("share of the formula", candidate, self._within_share(candidate)):
            return False
        reduced = Reduced.of(crystal)
        if not passes("duplicate", candidate, self._first_of_its_kind(candidate, reduced)):
            return False
        if not passes("known structure", candidate, self._not_known(candidate)):
            return False
        self._queued.setdefault(crystal.composition.formula, []).append((candidate, reduced))
        return True

    def leave_out(self, candidate: Candidate) -> None:
        """Count a given structure for which there is no relaxation left."""
        if BUDGET in self.funnel.stages:
            self._read()
            said = f"The budget of {self._plan.budget} relaxations was spent before its turn; raise --budget."
            self.funnel.reject(BUDGET, candidate, Verdict(False, "budget", said))

    def _read(self) -> None:
        for stage in (READING, BUDGET):
            if stage in self.funnel.stages:
                self.funnel.enter(stage)

    def _as_requested(self, candidate: Candidate) -> Verdict:
        composition = candidate.crystal.composition
        foreign = ", ".join(s for s in composition.field.elements if s not in self._request.field)
        if foreign and not self._plan.ask:
            return Verdict(False, "elements", f"There is no reference energy of {foreign}, so it cannot be ranked.")
        if not self._request.admits(composition):
            return Verdict(False, "formula", f"{composition} is not what was asked for.")
        if candidate.crystal.n_atoms > self._request.max_atoms:
            return Verdict(
                False, "size", f"{candidate.crystal.n_atoms} atoms; at most {self._request.max_atoms} were asked for."
            )
        return Verdict(True, "request")

    def _not_known(self, candidate: Candidate) -> Verdict:
        if self._plan.keep_known:
            return Verdict(True, "known structure")
        novelty = self._novelty.judge(candidate.crystal)
        known = novelty.grade is Grade.KNOWN_STRUCTURE
        return Verdict(not known, "known structure", f"It is {novelty.nearest_formula} ({novelty.nearest_id}).")

    def _first_of_its_kind(self, candidate: Candidate, reduced: Reduced) -> Verdict:
        for other, known in self._queued.get(candidate.crystal.composition.formula, []):
            if may_match(known, reduced) and matches(known, reduced):
                return Verdict(False, "duplicate", f"It is the same crystal as {other.id}.")
        return Verdict(True, "duplicate")

    def _within_share(self, candidate: Candidate) -> Verdict:
        formula = candidate.crystal.composition.formula
        within = len(self._queued.get(formula, [])) < self._quota
        return Verdict(within, "share", f"{formula} already has its {self._quota} relaxations.")


def gather(
    plan: Plan,
    request: Request,
    proposers: Sequence[Proposer],
    rules: Sequence[Rule],
    novelty: NoveltyIndex,
    *,
    advance: Callable[[int], None] = lambda _: None,
) -> Gathered:
    """Fill the queue of relaxations.

    Args:
        plan: the budget and the limits.
        request: what every candidate must be.
        proposers: take turns.
        rules: screens of crystals, in the order of their cost.
        novelty: judges what is known.
        advance: told of every candidate that joins the queue.

    Raises:
        EmptyResultError: nothing passed; the message counts the reasons.
    """
    screens = _Screens(plan, request, rules, novelty)
    drawn: Counter[str] = Counter()
    queue: list[Candidate] = []
    turns: list[tuple[str, Iterator[Candidate]]] = [
        (proposer.name, proposer.propose(request, np.random.default_rng([plan.seed, index])))
        for index, proposer in enumerate(proposers)
    ]
    given = [source for name, source in turns if name == STRUCTURES]
    while turns and len(queue) < plan.budget:
        going_on = []
        for name, source in turns:
            if len(queue) == plan.budget:
                break
            limit = math.inf if name == STRUCTURES else DRAWS_PER_RELAXATION * plan.budget
            accepted = _next_admitted(name, source, screens, drawn, limit)
            if accepted is not None:
                queue.append(accepted)
                advance(1)
                going_on.append((name, source))
        turns = going_on
    for source in given:
        for candidate in source:
            screens.leave_out(candidate)
    if not queue:
        raise EmptyResultError(_why_empty(plan, screens.funnel, drawn))
    return Gathered(tuple(queue), screens.funnel, dict(drawn))


def _next_admitted(
    name: str, source: Iterator[Candidate], screens: _Screens, drawn: Counter[str], limit: float
) -> Candidate | None:
    """The next candidate of a source that passes the screens, or None when it is exhausted."""
    for candidate in source:
        drawn[name] += 1
        if screens.admit(candidate):
            return candidate
        if drawn[name] >= limit:
            return None
    return None


def _why_empty(plan: Plan, funnel: Funnel, drawn: Counter[str]) -> str:
    if not drawn.total():
        return (
            f"None of {', '.join(plan.generators)} has a proposal for {plan.title} with these limits. "
            "Allow more atoms (--max-atoms), another space group, or more generators."
        )
    reasons = "; ".join(
        f"{sum(stage.rejected.values())} by {stage.name!r}, for example {next(iter(stage.rejected))}"
        for stage in funnel.summary()
        if stage.rejected
    )
    return f"All {drawn.total()} proposals for {plan.title} were rejected: {reasons}."
