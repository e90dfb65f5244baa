"""Formulas as one-hot matrices: a row an element, a column a count.

    x in {0, 1}^(E, L),   x[e, j] = 1  if the formula holds count(j) atoms of element e

Without an *absent* column, count(j) = j + 1 for j = 0 .. L - 1, and the row of an element that does not occur is zero
(MatGAN: 85 x 8). With one, column 0 says "absent", count(j) = j, and each row holds exactly one 1 (DING: 89 x 11).
Counts are those of the reduced formula. Between formulas and matrices stand count vectors, (n, E) whole numbers, which
need a byte a cell instead of 4 L: tables of training rows are kept as such and expanded a batch at a time.

Round trip: `table_of_counts(encode_counts(table).counts)` gives the formulas back exactly. A formula with an element
outside the list or too large a count does not fit, and is reported with its row.

Generators return cells in (0, 1). Two readings of a row of cells:

    threshold   the count of the last column with a cell >= t; absent where there is none   (published: MatGAN t = 0.2)
    argmax      the count of the largest cell, absent if that is the absent column or smaller than a floor

Dan et al., npj Comput. Mater. 6, 84, 2020 (MatGAN); Pathak et al., Phys. Chem. Chem. Phys. 22, 26935, 2020 (DING).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, check_element
from novalith.represent.formula_table import FormulaTable, table_of

Counts = NDArray[np.uint8]
Cells = NDArray[np.floating[Any]]

#: Elements of 27,389 reported formulas with counts up to 8: no noble gas but xenon, nothing from polonium to radium.
REPORTED_85 = tuple(
    "H Li Be B C N O F Na Mg Al Si P S Cl K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Y Zr Nb Mo Tc Ru Rh "
    "Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi "
    "Ac Th Pa U Np Pu".split()
)


@dataclass(frozen=True)
class OneHotLayout:
    """What rows and columns of a one-hot matrix stand for.

    Attributes:
        elements: symbols, one a row.
        max_count: largest count that fits.
        absent: whether column 0 says that the element does not occur.
    """

    elements: tuple[str, ...]
    max_count: int
    absent: bool = False

    def __post_init__(self) -> None:
        for symbol in self.elements:
            check_element(symbol)
        if not self.elements or len(set(self.elements)) < len(self.elements) or not 1 <= self.max_count <= 255:
            raise InputError(
                f"A layout of {len(self.elements)} elements and counts up to {self.max_count}: expected distinct "
                "elements, at least one, and counts up to a number from 1 to 255."
            )

    @property
    def n_columns(self) -> int:
        """L, the number of columns."""
        return self.max_count + self.absent

    @property
    def shape(self) -> tuple[int, int]:
        """(E, L)."""
        return len(self.elements), self.n_columns

    @cached_property
    def atomic_numbers(self) -> NDArray[np.int64]:
        """(E,) of the rows."""
        return np.array([ATOMIC_NUMBERS[s] for s in self.elements])

    def row_mask(self, symbols: Sequence[str] | frozenset[str]) -> NDArray[np.bool_]:
        """(E,) which rows stand for one of the symbols."""
        return np.isin(self.atomic_numbers, [ATOMIC_NUMBERS[s] for s in symbols])


@dataclass(frozen=True, eq=False)
class EncodedFormulas:
    """Formulas that fit a layout, and why others do not.

    Attributes:
        counts: (m, E) count vectors.
        rows: (m,) the rows of the table that they stand for.
        problems: row -> why it does not fit; rows = kept + problems.
    """

    counts: Counts
    rows: NDArray[np.int64]
    problems: dict[int, str]


def encode_counts(table: FormulaTable, layout: OneHotLayout) -> EncodedFormulas:
    """Count vectors of the rows that fit; each other row is named with its reason."""
    place = np.full(len(ELEMENTS) + 1, -1, dtype=np.int64)
    place[layout.atomic_numbers] = np.arange(len(layout.elements))
    present = table.atomic_numbers > 0
    column = place[table.atomic_numbers]
    foreign = (present & (column < 0)).any(axis=1)
    large = (present & (table.counts > layout.max_count)).any(axis=1)
    problems = dict(table.problems)
    for row in np.flatnonzero(foreign).tolist():
        outside = [ELEMENTS[z - 1] for z, _ in table.parts(row) if place[z] < 0]
        problems[row] = f"it holds {', '.join(outside)}, which is not among the {len(layout.elements)} elements"
    for row in np.flatnonzero(large & ~foreign).tolist():
        count = int(table.counts[row].max())
        problems[row] = f"it holds an element {count} times; at most {layout.max_count} fit"
    fits = ~foreign & ~large & present.any(axis=1)
    rows = np.flatnonzero(fits)
    counts = np.zeros((len(rows), len(layout.elements)), dtype=np.uint8)
    at, slot = np.nonzero(present[rows])
    counts[at, column[rows][at, slot]] = table.counts[rows][at, slot]
    return EncodedFormulas(counts, rows, problems)


def expand(counts: Counts, layout: OneHotLayout) -> NDArray[np.float32]:
    """Count vectors (n, E) -> one-hot matrices (n, E, L)."""
    levels = np.arange(0 if layout.absent else 1, layout.max_count + 1, dtype=np.uint8)
    return (counts[:, :, None] == levels).astype(np.float32)


def counts_by_threshold(cells: Cells, layout: OneHotLayout, threshold: float) -> Counts:
    """Cells (n, E, L) -> count vectors (n, E): the last column that passes the threshold wins, as published."""
    # Numbering columns by count makes "the last that passes" a maximum; the absent column counts as nothing.
    first = 0 if layout.absent else 1
    counts = np.zeros(cells.shape[:2], dtype=np.uint8)
    for column in range(layout.n_columns):
        counts[cells[:, :, column] >= threshold] = column + first
    return counts


def counts_by_argmax(cells: Cells, layout: OneHotLayout, floor: float = 0.0) -> Counts:
    """Cells (n, E, L) -> count vectors (n, E): the largest cell of a row wins, if it is at least the floor.

    Raises:
        InputError: the layout has no absent column and the floor is 0, so that every element would occur.
    """
    if not layout.absent and floor <= 0:
        raise InputError("Without an absent column the largest cell needs a floor above 0, or every element occurs.")
    first = 0 if layout.absent else 1
    counts = (cells.argmax(axis=2) + first).astype(np.uint8)
    counts[cells.max(axis=2) < floor] = 0
    return counts


def table_of_counts(
    counts: NDArray[np.integer[Any]], layout: OneHotLayout, n_elements: tuple[int, int] = (1, 255)
) -> FormulaTable:
    """Count vectors (n, E) -> formulas, reduced; rows with too few or too many elements are problems.

    Args:
        counts: 0 where an element does not occur.
        layout: what the E columns stand for.
        n_elements: fewest and most elements of a formula.
    """
    arity = np.count_nonzero(counts, axis=1)
    low, high = n_elements
    kept = (arity >= max(low, 1)) & (arity <= high)
    rows, columns = np.nonzero(counts)
    inside = kept[rows]
    rows, columns = rows[inside], columns[inside]
    starts = np.cumsum(np.where(kept, arity, 0)) - np.where(kept, arity, 0)
    slots = np.arange(len(rows)) - starts[rows]
    width = max(1, int(arity[kept].max(initial=0)))
    z = np.zeros((len(counts), width), dtype=np.int64)
    n = np.zeros((len(counts), width), dtype=np.int64)
    z[rows, slots] = layout.atomic_numbers[columns]
    n[rows, slots] = counts[rows, columns]
    table = table_of(z, n)
    bad = np.flatnonzero(~kept)
    problems = {
        row: f"It decodes to {k} elements; {low} to {high} were expected." if k else "It decodes to no element."
        for row, k in zip(bad.tolist(), arity[bad].tolist(), strict=True)
    }
    return FormulaTable(table.atomic_numbers, table.counts, problems)
