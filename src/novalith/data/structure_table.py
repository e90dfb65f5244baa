"""Tables of structures with properties to train on: a Parquet or CSV file, or a folder of them, rows accounted for.

A table has a column `cif` or `poscar` and columns named after targets or their aliases (`novalith.data.targets`). Every
row is kept or set aside with the reason; a row is kept if its structure comes through the door and it has a number for
at least one target, and what it lacks is NaN. In a folder, tables without structures or without any wanted property are
not read, and named. Structures are read by the rules of `novalith.data.door`. Who learns without labels
(`read_any_structures`) takes every structure that comes through the door.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from novalith.data.door import MAX_FILE_BYTES, MAX_SITES, is_structure_file, read_structures
from novalith.data.door_checks import RefusalError, decode
from novalith.data.door_cif import read_cif
from novalith.data.door_poscar import read_poscar
from novalith.data.library import Library
from novalith.data.plain_cif import read_plain_cif
from novalith.data.targets import column_of, target_named
from novalith.data.training_table import MIN_ROWS, columns_of
from novalith.errors import InputError, StorageError
from novalith.materials import Crystal, Verdict

#: Columns that may hold structures, in this order.
STRUCTURE_COLUMNS = ("cif", "poscar")
_TABLES = (".parquet", ".csv")


@dataclass(frozen=True, eq=False)
class StructureTable:
    """Structures and properties.

    Attributes:
        crystals: n of them.
        targets: t names.
        values: (n, t) in the units of the targets, NaN where missing.
        sources: (n,) name of the file that a row is from.
        set_aside: "file, row k" -> why the row was left out.
        not_read: files of a folder that hold no structures with any of the targets.
    """

    crystals: tuple[Crystal, ...]
    targets: tuple[str, ...]
    values: NDArray[np.float64]
    sources: tuple[str, ...]
    set_aside: Mapping[str, str] = field(default_factory=dict)
    not_read: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.crystals)


def read_structure_table(path: Path, targets: Sequence[str]) -> StructureTable:
    """Read a table, or every table of a folder (its sub-folders are left alone).

    Raises:
        StorageError: the path does not exist or cannot be read.
        InputError: no table has structures with any of the targets, or too few rows are left.
    """
    files = _files(path)
    tables = [f for f in files if f.suffix.lower() in _TABLES]
    if not tables:
        raise InputError(
            f"{path} holds no table; structures alone say nothing of {', '.join(targets)}. Give a CSV or Parquet file "
            f"with a column {' or '.join(STRUCTURE_COLUMNS)} and a column of values, or a folder of such files."
        )
    table = read_structure_tables(tables, targets, str(path))
    others = (f.name for f in files if f not in tables)
    return replace(table, not_read=(*table.not_read, *others))


def read_structure_tables(files: Sequence[Path], targets: Sequence[str], where: str = "") -> StructureTable:
    """Read some tables as one; see `read_structure_table`."""
    read = _Reading(tuple(targets))
    for file in files:
        read.table(file, labelled=True)
    where = where or ", ".join(f.name for f in files)
    return read.whole(
        f"{where} has {len(read.crystals)} structures with a number for {', '.join(targets)}; training needs at least "
        f"{MIN_ROWS}, in tables with a column {' or '.join(STRUCTURE_COLUMNS)}"
    )


def read_any_structures(path: Path, targets: Sequence[str]) -> StructureTable:
    """Read all structures of a file or folder, with their values where there are any.

    Args:
        path: a table, or whatever `novalith.data.door.read_structures` reads.
        targets: columns of tables that are values.

    Raises:
        StorageError: the path does not exist or cannot be read.
        InputError: there are too few structures.
    """
    read = _Reading(tuple(targets))
    for file in _files(path):
        if file.suffix.lower() in _TABLES:
            read.table(file, labelled=False)
        elif is_structure_file(file):
            read.structures(file)
        else:
            read.not_read.append(file.name)
    return read.whole(
        f"{path} has {len(read.crystals)} structures that could be read; training needs at least {MIN_ROWS}, as "
        f"files of structures or in tables with a column {' or '.join(STRUCTURE_COLUMNS)}"
    )


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise StorageError(f"{path} does not exist; check the path.")
    if path.is_file():
        return [path]
    try:
        return sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}. Check its permissions.") from error


class _Reading:
    """Structures, values and sources as they are read, file by file."""

    def __init__(self, targets: tuple[str, ...]) -> None:
        self.targets = targets
        self.crystals: list[Crystal] = []
        self.values: list[list[float]] = []
        self.sources: list[str] = []
        self.set_aside: dict[str, str] = {}
        self.not_read: list[str] = []

    def table(self, file: Path, *, labelled: bool) -> None:
        """Take the rows of a table; `labelled` sets those aside that have no value."""
        try:
            columns = columns_of(file)
        except InputError as error:  # the other files of a folder are read all the same
            self.set_aside[file.name] = str(error)
            return
        structure = next((c for c in STRUCTURE_COLUMNS if c in columns), None)
        places = {t: column_of(target_named(t), columns) for t in self.targets}
        if structure is None or (labelled and not any(places.values())):
            self.not_read.append(file.name)
            return
        for row, (text, numbers) in enumerate(_rows(file, structure, places), start=1):
            place = f"{file.name}, row {row}"
            outcome = _crystal(text, structure, place)
            if isinstance(outcome, Crystal) and labelled and not np.isfinite(numbers).any():
                reason = f"no number for {', '.join(t for t, p in places.items() if p)}"
                outcome = Verdict(False, "label", reason)
            self._take(place, outcome, numbers, file)

    def structures(self, file: Path) -> None:
        """Take what a file of structures holds, without values."""
        reading = read_structures(file)
        found: list[tuple[str, Crystal | Verdict]] = [*reading.accepted, *reading.refused]
        for id_, outcome in found:
            place = file.name if len(found) == 1 else f"{file.name}, {id_}"
            self._take(place, outcome, [float("nan")] * len(self.targets), file)

    def whole(self, too_few: str) -> StructureTable:
        """All of it, or an error in these words where it is too few."""
        if len(self.crystals) < MIN_ROWS:
            reasons = [f"{place}: {reason}" for place, reason in self.set_aside.items()]
            reasons += [f"{name} holds no structures with values that are asked for" for name in self.not_read]
            told = "; ".join(reasons[:3])
            raise InputError(f"{too_few}{f' ({told})' if told else ''}.")
        return StructureTable(
            tuple(self.crystals), self.targets, np.array(self.values), tuple(self.sources), self.set_aside,
            tuple(self.not_read),
        )  # fmt: skip

    def _take(self, place: str, outcome: Crystal | Verdict, numbers: list[float], file: Path) -> None:
        if isinstance(outcome, Verdict):
            self.set_aside[place] = outcome.reason
            return
        self.crystals.append(outcome)
        self.values.append(numbers)
        self.sources.append(file.name)


def bundled_structure_table(library: Library, targets: Sequence[str]) -> StructureTable:
    """The bundled crystals that have a number for at least one of the targets."""
    crystals, values = [], []
    for known in library.structures:
        row = [_property(known.properties, target) for target in targets]
        if np.isfinite(row).any():
            crystals.append(known.crystal)
            values.append(row)
    return StructureTable(tuple(crystals), tuple(targets), np.array(values), ("bundled",) * len(crystals))


def _property(properties: Mapping[str, float], target: str) -> float:
    name = column_of(target_named(target), properties)
    return float("nan") if name is None else float(properties[name])


def _rows(file: Path, structure: str, places: Mapping[str, str | None]) -> list[tuple[str, list[float]]]:
    """Text of the structure and (t,) numbers of each row; what is no number is NaN."""
    import pandas as pd

    wanted = [structure, *dict.fromkeys(p for p in places.values() if p)]
    if file.suffix.lower() == ".parquet":
        frame = pd.read_parquet(file, columns=wanted)
    else:
        frame = pd.read_csv(file, usecols=wanted)
    texts = frame[structure].astype(object).where(frame[structure].notna(), "").astype(str).tolist()
    numbers = np.full((len(frame), len(places)), np.nan)
    for i, place in enumerate(places.values()):
        if place:
            numbers[:, i] = pd.to_numeric(frame[place], errors="coerce").to_numpy(dtype=float)
    numbers[~np.isfinite(numbers)] = np.nan
    return list(zip(texts, numbers.tolist(), strict=True))


def _crystal(text: str, kind: str, place: str) -> Crystal | Verdict:
    try:
        if len(text) > MAX_FILE_BYTES:
            raise RefusalError("size", f"{place}: the structure has {len(text)} characters; split it.")
        plain, _ = decode(text.encode(), place)
        if kind == "poscar":
            return read_poscar(plain, place, MAX_SITES)[0].outcome
        quick = read_plain_cif(plain, place, MAX_SITES)
        if quick is not None:
            return quick
        pieces = read_cif(plain, place, MAX_SITES)
        if len(pieces) > 1:
            raise RefusalError("format", f"{place} holds {len(pieces)} data blocks; give each structure its own row.")
        return pieces[0].outcome
    except RefusalError as refusal:
        return refusal.verdict
