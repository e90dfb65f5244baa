"""Every phase field within the user's limits, none of them reported: what there is to rank."""

from __future__ import annotations

from itertools import chain, combinations
from math import comb

import numpy as np

from novalith.errors import EmptyResultError, InputError
from novalith.materials import ATOMIC_NUMBERS
from novalith.represent.phase_field import Indices, canonical
from novalith.screen.field_limits import ANIONS, SOMETIMES_ANIONS, FieldLimits

#: More candidates than this (about 0.5 GB in the making) are refused: require an element or allow fewer.
MAX_CANDIDATES = 5_000_000


def enumerate_fields(limits: FieldLimits, known: frozenset[str], reported: Indices) -> Indices:
    """Fields within the limits that are not reported: (n, arity) element indices.

    Args:
        limits: what a field may hold.
        known: elements considered unless the limits name others.
        reported: (m, arity) fields to leave out.

    Raises:
        EmptyResultError: nothing is left; the message names the rule that took the last ones.
        InputError: more than `MAX_CANDIDATES`.
    """
    symbols = [s for s in limits.elements(known) if s not in limits.require]
    n_free = limits.arity - len(limits.require)
    if comb(len(symbols), n_free) > MAX_CANDIDATES:
        raise InputError(
            f"{comb(len(symbols), n_free):,} fields lie within these limits, more than {MAX_CANDIDATES:,}. "
            "Require an element, allow fewer, or lower the arity."
        )
    free = [ATOMIC_NUMBERS[s] - 1 for s in symbols]
    flat = np.fromiter(chain.from_iterable(combinations(free, n_free)), dtype=np.int64)
    rows = flat.reshape(-1, n_free) if n_free else np.empty((1, 0), dtype=np.int64)
    required = np.array([ATOMIC_NUMBERS[s] - 1 for s in sorted(limits.require)], dtype=np.int64)
    rows = np.sort(np.concatenate([rows, np.broadcast_to(required, (len(rows), len(required)))], axis=1), axis=1)
    in_roles = rows[_roles(rows, limits)]
    if not len(in_roles):
        raise EmptyResultError(
            f"None of {len(rows):,} fields within the limits has {limits.n_anions} anions "
            f"(of {' '.join(sorted(ANIONS))}; {' '.join(sorted(SOMETIMES_ANIONS))} count as needed). Change --anions."
        )
    new = in_roles[~np.isin(_codes(in_roles), _codes(np.sort(reported, axis=1)))]
    if not len(new):
        raise EmptyResultError(f"All {len(in_roles):,} fields within the limits are reported already. Relax a limit.")
    return canonical(new)


def _roles(rows: Indices, limits: FieldLimits) -> np.ndarray:
    if limits.n_anions is None:
        return np.ones(len(rows), dtype=bool)
    sure = np.isin(rows, [ATOMIC_NUMBERS[s] - 1 for s in ANIONS]).sum(axis=1)
    sometimes = np.isin(rows, [ATOMIC_NUMBERS[s] - 1 for s in SOMETIMES_ANIONS]).sum(axis=1)
    return (sure <= limits.n_anions) & (limits.n_anions <= sure + sometimes)


def _codes(rows: Indices) -> Indices:
    return (rows * 128 ** np.arange(rows.shape[1])).sum(axis=1)
