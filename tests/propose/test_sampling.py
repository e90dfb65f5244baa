"""A sample is taken in turns and written down with its table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from novalith.data.library import Library
from novalith.errors import CampaignError, EmptyResultError, InputError
from novalith.materials import Crystal
from novalith.propose import sampling
from novalith.propose.registry import PROPOSERS, load_proposers
from novalith.propose.request import parse_request
from novalith.propose.sampling import COLUMNS, TABLE, check_sample_folder, draw_sample, write_sample
from novalith.propose.structures import read_given
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


def test_a_second_sample_takes_the_place_of_the_first(small_library: Library, tmp_path: Path) -> None:
    first, second = (
        draw_sample(load_proposers(["prototypes"], small_library), parse_request(f), 2, 0) for f in ("LiF", "NaCl")
    )
    write_sample(first, tmp_path)
    for name in ("rejected.csv", "trace.csv", "relaxed.csv", "mine.txt"):
        (tmp_path / name).write_text("of the first")
    for name in ("relaxed", "relaxations"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{first[0].id}.cif").write_text("of the first")
    write_sample(second, tmp_path)
    assert {p.stem for p in (tmp_path / "structures").iterdir()} == {c.id for c in second}
    assert [g.id for g in read_given(tmp_path).crystals] == sorted(c.id for c in second)
    assert {p.name for p in tmp_path.iterdir()} == {TABLE, "structures", "relaxed", "relaxations", "mine.txt"}
    assert not list((tmp_path / "relaxed").iterdir())
    assert list((tmp_path / "relaxations").iterdir())  # they are looked up by content


def test_structures_of_others_are_neither_removed_nor_mixed_with_a_sample(
    small_library: Library, tmp_path: Path
) -> None:
    candidates = draw_sample(load_proposers(["prototypes"], small_library), parse_request("LiF"), 2, 0)
    write_sample(candidates, tmp_path)
    before = (tmp_path / TABLE).read_bytes()
    (tmp_path / "structures" / "mine.cif").write_text("mine")
    for act in (check_sample_folder, lambda folder: write_sample(candidates[:1], folder)):
        with pytest.raises(CampaignError, match=r"no sample in it wrote: 1, the first .*mine.cif"):
            act(tmp_path)
    assert len(list((tmp_path / "structures").iterdir())) == 3
    assert (tmp_path / TABLE).read_bytes() == before


def test_what_stops_the_writing_of_structures_leaves_them_in_the_table(
    small_library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = draw_sample(load_proposers(["prototypes"], small_library), parse_request("LiF"), 3, 0)
    written = []

    def stop(_: Crystal, path: Path, **__: object) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        path.write_text("half")

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "write_cif", stop)
        with pytest.raises(KeyboardInterrupt):
            write_sample(candidates, tmp_path)
    assert list((tmp_path / "structures").iterdir()) == written
    write_sample(candidates[1:], tmp_path)  # the same command goes on
    assert {p.stem for p in (tmp_path / "structures").iterdir()} == {c.id for c in candidates[1:]}
