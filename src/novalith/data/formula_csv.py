"""A column of formulas in a CSV file, row by row, and answers written beside it: one at a time, in bounded memory."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from novalith.errors import InputError, StorageError, UnknownNameError

#: Leading characters that make a spreadsheet run a cell; no formula of a material begins so.
_ACTIVE = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(text: str) -> str:
    """Text that a spreadsheet shows and does not run."""
    return f"'{text}" if text.startswith(_ACTIVE) else text


def read_column(path: Path, column: str) -> Iterator[tuple[int, str]]:
    """(line, cell) of every data row; blank lines at the end are not rows.

    Raises:
        InputError: the file is not CSV text in UTF-8, or has no such column.
        StorageError: it is missing or cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.reader(handle)
            header = next(reader, None)
            if header is None:
                raise InputError(f"{path} is empty; expected CSV with a header that names a column {column!r}.")
            names = [name.strip() for name in header]
            if column not in names:
                raise UnknownNameError(f"column of {path}:", column, names)
            at = names.index(column)
            blank: list[int] = []
            for fields in reader:
                if not fields:
                    blank.append(reader.line_num)
                    continue
                yield from ((line, "") for line in blank)
                blank.clear()
                yield reader.line_num, fields[at] if at < len(fields) else ""
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not CSV ({error}).") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}. Check the path.") from None


@contextmanager
def csv_rows(out: Path | None, header: Sequence[str]) -> Iterator[Callable[[Sequence[object]], object]]:
    """A function that writes a row; the file appears under its name only when all rows are in it.

    Args:
        out: CSV to write; None writes to standard output.
        header: names of the columns.

    Raises:
        StorageError: the file cannot be written.
    """
    if out is None:
        yield _rows_to(sys.stdout, header)
        return
    part = out.with_name(out.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as handle:
            yield _rows_to(handle, header)
        part.replace(out)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}. Check the folder and the free space.") from None
    finally:
        part.unlink(missing_ok=True)


def _rows_to(handle: TextIO, header: Sequence[str]) -> Callable[[Sequence[object]], object]:
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow(header)
    return writer.writerow
