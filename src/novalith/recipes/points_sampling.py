"""Products of the trained point-cloud networks as candidates: what `novalith sample --recipe` draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from novalith.errors import CapabilityError, ContradictionError, EmptyResultError, InputError, UnknownNameError
from novalith.materials import Candidate
from novalith.propose.base import Request
from novalith.recipes import cross_domain_gan, point_cloud_gan

RECIPES = (point_cloud_gan.NAME, cross_domain_gan.NAME)
#: Draws for every product asked for, before fewer are given.
DRAWS_EACH = 20


def sample_recipe(recipe: str, model: Path, request: Request, n: int, *, rng: np.random.Generator) -> list[Candidate]:
    """Different products of a trained network that decode and have the atoms asked for; at most `n`.

    Args:
        recipe: one of `RECIPES`.
        model: checkpoint that `novalith train` wrote.
        request: a formula, taken as the contents of the cell, for the composition-conditioned network; the ternary
            system for the cross-domain one.
        n: how many.
        rng: same seed, same products.

    Raises:
        UnknownNameError: there is no such recipe.
        CapabilityError: the request cannot be honoured by the network.
        EmptyResultError: nothing came out.
    """
    if recipe not in RECIPES:
        raise UnknownNameError("recipe", recipe, RECIPES)
    if n < 1:
        raise InputError(f"{n} proposals were asked for; expected at least 1.")
    if request.spacegroup is not None:
        raise CapabilityError(f"{recipe} cannot be asked for a space group; draw many and look for it in the table.")
    found: dict[str, Candidate] = {}
    if recipe == point_cloud_gan.NAME:
        if request.composition is None:
            raise CapabilityError(f"{recipe} is asked for the contents of a cell, such as Mg2Mn2O4, not for a system.")
        gan = point_cloud_gan.PointCloudGan.load(model)
        drawn = gan.candidates(request.composition, n * DRAWS_EACH, rng=rng)
    else:
        pair_gan = cross_domain_gan.CrossDomainGan.load(model)
        if request.field != pair_gan.pair.field:
            raise ContradictionError(
                f"The model makes crystals of {pair_gan.pair.field}; {request.field} was asked for."
            )
        drawn = [c for c in pair_gan.candidates(n * DRAWS_EACH, rng=rng) if request.admits(c.crystal.composition)]
    for candidate in drawn:
        if candidate.crystal.n_atoms <= request.max_atoms and len(found) < n:
            found.setdefault(candidate.id, candidate)
    if not found:
        raise EmptyResultError(f"{n * DRAWS_EACH} draws of {recipe} gave no crystal as asked. Train it for longer.")
    return list(found.values())
