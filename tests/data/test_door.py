"""The door for structures from outside: each bad input gets one sentence that names the place and the cure."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from novalith.data.door import read_structures
from novalith.data.writers import cif_text
from novalith.errors import InputError, StorageError
from novalith.materials import Crystal, Verdict

CIF = """data_{name}
_cell_length_a   {a}
_cell_length_b   5.64
_cell_length_c   5.64
_cell_angle_alpha   {alpha}
_cell_angle_beta   90
_cell_angle_gamma   90
loop_
_symmetry_equiv_pos_as_xyz
{operators}
loop_
_atom_site_label
_atom_site_occupancy
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{sites}
"""
SITES = "Na1 1 0 0 0\nCl1 1 0.5 0.5 0.5"
POSCAR = "NaCl\n{scale}\n4 0 0\n0 4 0\n0 0 4\n{symbols}\n{counts}\nDirect\n0 0 0\n0.5 0.5 {z}\n"
EXTXYZ = '{n}\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\n{first} 0 0 0\nCl 2 2 {z}\n'


def cif(
    sites: str = SITES, *, name: str = "nacl", a: str = "5.64", alpha: str = "90", operators: str = "'x, y, z'"
) -> str:
    return CIF.format(name=name, a=a, alpha=alpha, operators=operators, sites=sites)


def poscar(*, scale: str = "1.0", symbols: str = "Na Cl", counts: str = "1 1", z: str = "0.5") -> str:
    return POSCAR.format(scale=scale, symbols=symbols, counts=counts, z=z)


def extxyz(*, n: str = "2", first: str = "Na", z: str = "2") -> str:
    return EXTXYZ.format(n=n, first=first, z=z)


def pymatgen_json(**changes: object) -> str:
    from pymatgen.core import Structure

    record = Structure(np.eye(3) * 4, ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]]).as_dict()
    return json.dumps({**record, **changes})


def read_one(folder: Path, name: str, content: str | bytes) -> tuple[Crystal | Verdict, list[str]]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    reading = read_structures(path)
    assert len(reading.accepted) + len(reading.refused) == 1
    ((_, outcome),) = (*reading.accepted, *reading.refused)
    return outcome, [sentence for _, sentence in reading.notes]


NESTED = {"properties": {"spy": {"@module": "subprocess", "@class": "Popen", "args": ["true"]}}}
HALF = [{"species": [{"element": "Na", "occu": 0.5}], "abc": [0, 0, 0]}]

REFUSED = {
    "empty file": ("x.cif", "", "empty", "x.cif is empty"),
    "header only": ("x.cif", "data_x\n_cell_length_a 5\n", "empty", "no atom sites"),
    "no data block": ("x.cif", "hello\n", "format", "no 'data_' block"),
    "zero bytes": ("x.cif", b"data_x\x00\x01", "text", "not a text file"),
    "UTF-16": ("x.cif", cif().encode("utf-16"), "text", "UTF-16"),
    "vacancy label": ("x.cif", cif("Vac1 1 0 0 0\nCl1 1 .5 .5 .5"), "element", "line 17.*Vac1.*vacancy"),
    "Cyrillic letter": ("x.cif", cif("Na1 1 0 0 0\nСl1 1 .5 .5 .5"), "element", r"line 18.*U\+0421"),
    "unknown species": ("x.cif", cif("Xx1 1 0 0 0\nCl1 1 .5 .5 .5"), "element", "Xx1.*Unknown element 'Xx'"),
    "deuterium": ("x.cif", cif("D1 1 0 0 0\nCl1 1 .5 .5 .5"), "element", r"D1.*isotope.*write H"),
    "two capitals, two readings": ("x.cif", cif("NA1 1 0 0 0\nCl1 1 .5 .5 .5"), "element", "Na or N"),
    "half occupied": ("x.cif", cif("Na1 0.5 0 0 0\nCl1 1 .5 .5 .5"), "disorder", "Na1.*0.5.*disordered"),
    "shared site": ("x.cif", cif("Na1 .5 0 0 0\nK1 .5 0 0 0"), "disorder", "Na1.*disordered"),
    "occupancy above one": ("x.cif", cif("Na1 1.6 0 0 0\nCl1 1 .5 .5 .5"), "occupancy", "Na1.*1.6"),
    "two full atoms on a site": ("x.cif", cif("Na1 1 0 0 0\nK1 1 0 0 0"), "format", "Occupancy 2.0"),
    "negative occupancy": ("x.cif", cif("Na1 -0.5 0 0 0\nCl1 1 .5 .5 .5"), "occupancy", "Na1.*-0.5"),
    "cell of nan": ("x.cif", cif(a="nan"), "number", "length a is 'nan'"),
    "cell of inf": ("x.cif", cif(a="inf"), "number", "length a is 'inf'"),
    "huge cell": ("x.cif", cif(a="1e308"), "cell", r"length a is 1e\+308 Å"),
    "negative cell": ("x.cif", cif(a="-4"), "cell", "length a is -4 Å"),
    "flat angle": ("x.cif", cif(alpha="180"), "cell", "alpha is 180 degrees"),
    "impossible angles": ("x.cif", cif(alpha="5").replace("beta   90", "beta   170"), "cell", "span no volume"),
    "atoms on atoms": ("x.cif", cif("Na1 1 0 0 0\nCl1 1 0.0004 0 0"), "overlap", r"sites 1 .* 2 .* 0\.002\d Å apart"),
    "huge coordinate": ("x.cif", cif("Na1 1 1e20 0 0\nCl1 1 .5 .5 .5"), "coordinates", r"Na1.*coordinate x is 1e\+20"),
    "unknown coordinate": ("x.cif", cif("Na1 1 ? 0 0\nCl1 1 .5 .5 .5"), "number", r"Na1.*coordinate x is '\?'"),
    "nonsense operator": ("x.cif", cif(operators="'foo,bar,baz'"), "symmetry", "'foo,bar,baz'"),
    "endless operator": ("x.cif", cif(operators="'" + "x+" * 50_000 + "x,y,z'"), "symmetry", "no symmetry operator"),
    "operators without a group": (
        "x.cif",
        cif(operators="'x,y,z'\n'-x,y,z'\n'x,-y,z'"),
        "symmetry",
        "3 symmetry operators form no group",
    ),
    "operator that stretches": ("x.cif", cif(operators="'x,y,z'\n'x+x,y,z'"), "symmetry", "'x[+]x,y,z' is no symmetry"),
    "operator that flattens": ("x.cif", cif(operators="'x,y,z'\n'x,x,z'"), "symmetry", "keep the volume"),
    "too many operators": ("x.cif", cif(operators="'x,y,z'\n" * 193), "symmetry", "193 symmetry operators"),
    "ragged loop": ("x.cif", cif(SITES + " 7"), "format", "one value a column"),
    "loop without rows": ("x.cif", "data_x\n_cell_length_a 4\nloop_\n_atom_site_label\n", "format", "but no rows"),
    "magnetic": ("x.cif", cif() + "_space_group_magn.transform_BNS_Pp_abc 'a,b,c;0,0,0'\n", "format", "magnetic"),
    "one name for two blocks": ("x.cif", cif() + cif(), "format", "data_nacl more than once"),
    "VASP 4": ("POSCAR", poscar().replace("Na Cl\n", ""), "element", "line 6 holds counts"),
    "scale zero": ("POSCAR", poscar(scale="0.0"), "cell", "line 2: the scale is 0"),
    "counts and positions": ("POSCAR", poscar(counts="1 2"), "format", "3 atoms and 2 positions"),
    "symbols and counts": ("POSCAR", poscar(counts="2"), "format", "names 2 elements and line 7 gives 1"),
    "POSCAR position": ("POSCAR", poscar(z="nan"), "number", "line 10: a position is 'nan'"),
    "POSCAR count of millions": ("POSCAR", poscar(counts="9999999 1"), "size", "at most 3000"),
    "POSCAR endless count": ("POSCAR", poscar(counts="9" * 5000 + " 1"), "format", "not a whole number"),
    "POSCAR short": ("POSCAR", "NaCl\n1.0\n", "format", "has 2 lines"),
    "negative number of atoms": ("x.extxyz", extxyz(n="-1"), "format", "number of atoms is '-1'"),
    "too few lines": ("x.extxyz", extxyz(n="3"), "format", "announces 3 atoms and 2 lines"),
    "NaN in a frame": ("x.extxyz", extxyz(z="NaN"), "number", "atom 2: 'NaN'"),
    "dummy atom": ("x.extxyz", extxyz(first="X"), "element", "Unknown element 'X'"),
    "no lattice": ("x.xyz", "1\nwater\nO 0 0 0\n", "cell", "no Lattice"),
    "not JSON": ("x.json", "{,}", "format", "line 1: not JSON"),
    "JSON that names code": ("x.json", pymatgen_json(**NESTED), "code", "subprocess"),
    "another object": ("x.json", pymatgen_json(**{"@module": "os"}), "code", "module 'os'"),
    "JSON with half an atom": ("x.json", pymatgen_json(sites=HALF), "disorder", "site 1"),
    "JSON with NaN": ("x.json", json.dumps({"lattice": [[float("nan"), 0, 0], [0, 4, 0], [0, 0, 4]], "species": ["Na"],
                                           "frac_coords": [[0, 0, 0]]}), "cell", "finite"),
    "JSON nested without end": ("x.json", "[" * 100_000, "size", "nested"),
    "JSON of something else": ("x.json", "[1]", "format", "no object with a lattice"),
    "table without CIFs": ("x.csv", "id,formula\n1,NaCl\n", "format", "columns id, formula"),
    "broken Parquet": ("x.parquet", b"PAR1 nonsense", "format", "cannot be read as a table"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_input_is_refused_with_place_and_reason(tmp_path: Path, case: str) -> None:
    name, content, rule, reason = REFUSED[case]
    outcome, _ = read_one(tmp_path, name, content)
    assert isinstance(outcome, Verdict), f"{case} was let in"
    assert not outcome.passed
    assert outcome.rule == rule, outcome.reason
    assert re.search(reason, outcome.reason), outcome.reason
    assert name in outcome.reason


NOTED = {
    "byte-order mark": ("x.cif", b"\xef\xbb\xbf" + cif().encode(), "byte-order mark"),
    "unknown occupancy": ("x.cif", cif("Na1 ? 0 0 0\nCl1 1 .5 .5 .5"), "Na1 is not given .* read as 1"),
    "capital symbol": (
        "x.cif",
        cif("NA1 NA 1 0 0 0\nCL1 CL 1 .5 .5 .5").replace("_label\n", "_label\n_atom_site_type_symbol\n"),
        "'NA' was read as Na",
    ),
    "group and operators": ("x.cif", cif() + "_symmetry_Int_Tables_number 225\n", "225 has 192 operators .* lists 1"),
    "formula and sites": ("x.cif", cif() + "_chemical_formula_sum 'Na2 Cl1'\n", "(?i)stoichiometry"),
    "a block without atoms": ("x.cif", "data_global\n_journal_year 1972\n" + cif(), "data_global"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOTED)
def test_what_is_read_otherwise_than_written_is_noted(tmp_path: Path, case: str) -> None:
    name, content, sentence = NOTED[case]
    outcome, notes = read_one(tmp_path, name, content)
    assert isinstance(outcome, Crystal), outcome
    assert sorted(outcome.species) == ["Cl", "Na"]
    assert any(re.search(sentence, note) for note in notes), notes


def test_a_typographic_minus_keeps_its_sign(tmp_path: Path) -> None:
    outcome, notes = read_one(tmp_path, "x.cif", cif("Na1 1 0 0 0\nCl1 1 −0.25 0.5 0.5"))
    assert isinstance(outcome, Crystal)
    assert outcome.frac_coords[outcome.species.index("Cl")][0] == pytest.approx(0.75)
    assert any("U+2212, first in line 18" in note for note in notes)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.cif", cif()),
        ("POSCAR", poscar()),
        ("a.vasp", poscar(scale="-64.0")),
        ("b.vasp", poscar().replace("Direct", "Selective dynamics\nCartesian").replace("0.5 0.5 0.5", "2 2 2 T T F")),
        ("x.extxyz", extxyz()),
        ("x.json", pymatgen_json()),
        ("y.json", json.dumps(Crystal.from_arrays(np.eye(3) * 4, ["Na", "Cl"], [[0] * 3, [0.5] * 3]).to_json())),
    ],
)
def test_each_format_reads_the_same_cesium_chloride_like_cell(tmp_path: Path, name: str, content: str) -> None:
    outcome, notes = read_one(tmp_path, name, content)
    assert isinstance(outcome, Crystal), outcome
    assert sorted(outcome.species) == ["Cl", "Na"]
    assert outcome.frac_coords[outcome.species.index("Cl")] == pytest.approx((0.5, 0.5, 0.5))
    assert outcome.volume == pytest.approx(5.64**3 if name == "x.cif" else 64.0)
    assert notes == []


def test_symmetry_operators_fill_the_cell(tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure

    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    text = cif_text(Crystal.from_structure(salt), symprec=0.01, name="salt")
    assert text.count("_symmetry_Int_Tables_number   225") == 1
    outcome, _ = read_one(tmp_path, "salt.cif", text)
    assert isinstance(outcome, Crystal)
    assert outcome.n_atoms == 8
    assert outcome.composition.formula == "NaCl"


def test_several_structures_in_one_file_are_numbered_and_each_is_judged_alone(tmp_path: Path) -> None:
    bad = cif("Vac1 1 0 0 0\nCl1 1 .5 .5 .5", name="two")
    (tmp_path / "many.cif").write_text(cif(name="one") + bad + cif(name="three"))
    reading = read_structures(tmp_path / "many.cif")
    assert [name for name, _ in reading.accepted] == ["many#1", "many#3"]
    assert [name for name, _ in reading.refused] == ["many#2"]
    assert any("many#1 to many#3" in sentence for _, sentence in reading.notes)


def test_frames_behind_a_bad_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "path.extxyz").write_text(extxyz() + extxyz(z="nan") + extxyz())
    reading = read_structures(tmp_path / "path.extxyz")
    assert [name for name, _ in reading.accepted] == ["path#1", "path#3"]
    assert [name for name, _ in reading.refused] == ["path#2"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_keeps_its_ids_and_refuses_row_by_row(tmp_path: Path, name: str) -> None:
    import pandas as pd

    rows = {"material_id": ["NaN", "b", "b", "../evil"], "cif": [cif(), cif(a="nan"), cif(), cif()]}
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / name, index=False) if name.endswith("csv") else frame.to_parquet(tmp_path / name)
    reading = read_structures(tmp_path / name)
    assert [i for i, _ in reading.accepted] == ["NaN", "b#2"]
    assert [(i, v.rule) for i, v in reading.refused] == [("b", "number"), ("row 4", "id")]
    assert any("b occurs more than once" in sentence for _, sentence in reading.notes)


def test_a_folder_accounts_for_every_file(tmp_path: Path) -> None:
    (tmp_path / "b.cif").write_text(cif())
    (tmp_path / "a.vasp").write_text(poscar())
    (tmp_path / "b.vasp").write_text(poscar())
    (tmp_path / "bad.cif").write_text("")
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "candidates.csv").write_text("rank,id\n1,a\n")
    reading = read_structures(tmp_path)
    assert [i for i, _ in reading.accepted] == ["a", "b", "b#2"]
    assert [i for i, _ in reading.refused] == ["bad"]
    assert {i for i, _ in reading.notes} == {"b#2", "readme.txt", "candidates.csv"}


def test_a_large_file_or_cell_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    outcome, _ = read_one(tmp_path, "big.cif", cif() + "#" * 5_000_001)
    assert isinstance(outcome, Verdict)
    assert outcome.rule == "size"
    many = "\n".join(f"Na{i} 1 {i / 4000} 0 0" for i in range(3001))
    outcome, _ = read_one(tmp_path, "many.cif", cif(many))
    assert isinstance(outcome, Verdict)
    assert "3001 sites" in outcome.reason
    (tmp_path / "small.cif").write_text(cif())
    (_, verdict), = read_structures(tmp_path / "small.cif", max_sites=1).refused  # fmt: skip
    assert verdict.rule == "size"


def test_reading_json_runs_nothing(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    spy = {"properties": {"x": {"@module": "pathlib", "@class": "Path", "args": [str(flag)], "touch": True}}}
    (tmp_path / "x.json").write_text(pymatgen_json(**spy))
    assert read_structures(tmp_path / "x.json").accepted == ()
    assert not flag.exists()


def test_a_path_without_structures_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        read_structures(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no structures among its 0 files"):
        read_structures(tmp_path)
    (tmp_path / "x.docx").write_text("x")
    with pytest.raises(InputError, match="no file of structures; expected CIF, POSCAR"):
        read_structures(tmp_path / "x.docx")
