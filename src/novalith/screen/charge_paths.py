"""Which partial formulas can still become what is asked: exact sets of charges, from both ends.

A formula is written as pairs (element, count) in the order of electronegativity. Reading it from the left, `A` is the
set of charges reachable with every element so far in a state >= 0, `B` the set with the cut between cations and anions
already made; elements of equal electronegativity never stand on two sides of the cut. With the test of
electronegativities switched off there is only `B`, in which every state counts. Balanced: 0 is in A or B.

From the right, `F[r, k, a]` is the set of charges from which k chosen elements with a atoms to spare can be completed
with elements of rank r or later, so that every required element occurs, the number of elements is within its limits and
the total is 0:

    F[r, k, a] = F[r + 1, k, a] (r left out, if it is not required)
               + union over counts c and states s of r of (F[r + 1, k + 1, a - c] - s c)

A next pair is possible exactly when its left set meets its right set, so a generator masked by these sets draws every
formula that satisfies the request, no other, and never has to draw again. Charges are the bits of integers, from
-`OFFSET` to `OFFSET` - 1: with at most `MAX_ATOMS` atoms none lies outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS
from novalith.screen.oxidation import load_states

Words = NDArray[np.uint64]
Index = NDArray[np.int64]

#: Bits below charge 0; eleven words in all, so that charges within 31 of zero share one word.
OFFSET, N_WORDS, CENTRE = 352, 11, 5
_FULL = (1 << (64 * N_WORDS)) - 1
#: Atoms of a formula unit; with states from -8 to 8 no charge then leaves the words.
MAX_ATOMS = 40
#: Largest charge on either side of zero that `window` shows.
WINDOW = 24


@dataclass(frozen=True)
class PathLimits:
    """What a completed formula satisfies.

    Attributes:
        allowed: (elements,) which may occur.
        required: (elements,) which must.
        n_elements: smallest and largest number of elements.
        max_atoms: most atoms, at most `MAX_ATOMS`.
        max_count: most atoms of one element.
    """

    allowed: NDArray[np.bool_]
    required: NDArray[np.bool_]
    n_elements: tuple[int, int]
    max_atoms: int
    max_count: int


@dataclass(frozen=True, eq=False)
class Prefix:
    """The beginnings of n formulas.

    Attributes:
        cations: (n, words) the set A.
        either: (n, words) the set B.
        group: (n,) electronegativity group of the last element, -1 at the start.
        rank: (n,) of the last element, -1 at the start.
        chosen: (n,) number of elements.
        atoms: (n,) number of atoms.
    """

    cations: Words
    either: Words
    group: Index
    rank: Index
    chosen: Index
    atoms: Index

    def select(self, rows: Index | NDArray[np.bool_]) -> Prefix:
        """Some of the formulas."""
        return Prefix(
            self.cations[rows],
            self.either[rows],
            self.group[rows],
            self.rank[rows],
            self.chosen[rows],
            self.atoms[rows],
        )

    @property
    def balanced(self) -> NDArray[np.bool_]:
        """(n,) whether the formula, ended here, has charge 0 in reach."""
        return np.asarray(((self.cations | self.either)[:, CENTRE] >> np.uint64(OFFSET % 64)) & np.uint64(1) == 1)


class ChargeRule:
    """The states that elements may take, in the order of their electronegativity.

    Args:
        oxidation_set: a key of `OXIDATION_SETS`; None gives every element the one state 0, so that every formula is
            balanced.
        pauling: whether cations come before anions in electronegativity.
    """

    def __init__(self, oxidation_set: str | None, pauling: bool = True) -> None:
        states = load_states(oxidation_set or "smact14")
        chi = states.electronegativity
        self.elements = canonical_order()
        z = [ATOMIC_NUMBERS[s] for s in self.elements]
        groups: dict[float, int] = {}
        self.group = np.array([groups.setdefault(chi[i] or 0.0, len(groups)) for i in z])
        ordered = pauling and oxidation_set is not None
        every = [(0,) if oxidation_set is None else states.states[i] for i in z]
        known = [not ordered or chi[i] is not None for i in z]
        self.uncharged = oxidation_set is None
        self.initial = (1 << OFFSET, 0) if ordered else (0, 1 << OFFSET)
        self.cation = [
            tuple(q for q in s if q >= 0) if ordered and k else () for s, k in zip(every, known, strict=True)
        ]
        self.anion = [
            tuple(q for q in s if q <= 0 or not ordered) if k else () for s, k in zip(every, known, strict=True)
        ]
        self._cation_table, self._anion_table = _table(self.cation), _table(self.anion)

    def start(self, n: int) -> Prefix:
        """N formulas without any element."""
        a, b = (np.tile(words, (n, 1)) for words in _words(self.initial))
        zero, none = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
        return Prefix(a, b, none, none.copy(), zero, zero.copy())

    def extend(self, prefix: Prefix, rank: Index, count: Index) -> Prefix:
        """One pair more for each formula: (n,) ranks of elements and (n,) counts."""
        cations = _spread(prefix.cations, self._cation_table[rank], count)
        untied = np.where((self.group[rank] != prefix.group)[:, None], prefix.cations, np.uint64(0))
        either = _spread(prefix.either | untied, self._anion_table[rank], count)
        return Prefix(cations, either, self.group[rank], rank, prefix.chosen + 1, prefix.atoms + count)

    def balances(self, prefix: Prefix, rank: Index, max_count: int) -> NDArray[np.bool_]:
        """(n, max_count) whether the formula is balanced when it ends after (rank, count), count from 1."""
        counts = np.arange(1, max_count + 1)
        untied = np.where((self.group[rank] != prefix.group)[:, None], prefix.cations, np.uint64(0))
        out = np.zeros((len(rank), max_count), dtype=bool)
        for table, source in ((self._cation_table, prefix.cations), (self._anion_table, prefix.either | untied)):
            for column in range(table.shape[1]):
                state = table[rank, column]
                at = OFFSET - state[:, None] * counts
                inside = (state != _ABSENT)[:, None] & (at >= 0) & (at < 64 * N_WORDS)
                at = np.where(inside, at, 0)
                words = np.take_along_axis(source, at >> 6, axis=1)
                out |= inside & ((words >> (at & 63).astype(np.uint64)) & np.uint64(1) == 1)
        return out


class ChargePaths:
    """The masks of a request; see the module.

    Args:
        rule: the states of the elements.
        limits: what a completed formula satisfies.
    """

    def __init__(self, rule: ChargeRule, limits: PathLimits) -> None:
        self.rule, self.limits = rule, limits
        high, atoms = limits.n_elements[1], limits.max_atoms
        n = len(rule.elements)
        shape = (n + 1, high + 1, atoms + 1)
        end = 1 << OFFSET
        # For every rank: the sets with A not tied to that rank's group, with A tied, and B.
        self._after: list[Sets] = [{}] * (n + 1)
        self._after[n] = {
            (k, a): (end, end, end) for k in range(limits.n_elements[0], high + 1) for a in range(atoms + 1)
        }
        taking = np.zeros((*shape, 3, N_WORDS), dtype=np.uint64)
        self._follows: list[Sets] = [{}] * n
        for r in reversed(range(n)):
            self._follows[r] = self._follow(r)
            taken = {} if not limits.allowed[r] else self._taken_at_all(r, self._follows[r])
            if taken:
                k, a = np.array(list(taken)).T
                taking[r, k, a] = _words([bits for sets in taken.values() for bits in sets]).reshape(-1, 3, N_WORDS)
            if limits.required[r]:
                self._after[r] = taken
                continue
            tied = r + 1 < n and rule.group[r] == rule.group[r + 1]
            merged = dict(taken)
            for key, (untied_set, tied_set, either_set) in self._after[r + 1].items():
                mine = taken.get(key, (0, 0, 0))
                # Leaving r out keeps a tie only where the next rank is of the same group.
                kept = tied_set if tied else untied_set
                merged[key] = (mine[0] | untied_set, mine[1] | kept, mine[2] | either_set)
            self._after[r] = merged
        self._taking = taking
        self._required_after = np.append(np.cumsum(limits.required[::-1])[::-1], 0)  # required at this rank or later
        self._counts: dict[tuple[int, int, int], Words] = {}
        self._open: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None
        if rule.uncharged:
            ends = np.zeros(shape, dtype=bool)
            for r, sets in enumerate(self._after):
                if sets:
                    k, a = np.array(list(sets)).T
                    ends[r, k, a] = True
            self._open = np.asarray(taking[:, :, :, 2].any(axis=-1)), ends

    @property
    def possible(self) -> bool:
        """Whether any formula satisfies the request."""
        return bool(self.elements(self.rule.start(1)).any())

    def elements(self, prefix: Prefix) -> NDArray[np.bool_]:
        """(n, elements + 1) which elements may come next; the last column is the end of the formula."""
        rule, limits = self.rule, self.limits
        n_elements = len(rule.elements)
        out = np.zeros((len(prefix.rank), n_elements + 1), dtype=bool)
        ranks = np.arange(n_elements)
        # An element further than the next required one would leave that one out.
        nxt = np.append(_next_required(limits.required), n_elements)
        spare = limits.max_atoms - prefix.atoms
        out[:, -1] = prefix.balanced & (prefix.chosen >= limits.n_elements[0])
        out[:, -1] &= self._required_after[prefix.rank + 1] == 0
        if self._open is not None:
            out[:, :-1] = (ranks > prefix.rank[:, None]) & (ranks <= nxt[prefix.rank + 1][:, None])
            out[:, :-1] &= self._open[0][:-1, prefix.chosen, spare].T
            return out
        for key in np.unique(prefix.chosen * (limits.max_atoms + 1) + spare).tolist():
            k, a = divmod(key, limits.max_atoms + 1)
            rows = np.flatnonzero((prefix.chosen == k) & (spare == a))
            table = self._taking[:-1, k, a]
            part = prefix.select(rows)
            later = ranks > part.rank[:, None]
            later &= ranks <= nxt[part.rank + 1][:, None]
            tied = rule.group == part.group[:, None]
            meets = _meet(part.cations, table[:, 0]) & ~tied | _meet(part.cations, table[:, 1]) & tied
            out[rows, :-1] = later & (meets | _meet(part.either, table[:, 2]))
        return out

    def counts(self, prefix: Prefix, rank: Index) -> NDArray[np.bool_]:
        """(n, max_count) which counts of the element may come next, from 1."""
        limits = self.limits
        spare = limits.max_atoms - prefix.atoms
        if self._open is not None:
            left = spare[:, None] - np.arange(1, limits.max_count + 1)
            known = self._open[1][rank[:, None] + 1, prefix.chosen[:, None] + 1, np.maximum(left, 0)]
            return np.asarray(known & (left >= 0))
        tied = self.rule.group[rank] == prefix.group
        out = np.zeros((len(rank), limits.max_count), dtype=bool)
        keys = np.stack([rank, prefix.chosen, spare], axis=1)
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(inverse.ravel(), kind="stable")
        edges = np.searchsorted(inverse.ravel()[order], np.arange(len(unique) + 1))
        for i, (r, k, a) in enumerate(unique.tolist()):
            rows = order[edges[i] : edges[i + 1]]
            table = self._count_sets(r, k, a)
            meets = np.where(
                tied[rows][:, None], _meet(prefix.cations[rows], table[:, 1]), _meet(prefix.cations[rows], table[:, 0])
            )
            out[rows] = meets | _meet(prefix.either[rows], table[:, 2])
        return out

    def _count_sets(self, r: int, k: int, a: int) -> Words:
        """(max_count, 3, words) the sets from which (r, count) leads on, as in `_taking`."""
        key = (r, k, a)
        if key not in self._counts:
            table = np.zeros((self.limits.max_count, 3, N_WORDS), dtype=np.uint64)
            follow = self._follows[r]
            for c in range(1, min(self.limits.max_count, a) + 1):
                if (k + 1, a - c) in follow:
                    table[c - 1] = _words(self._taken(r, c, follow[k + 1, a - c]))
            self._counts[key] = table
        return self._counts[key]

    def _follow(self, r: int) -> Sets:
        """The sets after r has been taken: A is then tied to r's group."""
        after = self._after[r + 1]
        tied = r + 1 < len(self.rule.elements) and self.rule.group[r] == self.rule.group[r + 1]
        return after if tied else {key: (sets[0], sets[0], sets[2]) for key, sets in after.items()}

    def _taken_at_all(self, r: int, follow: Sets) -> Sets:
        limits = self.limits
        out: Sets = {}
        for k in range(limits.n_elements[1]):
            for a in range(1, limits.max_atoms + 1):
                untied = tied = either = 0
                for c in range(1, min(limits.max_count, a) + 1):
                    sets = follow.get((k + 1, a - c))
                    if sets is not None:
                        one = self._taken(r, c, sets)
                        untied, tied, either = untied | one[0], tied | one[1], either | one[2]
                if untied or tied or either:
                    out[k, a] = (untied, tied, either)
        return out

    def _taken(self, r: int, c: int, follow: tuple[int, int, int]) -> tuple[int, int, int]:
        staying = turning = 0
        for s in self.rule.cation[r]:
            staying |= follow[1] >> (s * c)
        for s in self.rule.anion[r]:
            turning |= follow[2] >> (s * c) if s >= 0 else follow[2] << (-s * c)
        turning &= _FULL
        return staying | turning, staying, turning


#: (chosen, spare atoms) -> bits for A untied, A tied, B; a key that is missing leads nowhere.
Sets = dict[tuple[int, int], tuple[int, int, int]]
_ABSENT = 127


@cache
def canonical_order() -> tuple[str, ...]:
    """The elements up to plutonium by electronegativity, those without one first; ties by atomic number."""
    chi = load_states("smact14").electronegativity
    known = [(chi[z] or 0.0, z, s) for s, z in ATOMIC_NUMBERS.items() if z <= 94]
    return tuple(symbol for _, _, symbol in sorted(known))


def window(prefix: Prefix) -> NDArray[np.float32]:
    """(n, 2 (2 `WINDOW` + 1)) which charges around zero are in A, then in B, as 0 and 1."""
    at = (OFFSET % 64 + np.arange(-WINDOW, WINDOW + 1)).astype(np.uint64)
    both = np.stack([prefix.cations[:, CENTRE], prefix.either[:, CENTRE]], axis=1)
    return ((both[:, :, None] >> at) & np.uint64(1)).reshape(len(both), 2 * len(at)).astype(np.float32)


def _words(sets: Sequence[int]) -> Words:
    """Integers of 64 `N_WORDS` bits -> (n, words), lowest word first."""
    joined = b"".join(bits.to_bytes(8 * N_WORDS, "little") for bits in sets)
    return np.frombuffer(joined, dtype="<u8").astype(np.uint64).reshape(-1, N_WORDS)


def _table(states: Sequence[tuple[int, ...]]) -> Index:
    width = max(1, max(len(s) for s in states))
    return np.array([[*s, *[_ABSENT] * (width - len(s))] for s in states], dtype=np.int64)


def _spread(words: Words, states: Index, count: Index) -> Words:
    """The union of the sets shifted by every state times the count: (n, words), (n, states), (n,) -> (n, words)."""
    out = np.zeros_like(words)
    for column in states.T:
        shifted = _shift(words, np.where(column == _ABSENT, 0, column) * count)
        out |= np.where((column == _ABSENT)[:, None], np.uint64(0), shifted)
    return out


def _shift(words: Words, by: Index) -> Words:
    """Each row of words moved up by its own number of bits (down where negative)."""
    whole, rest = by >> 6, (by & 63).astype(np.uint64)[:, None]
    padded = np.zeros((len(words), 3 * N_WORDS), dtype=np.uint64)
    padded[:, N_WORDS : 2 * N_WORDS] = words
    at = np.clip(N_WORDS + np.arange(N_WORDS) - whole[:, None], 1, 3 * N_WORDS - 1)
    low = np.take_along_axis(padded, at, axis=1) << rest
    # numpy shifts of 64 bits give zero, which is what a whole-word move needs.
    return low | (np.take_along_axis(padded, at - 1, axis=1) >> (np.uint64(64) - rest))


def _meet(sets: Words, table: Words) -> NDArray[np.bool_]:
    """(n, words) and (m, words) -> (n, m) whether the sets share a charge."""
    out = np.zeros((len(sets), len(table)), dtype=bool)
    for word in range(N_WORDS):
        column = table[:, word]
        if column.any():
            out |= (sets[:, word, None] & column) != 0
    return out


def _next_required(required: NDArray[np.bool_]) -> Index:
    """For each rank the first required one at or after it, or the number of ranks."""
    n = len(required)
    nxt = np.where(required, np.arange(n), n)
    return np.minimum.accumulate(nxt[::-1])[::-1]
