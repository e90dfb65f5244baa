"""Products of the trained point-cloud networks as candidates: what `novalith sample --recipe` draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from novalith.errors import CapabilityError, ContradictionError, EmptyResultError, InputError, UnknownNameError
from novalith.materials import Candidate, Crystal, Lineage, Verdict
from novalith.propose.base import Request
from novalith.recipes import cross_domain_gan, point_cloud_gan

RECIPES = (point_cloud_gan.NAME, cross_domain_gan.NAME)
#: Draws for every product asked for, before fewer are given.
DRAWS_EACH = 20
#: The one property that a network can be asked for.
ENERGY = "formation_energy"


def sample_recipe(recipe: str, model: Path, request: Request, n: int, *, rng: np.random.Generator) -> list[Candidate]:
    """The crystals of `drawn_of_recipe`.

    Raises:
        EmptyResultError: nothing came out.
    """
    found, rejected = drawn_of_recipe(recipe, model, request, n, rng=rng)
    if not found:
        raise EmptyResultError(f"{len(rejected)} draws of {recipe} gave no crystal as asked. Train it for longer.")
    return found


def drawn_of_recipe(
    recipe: str,
    model: Path,
    request: Request,
    n: int,
    targets: Mapping[str, float] | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[list[Candidate], list[tuple[int, Verdict]]]:
    """Different products of a trained network that decode and have the atoms asked for, at most `n`, and the others.

    Args:
        recipe: one of `RECIPES`.
        model: checkpoint that `novalith train` wrote.
        request: a formula, taken as the contents of the cell, for the composition-conditioned network; the ternary
            system for the cross-domain one.
        n: how many.
        targets: the formation energy asked for, eV/atom, for a network that was trained with it.
        rng: same seed, same products.

    Returns:
        The candidates, and (number of the draw, why) of the draws before the last of them that are none.

    Raises:
        UnknownNameError: there is no such recipe.
        CapabilityError: the request cannot be honoured by the network.
    """
    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    if n < 1:
        raise InputError(f"{n} proposals were asked for; expected at least 1.")
    if request.spacegroup is not None:
        raise CapabilityError(f"{recipe} cannot be asked for a space group; draw many and look for it in the table.")
    others = sorted(set(targets or {}) - ({ENERGY} if recipe == point_cloud_gan.NAME else set()))
    if others:
        raise CapabilityError(f"{recipe} cannot be asked for {', '.join(others)}.")
    energy = (targets or {}).get(ENERGY)
    outcomes, move = _outcomes(recipe, model, request, n * DRAWS_EACH, energy, rng=rng)
    found: dict[str, Candidate] = {}
    rejected: list[tuple[int, Verdict]] = []
    for number, outcome in enumerate(outcomes, start=1):
        if len(found) == n:
            break
        verdict = _as_asked(outcome, request)
        if isinstance(outcome, Crystal) and verdict.passed:
            candidate = Candidate(outcome, Lineage(recipe, move=move))
            if candidate.id not in found:
                found[candidate.id] = candidate
                continue
            verdict = Verdict(False, "repeated", "It was drawn before.")
        rejected.append((number, verdict))
    return list(found.values()), rejected


def _outcomes(
    recipe: str, model: Path, request: Request, n: int, energy: float | None, *, rng: np.random.Generator
) -> tuple[list[Crystal | Verdict], str]:
    """`n` draws as they come, and in words how they were made."""
    if recipe == point_cloud_gan.NAME:
        if request.composition is None:
            raise CapabilityError(f"{recipe} is asked for the contents of a cell, such as Mg2Mn2O4, not for a system.")
        gan = point_cloud_gan.PointCloudGan.load(model)
        draws = gan.draw(request.composition, n, energy, rng=rng)
        other = Verdict(False, "composition", "The network drew other numbers of atoms than it was asked for.")
        move = f"drawn for a cell of {request.composition} by a network trained on {gan.layout.field}"
        move += "" if energy is None else f", for a formation energy of {energy:g} eV/atom"
        return [d.crystal if d.as_asked or isinstance(d.crystal, Verdict) else other for d in draws], move
    pair_gan = cross_domain_gan.CrossDomainGan.load(model)
    if request.field != pair_gan.pair.field:
        raise ContradictionError(f"The model makes crystals of {pair_gan.pair.field}; {request.field} was asked for.")
    a, b, x = pair_gan.pair.elements
    return pair_gan.draw(n, rng=rng), f"translated from pseudo-ternaries of {a}-{x} and {b}-{x}"


def _as_asked(outcome: Crystal | Verdict, request: Request) -> Verdict:
    if isinstance(outcome, Verdict):
        return outcome
    if not request.admits(outcome.composition):
        return Verdict(False, "formula", f"{outcome.composition} is not what was asked for.")
    if outcome.n_atoms > request.max_atoms:
        return Verdict(False, "size", f"{outcome.n_atoms} atoms; at most {request.max_atoms} were asked for.")
    return Verdict(True, "drawn")
