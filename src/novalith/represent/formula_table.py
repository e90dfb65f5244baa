"""Many formulas as two arrays: atomic numbers and counts, read from text a column at a time.

The reading is that of `novalith.materials.Composition.parse`: symbols, whole counts, brackets. Plain formulas, with
at most one level of brackets, are read with array operations over all characters at once; every other line goes
through `Composition.parse` itself, which reads it or says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, MAX_COUNT, Composition

_OTHER, _UPPER, _LOWER, _DIGIT, _OPEN, _CLOSE, _END = range(7)
#: Formulas with more elements than this are read one by one.
_MAX_ELEMENTS = 12
_MAX_DIGITS = 6
#: Elements that a key of a chemical system holds.
_KEY_LENGTH = 24
_POLONIUM = ATOMIC_NUMBERS["Po"]


@dataclass(frozen=True)
class FormulaTable:
    """Formulas as arrays.

    Attributes:
        atomic_numbers: (n, k), each row's distinct elements in any order, then zeros.
        counts: (n, k) atoms of each element, divided by their greatest common divisor; zeros beyond the elements.
        problems: row -> what is wrong with the formula; such a row is all zeros.
    """

    atomic_numbers: NDArray[np.int64]
    counts: NDArray[np.int64]
    problems: dict[int, str]

    def __len__(self) -> int:
        return len(self.atomic_numbers)

    def parts(self, row: int) -> tuple[tuple[int, int], ...]:
        """(atomic number, count) pairs of a row."""
        z, n = self.atomic_numbers[row], self.counts[row]
        return tuple((int(a), int(b)) for a, b in zip(z, n, strict=True) if a)

    def composition(self, row: int) -> Composition:
        """The composition of a row that has no problem."""
        return Composition(tuple((ELEMENTS[z - 1], n) for z, n in self.parts(row)))

    def select(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> FormulaTable:
        """The rows of an index or a mask, in its order, with their problems."""
        index = np.arange(len(self))[rows]
        problems = {new: self.problems[old] for new, old in enumerate(index.tolist()) if old in self.problems}
        return FormulaTable(self.atomic_numbers[index], self.counts[index], problems)


def table_of(atomic_numbers: NDArray[np.integer], counts: NDArray[np.integer]) -> FormulaTable:
    """A table from (n, k) atomic numbers and counts in any slots, zeros where there is no element.

    Elements move to the front of each row, sorted by atomic number, and counts are divided by their greatest common
    divisor. A row without elements is a problem of its own.
    """
    present = (atomic_numbers > 0) & (counts > 0)
    key = np.where(present, atomic_numbers.astype(np.int64), len(ELEMENTS) + 1)
    order = np.argsort(key, axis=1, kind="stable")
    z = np.take_along_axis(np.where(present, atomic_numbers, 0).astype(np.int64), order, axis=1)
    n = np.take_along_axis(np.where(present, counts, 0).astype(np.int64), order, axis=1)
    n //= np.maximum(np.gcd.reduce(n, axis=1), 1)[:, None]
    width = max(1, int((z > 0).sum(axis=1).max(initial=0)))
    empty = np.flatnonzero(~present.any(axis=1)).tolist()
    return FormulaTable(z[:, :width], n[:, :width], dict.fromkeys(empty, "It holds no element."))


def formula_keys(table: FormulaTable) -> NDArray[np.bytes_]:
    """(n,) keys that are equal for equal reduced formulas, whatever the order of their elements or their table."""
    width = table.atomic_numbers.shape[1]
    # Counts stay below 2**20 (`MAX_COUNT`), atomic numbers below 2**12.
    packed = np.sort(((table.atomic_numbers << 20) | table.counts).astype(np.uint32), axis=1)[:, ::-1]
    return np.ascontiguousarray(packed).view(f"S{4 * width}").ravel()


def read_formulas(formulas: Sequence[str]) -> FormulaTable:
    """Read formulas; bad ones are reported by row, none is dropped."""
    if not formulas:
        return FormulaTable(np.zeros((0, 1), dtype=np.int64), np.zeros((0, 1), dtype=np.int64), {})
    rows, z, n, doubtful = _read_plain(formulas)
    singles: dict[int, Composition] = {}
    problems: dict[int, str] = {}
    for row in np.flatnonzero(doubtful).tolist():
        try:
            singles[row] = Composition.parse(formulas[row])
        except InputError as error:
            problems[row] = str(error)
    width = max([1, *(len(c.counts) for c in singles.values())])
    first = np.searchsorted(rows, np.arange(len(formulas)))
    if len(rows):
        slots = np.arange(len(rows)) - first[rows]
        width = max(width, int(slots.max()) + 1)
    atomic_numbers = np.zeros((len(formulas), width), dtype=np.int64)
    counts = np.zeros((len(formulas), width), dtype=np.int64)
    if len(rows):
        atomic_numbers[rows, slots] = z
        counts[rows, slots] = n
    for row, composition in singles.items():
        for slot, (symbol, count) in enumerate(composition.counts):
            atomic_numbers[row, slot] = ATOMIC_NUMBERS[symbol]
            counts[row, slot] = count
    divisor = np.gcd.reduce(counts, axis=1)
    counts //= np.maximum(divisor, 1)[:, None]
    return FormulaTable(atomic_numbers, counts, problems)


def element_keys(table: FormulaTable) -> NDArray[np.bytes_]:
    """(n,) keys that are equal for rows of equal elements, whatever their order and counts."""
    ordered = -np.sort(-table.atomic_numbers, axis=1)[:, :_KEY_LENGTH]
    key = np.zeros((len(ordered), _KEY_LENGTH), dtype=np.uint8)
    key[:, : ordered.shape[1]] = ordered
    return np.ascontiguousarray(key).view(f"S{_KEY_LENGTH}").ravel()


def _read_plain(
    formulas: Sequence[str],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(row, atomic number, count) of every element of every plain formula, sorted by row; and the doubtful rows."""
    doubtful = np.zeros(len(formulas), dtype=bool)
    joined = "\n".join(formulas)
    if joined.count("\n") != len(formulas) - 1:  # a formula that holds a line break
        lines = [f if "\n" not in f else "" for f in formulas]
        joined = "\n".join(lines)
    # Characters beyond ASCII become "?", which is in no plain formula.
    raw = np.frombuffer(("\n" + joined + "\n\0\0").encode("ascii", "replace"), dtype=np.uint8)
    kind = _KIND[raw]
    body, before = kind[1:], kind[:-1]
    row_of = np.cumsum(body == _END) - (body == _END)  # a line's own end counts to the line

    wrong = (body == _OTHER) & (raw[1:] != 0)
    wrong |= (body == _LOWER) & (before != _UPPER)
    wrong |= (body == _DIGIT) & ((before == _END) | (before == _OPEN))
    wrong |= (body == _CLOSE) & ((before == _OPEN) | (before == _END))
    wrong |= (body == _END) & (before == _END) & (raw[1:] != 0)
    doubtful[row_of[np.flatnonzero(wrong)]] = True

    at = np.flatnonzero(body == _UPPER) + 1
    rows = row_of[at - 1]
    lower = kind[at + 1] == _LOWER
    z = _SYMBOL[raw[at], np.where(lower, raw[at + 1], 0)]
    n, digits_ok = _amounts(raw, kind, at + 1 + lower)
    factor, brackets_ok = _bracket_factors(raw, kind, row_of, at, rows, doubtful)
    suspicious = (z == 0) | ~digits_ok | ~brackets_ok | ((z == _POLONIUM) & ((n >= 3) | (factor >= 3)))
    n = n * factor
    suspicious |= (n < 1) | (n > MAX_COUNT)
    doubtful[rows[suspicious]] = True
    doubtful[np.bincount(rows, minlength=len(formulas)) > _MAX_ELEMENTS] = True
    keep = ~doubtful[rows]
    rows, z, n = _merge_repeats(rows[keep], z[keep], n[keep])
    doubtful[rows[n > MAX_COUNT]] = True  # too many only when added up
    keep = ~doubtful[rows]
    return rows[keep], z[keep], n[keep], doubtful


def _amounts(
    raw: NDArray[np.uint8], kind: NDArray[np.uint8], start: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The whole number written at each position (1 where there is none), and whether it is an amount at all."""
    value = np.zeros(len(start), dtype=np.int64)
    active = kind[start] == _DIGIT
    written = active.copy()
    for _ in range(_MAX_DIGITS):
        if not active.any():
            break
        value = np.where(active, value * 10 + raw[start] - ord("0"), value)
        start = start + active
        active &= kind[start] == _DIGIT
    ok = ~active & ~(written & (value == 0))
    return np.where(written, value, 1), ok


def _bracket_factors(
    raw: NDArray[np.uint8],
    kind: NDArray[np.uint8],
    row_of: NDArray[np.int64],
    at: NDArray[np.int64],
    rows: NDArray[np.int64],
    doubtful: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The number behind the bracket that each symbol stands in, 1 outside; rows of nested brackets become doubtful."""
    factor = np.ones(len(at), dtype=np.int64)
    ok = np.ones(len(at), dtype=bool)
    marks = np.flatnonzero((kind == _OPEN) | (kind == _CLOSE))
    if len(marks) == 0:
        return factor, ok
    mark_rows = row_of[marks - 1]
    per_row = np.bincount(mark_rows, minlength=len(doubtful))
    place = np.arange(len(marks)) - np.searchsorted(mark_rows, mark_rows)
    # One level of brackets reads ( ) ( ) ...: the even marks open and the odd ones close.
    doubtful[mark_rows[(kind[marks] == _OPEN) != (place % 2 == 0)]] = True
    doubtful |= per_row % 2 == 1
    amounts, amounts_ok = _amounts(raw, kind, marks + 1)
    after = np.minimum(np.searchsorted(marks, at), len(marks) - 1)
    inside = (marks[after] > at) & (mark_rows[after] == rows) & (kind[marks[after]] == _CLOSE)
    factor[inside] = amounts[after[inside]]
    ok[inside] = amounts_ok[after[inside]]
    return factor, ok


def _merge_repeats(
    rows: NDArray[np.int64], z: NDArray[np.int64], n: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Add up elements that a formula names more than once."""
    key = rows * 128 + z
    order = np.argsort(key, kind="stable")
    key, n = key[order], n[order]
    new = np.ones(len(key), dtype=bool)
    new[1:] = key[1:] != key[:-1]
    start = np.flatnonzero(new)
    if len(start) < len(key):
        n = np.add.reduceat(n, start)
        key = key[start]
    return key // 128, key % 128, n


def _kinds() -> NDArray[np.uint8]:
    kind = np.full(256, _OTHER, dtype=np.uint8)
    kind[ord("A") : ord("Z") + 1] = _UPPER
    kind[ord("a") : ord("z") + 1] = _LOWER
    kind[ord("0") : ord("9") + 1] = _DIGIT
    kind[[ord("("), ord(")"), ord("\n")]] = _OPEN, _CLOSE, _END
    return kind


def _symbols() -> NDArray[np.int64]:
    table = np.zeros((128, 128), dtype=np.int64)
    for symbol, z in ATOMIC_NUMBERS.items():
        table[ord(symbol[0]), ord(symbol[1]) if len(symbol) > 1 else 0] = z
    return table


_KIND = _kinds()
_SYMBOL = _symbols()
