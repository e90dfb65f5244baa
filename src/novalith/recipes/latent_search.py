"""The search for an optimum of a property in the latent space of any `CrystalModel`.

    code = slerp(p, q; u) + h s e,   p, q among the best codes so far, u ~ U(0, 1), e ~ N(0, 1)
    loss = +value (min), -value (max) or |value - wanted|, + caution * uncertainty

with the standard deviation s of the training codes and the step h, which grows where more than a fifth of the children
beat the middle parent and shrinks where fewer do (Rechenberg's rule). An evolution finds where a predictor errs as
surely as where crystals are good: only crystals that pass the screens and lie within the predictor's range count, and
its uncertainty is added to the loss. The values stay predictions, and the best of many is flattered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError, InputError
from novalith.materials import Crystal, Verdict
from novalith.recipes.crystal_models import CrystalModel, Floats, SampleRequest, codes_around
from novalith.recipes.latent import centre, spherical
from novalith.screen.base import Rule
from novalith.screen.cell import CellSanity
from novalith.screen.distances import Distances

#: What every crystal must pass before a predictor is asked about it.
SCREENS: tuple[Rule, ...] = (CellSanity(), Distances())


@dataclass(frozen=True)
class Estimates:
    """What a judge says of crystals.

    Attributes:
        value: (n,) property.
        uncertainty: (n,) one standard deviation, in the same unit.
        in_range: (n,) whether the crystal is like those that the judge has seen.
    """

    value: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    in_range: NDArray[np.bool_]


#: Estimates a property of crystals.
Judge = Callable[[Sequence[Crystal]], Estimates]


@dataclass(frozen=True)
class Goal:
    """A property and where it shall go.

    Attributes:
        target: name of the property.
        aim: "min", "max" or the value wanted.
        caution: how many standard deviations a candidate loses.
    """

    target: str
    aim: str | float
    caution: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Read "formation_energy=min", "band_gap=max" or "band_gap=1.5".

        Raises:
            InputError: it is none of these.
        """
        name, sign, aim = (part.strip() for part in text.partition("="))
        if sign and name and aim in ("min", "max"):
            return cls(name, aim)
        try:
            wanted = float(aim)
        except ValueError:
            wanted = math.nan
        if not (sign and name and math.isfinite(wanted)):
            raise InputError(f"{text!r} is no goal; expected NAME=min, NAME=max or NAME=VALUE.")
        return cls(name, wanted)

    def losses(self, said: Estimates) -> NDArray[np.float64]:
        """(n,) losses; infinite out of the judge's range."""
        signed = said.value if self.aim == "min" else -said.value
        if not isinstance(self.aim, str):
            signed = np.abs(said.value - self.aim)
        return np.where(said.in_range, signed + self.caution * said.uncertainty, np.inf)


@dataclass(frozen=True)
class SearchSettings:
    """Effort of a search.

    Attributes:
        generations: rounds, the first of training codes drawn at random.
        population: codes decoded in each.
        parents: best codes that the next ones are made of.
        step: first h.
    """

    generations: int = 12
    population: int = 32
    parents: int = 8
    step: float = 0.2


@dataclass(frozen=True)
class Found:
    """A crystal that the search came across.

    Attributes:
        crystal: as decoded.
        value: predicted property.
        uncertainty: one standard deviation.
        loss: by which it is ordered.
        generation: in which it was found, from 0.
    """

    crystal: Crystal
    value: float
    uncertainty: float
    loss: float
    generation: int


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        found: every crystal that counted, lowest loss first, each once.
        trace: one record a generation: codes decoded so far, crystals that counted, best and mean value, step.
        refused: rule -> codes that it stopped; with the crystals that counted they are all that were decoded.
        reasons: rule -> its first reason.
    """

    found: tuple[Found, ...]
    trace: tuple[Mapping[str, float], ...]
    refused: Mapping[str, int]
    reasons: Mapping[str, str] = field(default_factory=dict)


def search(
    model: CrystalModel,
    goal: Goal,
    judge: Judge,
    request: SampleRequest | None = None,
    settings: SearchSettings | None = None,
    *,
    rng: np.random.Generator,
) -> Search:
    """Look for crystals of an extreme property among those that codes decode to.

    Args:
        model: encodes and decodes.
        goal: what is wanted.
        judge: estimates the property.
        request: what the decoder is told; with `around` the search starts from that crystal instead of from the
            training codes.
        settings: effort.
        rng: same seed, same search.

    Raises:
        EmptyResultError: no code gave a crystal that passes the screens and that the judge knows.
    """
    asked, how = request or SampleRequest(), settings or SearchSettings()
    deviation = np.asarray(model.training_codes, dtype=np.float32).std(axis=0)
    codes = _first_codes(model, asked, how, rng=rng)
    best, losses, step = codes[:0], np.zeros(0), how.step
    tally = _Tally(goal, judge)
    trace: list[Mapping[str, float]] = []
    for generation in range(how.generations):
        own = tally.count(model.decode(codes, asked), generation)
        if len(losses):
            step *= math.exp(0.3 * (float((own < np.median(losses)).mean()) - 0.2))
        best, losses = _fittest(np.concatenate([best, codes]), np.concatenate([losses, own]), how.parents)
        if not len(best):  # nothing to go on from yet
            codes = _first_codes(model, asked, how, rng=rng)
            continue
        trace.append(tally.record(generation) | {"step": step})
        codes = _children(best, centre(model), step * deviation, how.population, rng=rng)
    if not tally.found:
        raise EmptyResultError(f"None of {tally.decoded} codes decodes to a crystal that counts: {tally.commonest()}")
    ordered = sorted(tally.found.values(), key=lambda f: (f.loss, f.crystal.content_id))
    return Search(tuple(ordered), tuple(trace), dict(tally.refused), tally.reasons)


@dataclass
class _Tally:
    """What became of every code so far."""

    goal: Goal
    judge: Judge
    found: dict[str, Found] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    decoded: int = 0

    def count(self, decoded: Sequence[Crystal | Verdict], generation: int) -> NDArray[np.float64]:
        """Losses (n,) of what n codes decoded to, infinite where it does not count."""
        self.decoded += len(decoded)
        losses, crystals = np.full(len(decoded), np.inf), {}
        for place, outcome in enumerate(screened(decoded)):
            if isinstance(outcome, Verdict):
                self._refuse(outcome)
            else:
                crystals[place] = outcome
        if not crystals:
            return losses
        said = self.judge(list(crystals.values()))
        own = self.goal.losses(said)
        for k, (place, crystal) in enumerate(crystals.items()):
            loss = float(own[k])
            if not math.isfinite(loss):
                reason = f"It is unlike the crystals that the judge of {self.goal.target} was trained on."
                self._refuse(Verdict(False, "range", reason))
            elif crystal.content_id in self.found:
                self._refuse(Verdict(False, "repeated", "It was found before."))
            else:
                found = Found(crystal, float(said.value[k]), float(said.uncertainty[k]), loss, generation)
                self.found[crystal.content_id] = found
            losses[place] = loss
        return losses

    def _refuse(self, verdict: Verdict) -> None:
        self.refused[verdict.rule] += 1
        self.reasons.setdefault(verdict.rule, verdict.reason)

    def commonest(self) -> str:
        """The rule that stopped most codes, with an example."""
        rule, n = self.refused.most_common(1)[0]
        return f"{n} stopped by {rule!r}, for example: {self.reasons[rule]}"

    def record(self, generation: int) -> dict[str, float]:
        """The state after a generation."""
        best = min(self.found.values(), key=lambda f: f.loss)
        recent = [f.value for f in self.found.values() if f.generation == generation]
        return {
            "generation": generation,
            "decoded": self.decoded,
            "counted": len(self.found),
            "best": best.value,
            "best_uncertainty": best.uncertainty,
            "mean": float(np.mean(recent)) if recent else best.value,
        }


def screened(outcomes: Sequence[Crystal | Verdict], rules: Sequence[Rule] = SCREENS) -> list[Crystal | Verdict]:
    """The same outcomes, crystals that fail a rule replaced by its verdict."""
    return [_first_failure(outcome, rules) for outcome in outcomes]


def _first_failure(outcome: Crystal | Verdict, rules: Sequence[Rule]) -> Crystal | Verdict:
    if isinstance(outcome, Verdict):
        return outcome
    failures = (verdict for rule in rules if not (verdict := rule.check(outcome)).passed)
    return next(failures, outcome)


def _first_codes(model: CrystalModel, asked: SampleRequest, how: SearchSettings, *, rng: np.random.Generator) -> Floats:
    if asked.around is not None:
        return codes_around(model, asked, how.population, rng=rng)
    n = len(model.training_codes)
    rows = rng.choice(n, how.population, replace=n < how.population)
    return np.asarray(model.training_codes[rows], dtype=np.float32)


def _fittest(codes: Floats, losses: NDArray[np.float64], n: int) -> tuple[Floats, NDArray[np.float64]]:
    order = np.argsort(losses, kind="stable")[:n]
    order = order[np.isfinite(losses[order])]
    return codes[order], losses[order]


def _children(parents: Floats, around: Floats, deviation: Floats, n: int, *, rng: np.random.Generator) -> Floats:
    pairs = rng.integers(len(parents), size=(n, 2))
    shares = rng.random(n)
    between = [spherical(parents[i], parents[j], [u], around)[0] for (i, j), u in zip(pairs, shares, strict=True)]
    noise = rng.standard_normal((n, len(around)))
    return (np.stack(between) + deviation * noise).astype(np.float32)


def structure_judge(target: str) -> Judge:
    """The shipped predictor of properties of crystals as a judge.

    Raises:
        UnknownNameError: it does not know the property.
    """
    from novalith.recipes.cgcnn import default_structure_predictor

    predictor = default_structure_predictor()

    def judge(crystals: Sequence[Crystal]) -> Estimates:
        said: Any = predictor.predict(crystals, target)
        value = np.asarray(said.value, dtype=np.float64)
        spread = np.zeros(len(value)) if said.uncertainty is None else np.asarray(said.uncertainty, dtype=np.float64)
        return Estimates(value, np.nan_to_num(spread), np.asarray(said.in_range, dtype=bool) & np.isfinite(value))

    return judge
