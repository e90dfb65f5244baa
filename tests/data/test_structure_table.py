"""Tables of structures: every row kept or set aside, POSCAR and CIF alike, plain CIFs read as by the general reader."""

import numpy as np
import pandas as pd
import pytest

from novalith.data.door_checks import RefusalError
from novalith.data.door_cif import read_cif
from novalith.data.library import Library
from novalith.data.plain_cif import read_plain_cif
from novalith.data.structure_table import bundled_structure_table, read_any_structures, read_structure_table
from novalith.errors import InputError, StorageError


def plain_text(crystal):
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(crystal.to_structure()))


@pytest.fixture(scope="module")
def crystals():
    known = [k.crystal for k in Library().structures if k.crystal.n_atoms <= 12]
    return known[:: len(known) // 14][:14]


def test_plain_reader_agrees_with_the_general_one(crystals):
    for crystal in crystals:
        text = plain_text(crystal)
        ours, theirs = read_plain_cif(text, "x", 100), read_cif(text, "x", 100)[0].outcome
        assert ours is not None
        assert ours.composition == theirs.composition
        assert ours.volume == pytest.approx(theirs.volume, rel=1e-6)
        d = ours.to_structure().distance_matrix
        np.testing.assert_allclose(
            np.sort(d.ravel()), np.sort(theirs.to_structure().distance_matrix.ravel()), atol=1e-3
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'x, y, z'", "'-x, y, z'"), ("P 1", "P -1"), ("_occupancy\n", "_occupancy\n_extra\n"), ("  1\n", "  0.5\n"),
        ("loop_\n _atom", "loop_\n _magn"), ("_cell_length_a ", "_cell_length_q "),
    ],
)  # fmt: skip
def test_anything_else_is_left_to_the_general_reader(crystals, old, new):
    text = plain_text(crystals[0])
    assert old in text
    assert read_plain_cif(text.replace(old, new), "x", 100) is None
    assert read_plain_cif(text, "x", 0) is None


def test_atoms_on_one_another_are_refused(crystals):
    lines = plain_text(crystals[3]).rstrip("\n").split("\n")
    with pytest.raises(RefusalError, match=r"0\.0000 Å apart"):
        read_plain_cif("\n".join([*lines, lines[-1]]) + "\n", "x", 100)


def poscar(crystal):
    from pymatgen.io.vasp import Poscar

    return str(Poscar(crystal.to_structure().get_sorted_structure()))


def test_rows_are_kept_or_set_aside(tmp_path, crystals):
    texts = [plain_text(c) for c in crystals[:12]]
    frame = pd.DataFrame({"cif": [*texts, "no cif", texts[0]], "band_gap": [1.0] * 12 + [2.0, np.nan]})
    frame["K_VRH"] = [np.nan] * 6 + [100.0] * 7 + [np.nan]
    frame.to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"poscar": [poscar(c) for c in crystals[:3]], "n": [1.5, 2.0, 2.5]}).to_csv(tmp_path / "b.csv")
    pd.DataFrame({"formula": ["NaCl"], "band_gap": [5.0]}).to_csv(tmp_path / "c.csv")
    table = read_structure_table(tmp_path, ("band_gap", "bulk_modulus", "refractive_index"))
    assert len(table) == 15
    assert len(table.set_aside) == 2
    assert "no number for" in table.set_aside["a.parquet, row 14"]
    assert "data_" in table.set_aside["a.parquet, row 13"]
    assert table.not_read == ("c.csv",)
    assert np.isfinite(table.values).sum(axis=0).tolist() == [12, 6, 3]
    assert table.sources == ("a.parquet",) * 12 + ("b.csv",) * 3


def test_what_cannot_be_trained_on_is_told(tmp_path, crystals):
    with pytest.raises(StorageError):
        read_structure_table(tmp_path / "none", ("band_gap",))
    pd.DataFrame({"cif": [plain_text(c) for c in crystals[:3]], "band_gap": [1, 2, 3]}).to_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match="3 structures"):
        read_structure_table(tmp_path / "a.csv", ("band_gap",))
    with pytest.raises(InputError, match="0 structures"):
        read_structure_table(tmp_path / "a.csv", ("bulk_modulus",))


def test_structures_alone_have_nothing_to_learn_values_from(tmp_path, crystals):
    (tmp_path / "one.cif").write_text(plain_text(crystals[0]))
    for path in (tmp_path, tmp_path / "one.cif"):
        with pytest.raises(InputError, match=r"holds no table; structures alone say nothing of band_gap. Give a CSV"):
            read_structure_table(path, ("band_gap",))
    pd.DataFrame({"cif": [plain_text(c) for c in crystals], "band_gap": 1.0}).to_csv(tmp_path / "a.csv")
    table = read_structure_table(tmp_path, ("band_gap",))
    assert (len(table), table.not_read) == (14, ("one.cif",))


def test_any_structures_are_read_with_their_values_where_there_are_any(tmp_path, crystals):
    texts = [plain_text(c) for c in crystals]
    pd.DataFrame({"cif": [*texts[:4], "no cif"], "band_gap": [1.0, np.nan, 2.0, 3.0, 4.0]}).to_csv(tmp_path / "a.csv")
    pd.DataFrame({"cif": texts[4:6]}).to_parquet(tmp_path / "b.parquet")
    for i, text in enumerate(texts[6:12]):
        (tmp_path / f"c{i}.cif").write_text(text)
    (tmp_path / "bad.cif").write_text("data_x\n_cell_length_a three\n")
    (tmp_path / "POSCAR_d").write_text(poscar(crystals[12]))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "junk.csv").write_bytes(b"\x00\x01\xff\xfe")
    table = read_any_structures(tmp_path, ("band_gap",))
    assert len(table) == 13
    assert np.isfinite(table.values[:, 0]).sum() == 3
    assert sorted(table.set_aside) == ["a.csv, row 5", "bad.cif", "junk.csv"]
    assert table.not_read == ("notes.txt",)
    pd.DataFrame({"id": range(14), "cif": texts}).to_csv(tmp_path / "bare.csv")
    assert len(read_any_structures(tmp_path / "bare.csv", ("band_gap",))) == 14
    with pytest.raises(InputError, match=r"c0.cif has 1 structures that could be read; training needs at least 10"):
        read_any_structures(tmp_path / "c0.cif", ("band_gap",))
    with pytest.raises(StorageError):
        read_any_structures(tmp_path / "none", ("band_gap",))


def test_bundled_structures_have_the_properties_of_the_library():
    table = bundled_structure_table(Library(), ("formation_energy", "bulk_modulus"))
    known = {k.crystal.content_id: k for k in Library().structures}
    row = int(np.flatnonzero(np.isfinite(table.values[:, 1]))[0])
    assert table.values[row, 1] == known[table.crystals[row].content_id].properties["bulk_modulus_gpa"]
