"""The Wyckoff positions of the 230 space groups and which of them only the choice of origin tells apart.

The tables are those of International Tables for Crystallography A in the settings that spglib standardises to (unique
axis b, hexagonal axes, second origin), read from the files that PyXtal carries (Fredericks et al., Comput. Phys.
Commun. 261, 107810, 2021) without importing PyXtal itself, which takes seconds.
"""

from __future__ import annotations

import ast
import csv
import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from novalith.errors import CorruptDataError, InputError
from novalith.materials import check_spacegroup

#: Letters from the most special position upwards; Pmmm alone needs the twenty-seventh.
LETTERS = "abcdefghijklmnopqrstuvwxyzA"


@dataclass(frozen=True)
class WyckoffPosition:
    """One Wyckoff position of a space group.

    Attributes:
        letter: "a" for the most special one, upwards.
        multiplicity: sites in the conventional cell.
        n_free: free coordinates, 0 to 3; a position without any can be occupied once.
    """

    letter: str
    multiplicity: int
    n_free: int


@cache
def wyckoff_positions(spacegroup: int) -> tuple[WyckoffPosition, ...]:
    """The Wyckoff positions of a space group, from letter "a" upwards.

    Raises:
        InputError: the number is outside 1 to 230.
    """
    return _all_positions()[check_spacegroup(spacegroup)]


@cache
def equivalent_letterings(spacegroup: int) -> tuple[dict[str, str], ...]:
    """The renamings of letters that another, equally valid choice of origin or axes would make; identity included.

    These are the elements of the Euclidean normaliser (International Tables A, chapter 3.5): caesium chloride may be
    written with Cs on 1a and Cl on 1b of Pm-3m, or the other way round.
    """
    rows = json.loads(_table("wyckoff_sets.json").read_text(encoding="utf-8"))[str(check_spacegroup(spacegroup))]
    distinct = sorted({tuple(row.split()) for row in rows["Transformed WP"]})
    letters = [position.letter for position in wyckoff_positions(spacegroup)]
    if any(sorted(row, key=LETTERS.index) != letters for row in distinct):
        raise CorruptDataError(f"The letterings of space group {spacegroup} in {_table('wyckoff_sets.json')} are odd.")
    return tuple(dict(zip(letters, row, strict=True)) for row in distinct)


@cache
def wyckoff_sites(spacegroup: int, letter: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Matrices (m, 3, 3) and shifts (m, 3) that turn one point (x, y, z) into the m sites of a position.

    Raises:
        InputError: the group has no position of that letter.
    """
    letters = [p.letter for p in wyckoff_positions(spacegroup)]
    if letter not in letters:
        raise InputError(
            f"Space group {spacegroup} has the Wyckoff positions {letters[0]} to {letters[-1]}, no {letter}."
        )
    parsed = [[_affine(part) for part in site.split(",")] for site in _orbits()[spacegroup][-1 - letters.index(letter)]]
    rows = np.array(parsed)  # (m, 3, 4)
    return rows[:, :, :3], rows[:, :, 3]


def _affine(text: str) -> list[float]:
    """Coefficients of x, y, z and the constant of an expression such as "-x+y+1/3"."""
    row = [0.0, 0.0, 0.0, 0.0]
    for sign, number, axis in re.findall(r"([+-]?)(\d+(?:/\d+)?)?([xyz]?)", text.replace(" ", "")):
        if number or axis:
            size = float(Fraction(number)) if number else 1.0
            row["xyz".index(axis) if axis else 3] += -size if sign == "-" else size
    return row


@cache
def lattice_points(spacegroup: int) -> int:
    """Lattice points of the conventional cell: 1 for P, 2 for A, C and I, 3 for R (hexagonal axes), 4 for F."""
    check_spacegroup(spacegroup)
    x_y_z = set(_orbits()[spacegroup][0])
    shifts = ("x+1/2, y+1/2, z", "x+1/2, y, z+1/2", "x, y+1/2, z+1/2", "x+1/2, y+1/2, z+1/2", "x+2/3, y+1/3, z+1/3")
    present = [shift in x_y_z for shift in shifts]
    if present[4]:
        return 3
    return 1 + sum(present)


@cache
def _all_positions() -> dict[int, tuple[WyckoffPosition, ...]]:
    return {
        number: tuple(
            WyckoffPosition(LETTERS[i], len(sites), sum(axis in sites[0] for axis in "xyz"))
            for i, sites in enumerate(reversed(orbits))
        )
        for number, orbits in _orbits().items()
    }


@cache
def _orbits() -> dict[int, list[list[str]]]:
    """The sites of each position of each group as text ("-x, y+1/2, -z"), the most general position first."""
    with _table("wyckoff_list.csv").open(encoding="utf-8", newline="") as lines:
        return {int(number): ast.literal_eval(text) for number, text in csv.reader(lines) if number not in {"", "0"}}


def _table(name: str) -> Path:
    spec = find_spec("pyxtal")
    path = Path(spec.origin).parent / "database" / name if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise CorruptDataError(f"PyXtal's table {name} is missing. Install it again: pip install 'pyxtal>=1.1.5'")
    return path
