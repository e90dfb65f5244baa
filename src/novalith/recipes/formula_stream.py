"""Millions of formulas in bounded memory: drawn by a model in blocks that are kept, or read from a file in blocks.

Block number b of a stream is drawn with the random numbers of (seed, b) alone and kept as one file, so a stream that
was stopped goes on where it was and gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from novalith.data.formula_csv import read_column
from novalith.errors import CorruptDataError, EmptyResultError, InputError
from novalith.propose.compositions import CompositionModel, FormulaRequest
from novalith.represent.formula_table import FormulaTable, read_formulas, table_of
from novalith.store.files import make_folder, write_atomic

#: Formulas of a block: some 10 MB of arrays, 50 MB while a model draws them.
BLOCK = 20_000


@dataclass(frozen=True, eq=False)
class FormulaBlock:
    """A part of a stream.

    Attributes:
        first: number of its first row in the stream, from 0; of a file, data rows are counted.
        table: the formulas; rows that are none have a problem.
    """

    first: int
    table: FormulaTable


def drawn_blocks(
    model: CompositionModel, n: int, request: FormulaRequest, keep: Path | None, seed: int
) -> Iterator[FormulaBlock]:
    """Draw n formulas, repeats included.

    Args:
        model: draws.
        n: how many.
        request: what the model is asked to honour; nothing else is rejected here.
        keep: folder for the blocks; what it holds of the same seed is read. None keeps nothing.
        seed: of the stream.
    """
    if n < 1:
        raise InputError(f"{n} formulas were asked for; expected 1 or more.")
    if keep is not None:
        make_folder(keep)
    for number, first in enumerate(range(0, n, BLOCK)):
        path = None if keep is None else keep / f"{model.name}-{seed}-{number:05d}.npz"
        if path is not None and path.exists():
            table = _read_block(path)
        else:
            table = model.draw(BLOCK, request, rng=np.random.default_rng([seed, number]))
            if path is not None:
                _write_block(table, path)
        yield FormulaBlock(first, table if first + BLOCK <= n else table.select(np.arange(n - first)))


def file_blocks(path: Path, column: str = "formula") -> Iterator[FormulaBlock]:
    """Read the formulas of a CSV file; what cannot be read is a row with a problem.

    Raises:
        InputError: it is no CSV text, or has no such column.
        EmptyResultError: it has no data row.
    """
    rows = iter(read_column(path, column))
    first = 0
    while chunk := list(islice(rows, BLOCK)):
        yield FormulaBlock(first, read_formulas([text for _, text in chunk]))
        first += len(chunk)
    if not first:
        raise EmptyResultError(f"{path} has a header but no rows.")


def _write_block(table: FormulaTable, path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(
        stream, atomic_numbers=table.atomic_numbers.astype(np.uint8), counts=table.counts.astype(np.uint32)
    )
    write_atomic(path, stream.getvalue())


def _read_block(path: Path) -> FormulaTable:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return table_of(stored["atomic_numbers"], stored["counts"])
    except (OSError, ValueError, KeyError) as error:
        raise CorruptDataError(f"{path} is no block of formulas ({error}). Delete it; it is drawn again.") from None
