"""The chemistry rules on a CSV file of formulas, row by row in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from novalith.data.formula_csv import csv_rows, read_column, safe_cell
from novalith.errors import EmptyResultError, InputError
from novalith.screen.chemistry import CHUNK, ChemistryOptions, judge_formulas

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
    with csv_rows(out, ("formula", "neutral", "balanced", "reason")) as write:
        for verdict, readable in _verdicts(read_column(path, column), options):
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
            yield (safe_cell(text), v.neutral, v.balanced, reason), not v.problem
