"""The order of the table.

Candidates are ordered by energy above the hull. The potential errs by some 0.05 eV/atom, so the order within the first
page means little, and a page of one formula's polymorphs would hide the rest: the first `PAGE` places therefore hold at
most `PER_FORMULA` candidates of a formula and at least `PER_GENERATOR` of every generator, as far as there are any.
Within the page, and after it, the order is by energy; ties go by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Places of the first page: what a chemist reads.
PAGE = 20

#: At most this many candidates of one formula on the first page: with 20 places, at least ten formulas.
PER_FORMULA = 2

#: At least this many candidates of every generator on the first page.
PER_GENERATOR = 3


@dataclass(frozen=True)
class Sortable:
    """What the order depends on.

    Attributes:
        id: of the candidate.
        formula: reduced formula.
        generator: who proposed it.
        energy_above_hull_ev_per_atom: against the competing phases.
    """

    id: str
    formula: str
    generator: str
    energy_above_hull_ev_per_atom: float


def rank(rows: Sequence[Sortable]) -> list[int]:
    """Indices of `rows` in the order of the table."""
    order = sorted(range(len(rows)), key=lambda i: (rows[i].energy_above_hull_ev_per_atom, rows[i].id))
    page = _page(rows, order)
    return [i for i in order if i in page] + [i for i in order if i not in page]


def _page(rows: Sequence[Sortable], order: Sequence[int]) -> set[int]:
    """The best `PAGE` rows under the limit of each formula, then the worst make room for generators that lack rows."""
    page: list[int] = []
    for i in order:
        if len(page) < PAGE and _count(rows, page, "formula", i) < PER_FORMULA:
            page.append(i)
    page += [i for i in order if i not in page][: PAGE - len(page)]  # too few formulas to keep the limit
    for i in order:
        crowded = [j for j in page if _count(rows, page, "generator", j) > PER_GENERATOR]
        wanted = _count(rows, page, "generator", i) < PER_GENERATOR and _count(rows, page, "formula", i) < PER_FORMULA
        if i not in page and wanted and crowded:
            page.remove(max(crowded, key=order.index))
            page.append(i)
    return set(page)


def _count(rows: Sequence[Sortable], page: Sequence[int], what: str, i: int) -> int:
    """Rows of the page that share the formula or the generator of row `i`."""
    return sum(getattr(rows[j], what) == getattr(rows[i], what) for j in page)
