"""A sample is taken in turns and written down with its table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from novalith.data.library import Library
from novalith.errors import EmptyResultError, InputError
from novalith.materials import Crystal
from novalith.propose.registry import PROPOSERS, load_proposers
from novalith.propose.request import parse_request
from novalith.propose.sampling import COLUMNS, TABLE, draw_sample, write_sample
from novalith.represent.gene import spacegroup_of


def test_all_proposers_take_part_and_nothing_comes_twice(small_library: Library) -> None:
    candidates = draw_sample(load_proposers(PROPOSERS, small_library), parse_request("LiF"), 9, seed=3)
    assert [c.lineage.generator for c in candidates[:3]] == list(PROPOSERS)
    assert len({c.id for c in candidates}) == 9
    again = draw_sample(load_proposers(PROPOSERS, small_library), parse_request("LiF"), 9, seed=3)
    assert [c.crystal for c in again] == [c.crystal for c in candidates]


def test_files_agree_with_the_table(small_library: Library, tmp_path: Path) -> None:
    from pymatgen.core import Structure

    candidates = draw_sample(load_proposers(["prototypes"], small_library), parse_request("LiF"), 3, seed=0)
    rows = write_sample(candidates, tmp_path / "out")
    with (tmp_path / "out" / TABLE).open(encoding="utf-8", newline="") as lines:
        table = list(csv.DictReader(lines))
    assert tuple(table[0]) == COLUMNS
    assert [r["id"] for r in table] == [r["id"] for r in rows] == [c.id for c in candidates]
    for row in table:
        structure = Structure.from_file(tmp_path / "out" / "structures" / f"{row['id']}.cif")
        assert structure.composition.reduced_formula == row["formula"] == "LiF"
        assert spacegroup_of(Crystal.from_structure(structure))[0] == int(row["spacegroup"])


def test_an_empty_sample_names_what_was_asked(small_library: Library) -> None:
    request = parse_request("SrTiO3", spacegroup=227, max_atoms=20)
    with pytest.raises(EmptyResultError, match="prototypes found nothing for SrTiO3 in space group 227"):
        draw_sample(load_proposers(["prototypes"], small_library), request, 5, seed=0)
    with pytest.raises(InputError, match="at least 1"):
        draw_sample(load_proposers(["prototypes"], small_library), request, 0, seed=0)
