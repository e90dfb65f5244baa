"""The verb on files: a verdict for every row, lines of bad ones, nothing half-written."""

from __future__ import annotations

import csv
import json

import pytest
import typer
from typer.testing import CliRunner

from novalith.cli.screen import command
from novalith.errors import EmptyResultError, InputError, StorageError, UnknownNameError
from novalith.screen.chemistry import ChemistryOptions
from novalith.screen.formula_file import ScreenCounts, screen_file

TEXT = "id,formula\n1,NaCl\n2,Fe3O4\n3,LiFePo4\n\n5,=cmd()\n6,D2O\n7,H0O\n8,Na9999999Cl\n9,NiAl\n\n"


def run(arguments: list[str]):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def rows_of(path):
    with path.open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "formulas with spaces.csv"
    path.write_text(TEXT, encoding="utf-8-sig")  # as spreadsheets write it
    return path


def test_every_row_has_a_verdict_and_bad_rows_their_line(table, tmp_path):
    out = tmp_path / "out.csv"
    counts = screen_file(table, "formula", ChemistryOptions(), out)
    rows = rows_of(out)
    assert list(rows[0]) == ["formula", "neutral", "balanced", "reason"]
    assert counts == ScreenCounts(rows=9, neutral=1, balanced=1, unreadable=6)
    assert len(rows) == counts.rows
    lines = [r["reason"].split(":")[0] for r in rows if r["reason"].startswith("line")]
    assert lines == ["line 4", "line 5", "line 6", "line 7", "line 8", "line 9"]
    assert rows[4]["formula"] == "'=cmd()"  # a spreadsheet must not run it
    assert list(tmp_path.glob("*.part")) == []


def test_the_verb_ends_with_3_where_rows_are_bad_and_0_where_none_is(table, tmp_path):
    out = tmp_path / "out.csv"
    assert run([str(table), "--csv", str(out)]).exit_code == 3
    good = tmp_path / "good.csv"
    good.write_text("name\nNaCl\nFe3O4\nNiAl\n")
    result = run([str(good), "--column", "name", "--csv", str(out), "--mixed-valence", "--alloys", "--json"])
    assert result.exit_code == 0
    counts = json.loads(result.stdout)
    assert (counts["rows"], counts["neutral"], counts["balanced"]) == (3, 2, 3)
    assert [r["balanced"] for r in rows_of(out)] == ["True", "True", "True"]
    plain = run([str(good), "--column", "name"])
    assert plain.stdout.splitlines()[1].startswith("NaCl,True,True,")


def test_options_reach_the_rules(tmp_path):
    good = tmp_path / "good.csv"
    good.write_text("formula\nMgCa\nMgB2\nNaCl\nPmCl3\n")
    out = tmp_path / "out.csv"

    def balanced(*options):
        assert run([str(good), "--csv", str(out), *options]).exit_code == 0
        return [r["balanced"] == "True" for r in rows_of(out)]

    assert balanced("--oxidation-set", "smact14") == [False, False, True, False]
    assert balanced("--oxidation-set", "smact14", "--alloys") == [True, False, True, False]
    assert balanced("--oxidation-set", "smact14", "--no-pauling", "--no-alloys") == [False, False, True, True]


@pytest.mark.parametrize(
    ("content", "error", "part"),
    [
        (b"", InputError, "is empty"),
        (b"formula\n", EmptyResultError, "no rows"),
        (b"formulas\nNaCl\n", UnknownNameError, "formulas"),
        (b"formula\n\xff\xfeNa\n", InputError, "not UTF-8"),
        (b"PAR1\x00\x00formula\n", UnknownNameError, "column"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, content, error, part):
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    out = tmp_path / "out.csv"
    with pytest.raises(error, match=part):
        screen_file(path, "formula", ChemistryOptions(), out)
    assert not out.exists()
    assert list(tmp_path.glob("*.part")) == []


def test_a_missing_file_and_writing_over_the_input_are_refused(table, tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        screen_file(tmp_path / "none.csv", "formula", ChemistryOptions(), tmp_path / "out.csv")
    with pytest.raises(InputError, match="both the input and the output"):
        screen_file(table, "formula", ChemistryOptions(), table)
    with pytest.raises(StorageError, match="cannot be written"):
        screen_file(table, "formula", ChemistryOptions(), tmp_path / "no" / "out.csv")
    assert table.read_text(encoding="utf-8-sig") == TEXT
