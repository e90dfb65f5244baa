"""`novalith predict STRUCTURES`: a row for every structure, refused ones without a value, formulas as before."""

import csv
import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from novalith.cli.main import build
from novalith.data.library import Library
from novalith.data.writers import write_cif
from novalith.errors import EmptyResultError, InputError, UnknownNameError


@pytest.fixture(scope="module")
def crystals():
    known = [k for k in Library().structures if k.crystal.n_atoms <= 8]
    return {k.id: k.crystal for k in known[:: len(known) // 6][:6]}


@pytest.fixture()
def folder(crystals, tmp_path):
    out = tmp_path / "structures"
    out.mkdir()
    for name, crystal in crystals.items():
        write_cif(crystal, out / f"{name}.cif", symprec=None, name=name, notes=())
    return out


def call(*arguments):
    return CliRunner().invoke(build(), ["predict", *map(str, arguments)])


def answers(path):
    with path.open(newline="") as handle:
        header, *rows = csv.reader(handle)
    assert header == ["id", "value", "uncertainty", "in_range"]
    return {row[0]: row[1:] for row in rows}


def test_a_folder(folder, crystals, tmp_path):
    done = call(folder, "--target", "bulk_modulus", "--csv", tmp_path / "out.csv")
    assert done.exit_code == 0, done.output
    rows = answers(tmp_path / "out.csv")
    assert set(rows) == set(crystals)
    assert all(float(value) > 0 and float(spread) > 0 for value, spread, _ in rows.values())
    assert {known for *_, known in rows.values()} <= {"True", "False"}
    assert "6 structures:" in done.stdout and "bulk_modulus in GPa" in done.stdout


def test_a_file_that_is_no_structure_is_named(folder, tmp_path):
    (folder / "picture.png").write_bytes(b"\x89PNG")
    done = call(folder, "--target", "band_gap", "--csv", tmp_path / "out.csv")
    assert done.exit_code == 0
    assert "picture.png: This file is none of structures" in done.output


def test_a_table_gives_what_the_folder_gives_and_a_bad_row_has_no_value(folder, crystals, tmp_path):
    texts = [(folder / f"{name}.cif").read_text() for name in crystals]
    frame = pd.DataFrame({"material_id": [*crystals, "bad"], "cif": [*texts, "data_x\nnothing"]})
    frame.to_parquet(tmp_path / "in.parquet")
    frame.assign(id=frame["material_id"]).to_csv(tmp_path / "in.csv", index=False)
    call(folder, "--target", "band_gap", "--csv", tmp_path / "folder.csv")
    expected = answers(tmp_path / "folder.csv")
    for source in ("in.parquet", "in.csv"):
        done = call(tmp_path / source, "--target", "band_gap", "--csv", tmp_path / "out.csv")
        assert done.exit_code == 3
        rows = answers(tmp_path / "out.csv")
        assert rows.pop("bad") == ["", "", "False"]
        assert "bad: " in done.stderr
        for name, (value, *_) in rows.items():
            assert float(value) == pytest.approx(float(expected[name][0]), abs=1e-4)


def test_counts_as_json(folder):
    counts = json.loads(call(folder, "--target", "refractive_index", "--json").stdout)
    assert counts["structures"] == 6 == counts["in_range"] + counts["extrapolated"] + counts["without_value"]
    assert counts["unit"] == ""


def test_what_is_wrong_is_told(folder, tmp_path):
    assert isinstance(call(folder, "--target", "hardness").exception, UnknownNameError)
    (tmp_path / "empty").mkdir()
    assert isinstance(call(tmp_path / "empty", "--target", "band_gap").exception, InputError)
    pd.DataFrame({"id": [], "cif": []}).to_parquet(tmp_path / "no_rows.parquet")
    done = call(tmp_path / "no_rows.parquet", "--target", "band_gap")
    assert isinstance(done.exception, EmptyResultError) and not done.stdout


def test_a_column_of_formulas_stays_with_the_composition_model(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("formula,cif\nNaCl,\n")
    done = call(source, "--target", "formation_energy")
    assert done.stdout.splitlines()[0] == "formula,value,uncertainty,in_range"
