"""The funnel: at every stage, in = kept + rejected with reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from novalith.campaign.record import FunnelStage
from novalith.materials import Candidate, Verdict


@dataclass(frozen=True)
class Rejection:
    """A candidate that stopped, where and why.

    Attributes:
        id: of the candidate.
        formula: reduced formula.
        generator: who proposed it.
        stage: where it stopped.
        reason: one sentence.
        rule: short name of the rule, under which rejections are counted.
    """

    id: str
    formula: str
    generator: str
    stage: str
    reason: str
    rule: str


@dataclass
class Funnel:
    """Counts candidates through named stages, in the order in which the stages were declared.

    Attributes:
        stages: names in order.
        rejections: every candidate that stopped.
    """

    stages: tuple[str, ...]
    rejections: list[Rejection] = field(default_factory=list)
    _entered: Counter[str] = field(default_factory=Counter)

    def enter(self, stage: str) -> None:
        """One candidate comes to a stage."""
        self._entered[stage] += 1

    def reject(self, stage: str, candidate: Candidate, verdict: Verdict) -> None:
        """The candidate that came last to `stage` stops there."""
        self.rejections.append(
            Rejection(
                id=candidate.id,
                formula=candidate.crystal.composition.formula,
                generator=candidate.lineage.generator,
                stage=stage,
                reason=verdict.reason,
                rule=verdict.rule,
            )
        )

    def refuse(self, stage: str, refused: Iterable[tuple[str, Verdict]]) -> None:
        """Structures that never became candidates stop at a stage: (name, why) each."""
        for name, verdict in refused:
            self.enter(stage)
            self.rejections.append(Rejection(name, "", "", stage, verdict.reason, verdict.rule))

    def passes(self, stage: str, candidate: Candidate, verdict: Verdict) -> bool:
        """Send a candidate through a stage with a verdict; whether it goes on."""
        self.enter(stage)
        if not verdict.passed:
            self.reject(stage, candidate, verdict)
        return verdict.passed

    def summary(self) -> tuple[FunnelStage, ...]:
        """The counts; reasons are the names of the rules with their first sentence as an example."""
        by_stage: dict[str, Counter[str]] = {stage: Counter() for stage in self.stages}
        example: dict[tuple[str, str], str] = {}
        for rejection in self.rejections:
            by_stage[rejection.stage][rejection.rule] += 1
            example.setdefault((rejection.stage, rejection.rule), rejection.reason)
        return tuple(
            FunnelStage(
                name=stage,
                entered=self._entered[stage],
                kept=self._entered[stage] - by_stage[stage].total(),
                rejected={f"{rule} (first: {example[stage, rule]})": n for rule, n in by_stage[stage].items()},
            )
            for stage in self.stages
        )

    def to_json(self) -> dict[str, Any]:
        """As plain lists."""
        return {
            "stages": list(self.stages),
            "entered": dict(self._entered),
            "rejections": [[r.id, r.formula, r.generator, r.stage, r.reason, r.rule] for r in self.rejections],
        }

    @classmethod
    def from_json(cls, stages: Iterable[str], record: Mapping[str, Any]) -> Funnel:
        """The inverse of `to_json`; `stages` are those of a record that does not name its own."""
        return cls(
            tuple(record.get("stages", stages)),
            [Rejection(*r) for r in record["rejections"]],
            Counter(record["entered"]),
        )
