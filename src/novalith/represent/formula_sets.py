"""Sets of millions of distinct formulas in bounded memory: sorted keys of sixteen bytes.

A reduced formula of up to eight elements with counts up to 511 is packed without loss,

    key = sorted (Z << 9 | count), two bytes an element, the largest first,

so two million formulas take 32 MB, membership is a binary search, and the formulas can be had back from the keys.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.represent.formula_table import FormulaTable, table_of

#: Elements a key holds, and the largest count.
MAX_ELEMENTS, MAX_COUNT = 8, 511
_SHIFT = 9

Keys = NDArray[np.bytes_]


def pack(table: FormulaTable) -> Keys:
    """(n,) keys; equal for equal reduced formulas, in whatever order their elements stand.

    Raises:
        InputError: a formula has more elements or a larger count than a key holds.
    """
    z, n = table.atomic_numbers, table.counts
    if (z > 0).sum(axis=1).max(initial=0) > MAX_ELEMENTS or n.max(initial=0) > MAX_COUNT:
        raise InputError(f"A key holds up to {MAX_ELEMENTS} elements with counts up to {MAX_COUNT}; larger ones came.")
    words = -np.sort(-((z << _SHIFT) | n), axis=1)[:, :MAX_ELEMENTS]
    # Big-endian, so that the order of the bytes is the order of the numbers.
    whole = np.zeros((len(words), MAX_ELEMENTS), dtype=">u2")
    whole[:, : words.shape[1]] = words
    return whole.view(f"S{2 * MAX_ELEMENTS}").ravel()


def unpack(keys: Keys) -> FormulaTable:
    """The formulas of keys."""
    raw = np.ascontiguousarray(keys, dtype=f"S{2 * MAX_ELEMENTS}")
    words = raw.view(">u2").reshape(len(keys), MAX_ELEMENTS).astype(np.int64)
    return table_of(words >> _SHIFT, words & MAX_COUNT)


def among(keys: Keys, sorted_keys: Keys) -> NDArray[np.bool_]:
    """(n,) whether each key is in a sorted set."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[place] == keys)


class FormulaSet:
    """Distinct formulas, added a block at a time."""

    def __init__(self) -> None:
        self.keys: Keys = np.zeros(0, dtype=f"S{2 * MAX_ELEMENTS}")

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, keys: Keys) -> None:
        """Add keys, in any order and with repeats."""
        fresh = np.unique(keys)
        fresh = fresh[~among(fresh, self.keys)]
        self.keys = np.insert(self.keys, np.searchsorted(self.keys, fresh), fresh)
