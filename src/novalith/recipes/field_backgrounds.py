"""Random fields that reported fields are told apart from.

A background field is k distinct elements that no list reports. Not reported does not mean impossible: the background is
unlabelled, and every figure against it is a ranking figure.

==============  ===========================================================================================
background      elements are drawn
==============  ===========================================================================================
uniform         each with the same chance, from those that occur in reported fields
matched         without replacement, by their frequency in the reported fields of that arity
independent     independently by their frequency in all reported fields, draws with a repeat thrown away
two-anion U     two from the 72 non-anions and P As Se Te S N I, two from the 11 anions, each list uniform
two-anion M     from the same two lists, by training frequency
==============  ===========================================================================================

"Two-anion" is the task of Vasylenko et al. (2021): S O Cl Br F N Te P Se As I are the anions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError
from novalith.materials import ATOMIC_NUMBERS
from novalith.represent.field_evidence import N_ELEMENTS
from novalith.represent.phase_field import Indices, canonical

Weights = NDArray[np.float64]

ANIONS = tuple("S O Cl Br F N Te P Se As I".split())
#: Anions that also stand in the place of a cation in the published two-anion fields.
ANIONS_AS_CATIONS = tuple("P As Se Te S N I".split())


@dataclass(frozen=True)
class Background:
    """Groups of elements drawn together: (number of elements, weights by element) each.

    Attributes:
        groups: a field takes that many elements from each group.
        replace: within a group, draw independently and throw fields with repeats away.
    """

    groups: tuple[tuple[int, Weights], ...]
    replace: bool = False

    @property
    def size(self) -> int:
        """Number of fields that could be drawn, at most: those with no element in common between groups."""
        return prod(comb(int((weights > 0).sum()), size) for size, weights in self.groups)

    def draw(self, n: int, excluded: frozenset[bytes], rng: np.random.Generator) -> Indices:
        """(n, k) distinct fields outside `excluded` (see `field_keys`), in the order of drawing.

        Raises:
            EmptyResultError: the weights do not allow so many.
        """
        taken: dict[bytes, None] = {}
        for _ in range(1000):
            batch = self._batch(max(2 * (n - len(taken)), 1000), rng)
            for key in field_keys(batch):
                if key not in excluded:
                    taken[key] = None
            if len(taken) >= n:
                rows = np.frombuffer(b"".join(list(taken)[:n]), dtype=np.uint8)
                return canonical(rows.reshape(n, -1).astype(np.int64))
        raise EmptyResultError(
            f"Only {len(taken)} of {n} random fields outside the reported ones exist for these elements; allow more."
        )

    def _batch(self, n: int, rng: np.random.Generator) -> Indices:
        columns = []
        for size, weights in self.groups:
            if self.replace:
                columns.append(rng.choice(N_ELEMENTS, size=(n, size), p=weights / weights.sum()))
            else:
                # The largest log w + Gumbel noise are a draw without replacement (Efraimidis and Spirakis, 2006).
                with np.errstate(divide="ignore"):
                    keys = np.log(weights) + rng.gumbel(size=(n, N_ELEMENTS))
                columns.append(np.argpartition(-keys, size - 1, axis=1)[:, :size])
        rows = np.sort(np.concatenate(columns, axis=1), axis=1)
        return rows[(np.diff(rows, axis=1) > 0).all(axis=1)]


def field_keys(rows: Indices) -> list[bytes]:
    """One key a field, the same for every order of its elements."""
    packed = np.sort(rows, axis=1).astype(np.uint8)
    return [row.tobytes() for row in packed]


def frequencies(rows: Indices) -> Weights:
    """How many of the fields hold each element."""
    return np.bincount(rows.ravel(), minlength=N_ELEMENTS).astype(float)


def uniform(rows: Indices) -> Background:
    """Every element that occurs in `rows` with the same chance."""
    return Background(((rows.shape[1], (frequencies(rows) > 0).astype(float)),))


def matched(rows: Indices) -> Background:
    """Elements by their frequency in `rows`."""
    return Background(((rows.shape[1], frequencies(rows)),))


def independent(groups: dict[int, Indices], arity: int) -> Background:
    """Elements by their frequency in fields of all arities, drawn independently."""
    return Background(((arity, sum((frequencies(rows) for rows in groups.values()), np.zeros(N_ELEMENTS))),), True)


def two_anion_uniform(rows: Indices) -> Background:
    """Background U of the two-anion task; `rows` says which non-anions occur."""
    cations = _among(np.minimum(frequencies(rows), 1.0), _cation_symbols(rows))
    return Background(((2, cations), (2, _among(np.ones(N_ELEMENTS), ANIONS))), True)


def two_anion_matched(rows: Indices) -> Background:
    """Background M of the two-anion task: both lists weighted by the frequencies in `rows`."""
    weights = frequencies(rows)
    return Background(((2, _among(weights, _cation_symbols(rows))), (2, _among(weights, ANIONS))), True)


def _cation_symbols(rows: Indices) -> list[str]:
    occurring = frequencies(rows) > 0
    return [s for s, z in ATOMIC_NUMBERS.items() if (s not in ANIONS and occurring[z - 1]) or s in ANIONS_AS_CATIONS]


def _among(weights: Weights, symbols: Sequence[str]) -> Weights:
    kept = np.zeros(N_ELEMENTS)
    rows = [ATOMIC_NUMBERS[s] - 1 for s in symbols]
    kept[rows] = weights[rows]
    return kept
