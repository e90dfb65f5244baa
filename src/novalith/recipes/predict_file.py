"""A property for every row of a CSV file of formulas, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from novalith.data.formula_csv import csv_rows, read_column, safe_cell
from novalith.errors import EmptyResultError, InputError, UnknownNameError
from novalith.predict.composition import CompositionPredictor
from novalith.represent.formula_table import read_formulas

#: Rows read and predicted at a time.
CHUNK = 20_000
HEADER = ("formula", "value", "uncertainty", "in_range")


@dataclass(frozen=True)
class PredictCounts:
    """What a file of formulas held: rows = in_range + extrapolated + without_value.

    Attributes:
        rows: data rows, every one of which has a line in the answer.
        in_range: rows whose formula and value are like those of the training.
        extrapolated: rows with a value that is not.
        without_value: rows that cannot be read, or hold an element that the model never saw.
        unreadable: those of them that cannot be read.
    """

    rows: int
    in_range: int
    extrapolated: int
    without_value: int
    unreadable: int


def predict_file(
    path: Path,
    column: str,
    predictor: CompositionPredictor,
    target: str,
    out: Path | None,
    tell: Callable[[str], None] = lambda _: None,
) -> PredictCounts:
    """Write `formula,value,uncertainty,in_range` for every row, in its order; an unknown number is an empty cell.

    Args:
        path: CSV in UTF-8 with a header.
        column: the column that holds formulas.
        predictor: what predicts.
        target: one of its targets; the value is in its unit.
        out: CSV to write, replaced in one step when all is done; None writes to standard output.
        tell: told one sentence for every row that is not in range, with its line.

    Raises:
        InputError: the file is not CSV text, has no such column, or is the output itself.
        UnknownNameError: the predictor has no such target.
        EmptyResultError: the file has no data row.
        StorageError: the file is missing or cannot be read or written.
    """
    if out is not None and out.resolve() == path.resolve():
        raise InputError(f"{out} is both the input and the output; name another file for the answers.")
    if target not in predictor.targets:
        raise UnknownNameError("target of this model", target, predictor.targets)
    rows = in_range = without_value = unreadable = 0
    source = read_column(path, column)
    chunk = list(islice(source, CHUNK))  # read before the header is written: standard output stays empty on bad input
    if not chunk:
        raise EmptyResultError(f"{path} has a header but no rows; nothing was predicted.")
    with csv_rows(out, HEADER) as write:
        while chunk:
            texts = [text.strip() for _, text in chunk]
            table = read_formulas(texts)
            said = predictor.predict(table, target)
            for row, (line, _) in enumerate(chunk):
                spread = None if said.uncertainty is None else said.uncertainty[row]
                write((safe_cell(texts[row]), _cell(said.value[row]), _cell(spread), bool(said.in_range[row])))
                if row in said.reasons:
                    tell(f"line {line}: {texts[row] or 'empty'}: {said.reasons[row]}")
            rows += len(chunk)
            in_range += int(said.in_range.sum())
            without_value += int(np.isnan(said.value).sum())
            unreadable += len(table.problems)
            chunk = list(islice(source, CHUNK))
    return PredictCounts(rows, in_range, rows - in_range - without_value, without_value, unreadable)


def _cell(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.6g}"
