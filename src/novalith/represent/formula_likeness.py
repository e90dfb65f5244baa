r"""How much more a formula is like the formulas of one list than like those of another, by exchange of elements.

Two formulas of one anonymous formula (AB2, say) differ by the elements on its places; the likeness of x and y is

.. math:: \ell(x, y) = \max_\pi \sum_i s(x_i, y_{\pi(i)}) \le 0

over the assignments :math:`\pi` of elements with equal counts, with the log-similarity s of two elements. Two numbers
tell a list Y of positives from a list U of others,

.. math:: \max_{y \in Y} \ell - \max_{u \in U} \ell, \qquad
   \log \sum_{y \in Y} e^{\ell} - \log \sum_{u \in U} e^{\ell},

each maximum and sum at least `FLOOR`, which is also what an anonymous formula without members gets. A formula is never
compared with itself, so that rows of the lists and new rows are read alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.represent.formula_table import FormulaTable

NAMES = ("likeness to the nearest listed less nearest other formula", "likeness to all listed less all other formulas")
#: The least likeness, of formulas that have nothing in common.
FLOOR = -30.0
#: More elements than this have too many assignments; such formulas are like none.
MOST_ELEMENTS = 5
#: Assignments looked at; five elements with equal counts have 120, and their formulas are rare.
_MOST_ASSIGNMENTS = 24
#: Rows compared with all members of their anonymous formula at a time.
_BLOCK = 1_000
#: Above this a likeness is that of a formula with itself.
_SAME = -1e-6


@dataclass(frozen=True, eq=False)
class FormulaLikeness:
    """Two lists of formulas, and how alike elements are.

    Attributes:
        elements: (m, `MOST_ELEMENTS`) atomic numbers, the most abundant element first, zeros behind.
        counts: (m, `MOST_ELEMENTS`) reduced counts in the same order.
        listed: (m,) whether a formula belongs to the list of positives.
        log_similarity: (z, z) s by atomic number; 0 on the diagonal, negative elsewhere.
    """

    elements: NDArray[np.uint8]
    counts: NDArray[np.uint8]
    listed: NDArray[np.bool_]
    log_similarity: NDArray[np.float32]

    @classmethod
    def of(cls, positives: FormulaTable, others: FormulaTable, log_similarity: NDArray[np.floating]) -> FormulaLikeness:
        """From two tables, and the log-similarity (118, 118) by atomic number minus one."""
        padded = np.zeros(tuple(n + 1 for n in log_similarity.shape), dtype=np.float32)
        padded[1:, 1:] = log_similarity.astype(np.float16)
        parts = [_ordered(table) for table in (positives, others)]
        listed = np.repeat([True, False], [len(positives), len(others)])
        elements, counts, fits = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(elements[fits].astype(np.uint8), counts[fits].astype(np.uint8), listed[fits], padded)

    def features(self, table: FormulaTable) -> NDArray[np.float32]:
        """(n, 2) the two numbers of the module for every row."""
        out = np.zeros((len(table), 2), dtype=np.float32)
        elements, counts, fits = _ordered(table)
        own = _keys(self.counts)
        rows_of: dict[bytes, NDArray[np.intp]] = dict(_groups(_keys(counts[fits].astype(np.uint8))))
        members_of = dict(_groups(own))
        index = np.flatnonzero(fits)
        for key, rows in rows_of.items():
            members = members_of.get(key)
            if members is None:
                continue
            at = index[rows]
            assignments = _assignments(counts[at[0]])
            for start in range(0, len(at), _BLOCK):
                part = at[start : start + _BLOCK]
                likeness = self._likeness(elements[part], self.elements[members], assignments)
                out[part] = _differences(likeness, self.listed[members])
        return out

    def _likeness(
        self, rows: NDArray[np.int64], members: NDArray[np.uint8], assignments: list[tuple[int, ...]]
    ) -> NDArray[np.float32]:
        """(n, m) of every row and every member."""
        best = np.full((len(rows), len(members)), -np.inf, dtype=np.float32)
        for assignment in assignments:
            total = np.zeros_like(best)
            for place, other in enumerate(assignment):
                total += self.log_similarity[rows[:, place][:, None], members[:, other][None, :]]
            np.maximum(best, total, out=best)
        best[best > _SAME] = -np.inf
        return best

    def tensors(self, start: str) -> dict[str, NDArray[Any]]:
        """Arrays for a checkpoint."""
        return {
            f"{start}.elements": self.elements,
            f"{start}.counts": self.counts,
            f"{start}.listed": self.listed.astype(np.uint8),
            f"{start}.log_similarity": self.log_similarity.astype(np.float16),
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, NDArray[Any]], start: str) -> FormulaLikeness:
        """From `tensors`."""
        elements, counts, listed, similarity = (
            np.asarray(tensors[f"{start}.{name}"]) for name in ("elements", "counts", "listed", "log_similarity")
        )
        return cls(elements, counts, listed.astype(bool), similarity.astype(np.float32))


def _ordered(table: FormulaTable) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(n, `MOST_ELEMENTS`) atomic numbers and counts, the most abundant element first, and which rows fit."""
    n_elements = (table.atomic_numbers > 0).sum(axis=1)
    fits = (n_elements > 0) & (n_elements <= MOST_ELEMENTS) & (table.counts.max(axis=1, initial=0) < 2**8)
    order = np.lexsort((table.atomic_numbers, -table.counts))
    wide = np.zeros((2, len(table), max(MOST_ELEMENTS, table.counts.shape[1])), dtype=np.int64)
    wide[0, :, : order.shape[1]] = np.take_along_axis(table.atomic_numbers, order, axis=1)
    wide[1, :, : order.shape[1]] = np.take_along_axis(table.counts, order, axis=1)
    return wide[0, :, :MOST_ELEMENTS], wide[1, :, :MOST_ELEMENTS], fits


def _keys(counts: NDArray[np.uint8]) -> NDArray[np.void]:
    """(n,) the anonymous formula of every row."""
    flat = np.ascontiguousarray(counts)
    return flat.view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()


def _groups(keys: NDArray[np.void]) -> Iterator[tuple[bytes, NDArray[np.intp]]]:
    """Every key with its rows."""
    if not len(keys):
        return
    names, place = np.unique(keys, return_inverse=True)
    order = np.argsort(place, kind="stable")
    for name, rows in zip(names, np.split(order, np.cumsum(np.bincount(place))[:-1]), strict=True):
        yield name.tobytes(), rows


def _assignments(counts: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Ways to set the elements of one formula on those of another, equal counts on equal counts."""
    places = range(int((counts > 0).sum()))
    runs = [tuple(run) for _, run in itertools.groupby(places, key=lambda place: int(counts[place]))]
    ways = itertools.product(*(itertools.permutations(run) for run in runs))
    return [tuple(itertools.chain.from_iterable(way)) for way in itertools.islice(ways, _MOST_ASSIGNMENTS)]


def _differences(likeness: NDArray[np.float32], listed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, 2) from the likeness (n, m) to the members of both lists."""
    best, whole = [], []
    for mask in (listed, ~listed):
        part = likeness[:, mask]
        highest = np.maximum(part.max(axis=1, initial=-np.inf), FLOOR)
        best.append(highest)
        with np.errstate(divide="ignore"):
            summed = highest + np.log(np.exp(part - highest[:, None]).sum(axis=1))
        whole.append(np.maximum(summed, FLOOR))
    return np.stack([best[0] - best[1], whole[0] - whole[1]], axis=1).astype(np.float32)
