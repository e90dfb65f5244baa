"""Which charges a formula can add up to: exact sums over oxidation states, held as the bits of integers.

A set of whole numbers {a, b, ...} >= 0 is the integer with bits a, b, ... set. Adding an element with states S and
count n turns the reachable set R into the union of R << (s n) over s in S; nothing is sampled and nothing is left out.

*Neutral*: 0 is reachable from all states. *Balanced*: 0 is reachable in Pauling's order, every cation less
electronegative than every anion. With the elements sorted by electronegativity that means: some cut parts them into
the first j, which take states >= 0 and reach the set P_j, and the rest, which take states <= 0 and reach the magnitudes
N_j, with P_j and N_j sharing a number. Elements of equal electronegativity stand on one side of the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from novalith.screen.oxidation import StateSet, load_states

#: A run of numbers: first, step, how many.
Run = tuple[int, int, int]

#: Bits of the machine word of the vectorised kernel.
_WORD = 64
#: A shift that clears a machine word; stands for "no such state".
_NO_STATE = 1 << 20


def dilate(bits: int, runs: Sequence[Run]) -> int:
    """The sums of a member of `bits` and a member of `runs`."""
    out = 0
    for first, step, length in runs:
        spread, covered = bits, 1
        while covered < length:  # doubles the covered part of the run, so a run of a million costs twenty shifts
            extra = min(covered, length - covered)
            spread |= spread << (step * extra)
            covered += extra
        out |= spread << first
    return out


def as_runs(bits: int, step: int) -> tuple[Run, ...]:
    """The members of `bits` as runs of the given step."""
    runs = []
    starts = bits & ~(bits << step)
    while starts:
        first = (starts & -starts).bit_length() - 1
        starts &= starts - 1
        residue = bits >> first
        length = 1
        if step == 1:
            length = (~residue & (residue + 1)).bit_length() - 1
        else:
            while residue >> (step * length) & 1:
                length += 1
        runs.append((first, step, length))
    return tuple(runs)


@lru_cache(maxsize=100_000)
def fold(numbers: tuple[int, ...], n: int) -> int:
    """The sums of n members of `numbers` (all >= 0), repetition allowed."""
    if n == 1:
        return sum(1 << x for x in numbers)
    half = fold(numbers, n // 2)
    step = int(np.gcd.reduce(np.diff(numbers))) if len(numbers) > 1 else 1
    whole = dilate(half, as_runs(half, step))
    return dilate(whole, as_runs(fold(numbers, 1), step)) if n % 2 else whole


@lru_cache(maxsize=100_000)
def charge_runs(states: tuple[int, ...], n: int, mixed: bool) -> tuple[Run, ...]:
    """Charges that n atoms can hold: all in one state, or (mixed) each in its own; states >= 0."""
    if not mixed or n == 1:
        return tuple((s * n, 1, 1) for s in states)
    step = int(np.gcd.reduce(np.diff(states))) if len(states) > 1 else 1
    return as_runs(fold(states, n), step)


def reachable(parts: Sequence[tuple[int, int]], states: StateSet, mixed_valence: bool) -> tuple[int, int]:
    """All reachable charges of a formula as (bits, offset): charge q is bit q + offset.

    Args:
        parts: (atomic number, count) pairs; every element has states.
        states: the oxidation states.
        mixed_valence: whether elements that may mix take several states at once.
    """
    bits, offset = 1, 0
    for z, n in parts:
        lowest = states.states[z][0]
        shifted = tuple(s - lowest for s in states.states[z])
        bits = dilate(bits, charge_runs(shifted, n, mixed_valence and states.may_mix[z]))
        offset -= lowest * n
    return bits, offset


def is_neutral(parts: Sequence[tuple[int, int]], states: StateSet, mixed_valence: bool) -> bool:
    """Whether the charges can add up to zero."""
    bits, offset = reachable(parts, states, mixed_valence)
    return offset >= 0 and bool(bits >> offset & 1)


def pauling_cuts(
    parts: Sequence[tuple[int, int]], states: StateSet, mixed_valence: bool
) -> tuple[list[int], list[int], list[int]]:
    """The sets P_j and N_j of the module's text and the cuts j that are allowed.

    Args:
        parts: (atomic number, count) pairs sorted by electronegativity, which every element has.
        states: the oxidation states.
        mixed_valence: whether elements that may mix take several states at once.

    Returns:
        P_0 ... P_k, N_0 ... N_k, and the allowed j.
    """
    mixes = [mixed_valence and states.may_mix[z] for z, _ in parts]
    cations, anions = [1], [1]
    for (z, n), mixed in zip(parts, mixes, strict=True):
        cations.append(dilate(cations[-1], charge_runs(states.cation_states[z], n, mixed)))
    for (z, n), mixed in zip(reversed(parts), reversed(mixes), strict=True):
        anions.append(dilate(anions[-1], charge_runs(states.anion_states[z], n, mixed)))
    chi = [states.electronegativity[z] for z, _ in parts]
    cuts = [j for j in range(len(parts) + 1) if j in (0, len(parts)) or chi[j - 1] != chi[j]]
    return cations, anions[::-1], cuts


def is_ordered(parts: Sequence[tuple[int, int]], states: StateSet, mixed_valence: bool) -> bool:
    """Whether the charges can add up to zero in Pauling's order; `parts` as in `pauling_cuts`."""
    cations, anions, cuts = pauling_cuts(parts, states, mixed_valence)
    return any(cations[j] & anions[j] for j in cuts)


class Kernel:
    """Neutrality and Pauling's order for many formulas at once, in machine words.

    A row is answered here when every sum that matters fits 64 bits, which is so for nearly all real formulas; the
    others are named, and the integers of unlimited size above answer them.
    """

    def __init__(self, set_name: str) -> None:
        states = load_states(set_name)
        self._states = states
        chi = sorted({x for x in states.electronegativity if x is not None})
        # Rank of the electronegativity; unknown ones sort behind all others.
        self.rank = np.array(
            [len(chi) if x is None else chi.index(x) for x in states.electronegativity], dtype=np.int64
        )
        self.has_chi = np.array([x is not None for x in states.electronegativity])
        self.has_states = np.array([bool(s) for s in states.states])
        self.is_metal = np.array(states.is_metal)
        self.may_mix = np.array(states.may_mix)
        self._cation = _shift_table(states.cation_states)
        self._anion = _shift_table(states.anion_states)
        self._low = np.array([s[0] if s else 0 for s in states.states], dtype=np.int64)
        self._high = np.array([s[-1] if s else 0 for s in states.states], dtype=np.int64)
        sides = (states.cation_states, states.anion_states)
        # Smallest and largest charge an atom adds on either side; one that cannot stand there is out of reach.
        self._least = np.array([[s[0] if s else _NO_STATE for s in side] for side in sides], dtype=np.int64)
        self._most = np.array([[s[-1] if s else -_NO_STATE for s in side] for side in sides], dtype=np.int64)
        self._from_low = _shift_table([tuple(x - s[0] for x in s) for s in states.states])
        self._from_high = _shift_table([tuple(s[-1] - x for x in s) for s in states.states])

    def ordered(self, z: NDArray[np.int64], n: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether zero is reachable in Pauling's order, and whether the answer holds.

        Args:
            z: (k, rows) atomic numbers, each column sorted by `rank`, without padding.
            n: (k, rows) counts.
        """
        k, rows = z.shape
        most_positive = (np.maximum(self._high[z], 0) * n).sum(axis=0)
        most_negative = (np.maximum(-self._low[z], 0) * n).sum(axis=0)
        exact = np.minimum(most_positive, most_negative) < _WORD
        counts = n.astype(np.uint64)
        anions = [np.ones(rows, dtype=np.uint64)]
        for j in reversed(range(k)):
            anions.append(_spread(anions[-1], self._anion, z[j], counts[j]))
        anions.reverse()
        cations = np.ones(rows, dtype=np.uint64)
        answer = (cations & anions[0]) != 0
        for j in range(1, k + 1):
            cations = _spread(cations, self._cation, z[j - 1], counts[j - 1])
            meets = (cations & anions[j]) != 0
            if j < k:
                meets &= self.rank[z[j - 1]] != self.rank[z[j]]
            answer |= meets
        return answer, exact

    def order_in_range(self, z: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the ranges of both sides of some cut overlap, without which no states sum to zero in order.

        Holds for mixed valence too: atoms in different states stay within n times the extremes.
        """
        k, rows = z.shape
        lowest, highest = self._least[:, z] * n, self._most[:, z] * n  # (2, k, rows)
        answer = np.zeros(rows, dtype=bool)
        for j in range(k + 1):
            cation_low, cation_high = lowest[0, :j].sum(axis=0), highest[0, :j].sum(axis=0)
            anion_low, anion_high = lowest[1, j:].sum(axis=0), highest[1, j:].sum(axis=0)
            answer |= (cation_low <= anion_high) & (anion_low <= cation_high)
        return answer

    def zero_in_range(self, z: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether zero lies between the lowest and the highest total charge, mixed valence or not."""
        low, high = (self._low[z] * n).sum(axis=0), (self._high[z] * n).sum(axis=0)
        return np.asarray((low <= 0) & (high >= 0))

    def neutral(self, z: NDArray[np.int64], n: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether zero is reachable at all, and whether the answer holds; arguments as in `ordered`, any order."""
        k, rows = z.shape
        # Counted up from the lowest states zero lies at -sum(low n); counted down from the highest at sum(high n).
        up = -(self._low[z] * n).sum(axis=0)
        down = (self._high[z] * n).sum(axis=0)
        possible = (up >= 0) & (down >= 0)
        target = np.minimum(up, down)
        exact = ~possible | (target < _WORD)
        answer = np.zeros(rows, dtype=bool)
        for rows_of, table in ((possible & (up <= down), self._from_low), (possible & (up > down), self._from_high)):
            index = np.flatnonzero(rows_of)
            bits = np.ones(len(index), dtype=np.uint64)
            for j in range(k):
                bits = _spread(bits, table, z[j, index], n[j, index].astype(np.uint64))
            at = np.minimum(target[index], _WORD - 1).astype(np.uint64)
            answer[index] = ((bits >> at) & np.uint64(1) == 1) & exact[index]
        return answer, exact


def _shift_table(states: Sequence[tuple[int, ...]]) -> NDArray[np.uint64]:
    """(states, atomic numbers) shifts per atom, short columns filled with shifts that clear a word."""
    table = np.full((max(len(s) for s in states), len(states)), _NO_STATE, dtype=np.uint64)
    for z, numbers in enumerate(states):
        table[: len(numbers), z] = numbers
    return table


def _spread(
    bits: NDArray[np.uint64], table: NDArray[np.uint64], z: NDArray[np.int64], n: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """One element added to the reachable sets; sums beyond the word fall off (numpy shifts them out to zero)."""
    out = np.zeros_like(bits)
    for row in table:
        out |= bits << (row[z] * n)
    return out
