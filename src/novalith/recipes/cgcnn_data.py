"""The public tables of the graph network's benchmark, as one set of structures, divided by chemical system.

========================  ==================================================  ==========
file                      labels                                              rows
========================  ==================================================  ==========
mp_structures             formation energy, band gap                          25,564
mp_elastic_tensor         bulk and shear modulus, Poisson ratio               1,029
aflow_elastic             bulk and shear modulus                              4,318
mp_dielectric_constant    electronic dielectric constant, n, band gap         934
========================  ==================================================  ==========

The energy per atom is the formation energy plus the energies of the elements (mp_elemental_references, corrected as the
Materials Project does). A chemical system is in the test part where the first byte of the SHA-256 of its name is below
26, one in ten: the division needs no list, is the same for every file, and a crystal that two files hold under
different labels is on one side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from novalith.data.structure_table import StructureTable, read_structure_tables
from novalith.materials import Crystal
from novalith.recipes.bench_tables import existing
from novalith.recipes.cgcnn_training import LEARNED

FILES = ("mp_structures", "mp_elastic_tensor", "aflow_elastic", "mp_dielectric_constant")
#: Hypothetical crystals made by substitution: what the network meets outside of its data.
ELSEWHERE = "wbm_10k"
_TEST_BELOW = 26


@dataclass(frozen=True, eq=False)
class BenchmarkSet:
    """Structures with labels.

    Attributes:
        structures: of all files; targets are `LEARNED`.
        test: (n,) whether a row belongs to the test part.
    """

    structures: StructureTable
    test: NDArray[np.bool_]


def in_test_part(system: str) -> bool:
    """Whether a chemical system ("Cl-Na", sorted) belongs to the test part."""
    return hashlib.sha256(system.encode()).digest()[0] < _TEST_BELOW


def systems_of(crystals: Sequence[Crystal]) -> list[str]:
    """Chemical systems, elements in alphabetical order."""
    return ["-".join(sorted(set(crystal.species))) for crystal in crystals]


def read_benchmark(data: Path) -> BenchmarkSet:
    """Read the four tables.

    Raises:
        StorageError: one is missing.
    """
    files = [existing(data / f"{name}.parquet") for name in FILES]
    read = read_structure_tables(files, LEARNED)
    values = with_energies_per_atom(read, reference_energies(data))
    structures = StructureTable(read.crystals, read.targets, values, read.sources, read.set_aside, read.not_read)
    return BenchmarkSet(structures, np.array([in_test_part(system) for system in systems_of(read.crystals)]))


def read_elsewhere(data: Path) -> StructureTable:
    """Read the hypothetical crystals."""
    return read_structure_tables([existing(data / f"{ELSEWHERE}.parquet")], LEARNED)


def reference_energies(data: Path) -> dict[str, float]:
    """Element -> energy of its reference solid with the corrections of the Materials Project, eV/atom."""
    records = json.loads(existing(data / "mp_elemental_references.json").read_text(encoding="utf-8"))
    return {
        symbol: (entry["energy"] + entry["correction"]) / sum(entry["composition"].values())
        for symbol, entry in records.items()
    }


def with_energies_per_atom(structures: StructureTable, references: dict[str, float]) -> NDArray[np.float64]:
    """(n, t) values with the energy per atom where there is a formation energy and every element has a reference."""
    values = structures.values.copy()
    formation, total = (structures.targets.index(name) for name in ("formation_energy", "energy_per_atom"))
    for row, crystal in enumerate(structures.crystals):
        if np.isfinite(values[row, formation]) and np.isnan(values[row, total]):
            energies = [references.get(symbol, np.nan) for symbol in crystal.species]
            values[row, total] = values[row, formation] + float(np.mean(energies))
    return values
