"""What a generator of formulas for a target has to beat: known formulas near the target with one element exchanged.

For each draw, one of the `N_NEAREST` training formulas closest to the target is taken, at random,

    distance = sqrt( sum over properties ((y - target) / spread)^2 ),

and one of its elements, at random, becomes another one that the formula lacks, with a chance that grows with how often
the two stand in for each other among the training formulas (`novalith.propose.similarity`): P(b | a) ~ exp(s(a, b)).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError
from novalith.materials import ELEMENTS
from novalith.propose.compositions import CompositionModel, FormulaRequest
from novalith.propose.similarity import mine_elements
from novalith.represent.formula_table import FormulaTable, table_of

#: Known formulas that draws start from.
N_NEAREST = 30


class NeighbourExchange(CompositionModel):
    """Draws by exchange of one element in training formulas near the target.

    Args:
        table: training formulas, each once.
        properties: name -> (n,) values.
    """

    name: ClassVar[str] = "neighbour-exchange"
    honours: ClassVar[frozenset[str]] = frozenset({"targets"})

    def __init__(self, table: FormulaTable, properties: Mapping[str, NDArray[np.float64]]) -> None:
        self._table = table
        self._properties = dict(properties)
        present = [z for z in np.unique(table.atomic_numbers).tolist() if z]
        self._elements = tuple(ELEMENTS[z - 1] for z in present)
        counts = [tuple((ELEMENTS[z - 1], n) for z, n in table.parts(row)) for row in range(len(table))]
        likeness = np.exp(mine_elements(counts).log_similarity)
        np.fill_diagonal(likeness, 0.0)
        outside = np.ones(len(ELEMENTS), dtype=bool)
        outside[np.array(present) - 1] = False
        likeness[:, outside] = 0.0
        #: (119, 119) by atomic number: chance weights.
        self._likeness = np.pad(likeness, ((1, 0), (1, 0)))

    @property
    def elements(self) -> tuple[str, ...]:
        """Those of the training formulas."""
        return self._elements

    @property
    def target_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Range of the training values."""
        return {name: (float(y.min()), float(y.max())) for name, y in self._properties.items()}

    def draw(self, n: int, request: FormulaRequest, *, rng: np.random.Generator) -> FormulaTable:
        """Take neighbours of the target, or any training formulas without one, and exchange an element of each."""
        self.check(request)
        start = self._start(dict(request.targets))
        rows = start[rng.integers(len(start), size=n)]
        z, counts = self._table.atomic_numbers[rows].copy(), self._table.counts[rows]
        slot = rng.integers((z > 0).sum(axis=1))
        at = np.arange(n)
        weight = self._likeness[z[at, slot]].copy()
        np.put_along_axis(weight, z, 0.0, axis=1)
        chosen = rng.random((n, 1)) * weight.sum(axis=1, keepdims=True)
        z[at, slot] = (weight.cumsum(axis=1) > chosen).argmax(axis=1)
        return table_of(z, counts)

    def save(self, path: Path) -> None:
        """It has nothing to save.

        Raises:
            CapabilityError: always.
        """
        raise CapabilityError(f"{path} was not written: {self.name} is its training table.")

    def _start(self, targets: Mapping[str, float]) -> NDArray[np.int64]:
        if not targets:
            return np.arange(len(self._table))
        distance = sum(
            ((self._properties[name] - aim) / self._properties[name].std()) ** 2 for name, aim in targets.items()
        )
        return np.argsort(distance, kind="stable")[:N_NEAREST]
