"""The Wyckoff positions of the 230 space groups and which of them only the choice of origin tells apart.

The tables are those of International Tables for Crystallography A in the settings that spglib standardises to (unique
axis b, hexagonal axes, second origin), read from the files that PyXtal carries (Fredericks et al., Comput. Phys.
Commun. 261, 107810, 2021) without importing PyXtal itself, which takes seconds.
"""

from __future__ import annotations

import ast
import csv
import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from novalith.errors import CorruptDataError
from novalith.materials import check_spacegroup

#: Letters from the most special position upwards; Pmmm alone needs the twenty-seventh.
LETTERS = "abcdefghijklmnopqrstuvwxyzA"


@dataclass(frozen=True)
class WyckoffPosition:
    """One Wyckoff position of a space group.

    Attributes:
        letter: "a" for the most special one, upwards.
        multiplicity: sites in the conventional cell.
        n_free: free coordinates, 0 to 3; a position without any can be occupied once.
    """

    letter: str
    multiplicity: int
    n_free: int


@cache
def wyckoff_positions(spacegroup: int) -> tuple[WyckoffPosition, ...]:
    """The Wyckoff positions of a space group, from letter "a" upwards.

    Raises:
        InputError: the number is outside 1 to 230.
    """
    return _all_positions()[check_spacegroup(spacegroup)]


@cache
def equivalent_letterings(spacegroup: int) -> tuple[dict[str, str], ...]:
    """The renamings of letters that another, equally valid choice of origin or axes would make; identity included.

    These are the elements of the Euclidean normaliser (International Tables A, chapter 3.5): caesium chloride may be
    written with Cs on 1a and Cl on 1b of Pm-3m, or the other way round.
    """
    rows = json.loads(_table("wyckoff_sets.json").read_text(encoding="utf-8"))[str(check_spacegroup(spacegroup))]
    distinct = sorted({tuple(row.split()) for row in rows["Transformed WP"]})
    letters = [position.letter for position in wyckoff_positions(spacegroup)]
    if any(sorted(row, key=LETTERS.index) != letters for row in distinct):
        raise CorruptDataError(f"The letterings of space group {spacegroup} in {_table('wyckoff_sets.json')} are odd.")
    return tuple(dict(zip(letters, row, strict=True)) for row in distinct)


@cache
def _all_positions() -> dict[int, tuple[WyckoffPosition, ...]]:
    table: dict[int, tuple[WyckoffPosition, ...]] = {}
    with _table("wyckoff_list.csv").open(encoding="utf-8", newline="") as lines:
        for number, text in csv.reader(lines):
            if number in {"", "0"}:
                continue
            orbits = ast.literal_eval(text)  # most general first
            table[int(number)] = tuple(
                WyckoffPosition(LETTERS[i], len(sites), sum(axis in sites[0] for axis in "xyz"))
                for i, sites in enumerate(reversed(orbits))
            )
    return table


def _table(name: str) -> Path:
    spec = find_spec("pyxtal")
    path = Path(spec.origin).parent / "database" / name if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise CorruptDataError(f"PyXtal's table {name} is missing. Install it again: pip install 'pyxtal>=1.1.5'")
    return path
