"""What `novalith sample` draws from trained networks: models with codes, and networks of point clouds.

A model with codes (`novalith.recipes.crystal_models`) draws from everywhere, around a crystal, between two, or towards
an optimum; a network of point clouds for a system or the contents of a cell. Every draw is counted: a crystal as it was
asked for, or a `Verdict` with the reason; drawn = kept + rejected.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from novalith.data.door import read_structures
from novalith.errors import CapabilityError, ContradictionError, EmptyResultError, InputError, UnknownNameError
from novalith.materials import Candidate, Crystal, Lineage, Verdict, check_element
from novalith.propose.request import parse_request
from novalith.propose.sampling import REJECTED, TRACE, write_sample
from novalith.recipes import crystal_models, points_sampling
from novalith.recipes.crystal_models import (
    CrystalModel,
    SampleRequest,
    check_request,
    load_crystal_model,
    shipped_checkpoint,
)
from novalith.recipes.latent import Way, interpolate
from novalith.recipes.latent_search import Goal, Search, search, structure_judge
from novalith.store.checkpoint import checkpoint_kind
from novalith.store.files import write_atomic

#: Draws for every crystal asked for, before fewer are given; the fewest and the most drawn at a time.
DRAWS_EACH, FEWEST_DRAWS, MOST_DRAWS = 10, 16, 256


@dataclass(frozen=True)
class SampleOrder:
    """What is to be drawn.

    Attributes:
        recipe: name of the recipe; that of the checkpoint where empty.
        checkpoint: the model; the one that ships with novalith where None.
        system: chemical system or formula; empty for a model that needs none.
        require: elements that every crystal must hold.
        deny: elements that none may hold.
        family: class of materials.
        targets: property -> value.
        around: structure file to draw around.
        spread: with `around`, in standard deviations of the codes.
        between: two structure files to go between.
        optimise: such as "formation_energy=min".
        n: crystals wanted.
        max_atoms: most atoms in the cell.
        seed: of every random choice.
    """

    recipe: str = ""
    checkpoint: Path | None = None
    system: str = ""
    require: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    family: str = ""
    targets: Mapping[str, float] = field(default_factory=dict)
    around: Path | None = None
    spread: float = 0.5
    between: tuple[Path, Path] | None = None
    optimise: str = ""
    n: int = 20
    max_atoms: int = 24
    seed: int = 0


@dataclass(frozen=True)
class Drawn:
    """What came of it: drawn = kept + rejected.

    Attributes:
        candidates: crystals as asked for, with their lineage.
        rejected: (number, why) of all other draws.
        recipe: that drew.
        model: that drew, where it has codes.
        way: the way between two crystals, where one was asked for.
        found: the search, where one was asked for.
    """

    candidates: tuple[Candidate, ...]
    rejected: tuple[tuple[int, Verdict], ...]
    recipe: str
    model: CrystalModel | None = None
    way: Way | None = None
    found: Search | None = None

    @property
    def n_drawn(self) -> int:
        """All draws."""
        return len(self.candidates) + len(self.rejected)

    @property
    def reasons(self) -> Mapping[str, tuple[int, str]]:
        """Rule -> how many draws it stopped, and its first reason; the commonest first."""
        counts = Counter(verdict.rule for _, verdict in self.rejected)
        first: dict[str, str] = {}
        for _, verdict in self.rejected:
            first.setdefault(verdict.rule, verdict.reason)
        return {rule: (n, first[rule]) for rule, n in counts.most_common()}

    @property
    def told(self) -> str:
        """The count in words, then the reasons, a line each."""
        kept, rejected = len(self.candidates), len(self.rejected)
        lines = [f"{self.recipe}: {self.n_drawn} drawn = {kept} kept + {rejected} rejected."]
        lines += [f"  {n} rejected by {rule!r}, for example: {reason}" for rule, (n, reason) in self.reasons.items()]
        return "\n".join(lines)


def recipe_of(recipe: str, checkpoint: Path | None) -> str:
    """The recipe that was named, or the kind of the checkpoint where none was; empty without either.

    Raises:
        UnknownNameError: there is no recipe of that name that draws crystals.
        ContradictionError: the checkpoint is of another recipe.
    """
    known = (*crystal_models.MODELS, *points_sampling.RECIPES)
    kind = recipe if checkpoint is None else checkpoint_kind(checkpoint)
    for name in filter(None, (recipe, kind)):
        if name not in known:
            raise UnknownNameError("recipe", name, known)
    if recipe not in ("", kind):
        raise ContradictionError(f"{checkpoint} holds a model of the recipe {kind}; {recipe} was asked for.")
    return kind


def draw(order: SampleOrder) -> Drawn:
    """Draw what was ordered; the same order gives the same crystals.

    Raises:
        InputError: the order does not fit together, or no weights of the recipe come with novalith.
        CapabilityError: the model cannot honour a part of it.
        EmptyResultError: nothing came out as asked; counts the reasons.
    """
    if order.n < 1:
        raise InputError(f"{order.n} proposals were asked for; expected at least 1.")
    recipe = recipe_of(order.recipe, order.checkpoint)
    rng = np.random.default_rng(order.seed)
    drawn = _from_points(recipe, order, rng=rng) if recipe in points_sampling.RECIPES else _from_codes(order, rng=rng)
    if not drawn.candidates:
        raise EmptyResultError(f"No crystal as asked. {drawn.told}")
    return drawn


def _from_codes(order: SampleOrder, *, rng: np.random.Generator) -> Drawn:
    request = _request(order)
    model = load_crystal_model(order.checkpoint or shipped_checkpoint(order.recipe, order.family))
    check_request(model, request)
    if order.between is not None:
        return _between(model, order.between, order, request)
    if order.optimise:
        return _optimum(model, Goal.parse(order.optimise), order, request, rng=rng)
    return draw_from_codes(model, request, order.n, lambda outcome: held_to(order, outcome), rng=rng)


def _from_points(recipe: str, order: SampleOrder, *, rng: np.random.Generator) -> Drawn:
    if order.family or order.around or order.between or order.optimise:
        known = ", ".join(crystal_models.MODELS)
        raise CapabilityError(f"A family, a crystal to start from and an optimum can be asked of {known} alone.")
    if order.checkpoint is None:
        raise InputError(
            f"No weights of {recipe} come with novalith: a model knows one system. Train it, novalith train {recipe} "
            "--out FILE.safetensors, and give the file as --checkpoint."
        )
    require, deny = ",".join(order.require), ",".join(order.deny)
    request = parse_request(order.system, require=require, deny=deny, max_atoms=order.max_atoms)
    found = points_sampling.drawn_of_recipe(recipe, order.checkpoint, request, order.n, order.targets, rng=rng)
    return Drawn(tuple(found[0]), tuple(found[1]), recipe)


def _request(order: SampleOrder) -> SampleRequest:
    if order.between is not None and (order.around is not None or order.optimise):
        raise ContradictionError("Draw between two crystals, around one, or towards an optimum; name one of them.")
    request = SampleRequest(
        family=order.family or None,
        targets=dict(order.targets),
        around=None if order.around is None else read_one(order.around),
        spread=order.spread,
    )
    for symbol in (*order.require, *order.deny):
        check_element(symbol)
    if both := sorted(set(order.require) & set(order.deny)):
        raise ContradictionError(f"{', '.join(both)} cannot be both required and denied.")
    if not order.system:
        return request
    wanted = parse_request(order.system, max_atoms=order.max_atoms)
    return replace(request, field=wanted.field, composition=wanted.composition)


def read_one(path: Path) -> Crystal:
    """The crystal of a file that holds exactly one.

    Raises:
        InputError: it holds none that can be read, or several.
    """
    reading = read_structures(path)
    if reading.refused:
        raise InputError(f"{path}: {reading.refused[0][1].reason}")
    if len(reading.accepted) != 1:
        raise InputError(f"{path} holds {len(reading.accepted)} structures; expected one.")
    return reading.accepted[0][1]


def draw_from_codes(
    model: CrystalModel,
    request: SampleRequest,
    n: int,
    hold: Callable[[Crystal], Crystal | Verdict] = lambda crystal: crystal,
    *,
    rng: np.random.Generator,
) -> Drawn:
    """Draw until there are `n` different crystals, at most `DRAWS_EACH` times as often.

    Args:
        model: draws.
        request: what it is asked.
        n: crystals wanted.
        hold: gives a product back, or says why it is not as asked.
        rng: same seed, same crystals.
    """
    move = f"drawn {describe(request)}"
    kept: dict[str, Candidate] = {}
    rejected: list[tuple[int, Verdict]] = []
    drawn = 0
    while len(kept) < n and drawn < DRAWS_EACH * n:
        size = min(max(n - len(kept), FEWEST_DRAWS), MOST_DRAWS, DRAWS_EACH * n - drawn)
        for outcome in model.sample(size, request, rng=rng):
            if len(kept) == n:
                break
            drawn += 1
            held = outcome if isinstance(outcome, Verdict) else hold(outcome)
            _keep(held, Lineage(model.name, move=move), drawn, kept, rejected)
    return Drawn(tuple(kept.values()), tuple(rejected), model.name, model)


def held_to(order: SampleOrder, crystal: Crystal) -> Crystal | Verdict:
    """The crystal, or which part of the order it does not keep to."""
    composition, present = crystal.composition, set(crystal.species)
    if crystal.n_atoms > order.max_atoms:
        return Verdict(False, "size", f"{crystal.n_atoms} atoms in the cell; at most {order.max_atoms} were asked for.")
    if order.system and not parse_request(order.system, max_atoms=order.max_atoms).admits(composition):
        return Verdict(False, "formula", f"{composition} is not what was asked for.")
    if denied := sorted(present & set(order.deny)):
        return Verdict(False, "denied", f"{composition} holds {', '.join(denied)}.")
    if lacking := sorted(set(order.require) - present):
        return Verdict(False, "required", f"{composition} lacks {', '.join(lacking)}.")
    return crystal


def _keep(
    outcome: Crystal | Verdict,
    lineage: Lineage,
    number: int,
    kept: dict[str, Candidate],
    rejected: list[tuple[int, Verdict]],
) -> None:
    """Put a draw where it belongs."""
    if isinstance(outcome, Verdict):
        rejected.append((number, outcome))
        return
    candidate = Candidate(outcome, lineage)
    if candidate.id in kept:
        rejected.append((number, Verdict(False, "repeated", f"{candidate.id} was drawn before.")))
        return
    kept[candidate.id] = candidate


def describe(request: SampleRequest) -> str:
    """A request in words: "from the family perovskite for formation_energy -2"."""
    parts = []
    if request.composition is not None:
        parts.append(f"as {request.composition.formula}")
    elif request.field is not None:
        parts.append(f"in {request.field.name}")
    if request.family:
        parts.append(f"from the family {request.family}")
    parts += [f"for {name} {value:g}" for name, value in request.targets.items()]
    if request.around is not None:
        parts.append(f"around {request.around.composition.formula} with a spread of {request.spread:g}")
    return " ".join(parts) or "from the whole latent space"


def _between(model: CrystalModel, files: tuple[Path, Path], order: SampleOrder, request: SampleRequest) -> Drawn:
    ends = read_one(files[0]), read_one(files[1])
    names = " and ".join(end.composition.formula for end in ends)
    way = interpolate(model, ends, max(order.n, 2), request)
    kept: dict[str, Candidate] = {}
    rejected: list[tuple[int, Verdict]] = []
    for number, (share, outcome) in enumerate(zip(way.shares, way.outcomes, strict=True), start=1):
        lineage = Lineage(model.name, move=f"decoded at {share:.3f} of the way between {names}")
        held = outcome if isinstance(outcome, Verdict) else held_to(order, outcome)
        _keep(held, lineage, number, kept, rejected)
    return Drawn(tuple(kept.values()), tuple(rejected), model.name, model, way)


def _optimum(
    model: CrystalModel, goal: Goal, order: SampleOrder, request: SampleRequest, *, rng: np.random.Generator
) -> Drawn:
    """The best crystals of a search; the others that counted are rejected as beaten."""
    result = search(model, goal, structure_judge(goal.target), request, rng=rng)
    best = []
    for f in result.found[: order.n]:
        said = f"predicted {f.value:.3f} ± {f.uncertainty:.3f}"
        move = f"found in generation {f.generation} of a search for {order.optimise}, {said}"
        best.append(Candidate(f.crystal, Lineage(model.name, move=move, scores=((goal.target, f.value),))))
    verdicts = [Verdict(False, rule, result.reasons[rule]) for rule, n in result.refused.items() for _ in range(n)]
    beaten = Verdict(False, "beaten", f"The search found {order.n} better crystals.")
    verdicts += [beaten] * len(result.found[order.n :])
    return Drawn(tuple(best), tuple(enumerate(verdicts, start=1)), model.name, model, found=result)


def write_drawn(drawn: Drawn, folder: Path) -> list[dict[str, str | int | float]]:
    """Write the crystals with their table, the table of the rejected, and the trace of a search; returns the rows."""
    rows = write_sample(drawn.candidates, folder)
    rejected = [{"draw": number, "rule": v.rule, "reason": v.reason} for number, v in drawn.rejected]
    write_atomic(folder / REJECTED, _csv(("draw", "rule", "reason"), rejected))
    if drawn.found is not None:
        write_atomic(folder / TRACE, _csv(tuple(drawn.found.trace[0]), drawn.found.trace))
    return rows


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    table = csv.DictWriter(stream, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return stream.getvalue()


def summary(drawn: Drawn, rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, Any]:
    """What was drawn and written, ready for JSON."""
    counts = {"drawn": drawn.n_drawn, "kept": len(rows), "rejected": len(drawn.rejected)}
    reasons = {rule: {"n": n, "example": reason} for rule, (n, reason) in drawn.reasons.items()}
    return {"proposals": list(rows), "out": str(folder), "counts": counts, "reasons": reasons}
