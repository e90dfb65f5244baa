r"""Crystals as graphs: atoms, their nearest neighbours, and the shape of each atom's surroundings.

    G = {(Z_i, s_i, u_i)} and {(i, j, d_ij, c_ij)}

Nodes carry the atomic number :math:`Z_i`, the share :math:`s_i` of the crystal's atoms that they stand for (summing to
one) and a vector :math:`u_i` of surroundings. An edge says that each atom of node i has :math:`c_{ij}` neighbours of
node j at the distance :math:`d_{ij}` (Å).

*Neighbours* are the twelve nearest atoms, periodic images included, within 8 Å, as in the published model, and every
further atom as near as the twelfth to within `SHELL_TOLERANCE_A`: cutting through a shell of equal distances would make
the graph depend on the order of the atoms. An atom without any neighbour within 8 Å keeps its nearest shell, searched
for up to `FARTHEST_A`; a crystal with a lonelier atom has no graph and a Verdict.

*Surroundings* see what distances alone do not, the angles: for weights :math:`w_{ij}` that fall with the distance

.. math:: u_{i,l} = \sum_{jk} w_{ij} w_{ik} P_l(\cos\theta_{jik}) / (\sum_j w_{ij})^2, \quad l = 1 \dots 6

which are the squared bond-order parameters of Steinhardt, Nelson and Ronchetti, Phys. Rev. B 28, 784 (1983). Diamond
and graphene differ in all of them. With them go the coordination number, the nearest distance and the volume an atom.

*Merging* takes equal atoms together. Nodes with the same element, the same surroundings and the same multiset of
(distance, node) over their edges would hold the same vector after every convolution, so one of them stands for all, and
likewise for edges: the network gives the same answer at a fifth of the cost, and a supercell has the graph of its cell.

Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, Crystal, Verdict

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Neighbours of an atom and the farthest of them, as published (Xie and Grossman, 2018).
N_NEIGHBOURS, CUTOFF_A = 12, 8.0
#: Distances within this of the twelfth belong to its shell: relaxed cells are symmetric to some hundredths of an Å.
SHELL_TOLERANCE_A = 0.05
#: An atom without a neighbour within this has none.
FARTHEST_A = 24.0
#: Atoms nearer than this lie on one another.
_COINCIDENT_A = 0.05
#: Highest order of the angular part.
_ORDER = 6
#: Radial weights exp(-((d / d_nearest - 1) / width)^2): the first shell, and the surroundings.
_WIDTHS = (0.15, 0.5)
#: Distances that agree to this are equal when nodes are merged, Å, and surroundings that agree to the other number.
MERGE_TOLERANCE_A, _MERGE_SURROUNDINGS = 1e-4, 1e-3
#: Crystals whose graphs are built at a time; bounds the memory.
_CHUNK = 2048
#: Pairs of neighbours whose angles are computed at a time; bounds the memory.
_BLOCK = 300_000
#: Convolutions after which merged nodes are still equal; refinement stops before where nothing changes.
_ROUNDS = 6
_SOURCE = "Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018)"

#: Names of the columns of the surroundings.
SURROUNDINGS = (
    *(f"{kind} l={order}" for kind in ("first shell", "surroundings", "polar") for order in range(1, _ORDER + 1)),
    "coordination", "weight of the surroundings", "nearest distance", "volume an atom",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class GraphTable:
    """Graphs of n crystals, one after the other: N nodes and E edges in all.

    Attributes:
        atomic_numbers: (N,).
        shares: (N,) share of its crystal's atoms that a node stands for.
        surroundings: (N, 22) columns `SURROUNDINGS`.
        centres: (E,) node at which an edge begins; not decreasing.
        neighbours: (E,) node at which it ends.
        distances: (E,) Å.
        counts: (E,) neighbours that the edge stands for.
        node_starts: (n + 1,) first node of each crystal, and N.
        edge_starts: (n + 1,) likewise for edges.
    """

    atomic_numbers: Integers
    shares: NDArray[np.float32]
    surroundings: NDArray[np.float32]
    centres: Integers
    neighbours: Integers
    distances: NDArray[np.float32]
    counts: NDArray[np.float32]
    node_starts: Integers
    edge_starts: Integers

    def __len__(self) -> int:
        return len(self.node_starts) - 1

    @property
    def crystals(self) -> Integers:
        """(N,) the crystal of each node."""
        return np.repeat(np.arange(len(self)), np.diff(self.node_starts))

    def select(self, rows: Integers) -> GraphTable:
        """The graphs of some rows, in their order."""
        nodes, node_starts = _spans(self.node_starts, rows)
        edges, edge_starts = _spans(self.edge_starts, rows)
        shift = np.repeat(node_starts[:-1] - self.node_starts[rows], np.diff(edge_starts))
        return GraphTable(
            self.atomic_numbers[nodes], self.shares[nodes], self.surroundings[nodes], self.centres[edges] + shift,
            self.neighbours[edges] + shift, self.distances[edges], self.counts[edges], node_starts, edge_starts,
        )  # fmt: skip

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Name -> array, for a file."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _spans(starts: Integers, rows: Integers) -> tuple[Integers, Integers]:
    """Places of all elements of some spans, and where each span begins among them."""
    lengths = starts[rows + 1] - starts[rows]
    begins = np.concatenate([[0], np.cumsum(lengths)])
    return np.arange(begins[-1]) + np.repeat(starts[rows] - begins[:-1], lengths), begins


@dataclass(frozen=True, eq=False)
class _Neighbourhood:
    """Edges of one crystal: centre, neighbour, vector from one to the other (Å), length; sorted by centre."""

    centres: Integers
    neighbours: Integers
    vectors: Floats
    distances: Floats


def graph_table(
    crystals: Sequence[Crystal], tolerance_a: float | None = MERGE_TOLERANCE_A
) -> tuple[GraphTable, dict[int, Verdict]]:
    """The graphs of crystals that have one, in their order, and why the others have none.

    Args:
        crystals: any number.
        tolerance_a: distances that agree to this are equal when equal atoms are merged; None merges nothing.

    Returns:
        The graphs of the rows that are not among the verdicts, and row -> Verdict.
    """
    verdicts: dict[int, Verdict] = {}
    tables: list[GraphTable] = []
    for start in range(0, max(len(crystals), 1), _CHUNK):
        kept: list[Crystal] = []
        hoods: list[_Neighbourhood] = []
        for row, crystal in enumerate(crystals[start : start + _CHUNK], start=start):
            hood = _neighbourhood(crystal)
            if isinstance(hood, Verdict):
                verdicts[row] = hood
            else:
                kept.append(crystal)
                hoods.append(hood)
        table = _joined(kept, hoods)
        tables.append(table if tolerance_a is None else merged(table, tolerance_a))
    return joined(tables), verdicts


def joined(tables: Sequence[GraphTable]) -> GraphTable:
    """Some tables, at least one, as one."""
    node_starts, edge_starts = (_joined_starts([getattr(t, n) for t in tables]) for n in ("node_starts", "edge_starts"))
    first = np.cumsum([0, *(len(t.atomic_numbers) for t in tables)])
    centres, neighbours = (
        np.concatenate([getattr(t, n) + k for t, k in zip(tables, first, strict=False)])
        for n in ("centres", "neighbours")
    )
    z, shares, surroundings, distances, counts = (
        np.concatenate([getattr(t, n) for t in tables])
        for n in ("atomic_numbers", "shares", "surroundings", "distances", "counts")
    )
    return GraphTable(z, shares, surroundings, centres, neighbours, distances, counts, node_starts, edge_starts)


def _joined_starts(starts: Sequence[Integers]) -> Integers:
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(s) for s in starts]))]).astype(np.int64)


def check(crystal: Crystal) -> Verdict:
    """Whether a crystal has a graph."""
    hood = _neighbourhood(crystal)
    return hood if isinstance(hood, Verdict) else Verdict(True, "crystal graph", source=_SOURCE)


def _neighbourhood(crystal: Crystal) -> _Neighbourhood | Verdict:
    lattice = np.array(crystal.lattice)
    positions = np.array(crystal.frac_coords) @ lattice
    n = len(positions)
    # A sphere of this radius holds two dozen atoms on average: mostly enough, and grown where it is not.
    radius = min(CUTOFF_A, max(3.0, (2 * N_NEIGHBOURS * crystal.volume / n * 3 / (4 * math.pi)) ** (1 / 3)))
    while True:
        found = _within(lattice, positions, radius)
        first = np.searchsorted(found.centres, np.arange(n + 1))
        have = np.diff(first)
        if len(found.distances) and found.distances.min() < _COINCIDENT_A:
            return Verdict(False, "crystal graph", f"Two atoms lie {found.distances.min():.3g} Å apart.", _SOURCE)
        # The distance that ends the shell; unknown (infinite) where too few neighbours were found.
        limit = np.full(n, np.inf)
        enough = have >= N_NEIGHBOURS
        limit[enough] = found.distances[first[:-1][enough] + N_NEIGHBOURS - 1] + SHELL_TOLERANCE_A
        if radius >= CUTOFF_A or (limit <= radius).all():
            break
        radius = min(CUTOFF_A, 1.4 * radius)
    limit = np.minimum(limit, CUTOFF_A)
    while not have.all() and radius < FARTHEST_A:
        radius = min(FARTHEST_A, 1.4 * radius)
        lonely = np.flatnonzero(have == 0)
        found = _within(lattice, positions, radius)
        first = np.searchsorted(found.centres, np.arange(n + 1))
        have = np.diff(first)
        reached = lonely[have[lonely] > 0]
        limit[reached] = found.distances[first[reached]] + SHELL_TOLERANCE_A
    if not have.all():
        i = int(np.argmin(have))
        reason = f"{crystal.species[i]} (site {i + 1}) has no neighbour within {FARTHEST_A:g} Å."
        return Verdict(False, "crystal graph", reason, _SOURCE)
    keep = found.distances <= limit[found.centres]
    return _Neighbourhood(found.centres[keep], found.neighbours[keep], found.vectors[keep], found.distances[keep])


def _within(lattice: Floats, positions: Floats, radius: float) -> _Neighbourhood:
    """All pairs within a radius, sorted by centre and distance."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    centres, neighbours, images, distances = find_points_in_spheres(
        positions, positions, r=float(radius), pbc=np.array([1, 1, 1], dtype=np.int64), lattice=lattice, tol=1e-8
    )
    itself = (centres == neighbours) & (distances < 1e-8)
    order = np.lexsort((distances, centres))
    order = order[~itself[order]]
    centres, neighbours = centres[order].astype(np.int64), neighbours[order].astype(np.int64)
    vectors = positions[neighbours] + images[order] @ lattice - positions[centres]
    return _Neighbourhood(centres, neighbours, vectors, distances[order])


def _joined(crystals: Sequence[Crystal], hoods: Sequence[_Neighbourhood]) -> GraphTable:
    sizes = np.array([c.n_atoms for c in crystals], dtype=np.int64)
    node_starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    lengths = np.array([len(h.centres) for h in hoods], dtype=np.int64)
    edge_starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    shift = np.repeat(node_starts[:-1], lengths)
    empty = np.zeros(0, np.int64)
    z = np.array([ATOMIC_NUMBERS[s] for c in crystals for s in c.species], dtype=np.int64)
    centres = np.concatenate([empty, *(h.centres for h in hoods)]) + shift
    neighbours = np.concatenate([empty, *(h.neighbours for h in hoods)]) + shift
    vectors = np.concatenate([np.zeros((0, 3)), *(h.vectors for h in hoods)])
    distances = np.concatenate([np.zeros(0), *(h.distances for h in hoods)])
    volumes = np.repeat([c.volume / c.n_atoms for c in crystals], sizes) if len(sizes) else np.zeros(0)
    return GraphTable(
        z, np.repeat(1 / np.maximum(sizes, 1), sizes).astype(np.float32),
        _surroundings(z, centres, neighbours, vectors, distances, volumes),
        centres, neighbours, distances.astype(np.float32), np.ones(len(centres), np.float32), node_starts, edge_starts,
    )  # fmt: skip


def _surroundings(
    z: Integers, centres: Integers, neighbours: Integers, vectors: Floats, distances: Floats, volumes: Floats
) -> NDArray[np.float32]:
    """(N, 22) angular and radial description of each atom's neighbours."""
    n = len(z)
    out = np.zeros((n, len(SURROUNDINGS)), dtype=np.float32)
    if not n:
        return out
    first = np.searchsorted(centres, np.arange(n))
    nearest = np.minimum.reduceat(distances, first)
    chi = _electronegativities()
    relative = distances / nearest[centres] - 1
    weights = [np.exp(-((relative / width) ** 2)) for width in _WIDTHS]
    weights.append(weights[1] * (chi[z[neighbours]] - chi[z[centres]]))
    totals = [np.add.reduceat(w, first) for w in weights[:2]]
    totals.append(totals[1])
    unit = vectors / distances[:, None]
    degrees = np.diff(np.append(first, len(centres)))
    for degree in np.unique(degrees).tolist():  # atoms with equally many neighbours together
        atoms = np.flatnonzero(degrees == degree)
        for block in np.array_split(atoms, 1 + len(atoms) * degree**2 // _BLOCK):
            edges = first[block, None] + np.arange(degree)
            w = np.stack([weight[edges] for weight in weights], axis=2)  # (b, degree, 3)
            scale = np.stack([total[block] for total in totals], axis=1) ** 2
            u = unit[edges]
            for order, p in enumerate(_legendre(u @ u.transpose(0, 2, 1))):
                out[block, order : 3 * _ORDER : _ORDER] = (w * (p @ w)).sum(axis=1) / scale
    out[:, 3 * _ORDER] = totals[0]
    out[:, 3 * _ORDER + 1] = totals[1]
    out[:, 3 * _ORDER + 2] = nearest
    out[:, 3 * _ORDER + 3] = volumes
    return out


def _legendre(x: Floats) -> Iterator[Floats]:
    """P_1 to P_6 of an array."""
    before, now = np.ones_like(x), x
    for order in range(1, _ORDER + 1):
        yield now
        before, now = now, ((2 * order + 1) * x * now - order * before) / (order + 1)


@lru_cache(maxsize=1)
def _electronegativities() -> Floats:
    from novalith.represent.composition_features import imputed_properties, magpie_properties

    names, _ = magpie_properties()
    return np.array(imputed_properties()[:, names.index("Electronegativity")])


def merged(table: GraphTable, tolerance_a: float = MERGE_TOLERANCE_A) -> GraphTable:
    """The same graphs with equal nodes and equal edges taken together (distances and surroundings averaged)."""
    n = len(table.atomic_numbers)
    if not n:
        return table
    many = np.round(table.counts).astype(np.uint64)
    bins = np.round(table.distances / tolerance_a).astype(np.int64)
    shape = np.round(table.surroundings * (tolerance_a / MERGE_TOLERANCE_A) ** -1 / _MERGE_SURROUNDINGS)
    colours = _mixed(table.crystals.astype(np.uint64) * np.uint64(128) + table.atomic_numbers.astype(np.uint64))
    salts = _mixed(np.arange(1, shape.shape[1] + 1).astype(np.uint64))
    colours = colours + (_mixed(shape.astype(np.int64).view(np.uint64) + salts)).sum(axis=1, dtype=np.uint64)
    first = np.searchsorted(table.centres, np.arange(n))
    n_classes = 0
    for _ in range(_ROUNDS):
        messages = many * _mixed(colours[table.neighbours] + _mixed(bins.view(np.uint64)))
        colours = _mixed(colours) + np.add.reduceat(messages, first)
        _, classes = np.unique(colours, return_inverse=True)
        if classes.max() + 1 == n_classes:
            break
        n_classes = int(classes.max()) + 1
    return _quotient(table, classes, bins)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection that spreads the bits (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _quotient(table: GraphTable, classes: Integers, bins: Integers) -> GraphTable:
    """One node for each class, in the order of the first of its atoms."""
    n = len(classes)
    n_classes = int(classes.max()) + 1
    first_atom = np.full(n_classes, n)
    np.minimum.at(first_atom, classes, np.arange(n))
    order = np.argsort(first_atom)
    place = np.empty(n_classes, dtype=np.int64)
    place[order] = np.arange(n_classes)
    node_of = place[classes]
    shares = np.bincount(node_of, table.shares)
    surroundings = np.zeros((n_classes, table.surroundings.shape[1]))
    for column in range(surroundings.shape[1]):
        surroundings[:, column] = np.bincount(node_of, table.shares * table.surroundings[:, column]) / shares
    centres, neighbours = node_of[table.centres], node_of[table.neighbours]
    by_edge = np.lexsort((bins, neighbours, centres))
    c, m, b = centres[by_edge], neighbours[by_edge], bins[by_edge]
    starts = np.flatnonzero(np.r_[True, (np.diff(c) != 0) | (np.diff(m) != 0) | (np.diff(b) != 0)])
    weights = (table.counts * table.shares[table.centres]).astype(np.float64)[by_edge]
    many = np.add.reduceat(weights, starts)
    distances = np.add.reduceat(weights * table.distances[by_edge], starts) / many
    crystals = table.crystals[first_atom[order]]
    node_starts = np.searchsorted(crystals, np.arange(len(table) + 1))
    return GraphTable(
        table.atomic_numbers[first_atom[order]], shares.astype(np.float32),
        surroundings.astype(np.float32), c[starts], m[starts], distances.astype(np.float32),
        (many / shares[c[starts]]).astype(np.float32), node_starts,
        np.searchsorted(c[starts], node_starts),
    )  # fmt: skip
