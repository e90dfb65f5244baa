"""Extended XYZ text from outside: frames are counted and checked here, then read by ASE."""

from __future__ import annotations

import re
from io import StringIO

from novalith.data.door_checks import Piece, RefusalError, admit, check_cell

#: A frame whose numbers are not numbers is refused before any column is interpreted.
_NOT_A_NUMBER = re.compile(r"(?i)^[+-]?(nan|inf|infinity)$")


def read_extxyz(text: str, where: str, max_sites: int) -> list[Piece]:
    """The structures of an extxyz file, one a frame; a wrong count of atoms ends the reading."""
    lines = text.rstrip().splitlines()
    pieces: list[Piece] = []
    at = 0
    while at < len(lines):
        place = f"{where}, frame {len(pieces) + 1} (line {at + 1})"
        try:
            n_atoms = _count(lines, at, place)
            pieces.append(_frame(lines[at : at + n_atoms + 2], place, max_sites))
        except RefusalError as refusal:
            pieces.append(Piece(refusal.verdict))
            break  # without a count the next frame cannot be found
        at += n_atoms + 2
    return pieces


def _count(lines: list[str], at: int, place: str) -> int:
    word = lines[at].strip()
    if not re.fullmatch("[1-9][0-9]{0,6}", word):
        raise RefusalError(
            "format",
            f"{place}: the number of atoms is {word[:20]!r}; expected a whole number above 0. "
            "Frames behind it cannot be found.",
        )
    left = len(lines) - at - 2
    if int(word) > left:
        raise RefusalError(
            "format",
            f"{place} announces {int(word)} atoms and {max(left, 0)} lines follow; make them agree. "
            "Frames behind it cannot be found.",
        )
    return int(word)


def _frame(lines: list[str], place: str, max_sites: int) -> Piece:
    from ase.io import read as read_ase

    try:
        if len(lines) - 2 > max_sites:
            raise RefusalError("size", f"{place} holds {len(lines) - 2} atoms; at most {max_sites} are read.")
        if "lattice=" not in lines[1].lower():
            raise RefusalError("cell", f'{place} has no Lattice="..." in its second line; a crystal needs its cell.')
        for i, line in enumerate(lines[2:]):
            bad = next((t for t in line.split() if _NOT_A_NUMBER.match(t)), None)
            if bad is not None:
                raise RefusalError(
                    "number", f"{place}, atom {i + 1}: {bad!r} is not a finite number; compute it again."
                )
        try:
            atoms = read_ase(StringIO("\n".join(lines) + "\n"), format="extxyz", index=0)
        except (ValueError, KeyError, IndexError, TypeError, OSError, AttributeError, SyntaxError) as error:
            raise RefusalError("format", f"{place} cannot be read: {error or type(error).__name__}") from error
        if not all(atoms.pbc):
            raise RefusalError("cell", f"{place} is not periodic in three directions (pbc); a crystal is.")
        cell = atoms.cell[:]
        check_cell(cell, place)
        coords = atoms.get_scaled_positions(wrap=False)
        return Piece(admit(cell, atoms.get_chemical_symbols(), coords, place, max_sites))
    except RefusalError as refusal:
        return Piece(refusal.verdict)
