"""Crystals as short lists of points: two rows for the cell, then labelled slots for the atoms.

    row 0        (a, b, c) / 30 Å
    row 1        (alpha, beta, gamma) / 180°
    row 2 + s    (10 f + 2.5) / 15 of the atom in slot s, f its fractional position in [0, 1); (0, 0, 0) where empty

Every element owns a run of slots, in the order of the layout; a row whose sum is below 0.4 is empty, since an atom's is
at least 1/2. Kim, Noh, Gu, Aspuru-Guzik, Jung, ACS Cent. Sci. 6, 1412 (2020), with Mg 8, Mn 8 and O 12 slots; here the
elements and their slots are whatever the layout says.

Decoding is arithmetic, so that a round trip keeps lengths, angles and positions to rounding (relative 1e-13); what it
loses is how the cell was turned in space and the order of atoms of different elements. Translations of all atoms,
permutations of the axes, doubled cells and the order of the slots of one element change the array and not the crystal:
`augmented` draws from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, InputError
from novalith.materials import Composition, Crystal, PhaseField, Verdict, check_element

Floats = NDArray[np.float64]

#: Unit of the lengths, Å, and of the angles, degrees.
LENGTH_A, ANGLE_DEG = 30.0, 180.0
#: A 10 Å cube in the middle of one of 15 Å: positions 0 to 1 become 1/6 to 5/6.
INNER, BORDER, OUTER = 10.0, 2.5, 15.0
#: A slot whose three numbers add up to less is empty.
EMPTY_BELOW = 0.4
#: Cells flatter than this share of the box of their edges are no cells.
_FLATTEST = 1e-3


@dataclass(frozen=True)
class PointLayout:
    """Which element owns how many slots.

    Attributes:
        slots: (element, number of slots) pairs, in the order of the rows.
    """

    slots: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if not self.slots:
            raise InputError("A layout needs at least one element with slots; none was given.")
        if len({s for s, _ in self.slots}) < len(self.slots):
            raise InputError(f"A layout names each element once; got {self.slots}.")
        for symbol, number in self.slots:
            check_element(symbol)
            if number < 1:
                raise InputError(f"{symbol} has {number} slots; expected at least 1.")

    @classmethod
    def covering(cls, compositions: Sequence[Composition]) -> PointLayout:
        """The smallest layout that holds every one of some compositions, elements in alphabetical order."""
        most: Counter[str] = Counter()
        for composition in compositions:
            for symbol, number in composition.counts:
                most[symbol] = max(most[symbol], number)
        return cls(tuple(sorted(most.items())))

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols in the order of their slots."""
        return tuple(s for s, _ in self.slots)

    @property
    def field(self) -> PhaseField:
        """The elements as a set."""
        return PhaseField(self.elements)

    @property
    def n_slots(self) -> int:
        """Slots of all elements together."""
        return sum(n for _, n in self.slots)

    @property
    def shape(self) -> tuple[int, int]:
        """Of the array of one crystal."""
        return 2 + self.n_slots, 3

    @cached_property
    def element_of_slot(self) -> NDArray[np.int64]:
        """(slots,) index into `elements`."""
        return np.repeat(np.arange(len(self.slots)), [n for _, n in self.slots])

    def counts(self, composition: Composition) -> NDArray[np.int64]:
        """Atoms of each element of the layout in a composition, (elements,).

        Raises:
            CapabilityError: an element has no slots, or fewer slots than atoms; says how many there are.
        """
        wanted = dict(composition.counts)
        for symbol in wanted:
            if symbol not in self.elements:
                raise CapabilityError(
                    f"{composition} holds {symbol}, and the layout ({self}) has no slots for it. Ask for a formula of "
                    f"{', '.join(self.elements)}, or train for a system that holds {symbol}."
                )
        for symbol, number in self.slots:
            if wanted.get(symbol, 0) > number:
                raise CapabilityError(
                    f"{composition} has {wanted[symbol]} {symbol} in its cell and the layout {number} slots for it. "
                    f"Ask for a smaller cell, or use a layout ({self}) with more slots and train for it."
                )
        return np.array([wanted.get(symbol, 0) for symbol in self.elements])

    def __str__(self) -> str:
        return " ".join(f"{symbol}:{number}" for symbol, number in self.slots)


#: The published layout.
KIM_LAYOUT = PointLayout((("Mg", 8), ("Mn", 8), ("O", 12)))


def encode_points(crystal: Crystal, layout: PointLayout) -> Floats:
    """One crystal as an array (2 + slots, 3), atoms of an element in their order in the crystal.

    Raises:
        CapabilityError: an element has no slots, or too few.
    """
    layout.counts(crystal.composition)
    lengths, angles = cell_parameters(np.asarray(crystal.lattice))
    points = np.zeros(layout.shape)
    points[0], points[1] = lengths / LENGTH_A, angles / ANGLE_DEG
    positions, species = np.asarray(crystal.frac_coords), np.array(crystal.species)
    start = 2
    for symbol, number in layout.slots:
        mine = positions[species == symbol]
        points[start : start + len(mine)] = (INNER * mine + BORDER) / OUTER
        start += number
    return points


def decode_points(points: Floats, layout: PointLayout) -> Crystal | Verdict:
    """The crystal of an array, or why there is none.

    Raises:
        InputError: the array has not the shape of the layout.
    """
    if points.shape != layout.shape:
        raise InputError(f"An array of shape {points.shape} came; the layout {layout} has {layout.shape}.")
    if not np.isfinite(points).all():
        return Verdict(False, "points", "The array holds numbers that are not finite.")
    lattice = lattice_matrix(points[0] * LENGTH_A, points[1] * ANGLE_DEG)
    if lattice is None:
        lengths, angles = points[0] * LENGTH_A, points[1] * ANGLE_DEG
        return Verdict(False, "points", f"Lengths {_listed(lengths)} Å and angles {_listed(angles)}° make no cell.")
    occupied = points[2:].sum(axis=1) >= EMPTY_BELOW
    if not occupied.any():
        return Verdict(False, "points", "Every slot is empty.")
    species = [layout.elements[i] for i in layout.element_of_slot[occupied]]
    return Crystal.from_arrays(lattice, species, (points[2:][occupied] * OUTER - BORDER) / INNER)


def decoded_counts(points: Floats, layout: PointLayout) -> NDArray[np.int64]:
    """Atoms of each element in arrays (n, 2 + slots, 3), as (n, elements)."""
    occupied = points[:, 2:].sum(axis=2) >= EMPTY_BELOW
    return np.stack([occupied[:, layout.element_of_slot == e].sum(axis=1) for e in range(len(layout.slots))], axis=1)


def cell_parameters(lattice: Floats) -> tuple[Floats, Floats]:
    """Lengths (Å) and angles (degrees) of a cell with vectors as rows."""
    lengths = np.linalg.norm(lattice, axis=1)
    a, b, c = lattice / lengths[:, None]
    return lengths, np.degrees(np.arccos(np.clip([b @ c, a @ c, a @ b], -1.0, 1.0)))


def lattice_matrix(lengths_a: Floats, angles_deg: Floats) -> Floats | None:
    """Right-handed cell vectors as rows, a along x and b in the xy plane; None where the parameters make no cell."""
    cos = np.cos(np.radians(angles_deg))
    square = 1.0 - float(cos @ cos) + 2.0 * float(np.prod(cos))
    if not (lengths_a > 0).all() or not square > _FLATTEST**2 or not ((angles_deg > 0) & (angles_deg < 180)).all():
        return None
    sin_gamma = float(np.sin(np.radians(angles_deg[2])))
    unit = np.array(
        [
            [1.0, 0.0, 0.0],
            [cos[2], sin_gamma, 0.0],
            [cos[1], (cos[0] - cos[1] * cos[2]) / sin_gamma, np.sqrt(square) / sin_gamma],
        ]
    )
    unit[np.abs(unit) < 1e-12] = 0.0  # right angles stay right
    return unit * lengths_a[:, None]


def niggli_reduced(crystal: Crystal) -> Crystal:
    """The same crystal in its Niggli cell: the three shortest vectors, all angles at most 90° or all above."""
    return Crystal.from_structure(crystal.to_structure().get_reduced_structure("niggli"))


def translated(crystal: Crystal, shift: Floats) -> Crystal:
    """All atoms moved by one fractional vector."""
    return Crystal.from_arrays(crystal.lattice, crystal.species, np.asarray(crystal.frac_coords) + shift)


def axes_permuted(crystal: Crystal, order: Sequence[int]) -> Crystal:
    """The same crystal with its cell vectors in another order; an odd one reverses all of them to stay right-handed."""
    lattice = np.asarray(crystal.lattice)[list(order)]
    positions = np.asarray(crystal.frac_coords)[:, list(order)]
    sign = 1.0 if np.linalg.det(lattice) > 0 else -1.0
    return Crystal.from_arrays(sign * lattice, crystal.species, sign * positions)


def doubled(crystal: Crystal, axis: int) -> Crystal:
    """Two cells beside each other along an axis (0, 1, 2)."""
    lattice, positions = np.array(crystal.lattice), np.array(crystal.frac_coords)
    lattice[axis] *= 2.0
    positions[:, axis] /= 2.0
    beside = positions.copy()
    beside[:, axis] += 0.5
    return Crystal.from_arrays(lattice, crystal.species * 2, np.concatenate([positions, beside]))


def slots_shuffled(points: Floats, layout: PointLayout, *, rng: np.random.Generator) -> Floats:
    """The array with the slots of each element in random order, empty ones among them."""
    shuffled = points.copy()
    start = 2
    for _, number in layout.slots:
        shuffled[start : start + number] = points[start + rng.permutation(number)]
        start += number
    return shuffled


def augmented(crystal: Crystal, layout: PointLayout, n: int, *, rng: np.random.Generator) -> Floats:
    """`n` arrays (n, 2 + slots, 3) of one crystal: other origins, axes, slots and, where they fit, doubled cells.

    A doubled cell is taken half of the time where the slots allow it.
    """
    fits = all(2 * k <= dict(layout.slots)[s] for s, k in crystal.composition.counts)
    copies = []
    for _ in range(n):
        copy = doubled(crystal, int(rng.integers(3))) if fits and rng.random() < 0.5 else crystal
        copy = translated(axes_permuted(copy, rng.permutation(3).tolist()), rng.random(3))
        copies.append(slots_shuffled(encode_points(copy, layout), layout, rng=rng))
    return np.stack(copies) if copies else np.zeros((0, *layout.shape))


def _listed(numbers: Floats) -> str:
    return ", ".join(f"{x:.3g}" for x in numbers)
