r"""Formulas as what models of compositions read: fractions, sets of elements, and Magpie's 132 statistics.

For a formula of elements :math:`i` with atomic fractions :math:`x_i`, :math:`\sum_i x_i = 1`:

* fractions: (n, 86), :math:`x` on ElemNet's elements (all up to Pu without He, Ne, Ar, Po, At, Rn, Fr, Ra);
* set: atomic numbers (n, k), fractions (n, k) and a mask (n, k) of the places that hold an element;
* Magpie: for each of 22 elemental properties :math:`p_i`, the minimum, maximum, range, mean
  :math:`\bar p = \sum_i x_i p_i`, average deviation :math:`\sum_i x_i |p_i - \bar p|` and mode (:math:`p` of the most
  abundant element; the smallest of them where several are equally abundant).

The Magpie statistics are those of matminer 0.10.1's `ElementProperty.from_preset("magpie")`, in its order, all 132 of
them: a property that Magpie does not know of an element is replaced by its mean over the elements that it does know.
Older releases of matminer (and `impute_nan=False`) leave NaN there; of the elements up to Pu this concerns
electronegativities of He, Ne, Ar and Rn, melting points of He and Fr, and space groups of At, Rn and Fr.

Jha et al., Sci. Rep. 8, 17593 (2018) for the 86 elements; Ward et al., npj Comput. Mater. 2, 16028 (2016) for Magpie.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS
from novalith.represent.formula_table import FormulaTable

Floats = NDArray[np.float64]

_TABLE = Path(__file__).parent / "tables" / "magpie_elements.csv"
_NOT_IN_ELEMNET = frozenset("He Ne Ar Po At Rn Fr Ra".split())
#: The 86 elements of ElemNet, by atomic number.
ELEMNET_ELEMENTS = tuple(s for s in ELEMENTS[: ATOMIC_NUMBERS["Pu"]] if s not in _NOT_IN_ELEMNET)
#: Order of the statistics of each property, as in matminer.
MAGPIE_STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
#: Rows whose Magpie statistics are computed at a time; bounds the memory.
_BLOCK = 50_000


@dataclass(frozen=True, eq=False)
class SetForm:
    """Formulas as sets of elements; k is the largest number of elements of a row.

    Attributes:
        elements: (n, k) atomic numbers, zero where there is no element.
        fractions: (n, k) atomic fractions, zero there.
        mask: (n, k) true where there is an element.
    """

    elements: NDArray[np.int64]
    fractions: NDArray[np.float32]
    mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.elements)


def fractions_of(table: FormulaTable) -> Floats:
    """(n, k) atomic fractions beside `table.atomic_numbers`; zeros for a row with a problem."""
    total = table.counts.sum(axis=1, keepdims=True)
    fractions: Floats = table.counts / np.maximum(total, 1)
    return fractions


def set_form(table: FormulaTable) -> SetForm:
    """Sets of elements with fractions; a row with a problem is an empty set."""
    return SetForm(table.atomic_numbers, fractions_of(table).astype(np.float32), table.atomic_numbers > 0)


def element_fractions(table: FormulaTable, elements: tuple[str, ...] = ELEMNET_ELEMENTS) -> NDArray[np.float32]:
    """(n, e) atomic fractions on a list of elements; what is not in the list is left out (see `holds_only`)."""
    rows, places = np.nonzero(table.atomic_numbers)
    columns = _places(elements)[table.atomic_numbers[rows, places]]
    out = np.zeros((len(table), len(elements)), dtype=np.float32)
    listed = columns >= 0
    out[rows[listed], columns[listed]] = fractions_of(table)[rows[listed], places[listed]]
    return out


def holds_only(table: FormulaTable, elements: tuple[str, ...] = ELEMNET_ELEMENTS) -> NDArray[np.bool_]:
    """(n,) whether every element of a row is in a list; true for a row without elements."""
    held: NDArray[np.bool_] = ((table.atomic_numbers == 0) | (_places(elements)[table.atomic_numbers] >= 0)).all(axis=1)
    return held


def _places(elements: tuple[str, ...]) -> NDArray[np.int64]:
    places = np.full(len(ELEMENTS) + 1, -1)
    places[[ATOMIC_NUMBERS[s] for s in elements]] = np.arange(len(elements))
    return places


@lru_cache(maxsize=1)
def magpie_properties() -> tuple[tuple[str, ...], Floats]:
    """Names (22,) and values (119, 22) by atomic number, NaN where Magpie knows none; row 0 is no element."""
    with _TABLE.open(encoding="utf-8", newline="") as handle:
        header, *rows = csv.reader(handle)
    values = np.full((len(ELEMENTS) + 1, len(header) - 1), np.nan)
    for row in rows:
        values[int(row[0])] = [float(cell) if cell else np.nan for cell in row[1:]]
    values.setflags(write=False)
    return tuple(header[1:]), values


@lru_cache(maxsize=1)
def imputed_properties() -> Floats:
    """(119, 22) properties with the mean over all elements that have one in the place of a missing value."""
    _, values = magpie_properties()
    filled = np.where(np.isnan(values), np.nanmean(values, axis=0), values)
    filled.setflags(write=False)
    return filled


def magpie_names() -> tuple[str, ...]:
    """The 132 names, as matminer writes them ("MagpieData minimum Number")."""
    names, _ = magpie_properties()
    return tuple(f"MagpieData {statistic} {name}" for name in names for statistic in MAGPIE_STATISTICS)


def magpie_features(table: FormulaTable) -> NDArray[np.float32]:
    """(n, 132) statistics; zeros for a row with a problem."""
    out = np.zeros((len(table), len(magpie_names())), dtype=np.float32)
    for start in range(0, len(table), _BLOCK):
        block = table.select(np.arange(start, min(start + _BLOCK, len(table))))
        out[start : start + _BLOCK] = _statistics(block)
    return out


def _statistics(table: FormulaTable) -> Floats:
    mask = table.atomic_numbers[:, :, None] > 0
    p = imputed_properties()[table.atomic_numbers]  # (n, k, 22)
    x = fractions_of(table)[:, :, None]
    smallest = np.where(mask, p, np.inf).min(axis=1)
    largest = np.where(mask, p, -np.inf).max(axis=1)
    mean = (x * p).sum(axis=1)
    deviation = (x * np.abs(p - mean[:, None])).sum(axis=1)
    # matminer calls abundances equal that agree to 1e-5 of each other.
    abundant = mask & np.isclose(x, x.max(axis=1, keepdims=True))
    mode = np.where(abundant, p, np.inf).min(axis=1)
    every = np.stack([smallest, largest, largest - smallest, mean, deviation, mode], axis=2)  # (n, 22, 6)
    every[~mask.any(axis=(1, 2))] = 0.0
    return every.reshape(len(table), -1)
