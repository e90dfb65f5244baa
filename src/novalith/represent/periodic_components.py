r"""Components of a periodic graph and the lattice vectors that closed walks inside them add up to.

Nodes are the atoms of one cell; an edge leads from atom i in the home cell to atom j in the cell with the integer
offset m. Every node keeps the offset :math:`o_i` at which a walk from the root of its component meets it; an edge
inside a component closes a walk and yields the integer vector

.. math:: t = o_i + m - o_j.

These vectors span the translations under which the component is mapped onto itself; their rank is the number of
directions in which it is infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Offset = tuple[int, int, int]


@dataclass(frozen=True)
class Edge:
    """A bond from site `first` in the home cell to site `second` in the cell `offset`."""

    first: int
    second: int
    offset: Offset


class Components:
    """Components that grow as edges are joined.

    Args:
        n: number of nodes.
    """

    def __init__(self, n: int) -> None:
        self._root = list(range(n))
        self._offset: list[Offset] = [(0, 0, 0)] * n
        self._members: dict[int, list[int]] = {i: [i] for i in range(n)}
        self._basis: dict[int, list[Offset]] = {i: [] for i in range(n)}

    def join(self, edge: Edge) -> None:
        """Add an edge."""
        i, j = edge.first, edge.second
        step = _minus(_plus(self._offset[i], edge.offset), self._offset[j])
        one, other = self._root[i], self._root[j]
        if one == other:
            self._basis[one] = _span([*self._basis[one], step]) if any(step) else self._basis[one]
            return
        if len(self._members[one]) < len(self._members[other]):  # the smaller one is relabelled
            one, other, step = other, one, _minus((0, 0, 0), step)
        for node in self._members.pop(other):
            self._root[node] = one
            self._offset[node] = _plus(self._offset[node], step)
            self._members[one].append(node)
        self._basis[one] = _span([*self._basis[one], *self._basis.pop(other)])

    @property
    def n(self) -> int:
        """Number of components."""
        return len(self._members)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The different ranks of the components, rising."""
        return tuple(sorted({len(basis) for basis in self._basis.values()}))

    @property
    def labels(self) -> tuple[int, ...]:
        """One number a node, the same for nodes of one component."""
        return tuple(self._root)

    def unwrapped(self, node: int) -> tuple[dict[int, Offset], Sequence[Offset]]:
        """The component of a node: the cell that each member lies in, and a basis of its translations."""
        root = self._root[node]
        return {i: self._offset[i] for i in self._members[root]}, self._basis[root]


def _plus(a: Offset, b: Offset) -> Offset:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _minus(a: Offset, b: Offset) -> Offset:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def _span(vectors: Sequence[Offset]) -> list[Offset]:
    """A basis of the integer combinations of vectors: the rows of their Hermite normal form."""
    rows = [list(v) for v in vectors if any(v)]
    basis: list[Offset] = []
    for column in range(3):
        busy = [row for row in rows if row[column]]
        rows = [row for row in rows if not row[column]]
        while len(busy) > 1:
            busy.sort(key=lambda row: abs(row[column]))
            pivot = busy[0]
            rest: list[list[int]] = []
            for row in busy[1:]:
                q = row[column] // pivot[column]
                row = [a - q * b for a, b in zip(row, pivot, strict=True)]
                (rest if row[column] else rows).append(row)
            busy = [pivot, *rest]
        if busy:
            a, b, c = busy[0]
            basis.append((a, b, c))
        rows = [row for row in rows if any(row)]
    return basis
