"""Tables from outside (CSV or Parquet) with an id and a `cif` column: each cell goes through the door for CIFs."""

from __future__ import annotations

import re
from pathlib import Path

from novalith.data.door_checks import Piece, RefusalError, decode
from novalith.data.door_cif import read_cif
from novalith.data.plain_cif import read_plain_cif

#: Columns that may hold the id, in this order.
ID_COLUMNS = ("id", "material_id", "mat_id", "name")
CIF_COLUMN = "cif"


def read_table(path: Path, where: str, max_sites: int, max_text_bytes: int) -> list[Piece]:
    """The structures of a table, one a row, under the ids of its id column.

    Raises:
        RefusalError: it cannot be read as a table, or lacks one of the two columns.
    """
    columns = table_columns(path, where)
    key = next((c for c in ID_COLUMNS if c in columns), None)
    if key is None or CIF_COLUMN not in columns:
        raise RefusalError(
            "format",
            f"{where} has the columns {', '.join(columns[:12])}; expected an id ({', '.join(ID_COLUMNS)}) and "
            f"{CIF_COLUMN!r}.",
        )
    return [
        _row(i, name, text, where, (max_sites, max_text_bytes))
        for i, (name, text) in enumerate(_rows(path, key, where), start=1)
    ]


def table_columns(path: Path, where: str) -> list[str]:
    """Names of the columns of a CSV or Parquet file.

    Raises:
        RefusalError: it is neither.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_schema(path).names)
        return [str(c) for c in pd.read_csv(path, nrows=0, dtype=str).columns]
    except (ValueError, pa.ArrowInvalid) as error:  # pandas' parser errors are ValueErrors
        raise RefusalError("format", f"{where} cannot be read as a table ({error}); export it again.") from error


def _rows(path: Path, key: str, where: str) -> list[tuple[str, str]]:
    import pandas as pd
    import pyarrow as pa

    wanted = [key, CIF_COLUMN]
    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path, columns=wanted)
        else:  # "NaN" is a compound: nothing stands for a missing value
            frame = pd.read_csv(path, usecols=wanted, dtype=str, keep_default_na=False)
    except (ValueError, pa.ArrowInvalid) as error:
        raise RefusalError("format", f"{where} cannot be read as a table ({error}); export it again.") from error
    frame = frame.astype(object).where(frame.notna(), "")
    return [(str(name), str(text)) for name, text in zip(frame[key], frame[CIF_COLUMN], strict=True)]


def _row(index: int, name: str, text: str, where: str, caps: tuple[int, int]) -> Piece:
    place = f"{where}, row {index} ({name[:60]})"
    max_sites, max_text_bytes = caps
    label = name if re.fullmatch(r"[^\x00-\x1f/\\]{1,200}", name) else None
    try:
        if label is None:
            raise RefusalError(
                "id", f"{where}, row {index}: the id {name[:40]!r} is empty or cannot name a file; change it."
            )
        if len(text) > max_text_bytes:
            raise RefusalError(
                "size", f"{place}: the CIF has {len(text)} characters; at most {max_text_bytes} are read."
            )
        plain, notes = decode(text.encode(), place)
        quick = read_plain_cif(plain, place, max_sites)
        if quick is not None:
            return Piece(quick, tuple(notes), name)
        pieces = read_cif(plain, place, max_sites)
        if len(pieces) > 1:
            raise RefusalError("format", f"{place} holds {len(pieces)} data blocks; give each structure its own row.")
    except RefusalError as refusal:
        return Piece(refusal.verdict, name=label or f"row {index}")
    return Piece(pieces[0].outcome, (*notes, *pieces[0].notes), name)
