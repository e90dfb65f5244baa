"""Families of cubic crystals that one voxel model learns, found by formula and symmetry, each in one fixed setting.

======================  ==========================================================================================
alloy                   two elements in the ratio 1:1, 1:2 or 1:3, any cubic space group
heusler                 full ABC2 (Fm-3m), inverse ABC2 (F-43m) and half ABC (F-43m), three elements
perovskite              five sites of a cubic cell in the columns of A (0, 0, 0), B (1/2, 1/2, 1/2) and the three
                        X (0, 1/2, 1/2), (1/2, 0, 1/2), (1/2, 1/2, 0) along one axis; the X may differ
======================  ==========================================================================================

A network that has to learn where the origin of every table lies wastes its crystals on it, so each crystal is brought
to one setting: the conventional cell with the origin on an atom of its rarest, most electronegative element, or, for a
perovskite, B in the middle of the cell and the largest displacements along x. Space groups are found by spglib within
0.1 Å.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from novalith.errors import UnknownNameError
from novalith.materials import ATOMIC_NUMBERS, Composition, Crystal, Verdict
from novalith.represent.gene import spacegroup_of, symmetrised
from novalith.screen.oxidation import load_states

Floats = NDArray[np.float64]

#: The first cubic space group.
FIRST_CUBIC = 195
#: Lengths of a cubic cell differ by at most this share, its angles from 90 by at most so many degrees.
LENGTH_TOLERANCE, ANGLE_TOLERANCE_DEG = 0.01, 0.5
#: Places of A, B and the three X in units of the edge.
IDEAL_PEROVSKITE = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
#: Farthest that a site may lie beside its place, in edges: half way to the next column is 0.25. Along one axis sites
#: may move freely, as they do in the calculated perovskites of Castelli et al. (2012).
MOST_ASIDE = 0.15
#: A move along that axis counts so many times one beside it where a site has to be given a place.
ALONG = 0.3
#: Sites farther than this from their place (in edges) make a perovskite distorted.
DISTORTED = 0.02


@dataclass(frozen=True)
class Family:
    """A class of crystals.

    Attributes:
        name: as on the command line.
        shapes: reduced counts, sorted -> space groups; an empty tuple stands for every cubic one.
        any_ratio: whether five sites in the places of a perovskite are asked for instead of `shapes`.
    """

    name: str
    shapes: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    any_ratio: bool = False

    def may_hold(self, composition: Composition) -> Verdict:
        """Whether a formula could belong to the family, before anything is asked of the structure."""
        counts = composition.anonymous
        if self.any_ratio:
            passed = sum(counts) == 5 and len(counts) >= 2
            wanted = "five atoms of two to five elements"
        else:
            passed = counts in dict(self.shapes)
            wanted = " or ".join(":".join(map(str, shape)) for shape, _ in self.shapes)
        return Verdict(passed, "family", "" if passed else f"{composition} is no {self.name}: expected {wanted}.")

    def may_have(self, spacegroup: int) -> bool:
        """Whether a space group could be that of a member; perovskites may be distorted."""
        return self.any_ratio or spacegroup >= FIRST_CUBIC

    def setting(self, crystal: Crystal) -> Crystal | Verdict:
        """The crystal in the setting of the family, or why it does not belong to it."""
        verdict = self.may_hold(crystal.composition)
        if not verdict.passed:
            return verdict
        return _perovskite(crystal) if self.any_ratio else self._conventional(crystal)

    def _conventional(self, crystal: Crystal) -> Crystal | Verdict:
        number, symbol = spacegroup_of(crystal)
        allowed = dict(self.shapes)[crystal.composition.anonymous]
        if number < FIRST_CUBIC or (allowed and number not in allowed):
            return Verdict(False, "family", f"{crystal.composition} in {symbol} is no {self.name}.")
        return _on_an_atom(symmetrised(crystal))


FAMILIES = {
    f.name: f
    for f in (
        Family("perovskite", any_ratio=True),
        Family("heusler", (((1, 1, 2), (225, 216)), ((1, 1, 1), (216,)))),
        Family("alloy", (((1, 1), ()), ((1, 2), ()), ((1, 3), ()))),
    )
}


def family_named(name: str) -> Family:
    """The family of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in FAMILIES:
        raise UnknownNameError("family", name, FAMILIES)
    return FAMILIES[name]


def kind_of(crystal: Crystal, family: Family) -> str:
    """Which kind within its family a crystal is, for tables: "AB3", "half", "inverse", "distorted" ..."""
    counts = crystal.composition.anonymous
    if family.name == "alloy":
        return f"AB{counts[-1]}" if counts[-1] > 1 else "AB"
    if family.name == "heusler":
        full = "full" if spacegroup_of(crystal)[0] == 225 else "inverse"
        return "half" if counts == (1, 1, 1) else full
    found = _perovskite(crystal)
    if isinstance(found, Verdict):
        return "other"
    return "distorted" if np.abs(_displacements(np.array(found.frac_coords))).max() > DISTORTED else "ideal"


def cubic_edge(crystal: Crystal) -> float | Verdict:
    """Edge of a cubic cell (Å), or why the cell is not cubic."""
    lattice = np.asarray(crystal.lattice)
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = [lattice[i] @ lattice[j] / lengths[i] / lengths[j] for i, j in ((1, 2), (0, 2), (0, 1))]
    off = float(np.degrees(np.abs(np.pi / 2 - np.arccos(np.clip(cosines, -1, 1)))).max())
    mean = float(lengths.mean())
    if np.abs(lengths / mean - 1).max() > LENGTH_TOLERANCE or off > ANGLE_TOLERANCE_DEG:
        sizes = ", ".join(f"{x:.2f}" for x in lengths)
        return Verdict(False, "family", f"The cell ({sizes} Å, angles up to {off:.1f} degrees off 90) is not cubic.")
    return mean


@cache
def _electronegativity(symbol: str) -> float:
    value = load_states("icsd24").electronegativity[ATOMIC_NUMBERS[symbol]]
    return 0.0 if value is None else value


def _on_an_atom(crystal: Crystal) -> Crystal:
    """Shifted, and inverted where that comes first, so that equal structures of other elements look equal."""
    frac, counts = np.asarray(crystal.frac_coords), dict(crystal.composition.counts)
    order = sorted(counts, key=lambda s: (counts[s], -_electronegativity(s), s))
    rank = np.array([order.index(s) for s in crystal.species])
    best: tuple[list[tuple[float, ...]], Floats] | None = None
    for sign, origin in product((1, -1), np.flatnonzero(rank == 0)):
        moved = _wrapped(sign * (frac - frac[origin]))
        key = sorted((int(r), *map(float, np.round(row, 3))) for r, row in zip(rank, moved, strict=True))
        if best is None or key < best[0]:
            best = key, moved
    assert best is not None  # noqa: S101 - every crystal has a rarest element
    places = sorted(range(len(rank)), key=lambda i: (int(rank[i]), *map(float, np.round(best[1][i], 3))))
    return Crystal.from_arrays(crystal.lattice, [crystal.species[i] for i in places], best[1][places])


def _wrapped(frac: Floats) -> Floats:
    """Into [0, 1), with a tolerance of 1e-4 below 1."""
    wrapped: Floats = frac - np.floor(frac + 1e-4)
    return wrapped


def _perovskite(crystal: Crystal) -> Crystal | Verdict:
    edge = cubic_edge(crystal)
    if isinstance(edge, Verdict):
        return edge
    if crystal.n_atoms != 5:
        return Verdict(False, "family", f"{crystal.n_atoms} sites in the cell; a perovskite of one cell has five.")
    placed = _in_places(np.asarray(crystal.frac_coords), crystal.species)
    if placed is None:
        return Verdict(
            False, "family", f"{crystal.composition}: its sites do not lie in the columns of a perovskite (within "
            f"{MOST_ASIDE:g} edges, along any axis).",
        )  # fmt: skip
    order, frac = placed
    species = [crystal.species[i] for i in order]
    numbers = np.array([ATOMIC_NUMBERS[s] for s in species])
    turns, seats = _cube()
    # A turn takes the five places to each other: put the sites in the order of the places again.
    moved = np.take_along_axis((frac - 0.5) @ turns + 0.5, seats[:, :, None], axis=1)
    off = moved - IDEAL_PEROVSKITE
    off -= np.round(off)
    moves = np.abs(off).sum(axis=1)
    keys = np.column_stack([-np.round(moves[:, :2], 1), numbers[seats][:, 2:], -np.round(off[:, [0, 2, 3, 4], 0], 2)])
    first = int(np.lexsort(keys.T[::-1])[0])
    return Crystal.from_arrays(np.eye(3) * edge, [species[i] for i in seats[first]], IDEAL_PEROVSKITE + off[first])


def _in_places(frac: Floats, species: tuple[str, ...]) -> tuple[list[int], Floats] | None:
    """Sites in the order A, B, X, X, X and their coordinates with B in the middle; None where they do not fit.

    The axis along which the sites may move is turned to x.
    """
    from scipy.optimize import linear_sum_assignment

    anions = set(np.argsort([_electronegativity(s) for s in species])[-3:].tolist())
    best: tuple[float, list[int], Floats] | None = None
    for axis, middle in product(range(3), range(5)):
        moved = np.roll(frac - frac[middle] + 0.5, -axis, axis=1)
        apart = moved[None] - IDEAL_PEROVSKITE[:, None]
        apart = np.abs(apart - np.round(apart))  # (places, sites, 3)
        aside = np.linalg.norm(apart[..., 1:], axis=2)
        cost = aside + ALONG * apart[..., 0]
        cost[1] = np.where(np.arange(5) == middle, 0.0, 10.0)
        rows, order = linear_sum_assignment(cost)
        if aside[rows, order].max() > MOST_ASIDE:
            continue
        # Where the shape leaves a choice, the three most electronegative atoms are the X.
        total = float(cost[rows, order].sum()) + ALONG * len(set(order[2:].tolist()) - anions)
        if best is None or total < best[0] - 1e-6:
            best = total, order.tolist(), moved[order]
    return None if best is None else best[1:]


def _displacements(frac: Floats) -> Floats:
    """(5, 3) of sites in the order of the places, in edges."""
    off = frac - IDEAL_PEROVSKITE
    displaced: Floats = off - np.round(off)
    return displaced


@cache
def _cube() -> tuple[Floats, NDArray[np.int64]]:
    """The 48 operations of the cube (48, 3, 3), and which site each puts on each of the five places (48, 5)."""
    turns = np.array([
        np.eye(3)[list(order)] * np.array(signs)
        for order, signs in product(permutations(range(3)), product((1.0, -1.0), repeat=3))
    ])  # fmt: skip
    apart = ((IDEAL_PEROVSKITE - 0.5) @ turns + 0.5)[:, :, None] - IDEAL_PEROVSKITE
    places = np.linalg.norm(apart - np.round(apart), axis=3).argmin(axis=2)
    return turns, np.argsort(places, axis=1)
