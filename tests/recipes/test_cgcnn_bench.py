"""The benchmark of the graph network on a small folder: every table has its rows, and no system is on both sides."""

import json

import numpy as np
import pandas as pd
import pytest

from novalith.data.library import Library
from novalith.data.structure_table import bundled_structure_table
from novalith.errors import StorageError
from novalith.recipes.cgcnn import LEARNED, rows_of
from novalith.recipes.cgcnn_bench import CgcnnBench, _formula, tables
from novalith.recipes.cgcnn_data import in_test_part, read_benchmark, reference_energies, systems_of


def cif(crystal):
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(crystal.to_structure()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("tables")
    noble = set("He Ne Ar Kr Xe".split())
    known = [k for k in Library().structures if k.crystal.n_atoms <= 10 and not noble & set(k.crystal.species)]

    def rows(name, columns, n):
        chosen = [k for k in known if all(p in k.properties for p in columns.values())]
        chosen = chosen[:: max(1, len(chosen) // n)][:n]
        frame = {"cif": [cif(k.crystal) for k in chosen], "formula": [k.formula for k in chosen]}
        frame |= {c: [k.properties[p] for k in chosen] for c, p in columns.items()}
        pd.DataFrame(frame).to_parquet(out / f"{name}.parquet")

    rows("mp_structures", {"formation_energy_per_atom": "formation_energy_ev_per_atom", "band_gap": "band_gap_ev"}, 80)
    moduli = {"K_VRH": "bulk_modulus_gpa", "G_VRH": "shear_modulus_gpa"}
    rows("mp_elastic_tensor", moduli, 60)
    rows("aflow_elastic", dict(zip(("bulk_modulus", "shear_modulus"), moduli.values(), strict=True)), 60)
    rows("mp_dielectric_constant", {"n": "refractive_index", "poly_electronic": "dielectric_electronic"}, 60)
    rows("wbm_10k", {"formation_energy_per_atom": "formation_energy_ev_per_atom", "band_gap": "band_gap_ev"}, 12)
    symbols = {s for k in known for s in k.crystal.species}
    entries = {s: {"energy": -4.0, "correction": 0.5, "composition": {s: 2.0}} for s in symbols}
    (out / "mp_elemental_references.json").write_text(json.dumps(entries))
    return out


def test_energy_per_atom_is_the_formation_energy_plus_the_elements(folder):
    assert set(reference_energies(folder).values()) == {-1.75}
    every = read_benchmark(folder)
    values = every.structures.values
    known = np.isfinite(values[:, 0])
    assert known.sum() == 80
    np.testing.assert_allclose(values[known, 1], values[known, 0] - 1.75)
    systems = systems_of(every.structures.crystals)
    assert every.test.tolist() == [in_test_part(system) for system in systems]


def test_formulas_come_back_from_merged_graphs():
    table = bundled_structure_table(Library(), ("formation_energy",))
    chosen = range(0, len(table), len(table) // 60)
    few = type(table)(
        tuple(table.crystals[i] for i in chosen), table.targets, table.values[list(chosen)], ("x",) * len(chosen)
    )
    rows = rows_of(few)
    for i, crystal in enumerate(few.crystals):
        counts = crystal.composition.reduced.counts
        assert sorted(f"{s}{n}" for s, n in counts) == sorted(_split(_formula(rows, i)))


def _split(formula):
    import re

    return re.findall(r"[A-Z][a-z]?\d+", formula)


def test_the_tables(folder, tmp_path):
    told = []
    bench = CgcnnBench(folder, tmp_path, size="tiny", epochs=1, members=1, n_timed=100)
    errors, gap, elsewhere, uncertainty, speed = tables(bench, told.append)
    assert {r["property"].split(",")[0].removeprefix("log10 ") for r in errors.records} == set(LEARNED)
    assert all(r["graph network"] > 0 and r["Magpie forest"] > 0 for r in errors.records)
    assert {r["rows of"] for r in errors.records} >= {"all"}
    assert gap.records[0]["rows"] >= gap.records[0]["with a gap"]
    whole = next(r for r in elsewhere.records if r["property"] == "formation_energy" and r["part"] == "all")
    assert whole["rows"] == 12
    assert {r["property"] for r in uncertainty.records} == set(LEARNED)
    assert speed.records[0]["per second of the processor"] > 0
    assert (tmp_path / "cgcnn-tiny.safetensors").exists()
    with pytest.raises(StorageError, match="mp_structures"):
        read_benchmark(tmp_path)
