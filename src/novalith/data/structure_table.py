"""Tables of structures with properties to train on: a Parquet or CSV file, or a folder of them, rows accounted for.

A table has a column `cif` or `poscar` and columns named after targets or their aliases (`novalith.data.targets`). Every
row is kept or set aside with the reason; a row is kept if its structure comes through the door and it has a number for
at least one target, and what it lacks is NaN. In a folder, tables without structures or without any wanted property are
not read, and named. Structures are read by the rules of `novalith.data.door`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from novalith.data.door import MAX_FILE_BYTES, MAX_SITES
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
    if not path.exists():
        raise StorageError(f"{path} does not exist; check the path.")
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in _TABLES) if path.is_dir() else [path]
    return read_structure_tables(files, targets, str(path))


def read_structure_tables(files: Sequence[Path], targets: Sequence[str], where: str = "") -> StructureTable:
    """Read some tables as one; see `read_structure_table`."""
    crystals: list[Crystal] = []
    values: list[list[float]] = []
    sources: list[str] = []
    set_aside: dict[str, str] = {}
    not_read: list[str] = []
    for file in files:
        columns = columns_of(file)
        structure = next((c for c in STRUCTURE_COLUMNS if c in columns), None)
        places = {t: column_of(target_named(t), columns) for t in targets}
        if structure is None or not any(places.values()):
            not_read.append(file.name)
            continue
        for row, (text, numbers) in enumerate(_rows(file, structure, places), start=1):
            place = f"{file.name}, row {row}"
            outcome = _crystal(text, structure, place)
            if isinstance(outcome, Verdict):
                set_aside[place] = outcome.reason
            elif not np.isfinite(numbers).any():
                set_aside[place] = f"no number for {', '.join(t for t, p in places.items() if p)}"
            else:
                crystals.append(outcome)
                values.append(numbers)
                sources.append(file.name)
    if len(crystals) < MIN_ROWS:
        told = "; ".join(f"{place}: {reason}" for place, reason in list(set_aside.items())[:3])
        raise InputError(
            f"{where or ', '.join(f.name for f in files)} has {len(crystals)} structures with a number for "
            f"{', '.join(targets)}; training needs at least {MIN_ROWS}, in tables with a column "
            f"{' or '.join(STRUCTURE_COLUMNS)}{f' ({told})' if told else ''}."
        )
    return StructureTable(tuple(crystals), tuple(targets), np.array(values), tuple(sources), set_aside, tuple(not_read))


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
