"""The chemistry rules on a CSV file of formulas, row by row in bounded memory."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from novalith.errors import EmptyResultError, InputError, StorageError, UnknownNameError
from novalith.screen.chemistry import CHUNK, ChemistryOptions, judge_formulas

#: Leading characters that make a spreadsheet run a cell; no formula of a material begins so.
_ACTIVE = ("=", "+", "-", "@", "\t", "\r")

#: (formula, neutral, balanced, reason)
Row = tuple[str, bool, bool, str]


@dataclass(frozen=True)
class ScreenCounts:
    """What a screened file held: rows = neutral or not + unreadable.

    Attributes:
        rows: data rows, every one of which has a verdict in the answer.
        neutral: rows whose states can add up to zero.
        balanced: rows that pass under the options.
        unreadable: rows without a formula that can be read; their reason gives the line and the cause.
    """

    rows: int
    neutral: int
    balanced: int
    unreadable: int


def screen_file(path: Path, column: str, options: ChemistryOptions, out: Path | None) -> ScreenCounts:
    """Write `formula,neutral,balanced,reason` for every row of a CSV file, in its order.

    Args:
        path: CSV in UTF-8 with a header.
        column: the column that holds formulas.
        options: what the rules assume.
        out: CSV to write, replaced in one step when all is done; None writes to standard output.

    Raises:
        InputError: the file is not CSV text, has no such column, or is the output itself.
        EmptyResultError: the file has no data row.
        StorageError: the file is missing or cannot be read or written.
    """
    if out is not None and out.resolve() == path.resolve():
        raise InputError(f"{out} is both the input and the output; name another file for the verdicts.")
    rows = neutral = balanced = unreadable = 0
    with _writer(out) as write:
        for verdict, readable in _verdicts(_read(path, column), options):
            write(verdict)
            rows += 1
            neutral += verdict[1]
            balanced += verdict[2]
            unreadable += not readable
        if not rows:
            raise EmptyResultError(f"{path} has a header but no rows; nothing was judged.")
    return ScreenCounts(rows, neutral, balanced, unreadable)


def _verdicts(source: Iterable[tuple[int, str]], options: ChemistryOptions) -> Iterator[tuple[Row, bool]]:
    entries = iter(source)
    while chunk := list(islice(entries, CHUNK)):
        for (line, text), v in zip(chunk, judge_formulas([text for _, text in chunk], options), strict=True):
            reason = f"line {line}: {v.problem}" if v.problem else v.reason
            yield (f"'{text}" if text.startswith(_ACTIVE) else text, v.neutral, v.balanced, reason), not v.problem


def _read(path: Path, column: str) -> Iterator[tuple[int, str]]:
    """(line, formula) of every data row; blank lines at the end are not rows."""
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
def _writer(out: Path | None) -> Iterator[Callable[[Row], object]]:
    """A function that writes a row; the file appears under its name only when all rows are in it."""
    if out is None:
        yield _rows_to(sys.stdout)
        return
    part = out.with_name(out.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as handle:
            yield _rows_to(handle)
        part.replace(out)
    except OSError as error:
        raise StorageError(f"{out} cannot be written: {error.strerror}. Check the folder and the free space.") from None
    finally:
        part.unlink(missing_ok=True)


def _rows_to(handle: TextIO) -> Callable[[Row], object]:
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow(("formula", "neutral", "balanced", "reason"))
    return writer.writerow
