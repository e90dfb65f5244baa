from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from novalith.cli import relax as verb
from novalith.data.door import read_structures
from novalith.data.writers import write_cif
from novalith.errors import InputError
from novalith.relax.folder import COLUMNS, relax_files
from novalith.relax.relaxer import RelaxSettings

from .conftest import rattled, rock_salt


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    write_cif(rattled(rock_salt("Mg", "O", 4.2), 1), folder / "mgo.cif", symprec=None, name="mgo")
    write_cif(rock_salt("Na", "Cl", 14.0), folder / "vast.cif", symprec=None, name="vast")
    (folder / "broken.cif").write_text("data_broken\n", encoding="utf-8")
    return folder


def test_every_structure_becomes_a_row_and_every_energy_a_file(inputs: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(verb.command)
    out = tmp_path / "out"
    paths = [str(inputs), str(inputs / "mgo.cif")]
    run = CliRunner().invoke(app, [*paths, "--out", str(out), "--workers", "1", "--json"])
    assert run.exit_code == 3
    with (out / "relaxations.csv").open(encoding="utf-8") as handle:
        rows = {row["id"]: row for row in csv.DictReader(handle)}
    assert tuple(rows["mgo"]) == COLUMNS
    assert rows["mgo"]["ending"] == "converged"
    assert rows["mgo"] | {"id": ""} == rows["mgo_2"] | {"id": ""}
    assert rows["broken"]["ending"] == "refused"
    assert rows["broken"]["reason"]
    assert rows["vast"]["ending"] == "exploded"
    assert len(rows) == 4
    files = dict(read_structures(out / "structures").accepted)
    assert sorted(files) == ["mgo", "mgo_2"]
    assert files["mgo"].volume == pytest.approx(4.257**3 / 4, rel=0.01)
    told = json.loads(run.stdout)
    assert (told["converged"], len(told["structures"])) == (2, 4)


def test_a_run_without_failures_ends_well(inputs: Path, tmp_path: Path) -> None:
    result = relax_files([inputs / "mgo.cif"], tmp_path / "out", RelaxSettings())
    assert result.complete


def test_results_are_never_written_over(inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "relaxations.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="already holds"):
        relax_files([inputs], tmp_path, RelaxSettings())
    assert (tmp_path / "relaxations.csv").read_text(encoding="utf-8") == "mine"
