"""Tables to train composition models on: formulas with properties, from CSV or Parquet, row by row accounted for.

Every row is either kept or set aside with its line and the reason: rows = kept + set aside. A row without a number for
some target is kept as long as it has one for another; the missing one is NaN, which models must mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from novalith.data.targets import column_of, target_named
from novalith.errors import EmptyResultError, InputError, StorageError, UnknownNameError

#: Fewer rows than this are no training set.
MIN_ROWS = 10


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Formulas and properties.

    Attributes:
        source: the file.
        formulas: (n,) as written.
        lines: (n,) line of the CSV file, or row of the Parquet file, counted from 1 without the header.
        targets: name -> (n,) values in the unit of the target; NaN where missing.
        set_aside: line -> why the row was left out.
    """

    source: str
    formulas: tuple[str, ...]
    lines: tuple[int, ...]
    targets: Mapping[str, NDArray[np.float64]]
    set_aside: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.formulas)

    def select(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> TrainingTable:
        """The rows of an index or a mask, in its order."""
        index = np.arange(len(self))[rows].tolist()
        return TrainingTable(
            self.source,
            tuple(self.formulas[i] for i in index),
            tuple(self.lines[i] for i in index),
            {name: values[index] for name, values in self.targets.items()},
            self.set_aside,
        )


def read_training_table(
    path: Path,
    column: str = "formula",
    targets: Sequence[str] = (),
    within: Mapping[str, tuple[float, float]] | None = None,
) -> TrainingTable:
    """Read a CSV (with a header) or Parquet file.

    Args:
        path: the file; ".parquet" is read as such, everything else as CSV in UTF-8.
        column: column of formulas.
        targets: names of `novalith.data.targets`; a column may carry the name or one of its aliases.
        within: target -> (lowest, highest) that is kept; the rest is set aside.

    Raises:
        StorageError: the file is missing or cannot be read.
        InputError: it is no table, or fewer than `MIN_ROWS` rows are left; says why the others were set aside.
        UnknownNameError: there is no such column or target.
        EmptyResultError: the file has no rows.
    """
    columns = columns_of(path)
    if column not in columns:
        raise UnknownNameError(f"column of {path}:", column, columns)
    places: dict[str, str] = {}
    for name in targets:
        place = column_of(target_named(name), columns)
        if place is None:
            known = ", ".join((name, *target_named(name).aliases))
            raise UnknownNameError(f"column for {name} (one of {known}) in {path}:", name, columns)
        places[name] = place
    frame = _read(path, [column, *places.values()])
    if not len(frame):
        raise EmptyResultError(f"{path} has a header but no rows; there is nothing to train on.")
    formulas = frame[column].astype(str).str.strip().tolist()
    first = 1 if path.suffix.lower() == ".parquet" else 2
    set_aside = {row: "the formula is empty" for row, text in enumerate(formulas) if not text}
    values = {name: _numbers(frame[place].tolist(), name, set_aside) for name, place in places.items()}
    _check_range(values, within or {}, set_aside)
    if values:
        nothing = ~np.any([np.isfinite(v) for v in values.values()], axis=0)
        for row in np.flatnonzero(nothing).tolist():
            set_aside.setdefault(row, f"no number for {', '.join(values)}")
    keep = np.array([row not in set_aside for row in range(len(formulas))])
    by_line = {row + first: reason for row, reason in set_aside.items()}
    if keep.sum() < MIN_ROWS:
        told = "; ".join(f"line {line}: {reason}" for line, reason in list(by_line.items())[:5]) or "none set aside"
        raise InputError(
            f"{path} has {int(keep.sum())} usable rows of {len(formulas)}; training needs at least {MIN_ROWS} ({told})."
        )
    lines = tuple(range(first, first + len(formulas)))
    whole = TrainingTable(str(path), tuple(formulas), lines, values, by_line)
    return whole.select(keep)


def formulas_of_table(path: Path, column: str = "formula") -> list[str]:
    """The formulas of a CSV or Parquet file, every row, as written.

    Raises:
        StorageError, InputError, UnknownNameError: as `read_training_table`.
    """
    columns = columns_of(path)
    if column not in columns:
        raise UnknownNameError(f"column of {path}:", column, columns)
    return [str(text).strip() for text in _read(path, [column])[column].tolist()]


def columns_of(path: Path) -> list[str]:
    """The column names of a CSV or Parquet file."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_schema(path).names)
        return [str(c) for c in pd.read_csv(path, nrows=0, dtype=str, encoding="utf-8-sig").columns]
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
    except (ValueError, pa.ArrowInvalid) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path} cannot be read as a table ({error}); give CSV with a header, or Parquet.") from None


def _read(path: Path, wanted: list[str]):  # type: ignore[no-untyped-def]  # noqa: ANN202  a data frame, imported late
    import pandas as pd
    import pyarrow as pa

    wanted = list(dict.fromkeys(wanted))
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path, columns=wanted)
        # "NaN" is a compound (sodium nitride's cousin), so nothing in a formula stands for a missing value.
        return pd.read_csv(path, usecols=wanted, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); export it again.") from None


def _numbers(cells: list[object], name: str, set_aside: dict[int, str]) -> NDArray[np.float64]:
    """Cells as numbers; text that is none sets its row aside, an empty cell or NaN is a missing value."""
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if isinstance(cell, str):
            text = cell.strip()
            if text.lower() in ("", "nan", "none", "null"):
                continue
            try:
                values[row] = float(text)
            except ValueError:
                set_aside.setdefault(row, f"{name} is {text[:40]!r}, which is no number")
        elif cell is not None:
            values[row] = float(cell)  # type: ignore[arg-type]
        if np.isinf(values[row]):
            set_aside.setdefault(row, f"{name} is infinite")
            values[row] = np.nan
    return values


def _check_range(
    values: Mapping[str, NDArray[np.float64]], within: Mapping[str, tuple[float, float]], set_aside: dict[int, str]
) -> None:
    for name, (low, high) in within.items():
        if name in values:
            for row in np.flatnonzero((values[name] < low) | (values[name] > high)).tolist():
                set_aside.setdefault(row, f"{name} of {values[name][row]:g} lies outside {low:g} to {high:g}")
