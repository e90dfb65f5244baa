"""How far apart two compositions are, with similar elements near each other.

Both compositions are spread on Pettifor's chemical scale (Mendeleev numbers; Pettifor, Sol. State Commun. 51, 31,
1984); the distance is the least total move, in steps of the scale and shares of atoms, that turns one into the other
(earth mover's distance; Hargreaves et al., Chem. Mater. 32, 10610, 2020). In one dimension it is the area between the
two cumulative sums.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ELEMENTS, Composition

#: Length of Pettifor's scale; elements that he did not place stand behind its end.
_LAST = 103


def cumulative_shares(compositions: Sequence[Composition]) -> NDArray[np.float32]:
    """(n, 118) share of atoms up to each place of the scale."""
    places = _places()
    shares = np.zeros((len(compositions), len(ELEMENTS)), dtype=np.float32)
    for row, composition in enumerate(compositions):
        total = composition.n_atoms
        for symbol, n in composition.counts:
            shares[row, places[symbol]] += n / total
    return np.cumsum(shares, axis=1)


def exchanged_elements(composition: Composition, others: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many elements must at least be exchanged to get from the elements of one to those of each other row."""
    present = np.diff(others, axis=1, prepend=0) > 1e-6
    mine = np.diff(cumulative_shares([composition])[0], prepend=0) > 1e-6
    shared = present[:, mine].sum(axis=1)
    return np.asarray(np.maximum(present.sum(axis=1), mine.sum()) - shared)


def nearest_composition(composition: Composition, others: NDArray[np.float32]) -> int:
    """The row of `cumulative_shares` with the fewest elements exchanged and, among those, the least distance."""
    exchanged = exchanged_elements(composition, others)
    rows = np.flatnonzero(exchanged == exchanged.min())
    return int(rows[np.argmin(composition_distances(composition, others[rows]))])


def composition_distances(composition: Composition, others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of one composition to each row of `cumulative_shares`."""
    return np.abs(others - cumulative_shares([composition])[0]).sum(axis=1)


def scale_distance(a: str, b: str) -> int:
    """Steps of the scale between two elements."""
    places = _places()
    return abs(places[a] - places[b])


@cache
def _places() -> dict[str, int]:
    from pymatgen.core import Element

    places: dict[str, int] = {}
    beyond = _LAST
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No data available for mendeleev_no")
        for symbol in ELEMENTS:
            number = Element(symbol).mendeleev_no
            if number is None:
                places[symbol], beyond = beyond, beyond + 1
            else:
                places[symbol] = int(number) - 1
    return places
