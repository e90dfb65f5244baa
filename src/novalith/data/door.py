"""The one door for structures from outside: it lets in, refuses with a reason, or notes what it read differently.

=====================================  ======================================================================
file                                   structures in it
=====================================  ======================================================================
``*.cif``                              one a data block with atoms
``POSCAR*``, ``CONTCAR*``, ``*.vasp``, ``*.poscar``   one
``*.extxyz``, ``*.xyz``                one a frame, with its cell
``*.json``                             pymatgen's dictionary of a Structure or a list of them; read as data only
``*.csv``, ``*.parquet``               one a row, columns ``id`` (or ``material_id``) and ``cif``
=====================================  ======================================================================

Ids are the file name without its ending; of several structures in one file the first is ``name#1``, the second
``name#2``. Nothing is repaired or dropped in silence: what comes in is let in or refused, and each note says what was
read otherwise than written. Reading executes nothing that a file names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from novalith.data.door_checks import Piece, RefusalError, decode
from novalith.data.door_cif import read_cif
from novalith.data.door_extxyz import read_extxyz
from novalith.data.door_json import read_json
from novalith.data.door_poscar import read_poscar
from novalith.data.door_table import CIF_COLUMN, read_table, table_columns
from novalith.errors import InputError, StorageError
from novalith.materials import Crystal, Verdict

#: The most sites of one structure: pymatgen needs about 10 s for a CIF of this many.
MAX_SITES = 3_000
#: The largest file of one structure, and the largest file of many (extxyz, tables).
MAX_FILE_BYTES, MAX_COLLECTION_BYTES = 5_000_000, 500_000_000

_TABLES = (".csv", ".parquet")
_FRAMES = (".extxyz", ".xyz")
_TEXTS = {".cif": read_cif, ".vasp": read_poscar, ".poscar": read_poscar, ".json": read_json}
_TEXTS |= dict.fromkeys(_FRAMES, read_extxyz)
_KINDS = "CIF, POSCAR, extxyz, JSON, or a CSV or Parquet table with the columns id and cif"


@dataclass(frozen=True)
class Reading:
    """What came through the door: every structure found is in one of the first two.

    Attributes:
        accepted: (id, crystal), in the order of file names and of structures in a file.
        refused: (id, why), in the same order.
        notes: (id, sentence) on what was read otherwise than written or is doubtful; files that were not read at all
            are noted under their names.
    """

    accepted: tuple[tuple[str, Crystal], ...]
    refused: tuple[tuple[str, Verdict], ...]
    notes: tuple[tuple[str, str], ...] = ()


def read_structures(path: Path, *, max_sites: int = MAX_SITES, leave_out: Sequence[Path] = ()) -> Reading:
    """Read a file of structures, or all files of structures that lie in a folder (its sub-folders are left alone).

    Args:
        path: a file or a folder.
        max_sites: the most sites of one structure.
        leave_out: files of the folder that are read in another way and are left alone here.

    Raises:
        StorageError: the path does not exist or may not be read.
        InputError: it is no file of structures, or the folder holds none.
    """
    path = Path(path)
    files, notes = _files(path, leave_out)
    found: list[tuple[str, Piece]] = []
    for file in files:
        found += _named(file, _pieces(file, max_sites), notes)
    unique = _unique(found, notes)
    for name, piece in unique:
        notes += [(name, sentence) for sentence in piece.notes]
    return Reading(
        accepted=tuple((name, p.outcome) for name, p in unique if isinstance(p.outcome, Crystal)),
        refused=tuple((name, p.outcome) for name, p in unique if isinstance(p.outcome, Verdict)),
        notes=tuple(notes),
    )


def _files(path: Path, leave_out: Sequence[Path]) -> tuple[list[Path], list[tuple[str, str]]]:
    """Files to read, and notes on those that are none of ours."""
    if not path.exists():
        raise StorageError(f"{path} does not exist; check the path.")
    if path.is_file():
        if not _is_ours(path):
            raise InputError(f"{path} is no file of structures; expected {_KINDS}.")
        return [path], []
    try:
        inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith(".") and p not in leave_out)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}. Check its permissions.") from error
    files = [p for p in inside if _is_ours(p) and not _is_other_table(p)]
    if not files:
        raise InputError(f"{path} holds no structures among its {len(inside)} files; expected {_KINDS}.")
    return files, [(p.name, "This file is none of structures and was not read.") for p in inside if p not in files]


def is_structure_file(path: Path) -> bool:
    """Whether the name of a file is that of one that the door reads."""
    return path.is_file() and not path.name.startswith(".") and _is_ours(path)


def _is_poscar(path: Path) -> bool:
    return path.name.upper().startswith(("POSCAR", "CONTCAR"))


def _is_ours(path: Path) -> bool:
    return _is_poscar(path) or path.suffix.lower() in (*_TEXTS, *_TABLES)


def _is_other_table(path: Path) -> bool:
    """Whether a table in a folder is about something else (a list of candidates beside their structures)."""
    if path.suffix.lower() not in _TABLES:
        return False
    try:
        return CIF_COLUMN not in table_columns(path, path.name)
    except (RefusalError, OSError):
        return False  # reading it says what is wrong


def _pieces(file: Path, max_sites: int) -> list[Piece]:
    """The structures of one file; a file that cannot be read is one refusal."""
    suffix = file.suffix.lower()
    many = suffix in (*_TABLES, *_FRAMES)
    try:
        size = file.stat().st_size
        cap = MAX_COLLECTION_BYTES if many else MAX_FILE_BYTES
        if size > cap:
            raise RefusalError("size", f"{file.name} has {size} bytes; at most {cap} are read. Split it.")
        if suffix in _TABLES:
            return read_table(file, file.name, max_sites, MAX_FILE_BYTES)
        text, notes = decode(file.read_bytes(), file.name)
        reader = read_poscar if _is_poscar(file) else _TEXTS[suffix]
        pieces = reader(text, file.name, max_sites)
    except RefusalError as refusal:
        return [Piece(refusal.verdict)]
    except OSError as error:
        reason = f"{file.name} cannot be opened: {error.strerror or error}. Check its permissions."
        return [Piece(Verdict(False, "storage", reason))]
    return [Piece(p.outcome, (*notes, *p.notes), p.name) for p in pieces]


def _named(file: Path, pieces: Sequence[Piece], notes: list[tuple[str, str]]) -> list[tuple[str, Piece]]:
    """Pieces under their own ids or, without one, under the file's name and their place in it."""
    stem = file.name if _is_poscar(file) else file.stem
    several = len(pieces) > 1
    if several and pieces[0].name is None:
        notes.append((file.name, f"It holds {len(pieces)} structures; their ids are {stem}#1 to {stem}#{len(pieces)}."))
    return [(piece.name or (f"{stem}#{i}" if several else stem), piece) for i, piece in enumerate(pieces, start=1)]


def _unique(found: Sequence[tuple[str, Piece]], notes: list[tuple[str, str]]) -> list[tuple[str, Piece]]:
    """The same pieces under ids that differ; a repeated id is numbered and noted."""
    seen: set[str] = set()
    unique = []
    for name, piece in found:
        given, k = name, 2
        while given in seen:
            given, k = f"{name}#{k}", k + 1
        if given != name:
            notes.append((given, f"The id {name} occurs more than once; this structure is named {given}."))
        seen.add(given)
        unique.append((given, piece))
    return unique
