"""`novalith encode` and `decode` as they are called: there and back, and a reason for whatever does not fit."""

import csv
import json
import zipfile

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from typer.testing import CliRunner

from novalith.cli.main import build
from novalith.data.door import read_structures
from novalith.data.library import Library
from novalith.data.writers import write_cif
from novalith.errors import CorruptDataError, EmptyResultError, InputError, StorageError, UnknownNameError
from novalith.materials import Crystal
from novalith.store.arrays import ArrayFile

DISORDERED = """data_half
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
A Fe 0 0 0 0.5
B O 0.5 0.5 0.5 1
"""


@pytest.fixture
def folder(tmp_path):
    """Three crystals inside all limits, a long cell, and a disordered one."""
    at = tmp_path / "in"
    at.mkdir()
    small = [k for k in Library().structures if k.crystal.n_atoms <= 6][::400][:3]
    for known in small:
        write_cif(known.crystal, at / f"{known.id}.cif", symprec=None, name=known.id)
    long = Crystal.from_arrays(np.diag([4.0, 4.0, 31.0]), ["Si", "O"], [[0, 0, 0], [0, 0, 0.1]])
    write_cif(long, at / "long.cif", symprec=None, name="long")
    (at / "half.cif").write_text(DISORDERED)
    return at


def _call(*arguments):
    return CliRunner().invoke(build(), list(map(str, arguments)))


@pytest.mark.parametrize("name", ["imatgen", "hoffmann", "court", "points"])
def test_there_and_back_with_every_structure_accounted_for(name, folder, tmp_path):
    out, back = tmp_path / "arrays.npz", tmp_path / "back"
    done = _call("encode", folder, "--representation", name, "--out", out, "--json")
    counts = json.loads(done.stdout)
    inside = 4 if name == "points" else 3
    assert (counts["given"], counts["done"], counts["set_aside"]) == (5, inside, 5 - inside)
    assert sum(counts["reasons"].values()) == counts["set_aside"]
    assert done.exit_code == 3
    assert "half" in done.stderr and "occup" in done.stderr.lower()
    assert ("long: " in done.stderr) == (name != "points")

    done = _call("decode", out, "--out", back)
    assert done.exit_code == 0, done.stderr
    with (back / "decoded.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == inside and not any(r["reason"] for r in rows)
    given, found = (dict(read_structures(place).accepted) for place in (folder, back))
    for row in rows:
        first, second = given[row["id"]].to_structure(), found[row["file"].removesuffix(".cif")].to_structure()
        assert StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, scale=False).fit(first, second)


def test_numpy_reads_the_file_and_no_pickle_is_needed(folder, tmp_path):
    out = tmp_path / "arrays.npz"
    _call("encode", folder, "--representation", "court", "--out", out)
    with np.load(out, allow_pickle=False) as stored:
        assert stored["00000/density"].shape == (32, 32, 32)
        assert json.loads(str(stored["novalith"]))["representation"] == "court"
    again = tmp_path / "again.npz"
    _call("encode", folder, "--representation", "court", "--out", again)
    assert again.read_bytes() == out.read_bytes()


def test_arrays_that_show_no_crystal_are_rows_with_a_reason(folder, tmp_path):
    out, broken, back = tmp_path / "arrays.npz", tmp_path / "broken.npz", tmp_path / "back"
    _call("encode", folder, "--representation", "court", "--out", out)
    with np.load(out) as stored:
        arrays = {k: stored[k] for k in stored.files}
    arrays["00000/species"] = np.zeros_like(arrays["00000/species"])
    arrays["00001/density"] = arrays["00001/density"][:8]
    np.savez(broken, **arrays)
    done = _call("decode", broken, "--out", back)
    assert done.exit_code == 3
    with (back / "decoded.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [bool(r["reason"]) for r in rows] == [True, True, False]
    assert "empty" in rows[0]["reason"] and "(8, 32, 32)" in rows[1]["reason"]
    assert len(list(back.glob("*.cif"))) == 1
    assert "1 of 3 crystals decoded" in done.stdout and "court 2" in done.stdout


def test_ids_lead_no_file_out_of_the_folder(folder, tmp_path):
    out, evil, back = tmp_path / "arrays.npz", tmp_path / "evil.npz", tmp_path / "deep" / "back"
    _call("encode", folder, "--representation", "points", "--out", out)
    with np.load(out) as stored:
        arrays = {k: stored[k] for k in stored.files}
    header = json.loads(str(arrays["novalith"]))
    header["ids"] = ["../../evil", "=1+1", "a/b", "A/B"][: len(header["ids"])]
    np.savez(evil, **(arrays | {"novalith": np.array(json.dumps(header))}))
    assert _call("decode", evil, "--out", back).exit_code == 0
    names = sorted(p.name for p in back.iterdir())
    assert len(names) == 5 and all("/" not in n and ".." not in n for n in names)
    assert not (tmp_path / "evil.cif").exists()
    assert "'=1+1" in (back / "decoded.csv").read_text()


def test_what_is_no_file_of_arrays_is_refused_in_a_sentence(tmp_path):
    text = tmp_path / "text.npz"
    text.write_text("no")
    other = tmp_path / "other.npz"
    np.savez(other, x=np.zeros(3))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, novalith=np.array([{"a": 1}], dtype=object))
    newer = tmp_path / "newer.npz"
    np.savez(newer, novalith=np.array(json.dumps({"format_version": 99, "ids": []})))
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w") as archive:
        head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }\n"
        archive.writestr("novalith.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    for path in (text, other, pickled, newer, bomb):
        with pytest.raises(CorruptDataError, match=path.name):
            ArrayFile(path)
    with pytest.raises(StorageError):
        ArrayFile(tmp_path / "none.npz")


def test_unknown_names_missing_files_and_nothing_inside(folder, tmp_path):
    out = tmp_path / "x.npz"
    assert isinstance(_call("encode", folder, "--representation", "gene", "--out", out).exception, UnknownNameError)
    assert isinstance(
        _call("encode", tmp_path / "none", "--representation", "court", "--out", out).exception, StorageError
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    assert isinstance(_call("encode", empty, "--representation", "court", "--out", out).exception, InputError)
    for path in folder.glob("mp-*.cif"):
        path.unlink()
    assert isinstance(_call("encode", folder, "--representation", "court", "--out", out).exception, EmptyResultError)
    assert not out.exists() and not list(tmp_path.glob("*.part"))
