"""The verbs validate and dft on files: costs, exit codes, folders, and one sentence for a mistake."""

import json
import subprocess
import sys

import numpy as np
import pytest

from novalith.data.writers import write_cif
from novalith.materials import Crystal

SALT = Crystal.from_arrays(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.845, ["Na", "Cl"], [[0] * 3, [0.5] * 3])


@pytest.fixture
def folder(tmp_path):
    write_cif(SALT, tmp_path / "salt.cif", symprec=None, name="salt")
    return tmp_path


def novalith(folder, *arguments):
    command = [sys.executable, "-m", "novalith", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603


def test_validate_writes_findings_and_ends_well(folder):
    done = novalith(folder, "validate", "salt.cif", "--checks", "elasticity", "--out", "found", "--json")
    assert done.returncode == 0, done.stderr
    assert "In all about" in done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert 18 < finding["values"]["bulk_modulus_gpa"] < 35
    assert (folder / "found" / "validation.csv").is_file()


def test_a_check_that_does_not_pass_ends_with_3_and_a_dry_run_makes_nothing(folder):
    done = novalith(folder, "validate", "salt.cif", "--checks", "exfoliation", "--out", "found")
    assert done.returncode == 3
    assert "no stack of layers" in done.stdout
    dry = novalith(folder, "validate", "salt.cif", "--checks", "elasticity", "--out", "other", "--dry-run")
    assert dry.returncode == 0
    assert "evaluations of up to 2 atoms" in dry.stdout
    assert not (folder / "other").exists()


def test_mistakes_get_one_sentence(folder):
    unknown = novalith(folder, "validate", "salt.cif", "--checks", "phonon", "--out", "found")
    assert unknown.returncode == 2
    assert "Did you mean 'phonons'" in unknown.stderr
    no_out = novalith(folder, "validate", "salt.cif")
    assert no_out.returncode == 2
    assert "--out" in no_out.stderr


def test_dft_writes_inputs_of_every_code(folder):
    done = novalith(folder, "dft", "salt.cif", "--out", "dft", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["calculations"]
    assert set(rows) == {"vasp", "espresso", "gpaw"}
    assert [row["id"] for row in rows["gpaw"]] == ["salt", "element-Cl", "element-Na"]
    assert (folder / "dft" / "vasp" / "salt" / "INCAR").is_file()
    assert not list((folder / "dft").rglob("POTCAR"))
    wrong = novalith(folder, "dft", "salt.cif", "--out", "dft", "--run", "gpw")
    assert wrong.returncode == 2
    assert "Did you mean 'gpaw'" in wrong.stderr


def test_dft_names_what_it_could_not_read(folder):
    (folder / "broken.cif").write_text("nothing here")
    done = novalith(folder, "dft", "salt.cif", "broken.cif", "--codes", "gpaw", "--out", "dft2")
    assert done.returncode == 3
    assert "broken: not read." in done.stderr
    assert (folder / "dft2" / "gpaw" / "salt" / "job.json").is_file()
