"""Which Wyckoff positions a formula can fill.

A formula with counts n_i, taken Z times, occupies a space group when orbits can be chosen such that the multiplicities
of those given to element i add up to Z n_i, and no position without a free coordinate is used twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from novalith.materials import Composition
from novalith.represent.wyckoff import lattice_points, wyckoff_positions

#: Letters of the orbits of one element.
Letters = tuple[str, ...]


def formula_units(composition: Composition, spacegroup: int, max_atoms: int) -> range:
    """Formula units in the conventional cell such that the primitive cell has at most `max_atoms` atoms."""
    return range(1, max_atoms * lattice_points(spacegroup) // composition.reduced.n_atoms + 1)


def is_possible(composition: Composition, spacegroup: int, max_atoms: int) -> bool:
    """Whether some crystal of that formula, space group and size exists."""
    counts = [n for _, n in composition.reduced.counts]
    return any(
        _fillable(spacegroup, tuple(sorted(z * n for n in counts)))
        for z in formula_units(composition, spacegroup, max_atoms)
    )


@lru_cache(maxsize=10_000)
def _fillable(spacegroup: int, counts: tuple[int, ...]) -> bool:
    """Whether the counts can be written as sums of multiplicities."""
    positions = wyckoff_positions(spacegroup)
    free = sorted({p.multiplicity for p in positions if p.n_free})
    single = Counter(p.multiplicity for p in positions if not p.n_free)
    start = tuple(sorted(single.items()))
    reachable = {start}
    for count in counts:
        reachable = {rest for state in reachable for rest in _after(count, state, tuple(free))}
    return bool(reachable)


@lru_cache(maxsize=100_000)
def _after(
    count: int, single: tuple[tuple[int, int], ...], free: tuple[int, ...]
) -> frozenset[tuple[tuple[int, int], ...]]:
    """What may be left of the positions without freedom after `count` atoms are placed."""
    states = {(count, single)}
    for multiplicity, available in single:
        states |= {
            (left - used * multiplicity, tuple((m, n - used if m == multiplicity else n) for m, n in rest))
            for left, rest in states
            for used in range(1, min(available, left // multiplicity) + 1)
        }
    return frozenset(rest for left, rest in states if _sums(left, free))


@lru_cache(maxsize=100_000)
def _sums(total: int, parts: tuple[int, ...]) -> bool:
    """Whether `total` is a sum of members of `parts`, repetition allowed."""
    return total == 0 or any(part <= total and _sums(total - part, parts) for part in parts)


def share_orbits(
    letters: Sequence[str], spacegroup: int, counts: Sequence[int], rng: np.random.Generator
) -> tuple[Letters, ...] | None:
    """Give each of the orbits to one element such that the counts come out; None where that is impossible.

    Args:
        letters: the orbits, repetition allowed.
        spacegroup: their space group.
        counts: atoms of each element in the conventional cell.
        rng: decides between the ways there are; every way is possible, not equally probable.
    """
    size = {p.letter: p.multiplicity for p in wyckoff_positions(spacegroup)}
    if sum(size[w] for w in letters) != sum(counts):
        return None
    shuffled = sorted((letters[i] for i in rng.permutation(len(letters))), key=lambda w: -size[w])
    return next(_shares(tuple(shuffled), tuple(size[w] for w in shuffled), tuple(counts), rng), None)


def _shares(
    letters: Letters, sizes: tuple[int, ...], left: tuple[int, ...], rng: np.random.Generator
) -> Iterator[tuple[Letters, ...]]:
    """Depth-first over the orbits, the largest first, elements in random order."""
    if not letters:
        yield tuple(() for _ in left)
        return
    if not _splits(tuple(sorted(sizes)), tuple(sorted(left))):
        return
    for i in rng.permutation(len(left)).tolist():
        if sizes[0] <= left[i]:
            rest = tuple(n - sizes[0] if j == i else n for j, n in enumerate(left))
            for share in _shares(letters[1:], sizes[1:], rest, rng):
                yield tuple((letters[0], *s) if j == i else s for j, s in enumerate(share))


@lru_cache(maxsize=200_000)
def _splits(sizes: tuple[int, ...], left: tuple[int, ...]) -> bool:
    """Whether orbits of these sizes can be dealt out so that every element gets its number; both sorted."""
    if not sizes:
        return not any(left)
    largest, rest = sizes[-1], sizes[:-1]
    return any(
        _splits(rest, tuple(sorted((*left[:i], n - largest, *left[i + 1 :]))))
        for i, n in enumerate(left)
        if n >= largest and (i == 0 or left[i - 1] != n)
    )


def draw_orbits(spacegroup: int, counts: Sequence[int], rng: np.random.Generator) -> tuple[Letters, ...] | None:
    """Fill a space group at random, element by element; None where this try ran into a dead end."""
    positions = wyckoff_positions(spacegroup)
    unused = {p.letter for p in positions if not p.n_free}
    shares: list[Letters] = []
    for count in counts:
        chosen: list[str] = []
        while count:
            fitting = [p for p in positions if p.multiplicity <= count and (p.n_free or p.letter in unused)]
            if not fitting:
                return None
            position = fitting[int(rng.integers(len(fitting)))]
            unused.discard(position.letter)
            chosen.append(position.letter)
            count -= position.multiplicity
        shares.append(tuple(chosen))
    return tuple(shares)
