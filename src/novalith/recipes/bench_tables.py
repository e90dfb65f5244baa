"""Tables of the benchmarks: records for programs, aligned columns for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from novalith.errors import StorageError
from novalith.recipes.field_report import Table

__all__ = ["Table", "as_records", "existing", "table_of_records"]


def table_of_records(title: str, records: list[dict[str, Any]]) -> Table:
    """Records as aligned columns."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    cells = [columns, *([_text(record.get(key)) for key in columns] for record in records)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return Table(title, records, "\n".join([title, *lines]))


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def as_records(tables: Iterable[Table]) -> Mapping[str, list[dict[str, Any]]]:
    """Title -> records, for JSON."""
    return {table.title: table.records for table in tables}


def existing(path: Path) -> Path:
    """The path of a data file.

    Raises:
        StorageError: it is missing.
    """
    if not path.exists():
        raise StorageError(f"{path} is missing; give the folder of data that holds it.")
    return path
