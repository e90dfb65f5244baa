"""Why a formula is balanced or not: the states that add up to zero, or the test that failed, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from novalith.materials import ELEMENTS
from novalith.screen.charge_sums import charge_runs, dilate, pauling_cuts, reachable
from novalith.screen.oxidation import StateSet

#: (atomic number, state, how many atoms hold it)
Assignment = list[tuple[int, int, int]]


def explain(
    parts: Sequence[tuple[int, int]], states: StateSet, *, pauling: bool, alloys_pass: bool, mixed_valence: bool
) -> str:
    """One sentence on a formula given as (atomic number, reduced count) pairs; options as in `ChemistryOptions`."""
    chi = states.electronegativity
    parts = sorted(parts, key=lambda p: (chi[p[0]] is None, chi[p[0]] or 0.0, p[0]))
    if len(parts) == 1:
        return f"{_symbol(parts[0][0])} alone: an element needs no charges."
    prefix = ""
    if alloys_pass and all(states.is_metal[z] for z, _ in parts):
        prefix = "All elements are metals and alloys pass whatever their charges; without that: "
    return prefix + _by_charges(parts, states, pauling, mixed_valence)


def _by_charges(parts: Sequence[tuple[int, int]], states: StateSet, pauling: bool, mixed_valence: bool) -> str:
    stateless = [_symbol(z) for z, _ in parts if not states.states[z]]
    if stateless:
        return f"{states.name} lists no oxidation state of {', '.join(stateless)}."
    if pauling:
        unknown = [_symbol(z) for z, _ in parts if states.electronegativity[z] is None]
        if not unknown:
            found = _ordered_assignment(parts, states, mixed_valence)
            if found is not None:
                return f"{_spell(found)} balance to zero; electronegativities in order."
    free = _neutral_assignment(parts, states, mixed_valence)
    if free is None:
        return f"No combination of {states.name} states sums to zero; {_nearest(parts, states, mixed_valence)}."
    if not pauling:
        return f"{_spell(free)} balance to zero."
    if unknown:
        return f"{_spell(free)} balance to zero, but {', '.join(unknown)} has no Pauling electronegativity."
    return f"{_spell(free)} balance to zero, but {_offence(free, states)}."


def _ordered_assignment(parts: Sequence[tuple[int, int]], states: StateSet, mixed_valence: bool) -> Assignment | None:
    cations, anions, cuts = pauling_cuts(parts, states, mixed_valence)
    # The cut with the largest shared charge names anions that are full rather than bare.
    shared = [(cations[j] & anions[j], j) for j in cuts if cations[j] & anions[j]]
    if not shared:
        return None
    bits, j = max(shared)
    charge = bits.bit_length() - 1
    left = _walk_back(parts[:j], 1, charge, states, mixed_valence)
    right = _walk_back(parts[j:], -1, charge, states, mixed_valence)
    return left + [(z, -s, n) for z, s, n in right]


def _neutral_assignment(parts: Sequence[tuple[int, int]], states: StateSet, mixed_valence: bool) -> Assignment | None:
    bits, offset = reachable(parts, states, mixed_valence)
    if offset < 0 or not bits >> offset & 1:
        return None
    return _walk_back(parts, 0, 0, states, mixed_valence)


def _walk_back(
    parts: Sequence[tuple[int, int]], side: int, charge: int, states: StateSet, mixed_valence: bool
) -> Assignment:
    """States that add up to a reachable charge; side +1 and -1 take magnitudes of that sign only, 0 takes all."""
    choices = [
        [side * s for s in states.states[z] if side * s >= 0] if side else list(states.states[z]) for z, _ in parts
    ]
    lows = [min(c) for c in choices]
    mixes = [mixed_valence and states.may_mix[z] for z, _ in parts]
    shifted = [tuple(sorted(s - low for s in c)) for c, low in zip(choices, lows, strict=True)]
    sets = [1]
    for (_, n), numbers, mixed in zip(parts, shifted, mixes, strict=True):
        sets.append(dilate(sets[-1], charge_runs(numbers, n, mixed)))
    rest = charge - sum(low * n for low, (_, n) in zip(lows, parts, strict=True))
    found: Assignment = []
    for j in reversed(range(len(parts))):
        (z, n), numbers = parts[j], shifted[j]
        taken = _one_state(sets[j], numbers, n, rest) if not mixes[j] else _some_states(sets[j], numbers, n, rest)
        rest -= sum(s * m for s, m in taken)
        found += [(z, s + lows[j], m) for s, m in taken]
    return found[::-1]


def _one_state(before: int, numbers: Sequence[int], n: int, rest: int) -> list[tuple[int, int]]:
    return next([(s, n)] for s in reversed(numbers) if rest - s * n >= 0 and before >> (rest - s * n) & 1)


def _some_states(before: int, numbers: tuple[int, ...], n: int, rest: int) -> list[tuple[int, int]]:
    """States of n atoms that leave a reachable rest: one state if that does, else as few atoms apart as possible."""
    for s in reversed(numbers):
        if rest - s * n >= 0 and before >> (rest - s * n) & 1:
            return [(s, n)]
    for low, high in _pairs(numbers):
        for m in range(1, n):
            left = rest - low * m - high * (n - m)
            if left >= 0 and before >> left & 1:
                return [(low, m), (high, n - m)]
    # Three states or more: peel off one atom and go on; the sets shrink, so this ends.
    one = next(s for s in numbers if _leads_on(before, numbers, n - 1, rest - s))
    further = _some_states(before, numbers, n - 1, rest - one)
    merged: dict[int, int] = {one: 1}
    for s, m in further:
        merged[s] = merged.get(s, 0) + m
    return sorted(merged.items())


def _leads_on(before: int, numbers: tuple[int, ...], n: int, rest: int) -> bool:
    return rest >= 0 and bool(dilate(before, charge_runs(numbers, n, True)) >> rest & 1)


def _pairs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of states, those nearest to each other first."""
    pairs = [(a, b) for i, a in enumerate(numbers) for b in numbers[i + 1 :]]
    return sorted(pairs, key=lambda p: (p[1] - p[0], p[0]))


def _nearest(parts: Sequence[tuple[int, int]], states: StateSet, mixed_valence: bool) -> str:
    bits, offset = reachable(parts, states, mixed_valence)
    if offset <= 0:
        below = None
        above: int | None = (bits & -bits).bit_length() - 1 - offset
    else:
        under = bits & ((1 << offset) - 1)
        over = bits >> offset
        below = under.bit_length() - 1 - offset if under else None
        above = (over & -over).bit_length() - 1 if over else None
    nearest = min((q for q in (above, below) if q is not None), key=abs)
    return f"nearest {nearest:+d}"


def _offence(assignment: Assignment, states: StateSet) -> str:
    chi = states.electronegativity
    cation = max((z for z, s, _ in assignment if s > 0), key=lambda z: chi[z] or 0.0)
    anion = min((z for z, s, _ in assignment if s < 0), key=lambda z: chi[z] or 0.0)
    return (
        f"no such combination keeps every cation less electronegative than every anion: here {_symbol(cation)} "
        f"({chi[cation]:g}) against {_symbol(anion)} ({chi[anion]:g})"
    )


def _spell(assignment: Assignment) -> str:
    held: dict[int, int] = {}
    for z, _, _ in assignment:
        held[z] = held.get(z, 0) + 1
    return " ".join(
        f"{_symbol(z)}{s:+d}" + (f" (x{n})" if held[z] > 1 else "")
        for z, s, n in sorted(assignment, key=lambda a: (-a[1], a[0]))
    )


def _symbol(z: int) -> str:
    return ELEMENTS[z - 1]
