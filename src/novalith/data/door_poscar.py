"""POSCAR text from outside (the format of VASP 5 and later), read line by line so that each fault has a line number."""

from __future__ import annotations

import re

from novalith.data.door_checks import Piece, RefusalError, admit, check_cell, element, number


def read_poscar(text: str, where: str, max_sites: int) -> list[Piece]:
    """The one structure of a POSCAR or CONTCAR.

    Raises:
        RefusalError: it lacks symbols (VASP 4), its counts and positions disagree, or a number is impossible.
    """
    import numpy as np

    lines = text.splitlines()
    if len(lines) < 8:
        raise RefusalError("format", f"{where} has {len(lines)} lines; a POSCAR has at least 8. Export it again.")
    scale = _numbers(lines, 1, 1, where, "the scale")[0]
    if scale == 0:
        raise RefusalError("cell", f"{where}, line 2: the scale is 0; write 1.0 for vectors in Å.")
    cell = np.array([_numbers(lines, i, 3, where, "a cell vector") for i in (2, 3, 4)])
    if scale < 0:  # minus the volume of the cell, Å3
        volume = abs(float(np.linalg.det(cell)))
        scale = (-scale / volume) ** (1 / 3) if volume > 0 else 1.0
    cell = cell * scale
    check_cell(cell, where)
    species = _species(lines, where, max_sites)
    at = 8 if lines[7].strip()[:1] in ("S", "s") else 7  # after the line "Selective dynamics"
    mode = lines[at].strip()[:1].lower() if at < len(lines) else ""
    if mode not in ("d", "c", "k"):
        raise RefusalError("format", f"{where}, line {at + 1}: expected 'Direct' or 'Cartesian'.")
    listed = _position_lines(lines, at + 1)
    if listed != len(species):
        raise RefusalError(
            "format",
            f"{where}: line 7 announces {len(species)} atoms and {listed} positions follow; make them agree.",
        )
    coords = np.array([_numbers(lines, at + 1 + i, 3, where, "a position") for i in range(len(species))])
    if mode != "d":
        coords = coords * scale @ np.linalg.inv(cell)
    return [Piece(admit(cell, species, coords, where, max_sites))]


def _position_lines(lines: list[str], start: int) -> int:
    """Lines from `start` to the first blank one, after which velocities may stand."""
    count = 0
    for line in lines[start:]:
        if not line.strip():
            break
        count += 1
    return count


def _species(lines: list[str], where: str, max_sites: int) -> list[str]:
    names, amounts = lines[5].split(), lines[6].split()
    if names and all(n.isdigit() for n in names):
        raise RefusalError(
            "element",
            f"{where}, line 6 holds counts and no element symbols (the format of VASP 4); insert a line of symbols, "
            "for example 'Na Cl', before it.",
        )
    amounts = [a for a in amounts if not a.startswith("!")]
    if len(names) != len(amounts) or not names:
        raise RefusalError(
            "format", f"{where}: line 6 names {len(names)} elements and line 7 gives {len(amounts)} counts; match them."
        )
    for amount in amounts:
        if not re.fullmatch("[1-9][0-9]{0,6}", amount):
            raise RefusalError("format", f"{where}, line 7: the count {amount[:20]!r} is not a whole number above 0.")
    n_atoms = sum(map(int, amounts))
    if n_atoms > max_sites:
        raise RefusalError("size", f"{where} announces {n_atoms:g} atoms; at most {max_sites} are read.")
    species: list[str] = []
    for name, amount in zip(names, amounts, strict=True):
        # Pseudopotentials leave "Fe_pv" or "Fe/9a3c" behind the symbol.
        species += [element(re.split(r"[_/]", name)[0], f"{where}, line 6")] * int(amount)
    return species


def _numbers(lines: list[str], index: int, count: int, where: str, what: str) -> list[float]:
    tokens = lines[index].split()[:count] if index < len(lines) else []
    if len(tokens) < count:
        raise RefusalError("format", f"{where}, line {index + 1}: {what} needs {count} numbers; found {len(tokens)}.")
    return [number(token, f"{where}, line {index + 1}", what) for token in tokens]
