"""A property for every structure of a folder or a table: `novalith predict STRUCTURES --target band_gap --csv OUT`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from novalith.data.door import read_structures
from novalith.data.door_table import CIF_COLUMN
from novalith.data.formula_csv import csv_rows, safe_cell
from novalith.data.training_table import columns_of
from novalith.errors import EmptyResultError, InputError, UnknownNameError
from novalith.recipes.cgcnn import CHUNK, CgcnnPredictor, load_cgcnn
from novalith.store.checkpoint import checkpoint_kind

HEADER = ("id", "value", "uncertainty", "in_range")
#: Kind of a checkpoint that predicts properties of structures.
STRUCTURE_KIND = "cgcnn"


@dataclass(frozen=True)
class StructureCounts:
    """What was found: structures = in_range + extrapolated + without_value.

    Attributes:
        structures: every one of which has a row in the answer.
        in_range: those whose crystal and value are like those of the training.
        extrapolated: those with a value that are not.
        without_value: those that are refused, have no graph, or hold an element that the model never saw.
        refused: those of them that did not come through the door.
    """

    structures: int
    in_range: int
    extrapolated: int
    without_value: int
    refused: int


def holds_structures(path: Path, column: str, checkpoint: Path | None) -> bool:
    """Whether a path is to be read as structures rather than as a column of formulas.

    A checkpoint decides by its kind. Without one, a folder or a file of structures is one; a CSV or Parquet table is
    where it has no column of formulas of that name but a column `cif`.
    """
    if checkpoint is not None:
        return checkpoint_kind(checkpoint) == STRUCTURE_KIND
    if not path.is_file() or path.suffix.lower() not in (".csv", ".parquet"):
        return path.is_dir() or path.suffix.lower() not in ("", ".csv", ".txt")
    if path.suffix.lower() == ".csv":
        try:
            columns = columns_of(path)
        except InputError:
            return False  # the reader of formulas says what is wrong with it
        return CIF_COLUMN in columns and column not in columns
    return True


def load_structure_predictor(path: Path) -> CgcnnPredictor:
    """Read a checkpoint of `novalith train cgcnn`."""
    return load_cgcnn(path)


def predict_structures(
    path: Path,
    predictor: CgcnnPredictor,
    target: str,
    out: Path | None,
    tell: Callable[[str], None] = lambda _: None,
) -> StructureCounts:
    """Write `id,value,uncertainty,in_range` for every structure: those let in, then those refused, in their order.

    Args:
        path: a folder of structure files, one such file, or a table with an id and a column `cif`.
        predictor: what predicts.
        target: one of its targets; the value is in its unit.
        out: CSV to write, replaced in one step when all is done; None writes to standard output.
        tell: told one sentence for every structure that is not in range, with its id.

    Raises:
        InputError: there is no structure file, or the output is the input.
        EmptyResultError: the table has no rows.
        UnknownNameError: the predictor has no such target.
        StorageError: something cannot be read or written.
    """
    if target not in predictor.targets:
        raise UnknownNameError("target of this model", target, predictor.targets)
    if out is not None and out.resolve() == path.resolve():
        raise InputError(f"{out} is both the input and the output; name another file for the answers.")
    reading = read_structures(path)
    if not (reading.accepted or reading.refused):
        raise EmptyResultError(f"{path} has columns but no rows; nothing was predicted.")
    in_range = without_value = 0
    with csv_rows(out, HEADER) as write:
        for start in range(0, len(reading.accepted), CHUNK):
            chunk = reading.accepted[start : start + CHUNK]
            said = predictor.predict([crystal for _, crystal in chunk], target)
            for row, (name, _) in enumerate(chunk):
                cells = (_cell(said.value[row]), _cell(said.uncertainty[row]), bool(said.in_range[row]))
                write((safe_cell(name), *cells))
                if row in said.reasons:
                    tell(f"{name}: {said.reasons[row]}")
            in_range += int(said.in_range.sum())
            without_value += int(np.isnan(said.value).sum())
        for name, note in reading.notes:
            tell(f"{name}: {note}")
        for name, verdict in reading.refused:
            write((safe_cell(name), "", "", False))
            tell(f"{name}: {verdict.reason}")
    n, refused = len(reading.accepted) + len(reading.refused), len(reading.refused)
    without_value += refused
    return StructureCounts(n, in_range, n - in_range - without_value, without_value, refused)


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
