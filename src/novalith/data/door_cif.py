"""CIF text from outside: our own checks first, pymatgen's parser after them, then a comparison of the two readings.

pymatgen accepts much that is wrong in silence: a vacancy label becomes vanadium, a look-alike letter drops the site, an
unreadable occupancy becomes one. So elements, numbers, occupancies and operators are read here as well, and where the
parser answers otherwise the file is refused. Files are untrusted: sizes, sites and operators are capped before the
parser sees them, and only plain characters of symmetry operators reach it.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from novalith.data.door_checks import Piece, RefusalError, admit, check_parameters, element, line_of, number
from novalith.materials import ATOMIC_NUMBERS, Crystal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The largest space groups (Fm-3m and kin) have 192 operators in their conventional cells.
MAX_OPERATORS = 192
#: "-x+y+1/2, -x+1/2, z+1/2" has 24 characters.
MAX_OPERATOR_LENGTH = 100

_OPERATOR_KEYS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_NUMBER_KEYS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_MAGNETIC = ("_space_group_magn", "_space_group_symop_magn", "_atom_site_moment", "_cell_modulation")
_TERM = r"(?:\d*\.?\d+(?:/\d+)?|[xyz])"
_COMPONENT = re.compile(rf"[+-]?{_TERM}(?:[+-]{_TERM})*")
_PARSER_ERRORS = (ValueError, KeyError, IndexError, TypeError, AttributeError, ZeroDivisionError, RuntimeError)


def read_cif(text: str, where: str, max_sites: int) -> list[Piece]:
    """The structures of a CIF, one a data block that holds atoms.

    Raises:
        RefusalError: the file as a whole cannot be read: no data block, no atoms, two blocks of one name.
    """
    blocks = _blocks(text)
    if not blocks:
        raise RefusalError(
            "format", f"{where} holds no 'data_' block, so it is no CIF; check that it is the right file."
        )
    repeated = [name for name, n in Counter(name for name, _, _ in blocks).items() if n > 1]
    if repeated:
        raise RefusalError(
            "format", f"{where} holds the block name data_{repeated[0]} more than once; give each block its own name."
        )
    atomic = [block for block in blocks if "_atom_site_" in block[1]]
    if not atomic:
        raise RefusalError("empty", f"{where} holds no atom sites; export the structure with its atoms.")
    skipped = [f"data_{name}" for name, body, _ in blocks if "_atom_site_" not in body]
    notes = [f"Blocks without atoms were not read: {', '.join(skipped)}."] if skipped else []
    return [_piece(body, _place(where, name, len(atomic)), first, max_sites, notes) for name, body, first in atomic]


def _place(where: str, name: str, n_blocks: int) -> str:
    return f"{where}, block data_{name[:40]}" if n_blocks > 1 else where


def _piece(body: str, where: str, first_line: int, max_sites: int, notes: Sequence[str]) -> Piece:
    try:
        crystal, more = _read_block(body, where, first_line, max_sites)
    except RefusalError as refusal:
        return Piece(refusal.verdict, tuple(notes))
    return Piece(crystal, (*notes, *more))


def _blocks(text: str) -> list[tuple[str, str, int]]:
    """(name, text, first line) of each data block; text between lines of semicolons starts no block."""
    starts: list[tuple[str, int]] = []
    inside_text = False
    position = 0
    for line in text.splitlines(keepends=True):
        if line.startswith(";"):
            inside_text = not inside_text
        elif not inside_text and line.lstrip().lower().startswith("data_"):
            starts.append((line.split()[0][5:], position))
        position += len(line)
    ends = [*(start for _, start in starts), len(text)][1:]
    return [(name, text[start:end], line_of(text, start)) for (name, start), end in zip(starts, ends, strict=True)]


def _read_block(body: str, where: str, first_line: int, max_sites: int) -> tuple[Crystal, list[str]]:
    for key in _MAGNETIC:
        if key in body:
            raise RefusalError(
                "format", f"{where} is a magnetic or modulated CIF ({key}...); export a plain CIF of the atoms."
            )
    _refuse_foreign_sites(body, where, first_line)
    data = _columns(body, where)
    check_parameters(
        [number(_scalar(data, f"_cell_length_{x}", where), where, f"the cell length {x}") for x in "abc"],
        [
            number(_scalar(data, f"_cell_angle_{x}", where), where, f"the cell angle {x}")
            for x in ("alpha", "beta", "gamma")
        ],
        where,
    )
    notes: list[str] = []
    symbols = _symbols(data, where, body, first_line, notes)
    _check_positions(data, symbols, where, max_sites)
    _check_occupancies(data, where, notes)
    n_operators = _check_operators(data, where, notes)
    if len(symbols) * max(n_operators, 1) > 20 * max_sites:
        raise RefusalError(
            "size",
            f"{where} lists {len(symbols)} sites and {n_operators} operators, more than any cell of {max_sites} sites "
            "needs; give a smaller cell.",
        )
    structure = _parse(body, where, notes)
    if not structure.is_ordered:
        site = next(s for s in structure if not s.is_ordered)
        raise RefusalError(
            "disorder", f"{where}: site {site.label} is shared by {site.species}; expand it to ordered cells."
        )
    found = {s.specie.symbol for s in structure}
    if found != set(symbols):
        raise RefusalError(
            "element",
            f"{where}: the labels name {', '.join(sorted(set(symbols)))} but were read as {', '.join(sorted(found))}; "
            "add a column _atom_site_type_symbol with plain element symbols.",
        )
    species = [s.specie.symbol for s in structure]
    return admit(structure.lattice.matrix, species, structure.frac_coords, where, max_sites), notes


def _refuse_foreign_sites(body: str, where: str, first_line: int) -> None:
    """Look-alike letters in the rows of atoms: the parser would drop the letter, and with it the site."""
    in_sites = False
    for offset, line in enumerate(body.splitlines()):
        word = line.strip()
        if word.startswith(("loop_", "_", ";", "#")) or not word:
            in_sites = word.startswith("_atom_site_")
        elif in_sites:
            foreign = next((c for c in word if not c.isascii()), None)
            if foreign is not None:
                raise RefusalError(
                    "element",
                    f"{where}, line {first_line + offset}: the site {word.split()[0]!r} holds the character "
                    f"{foreign!r} (U+{ord(foreign):04X}), which only looks like a Latin letter. Type it again.",
                )


def _columns(body: str, where: str) -> dict[str, Any]:
    """The block's items, loops as lists of strings."""
    from pymatgen.io.cif import CifBlock

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same words come again, and are kept, when the structure is parsed
        try:
            return dict(CifBlock.from_str(body.lstrip()).data)
        except _PARSER_ERRORS as error:
            fault = f"a loop does not have one value a column ({error})"
            if isinstance(error, ZeroDivisionError):
                fault = "a loop has columns but no rows"
            raise RefusalError("format", f"{where}: {fault}; check its rows.") from error


def _scalar(data: Mapping[str, Any], key: str, where: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise RefusalError("cell", f"{where} gives no {key}; add the cell.")
    return value


def _column(data: Mapping[str, Any], key: str, where: str) -> list[str]:
    value = data.get(key)
    if not isinstance(value, list) or not value:
        raise RefusalError(
            "format", f"{where} has no column {key} in its loop of atoms; export fractional coordinates."
        )
    return value


def _symbols(data: Mapping[str, Any], where: str, body: str, first_line: int, notes: list[str]) -> list[str]:
    """The element of each row of atoms, from its type symbol or, without one, from its label."""
    labels = _column(data, "_atom_site_label", where)
    types = data.get("_atom_site_type_symbol")
    typed = isinstance(types, list) and len(types) == len(labels)
    tokens = types if isinstance(types, list) and typed else labels
    symbols = []
    for label, token in zip(labels, tokens, strict=True):
        at = re.search(rf"^\s*{re.escape(label)}\s", body, flags=re.MULTILINE)
        line = f", line {first_line + line_of(body, at.end() - 1) - 1}" if at else ""
        symbols.append(_symbol(token, f"{where}{line}, site {label}", typed, notes))
    return symbols


def _symbol(token: str, place: str, typed: bool, notes: list[str]) -> str:
    """The element that "Fe3+", "O2-", "Na1" or "CL" names."""
    match = re.match(r"[A-Za-z]+", token)
    letters = match[0] if match else ""
    pair = letters.capitalize()
    if letters in ATOMIC_NUMBERS or letters in ("D", "T") or not letters:
        return element(letters or token, place)
    if len(letters) == 2 and letters.isupper() and pair in ATOMIC_NUMBERS:
        if not typed and letters[0] in ATOMIC_NUMBERS:
            raise RefusalError(
                "element",
                f"{place}: {letters!r} may be {pair} or {letters[0]}; add a column _atom_site_type_symbol.",
            )
        notes.append(f"The symbol {letters!r} was read as {pair}.")
        return pair
    lead = re.match(r"[A-Z][a-z]?(?![a-z])", letters)  # "OW1", "FeA": an element and a tag in capitals
    if not typed and lead and lead[0] in ATOMIC_NUMBERS:
        return lead[0]
    return element(letters, place)


def _check_positions(data: Mapping[str, Any], symbols: Sequence[str], where: str, max_sites: int) -> None:
    if len(symbols) > max_sites:
        raise RefusalError(
            "size", f"{where} lists {len(symbols)} sites; at most {max_sites} are read. Give a smaller cell."
        )
    labels = _column(data, "_atom_site_label", where)
    for axis in "xyz":
        for label, token in zip(labels, _column(data, f"_atom_site_fract_{axis}", where), strict=True):
            value = number(token, f"{where}, site {label}", f"the coordinate {axis}")
            if abs(value) > 100:  # the parser wraps into the cell, after which 1e20 reads 0
                raise RefusalError(
                    "coordinates",
                    f"{where}, site {label}: the coordinate {axis} is {value:g}; fractional coordinates are expected.",
                )


def _check_occupancies(data: Mapping[str, Any], where: str, notes: list[str]) -> None:
    labels = _column(data, "_atom_site_label", where)
    column = data.get("_atom_site_occupancy")
    if column is None:
        return
    for label, token in zip(labels, column, strict=True):
        if token in ("?", "."):
            notes.append(f"The occupancy of site {label} is not given ({token!r}); it was read as 1.")
            continue
        value = number(token, f"{where}, site {label}", "the occupancy")
        if not 0 < value <= 1.0 + 1e-6:
            raise RefusalError(
                "occupancy", f"{where}, site {label}: the occupancy is {value:g}; expected more than 0 and at most 1."
            )
        if value < 1.0 - 1e-6:
            raise RefusalError(
                "disorder",
                f"{where}, site {label}: the occupancy is {value:g}, so the crystal is disordered; expand it to "
                "ordered cells first (for example with pymatgen's OrderDisorderedStructureTransformation).",
            )


def _check_operators(data: Mapping[str, Any], where: str, notes: list[str]) -> int:
    """Number of symmetry operators given, after each was read and their closure was checked."""
    given: str | list[str] = next((data[k] for k in _OPERATOR_KEYS if data.get(k)), [])
    operators = [given] if isinstance(given, str) else given
    if len(operators) > MAX_OPERATORS:
        raise RefusalError(
            "symmetry", f"{where} lists {len(operators)} symmetry operators; no space group has over 192."
        )
    for operator in operators:
        plain = re.sub(r"\s+", "", operator.lower()) if len(operator) <= MAX_OPERATOR_LENGTH else ""
        parts = plain.split(",")
        if len(parts) != 3 or not all(_is_component(p) for p in parts):
            raise RefusalError(
                "symmetry",
                f"{where}: {operator[:40]!r} is no symmetry operator; expected three parts such as '-x, y+1/2, -z'.",
            )
    if operators:
        fault = _fault_of_group(tuple(operators))
        if fault:
            raise RefusalError("symmetry", f"{where}: {fault}")
        _compare_number(data, len(operators), notes)
    return len(operators)


def _is_component(part: str) -> bool:
    """Whether "-x+1/2" is a sum of coordinates, each once, and a translation."""
    return _COMPONENT.fullmatch(part) is not None and all(part.count(axis) <= 1 for axis in "xyz")


@lru_cache(maxsize=512)
def _fault_of_group(operators: tuple[str, ...]) -> str:
    """Why operators form no space group, or "" if they do; with a product missing, atoms would break the symmetry."""
    import numpy as np
    from pymatgen.core.operations import SymmOp

    matrices = np.array([SymmOp.from_xyz_str(o).affine_matrix for o in operators])
    rotations, shifts = matrices[:, :3, :3], matrices[:, :3, 3]
    whole = np.abs(rotations - np.round(rotations)).max() < 1e-9
    if not whole or not np.allclose(np.abs(np.linalg.det(rotations)), 1.0):
        return "a symmetry operator does not keep the volume; check the operators."
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 9).round().astype(int)
    moved = (np.einsum("aij,bj->abi", rotations, shifts) + shifts[:, None, :]).reshape(-1, 3)
    if not _all_listed(products, moved, rotations.reshape(-1, 9).round().astype(int), shifts):
        return (
            f"the {len(operators)} symmetry operators form no group (a product of two is missing); "
            "check that the list is complete."
        )
    return ""


def _all_listed(
    products: NDArray[np.int64], moved: NDArray[np.float64], rotations: NDArray[np.int64], shifts: NDArray[np.float64]
) -> bool:
    """Whether each (rotation, translation) product equals a listed operator up to a lattice translation."""
    import numpy as np

    covered = np.zeros(len(products), dtype=bool)
    for rotation, shift in zip(rotations, shifts, strict=True):
        difference = moved - shift
        near = (np.abs(difference - np.round(difference)) < 5e-3).all(axis=1)  # "0.333" stands for 1/3
        covered |= near & (products == rotation).all(axis=1)
    return bool(covered.all())


def _compare_number(data: Mapping[str, Any], n_operators: int, notes: list[str]) -> None:
    declared = next((data[k] for k in _NUMBER_KEYS if isinstance(data.get(k), str)), "")
    if not declared.strip().isdigit() or not 1 <= int(declared) <= 230:
        return
    order = _order(int(declared))
    if n_operators != order:
        notes.append(
            f"Space group {int(declared)} has {order} operators in its usual setting and the file lists {n_operators}; "
            "the listed ones were used."
        )


@lru_cache(maxsize=230)
def _order(spacegroup: int) -> int:
    """Operators in the usual conventional cell of a space group."""
    from pymatgen.symmetry.groups import SpaceGroup

    return len(SpaceGroup.from_int_number(spacegroup).symmetry_ops)


def _parse(body: str, where: str, notes: list[str]) -> Any:
    """Read the block with pymatgen; what it warns of joins the notes."""
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            structures = CifParser.from_str(body.lstrip()).parse_structures(primitive=False, on_error="raise")
        except _PARSER_ERRORS as error:
            raise RefusalError("format", f"{where} cannot be read as a crystal: {error}") from error
    messages = dict.fromkeys(" ".join(str(w.message).split())[:300] for w in caught)
    # The formula line is optional; every other warning is kept.
    notes += [m for m in messages if not m.startswith("Cannot determine chemical composition")]
    if len(structures) != 1:
        raise RefusalError("format", f"{where} describes no structure; check its cell and its loop of atoms.")
    return structures[0]
