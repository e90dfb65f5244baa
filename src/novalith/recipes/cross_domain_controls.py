"""Ternaries from two sets of binaries without any learning: what a cross-domain network has to beat.

*Half substitution* exchanges half of the metal atoms of a binary for the other metal: ordered variants of known
prototypes. *Random blocks* put the other metal's atoms at random places until none collides. Both scale the cell to the
volume expected of the contents.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from novalith.materials import Crystal
from novalith.recipes.cross_domain_gan import BinaryPair
from novalith.represent.point_cloud import doubled
from novalith.screen.distances import Distances

#: Draws of random places for one host.
BLOCK_TRIES = 50


def half_substituted(
    domains: Sequence[Sequence[Crystal]], pair: BinaryPair, volumes_a3: dict[str, float], *, rng: np.random.Generator
) -> Crystal:
    """A control without learning: half of the metal atoms of a binary exchanged for the other metal.

    Where the cell has one metal atom, it is doubled first.
    """
    side = int(rng.integers(2))
    crystal = domains[side][int(rng.integers(len(domains[side])))]
    old, new = pair.elements[side], pair.elements[1 - side]
    if crystal.species.count(old) < 2:
        crystal = doubled(crystal, int(rng.integers(3)))
    sites = [i for i, s in enumerate(crystal.species) if s == old]
    exchanged = set(rng.permutation(sites)[: len(sites) // 2].tolist())
    species = [new if i in exchanged else s for i, s in enumerate(crystal.species)]
    return _at_volume(Crystal(crystal.lattice, tuple(species), crystal.frac_coords), volumes_a3)


def random_blocks(
    domains: Sequence[Sequence[Crystal]], pair: BinaryPair, volumes_a3: dict[str, float], n: int,
    *, rng: np.random.Generator,
) -> list[Crystal]:  # fmt: skip
    """A control without learning: the metal block at random places, drawn anew until no atoms collide.

    A host whose cell stays crowded after `BLOCK_TRIES` draws is replaced by another; at most ten times `n` are tried.
    """
    rule, found = Distances(), []
    for _ in range(10 * n):
        side = int(rng.integers(2))
        host = domains[side][int(rng.integers(len(domains[side])))]
        new, k = pair.elements[1 - side], host.species.count(pair.elements[side])
        for _ in range(BLOCK_TRIES):
            positions = np.concatenate([np.asarray(host.frac_coords), rng.random((k, 3))])
            crystal = Crystal.from_arrays(host.lattice, (*host.species, *[new] * k), positions)
            crystal = _at_volume(crystal, volumes_a3)
            if rule.check(crystal).passed:
                found.append(crystal)
                break
        if len(found) == n:
            break
    return found


def _at_volume(crystal: Crystal, volumes_a3: dict[str, float]) -> Crystal:
    wanted = sum(volumes_a3[s] for s in crystal.species)
    lattice = np.asarray(crystal.lattice) * (wanted / crystal.volume) ** (1 / 3)
    return Crystal.from_arrays(lattice, crystal.species, crystal.frac_coords)
