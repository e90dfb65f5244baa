"""Reported phase fields: which elements have been found together in a compound.

The lists are those of Vasylenko et al. (2021), drawn from the ICSD of 2017 and published under the MIT licence
(repository lrcfmd/PhaseFieldRanking). A field that is not listed is not known to be empty: it is unexplored, or
explored without a word. Almost no listed field holds hydrogen.

==================  ======================================================================================
list                content
==================  ======================================================================================
`all`               every field of the lists, arities 1 to 18
`two_anion`         the 2,021 rows with two anions that the published ranking was trained on; 94 repeat an element
`li_candidates`     the 303 lithium fields that the paper ranked
==================  ======================================================================================
"""

from __future__ import annotations

import csv
import lzma
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from novalith.data.hidden import Hidden
from novalith.errors import CorruptDataError, EmptyResultError, InputError, StorageError
from novalith.materials import Composition, PhaseField

FOLDER = Path(__file__).parent / "fields"

#: Lists that together hold every reported field; each stores only what the one before it does not.
_PARTS = ("all_arities", "ternary", "quaternary", "quinary")

#: Fields of more elements than this are not read from users: no scorer has learned anything about them.
MAX_ARITY = 8


def reported_fields(hidden: Hidden | None = None) -> tuple[PhaseField, ...]:
    """Every reported field that is not hidden, sorted by number of elements, then by name.

    A field is hidden when its system is, or when a hidden formula is made of exactly its elements.
    """
    every = _all_reported()
    if not hidden:
        return every
    blind = set(hidden.systems) | {Composition.parse(f).field.name for f in hidden.formulas}
    return tuple(field for field in every if field.name not in blind)


@lru_cache(maxsize=1)
def _all_reported() -> tuple[PhaseField, ...]:
    fields = [PhaseField(tuple(line.split())) for part in _PARTS for line in stored_lines(part)]
    return tuple(sorted(fields, key=lambda f: (len(f), f.elements)))


def two_anion_rows() -> tuple[tuple[str, ...], ...]:
    """The 2,021 rows of the published training list as they stand, repeated elements included."""
    return tuple(tuple(line.split()) for line in stored_lines("two_anion"))


def li_candidates() -> tuple[PhaseField, ...]:
    """The 303 lithium fields that the paper ranked."""
    return tuple(PhaseField(tuple(line.split())) for line in stored_lines("li_candidates"))


def published_scores(name: str) -> tuple[tuple[tuple[str, ...], float], ...]:
    """Elements and raw score of each row of the authors' score files.

    Args:
        name: "training" for the 2,021 rows, "li" for the 303 candidates.
    """
    rows = list(csv.reader(stored_lines(f"published_{name}")))[1:]
    return tuple((tuple(row[0].split()), float(row[1])) for row in rows)


def stored_lines(name: str) -> list[str]:
    """Lines of a bundled list.

    Raises:
        CorruptDataError: the file is missing or is not what it was.
    """
    try:
        return lzma.decompress((FOLDER / f"{name}.txt.xz").read_bytes()).decode().splitlines()
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise CorruptDataError(
            f"The bundled list of fields {name!r} cannot be read ({error}). Install novalith again."
        ) from None


def read_fields(path: Path) -> tuple[PhaseField, ...]:
    """Read a text file with one field a line, symbols separated by blanks, commas or hyphens.

    Empty lines and what follows a # are passed over; a field on two lines is read once, where it stands first.

    Raises:
        InputError: a line repeats an element, holds an unknown symbol or an isotope, or more than `MAX_ARITY` elements;
            the message names the line and the rule.
        EmptyResultError: no line holds a field.
        StorageError: the file cannot be opened.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}. Give a text file with one field a line.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8; write one field a line, such as 'Li Sn S Cl'.") from None
    fields: dict[PhaseField, None] = {}
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if text:
            fields[_read_field(text, f"{path}, line {number}")] = None
    if not fields:
        raise EmptyResultError(f"{path} holds no field; write one a line, such as 'Li Sn S Cl'.")
    return tuple(fields)


def read_training_lists(paths: Sequence[Path]) -> tuple[tuple[PhaseField, ...], int]:
    """Read lists of reported fields to learn from, and how many lines were left out for repeating an element.

    The published lists repeat elements in many lines ("As As Cd Cl"), the trace of two oxidation states of one element.
    Such a line is taken as the field of its distinct elements; fields of any number of elements are taken.

    Raises:
        InputError: an unknown symbol, with its line.
        EmptyResultError: no line holds a field.
    """
    fields: set[PhaseField] = set()
    repeated = 0
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}. Give a text file with one field a line.") from None
        for number, line in enumerate(lines, start=1):
            symbols = re.split(r"[-,\s]+", line.partition("#")[0].strip())
            if symbols == [""]:
                continue
            repeated += len(set(symbols)) < len(symbols)
            try:
                fields.add(PhaseField(tuple(sorted(set(symbols)))))
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
    if not fields:
        raise EmptyResultError(f"{', '.join(map(str, paths))}: no line holds a field to learn from.")
    return tuple(sorted(fields, key=lambda f: (len(f), f.elements))), repeated


def _read_field(text: str, where: str) -> PhaseField:
    try:
        field = PhaseField.parse(text)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return check_arity(field, where)


def check_arity(field: PhaseField, where: str) -> PhaseField:
    """Return the field if it has no more than `MAX_ARITY` elements.

    Raises:
        InputError: it has more.
    """
    if len(field) > MAX_ARITY:
        raise InputError(
            f"{where}: {field} has {len(field)} elements; a field may have 1 to {MAX_ARITY}. "
            "Split it into smaller fields."
        )
    return field
