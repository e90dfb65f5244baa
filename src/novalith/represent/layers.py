r"""Layers in a crystal, found by its bonds and not by its axes; one of them as a monolayer in vacuum.

Two atoms :math:`i, j` at the distance :math:`d` are bonded at the cutoff :math:`k` when
:math:`d \le k\,(r_i + r_j)` with covalent radii :math:`r`. Bonds join the atoms of a cell to components; the closed
walks inside a component add up to lattice vectors, and the rank of those (0 to 3) is the number of directions in which
the component runs on for ever: 0 a molecule, 1 a chain, 2 a layer, 3 a network.

No cutoff is right for every crystal. As :math:`k` grows the ranks only change at some bonds, so every set of ranks
holds for an interval :math:`(k_1, k_2)`, and the one with the highest score :math:`f(k_2) - f(k_1)` wins, where

.. math:: f(x) = \frac{c\,x_+^2}{1 + c\,x_+^2}, \qquad x_+ = \max(0, x - 1), \qquad c = 1 / 0.15^2.

Source: Larsen, Pandey, Strange and Jacobsen, Phys. Rev. Materials 3, 034003 (2019). Radii: Cordero et al., Dalton
Trans. 2832 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.materials import ATOMIC_NUMBERS, Composition, Crystal, Verdict
from novalith.represent.periodic_components import Components, Edge

Array = NDArray[np.float64]

#: Vacuum that a monolayer gets, Å: the electron densities of its images do not meet, and potentials with a reach of 6 Å
#: do not see them.
VACUUM_A = 20.0
#: Less vacuum than this between the images of a slab is refused, Å (2DMatPedia and C2DB keep at least 15).
MIN_VACUUM_A = 10.0
#: `c` of the score, and the cutoffs beyond which every crystal is one network.
_C = 1 / 0.15**2
_MAX_CUTOFF = 2.2
#: Layers that differ by less are one kind: ratios of bond lengths that noise in a file makes differ, Å over Å.
_SAME_RATIO = 1e-3

RULE = "layered"
SOURCE = "Larsen et al., Phys. Rev. Materials 3, 034003 (2019)"


@dataclass(frozen=True)
class Dimensionality:
    """In how many directions the parts of a crystal run on.

    Attributes:
        ranks: the different ranks of its components, rising: (2,) for layers alone, (0, 2) for layers with molecules
            or ions between them.
        score: weight of the interval of cutoffs for which that holds, 0 to 1.
        cutoffs: the interval, over sums of covalent radii.
        cutoff: the one in it from which the components are as listed here.
        components: one number a site; sites with the same number are joined by bonds.
    """

    ranks: tuple[int, ...]
    score: float
    cutoffs: tuple[float, float]
    cutoff: float
    components: tuple[int, ...]

    @property
    def name(self) -> str:
        """Such as "2D" or "0D+2D"."""
        return "+".join(f"{r}D" for r in self.ranks)


@dataclass(frozen=True)
class Monolayer:
    """One layer in vacuum: vectors a and b in the plane of x and y, c along z.

    Attributes:
        crystal: the layer in its cell, centred at half of c.
        thickness_a: from the lowest to the highest nucleus, Å.
        area_a2: of the cell in the plane, Å2.
        parent: the layered crystal that it was cut from; None where the slab was given as such.
        gap_a: between the nuclei of two neighbouring layers of the parent along z, Å; None without a parent.
        score: score of the layered reading of the bonds, 0 to 1 (below 0.5 the layers are arguable).
    """

    crystal: Crystal
    thickness_a: float
    area_a2: float
    parent: Crystal | None
    gap_a: float | None
    score: float

    @property
    def vacuum_a(self) -> float:
        """Empty space between the nuclei of the layer and of its image, Å."""
        return self.crystal.lattice[2][2] - self.thickness_a


def dimensionality(crystal: Crystal) -> Dimensionality:
    """The most convincing reading of the bonds of a crystal."""
    return max(_readings(crystal), key=lambda d: (d.score, d.ranks))


def monolayer_of(crystal: Crystal, vacuum_a: float = VACUUM_A) -> Monolayer | Verdict:
    """Cut one layer out of a layered crystal.

    Args:
        crystal: a bulk crystal in any cell; layers need not be parallel to its axes.
        vacuum_a: empty space to leave between the layer and its image, Å.

    Returns:
        The layer, or the verdict that says why there is none: a network, chains, molecules, something between the
        layers, or layers of several formulas.
    """
    _check_vacuum(vacuum_a)
    reading = dimensionality(crystal)
    if reading.ranks != (2,):
        return _refusal(crystal, reading)
    layers = [_Layer.cut(crystal, sites, reading) for sites in _groups(reading.components)]
    formulas = sorted({layer.composition.formula for layer in layers})
    if len(formulas) > 1:
        return _no(f"{crystal.composition} holds layers of different formulas ({', '.join(formulas)}).")
    largest = max(layers, key=lambda layer: (-layer.area_a2, -layer.sites[0]))
    return largest.monolayer(vacuum_a, parent=crystal, gap_a=_gap(crystal, layers, largest), score=reading.score)


def as_monolayer(crystal: Crystal, vacuum_a: float | None = None) -> Monolayer | Verdict:
    """Read a slab that was given as a monolayer: its cell turned so that c is along z, its vacuum checked.

    Args:
        crystal: one layer and vacuum, the vacuum in any direction.
        vacuum_a: give it this vacuum instead of its own, Å.

    Returns:
        The layer, or the verdict that says why it is none: a bulk crystal, several layers, too little vacuum.
    """
    if vacuum_a is not None:
        _check_vacuum(vacuum_a)
    reading = dimensionality(crystal)
    if reading.ranks != (2,):
        return _refusal(crystal, reading)
    groups = _groups(reading.components)
    if len(groups) > 1:
        return _no(f"{crystal.composition} holds {len(groups)} layers; a monolayer has one. Cut it from its bulk.")
    layer = _Layer.cut(crystal, groups[0], reading)
    spacing = crystal.volume / layer.area_a2
    found = spacing - layer.thickness_a
    if vacuum_a is None and found < MIN_VACUUM_A:
        return _no(
            f"{crystal.composition} leaves {found:.1f} Å between a layer and the next: that is a bulk crystal, or a "
            f"slab without vacuum. A monolayer needs at least {MIN_VACUUM_A:g} Å."
        )
    return layer.monolayer(found if vacuum_a is None else vacuum_a, parent=None, gap_a=None, score=reading.score)


def stacked(monolayer: Monolayer, gap_a: float, shift: tuple[float, float] = (0.0, 0.0)) -> Crystal:
    """A bulk crystal of one layer a cell: each layer `gap_a` above the one below and moved against it in the plane.

    Args:
        monolayer: the layer.
        gap_a: between the nuclei of neighbouring layers along z, Å.
        shift: of the next layer, in fractions of a and b.
    """
    if not gap_a > 0:
        raise InputError(f"The gap between layers is {gap_a} Å; expected a positive length.")
    lattice = np.array(monolayer.crystal.lattice)
    positions = np.array(monolayer.crystal.frac_coords) @ lattice
    positions[:, 2] -= positions[:, 2].min()
    lattice[2] = shift[0] * lattice[0] + shift[1] * lattice[1]
    lattice[2, 2] = monolayer.thickness_a + gap_a
    return Crystal.from_arrays(lattice, monolayer.crystal.species, positions @ np.linalg.inv(lattice))


def _check_vacuum(vacuum_a: float) -> None:
    if not vacuum_a >= MIN_VACUUM_A:
        raise InputError(f"A vacuum of {vacuum_a} Å is too little: a monolayer needs at least {MIN_VACUUM_A:g} Å.")


def _no(reason: str) -> Verdict:
    return Verdict(False, RULE, reason, SOURCE)


_WORDS = {0: "molecules or single ions", 1: "chains", 2: "layers", 3: "a network in three directions"}


def _refusal(crystal: Crystal, reading: Dimensionality) -> Verdict:
    parts = " and ".join(_WORDS[r] for r in reading.ranks)
    return _no(f"{crystal.composition} is no stack of layers: its bonds make {parts} (score {reading.score:.2f}).")


# --- readings of the bonds ---------------------------------------------------------------------------------------


def _readings(crystal: Crystal) -> Iterator[Dimensionality]:
    """Every set of ranks that holds for an interval of cutoffs."""
    components = Components(crystal.n_atoms)
    ranks, partitions = components.ranks, [(0.0, components.labels)]
    for ratio, group in _edges(crystal):
        n_before = components.n
        for edge in group:
            components.join(edge)
        if components.ranks != ranks:
            yield _reading(ranks, partitions, ratio)
            ranks, partitions = components.ranks, [(ratio, components.labels)]
        elif components.n != n_before:
            partitions.append((ratio, components.labels))
        if ranks == (3,):
            yield _reading(ranks, partitions, math.inf)
            return
    yield _reading(ranks, partitions, _MAX_CUTOFF)


def _reading(ranks: tuple[int, ...], partitions: Sequence[tuple[float, tuple[int, ...]]], end: float) -> Dimensionality:
    """The reading of an interval, with the partition into components that holds for most of it.

    Layers may be bonded to pairs before all of them are bonded to a network: the ranks stay, the components do not.
    """
    starts = [start for start, _ in partitions]
    weights = [_f(after) - _f(start) for start, after in zip(starts, [*starts[1:], end], strict=True)]
    cutoff, labels = partitions[int(np.argmax(weights))]
    return Dimensionality(ranks, _f(end) - _f(starts[0]), (starts[0], end), cutoff, labels)


def _f(x: float) -> float:
    square: float = _C * max(0.0, x - 1.0) ** 2
    return 1.0 if math.isinf(square) else square / (1 + square)


def _edges(crystal: Crystal) -> Iterator[tuple[float, list[Edge]]]:
    """Pairs of neighbours by rising ratio of distance to radii, those of one ratio together."""
    from ase.data import covalent_radii
    from pymatgen.optimization.neighbors import find_points_in_spheres

    lattice = np.array(crystal.lattice, dtype=np.float64)
    positions = np.array(crystal.frac_coords, dtype=np.float64) @ lattice
    radii = np.array([covalent_radii[ATOMIC_NUMBERS[s]] for s in crystal.species])
    first, second, image, distance = find_points_in_spheres(
        positions,
        positions,
        r=float(2 * radii.max() * _MAX_CUTOFF),
        pbc=np.ones(3, dtype=np.int64),
        lattice=lattice,
        tol=1e-8,
    )
    ratio = distance / (radii[first] + radii[second])
    keep = (distance > 1e-8) & (ratio <= _MAX_CUTOFF) & (first <= second)
    order = np.flatnonzero(keep)[np.argsort(ratio[keep], kind="stable")]
    group: list[Edge] = []
    at = 0.0
    for n in order:
        if group and ratio[n] > at + _SAME_RATIO:
            yield at, group
            group = []
        if not group:
            at = float(ratio[n])
        group.append(Edge(int(first[n]), int(second[n]), (int(image[n][0]), int(image[n][1]), int(image[n][2]))))
    if group:
        yield at, group


# --- cutting -----------------------------------------------------------------------------------------------------


def _groups(components: Sequence[int]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for site, label in enumerate(components):
        groups.setdefault(label, []).append(site)
    return list(groups.values())


@dataclass(frozen=True)
class _Layer:
    """A component of rank 2: its sites where they lie beside each other, and the two vectors it repeats by.

    Attributes:
        sites: indices in the crystal.
        species: one symbol a site.
        vectors: (2, 3), Å, the shortest pair.
        positions: (n, 3), Å, unwrapped.
    """

    sites: tuple[int, ...]
    species: tuple[str, ...]
    vectors: Array
    positions: Array

    @classmethod
    def cut(cls, crystal: Crystal, sites: Sequence[int], reading: Dimensionality) -> _Layer:
        lattice = np.array(crystal.lattice, dtype=np.float64)
        components = Components(crystal.n_atoms)
        for ratio, group in _edges(crystal):
            if ratio > reading.cutoff:
                break
            for edge in group:
                components.join(edge)
        offsets, basis = components.unwrapped(sites[0])
        coordinates = np.array([np.array(crystal.frac_coords[i]) + offsets[i] for i in sites])
        return cls(
            tuple(sites),
            tuple(crystal.species[i] for i in sites),
            _shortest_pair(np.array(basis, dtype=np.float64) @ lattice),
            coordinates @ lattice,
        )

    @property
    def composition(self) -> Composition:
        return Composition.from_species(self.species)

    @property
    def normal(self) -> Array:
        normal = np.cross(self.vectors[0], self.vectors[1])
        return normal / np.linalg.norm(normal)

    @property
    def area_a2(self) -> float:
        return float(np.linalg.norm(np.cross(self.vectors[0], self.vectors[1])))

    @property
    def thickness_a(self) -> float:
        return float(np.ptp(self.positions @ self.normal))

    def monolayer(self, vacuum_a: float, parent: Crystal | None, gap_a: float | None, score: float) -> Monolayer:
        """The layer in a cell of its own: a along x, b in the plane of x and y, c along z."""
        x = self.vectors[0] / np.linalg.norm(self.vectors[0])
        turn = np.stack([x, np.cross(self.normal, x), self.normal])  # rows: the new axes
        vectors, positions = self.vectors @ turn.T, self.positions @ turn.T
        height = self.thickness_a + vacuum_a
        lattice = np.zeros((3, 3))
        lattice[:2, :2] = vectors[:, :2]
        lattice[2, 2] = height
        positions[:, 2] += height / 2 - (positions[:, 2].max() + positions[:, 2].min()) / 2
        cell = Crystal.from_arrays(lattice, self.species, positions @ np.linalg.inv(lattice))
        return Monolayer(cell, self.thickness_a, self.area_a2, parent, gap_a, score)


def _gap(crystal: Crystal, layers: Sequence[_Layer], layer: _Layer) -> float:
    """Mean empty height a layer: the height of the cell less the thickness of its layers, over their number."""
    cells = layer.area_a2 / crystal.volume  # layers of this area stacked in 1 Å, were there one a cell
    return 1 / cells / len(layers) - float(np.mean([one.thickness_a for one in layers]))


def _shortest_pair(vectors: Array) -> Array:
    """Gauss's reduction of two vectors, with an angle of at least 90 degrees made to be that of hexagons (120)."""
    u, v = vectors
    if u @ u > v @ v:
        u, v = v, u
    while True:
        v = v - np.round((u @ v) / (u @ u)) * u
        if v @ v >= u @ u - 1e-9:
            break
        u, v = v, u
    return np.stack([u, v if u @ v <= 1e-9 else -v])
