"""What every structure from outside must satisfy, whatever its format; each refusal names the place and the cure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novalith.errors import InputError
from novalith.materials import ATOMIC_NUMBERS, Crystal, Verdict, check_element

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Cell lengths (Å) outside this are other units or misprints: no crystal repeats within half an ångström.
CELL_LENGTH_A = (0.5, 1000.0)
#: Cell angles (degrees) outside this belong to cells that are all but flat.
CELL_ANGLE_DEG = (5.0, 175.0)
#: Fractional coordinates beyond this many cells are misprints; files with unwrapped paths stay far below.
LARGEST_COORDINATE = 100.0
#: Two atoms closer than this (Å) are one atom written twice: the shortest bond known, H-H, is 0.74 Å.
SHORTEST_DISTANCE_A = 0.5

_MINUS = re.compile("[\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d](?=[\\d.])")
_SPACES = re.compile("[\u00a0\u2007\u2009\u202f]")
_VACANCY = re.compile(r"(?i)^(vac|va|void|vacancy)(?![a-z])")


class RefusalError(InputError):
    """One structure is not let in; carries the name of the check that said so.

    Raised inside the door only: the door turns it into a `Verdict`, so that one bad structure never stops the others.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule = rule

    @property
    def verdict(self) -> Verdict:
        """The refusal as data."""
        return Verdict(False, self.rule, str(self))


@dataclass(frozen=True)
class Piece:
    """One structure found in a file, let in or refused.

    Attributes:
        outcome: the crystal, or why it is refused.
        notes: sentences on what was changed or doubted in reading it.
        name: the id it carries in the file (a table's id column), or None where the file's name and place must do.
    """

    outcome: Crystal | Verdict
    notes: tuple[str, ...] = ()
    name: str | None = None


def decode(data: bytes, where: str) -> tuple[str, list[str]]:
    """Text of a file with a byte-order mark, typographic minus signs and spaces made plain, and notes that say so.

    Raises:
        RefusalError: the file is empty or not text.
    """
    notes = []
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RefusalError("text", f"{where} is UTF-16 text; save it as UTF-8.")
    if b"\x00" in data:
        raise RefusalError(
            "text", f"{where} holds zero bytes, so it is not a text file; check that it is the right file."
        )
    if data.startswith(b"\xef\xbb\xbf"):
        notes.append("A byte-order mark at the start of the file was skipped.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # old files hold authors' names in Latin-1; every byte sequence is valid in it
        text = data.decode("latin-1")
        notes.append("The file is not UTF-8; it was read as Latin-1.")
    if not text.strip():
        raise RefusalError("empty", f"{where} is empty; export the structure again.")
    minus = _MINUS.search(text)
    if minus:
        notes.append(
            f"Typographic minus signs (U+{ord(minus[0]):04X}, first in line {line_of(text, minus.start())}) "
            "were read as '-'."
        )
        text = _MINUS.sub("-", text)
    return _SPACES.sub(" ", text), notes


def line_of(text: str, position: int) -> int:
    """Number of the line (from 1) that holds a position."""
    return text.count("\n", 0, position) + 1


def number(token: str, where: str, what: str) -> float:
    """A finite number, with or without a standard uncertainty in brackets ("0.1234(5)").

    Raises:
        RefusalError: it is neither.
    """
    try:
        value = float(re.sub(r"\(\d+\)$", "", token.strip()))
    except ValueError:
        raise RefusalError("number", f"{where}: {what} is {token[:40]!r}; expected a number.") from None
    if not math.isfinite(value):
        raise RefusalError("number", f"{where}: {what} is {token[:40]!r}; expected a finite number.")
    return value


def element(symbol: str, where: str) -> str:
    """The symbol, if it is that of an element.

    Raises:
        RefusalError: it is a vacancy, an isotope, a look-alike letter or unknown.
    """
    if symbol in ATOMIC_NUMBERS:
        return symbol
    if _VACANCY.match(symbol):
        raise RefusalError("element", f"{where}: {symbol!r} marks a vacancy, not an atom; delete the site.")
    try:
        return check_element(symbol)
    except InputError as error:
        raise RefusalError("element", f"{where}: {error}") from None


def admit(lattice: Any, species: Sequence[str], frac_coords: Any, where: str, max_sites: int) -> Crystal:
    """A crystal from numbers that have been read, if they describe one.

    Args:
        lattice: (3, 3), rows, Å; a left-handed cell is turned by reversing all its vectors and coordinates.
        species: symbols, one a site.
        frac_coords: (n, 3).
        where: name of the file and block, for the reasons.
        max_sites: the most sites let in.

    Raises:
        RefusalError: with the number or the sites that are wrong.
    """
    import numpy as np
    from pymatgen.core import Structure

    cell, coords = np.array(lattice, dtype=float), np.array(frac_coords, dtype=float)
    if not len(species):
        raise RefusalError("empty", f"{where} holds no atoms; export the structure with its sites.")
    _check_count(len(species), where, max_sites)
    check_cell(cell, where)
    for i, symbol in enumerate(species):
        element(symbol, f"{where}, site {i + 1}")
    for i, row in enumerate(coords):
        if not (np.isfinite(row).all() and (np.abs(row) <= LARGEST_COORDINATE).all()):
            numbers = " ".join(f"{x:g}" for x in row)
            raise RefusalError(
                "coordinates",
                f"{where}, site {i + 1} ({species[i]}): the position {numbers} lies more than {LARGEST_COORDINATE:g} "
                "cells away or is not a number; check the units and the columns.",
            )
    structure = Structure(cell, list(species), coords)
    _check_overlap(structure, where)
    return Crystal.from_structure(structure)


def _check_count(n_sites: int, where: str, max_sites: int) -> None:
    if n_sites > max_sites:
        raise RefusalError(
            "size", f"{where} holds {n_sites} sites; at most {max_sites} are read. Give a primitive or smaller cell."
        )


def check_cell(cell: NDArray[np.float64], where: str) -> None:
    """Whether three vectors (rows, Å) span a cell.

    Raises:
        RefusalError: a length, an angle or the volume is impossible.
    """
    import numpy as np

    if cell.shape != (3, 3) or not np.isfinite(cell).all():
        raise RefusalError(
            "cell", f"{where}: the cell is not three vectors of three finite numbers; check the lattice."
        )
    lengths = np.linalg.norm(cell, axis=1)
    if not (lengths > 0).all():
        raise RefusalError("cell", f"{where}: the cell length {'abc'[int(lengths.argmin())]} is 0; check the lattice.")
    unit = cell / lengths[:, None]
    cosines = np.clip([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]], -1.0, 1.0)
    check_parameters([float(x) for x in lengths], [float(x) for x in np.degrees(np.arccos(cosines))], where)


def check_parameters(lengths: Sequence[float], angles: Sequence[float], where: str) -> None:
    """Whether cell lengths (Å) and angles (degrees) belong to a cell of positive volume.

    Raises:
        RefusalError: one is impossible, or the three angles together are.
    """
    for name, length in zip("abc", lengths, strict=True):
        low, high = CELL_LENGTH_A
        if not low <= length <= high:
            raise RefusalError(
                "cell", f"{where}: the cell length {name} is {length:g} Å; expected {low:g} to {high:g} Å. Check units."
            )
    for name, angle in zip(("alpha", "beta", "gamma"), angles, strict=True):
        low, high = CELL_ANGLE_DEG
        if not low <= angle <= high:
            raise RefusalError(
                "cell",
                f"{where}: the cell angle {name} is {angle:g} degrees; expected {low:g} to {high:g}. "
                "Check the lattice or reduce the cell.",
            )
    ca, cb, cg = (math.cos(math.radians(x)) for x in angles)
    if 1 - ca * ca - cb * cb - cg * cg + 2 * ca * cb * cg < 1e-6:  # (V / abc)^2
        shown = ", ".join(f"{x:g}" for x in angles)
        raise RefusalError("cell", f"{where}: the cell angles {shown} span no volume; check the lattice.")


def _check_overlap(structure: Any, where: str) -> None:
    """Refuse two atoms that are closer than any bond, images included."""
    first, second, _, distances = structure.get_neighbor_list(SHORTEST_DISTANCE_A)
    if len(distances):
        closest = int(distances.argmin())
        a, b = sorted((int(first[closest]), int(second[closest])))
        raise RefusalError(
            "overlap",
            f"{where}: sites {a + 1} ({structure[a].specie}) and {b + 1} ({structure[b].specie}) are "
            f"{distances[closest]:.4f} Å apart, closer than {SHORTEST_DISTANCE_A:g} Å. Merge them, or give special "
            "positions with more digits (0.33333 rather than 0.333).",
        )
