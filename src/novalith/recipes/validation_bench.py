"""How far the validations can be trusted: each against what is known, one record a crystal, kept so that it resumes.

* phonons: crystals that are known to be stable, and known saddle points;
* elasticity: bulk moduli by DFT of de Jong et al., Sci. Data 2, 150009 (2015);
* exfoliation: energies of 2DMatPedia (Zhou et al., Sci. Data 6, 86, 2019), by vdW-corrected DFT.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from novalith.data.library import Library
from novalith.errors import EmptyResultError, InputError
from novalith.materials import Crystal, Verdict
from novalith.relax.base import OutOfReachError
from novalith.relax.potentials import load_potential
from novalith.represent.layers import as_monolayer, monolayer_of
from novalith.stability.cost import pace
from novalith.stability.dft_inputs import write_inputs
from novalith.stability.dft_plan import DftSettings, plan_calculations
from novalith.stability.dft_run import command_of, run_calculation
from novalith.stability.elasticity import cost as elasticity_cost
from novalith.stability.elasticity import elasticity
from novalith.stability.exfoliation import LIMIT_EV_PER_ATOM, exfoliation_energy
from novalith.stability.phonons import PhononSettings, phonons
from novalith.stability.phonons import cost as phonons_cost
from novalith.stability.references import formation_energy
from novalith.store.files import make_folder
from novalith.store.log import AppendLog

Records = list[dict[str, Any]]
Report = Callable[[str], None]

ELASTIC, EXFOLIATION, STRUCTURES = (
    "mp_elastic_tensor.parquet",
    "twod_2dmatpedia_exfoliation.parquet",
    "mp_structures.parquet",
)

#: Larger cells take longer on a busy machine than the figures are worth: atoms of a layer, of an elastic crystal.
MAX_LAYER_ATOMS, MAX_ELASTIC_ATOMS = 8, 6

#: Standard enthalpies of formation of the bulk, eV/atom: -601.6 and -641.6 kJ/mol (NIST-JANAF, 4th ed., 1998).
MEASURED_EV_PER_ATOM = {"MgO": -601.6 / 96.485 / 2, "MgCl2": -641.6 / 96.485 / 3}
#: Settings of the DFT benchmark: its monolayer is done in minutes.
DFT_VACUUM_A, DFT_CUTOFF_EV, DFT_LIMIT_S = 12.0, 600.0, 3600.0

#: Ground states whose measured phonon dispersions have no soft mode (id of the Materials Project).
STABLE = {
    "NaCl": "mp-22862",
    "KCl": "mp-23193",
    "LiF": "mp-1138",
    "MgO": "mp-1265",
    "CaF2": "mp-2741",
    "AlN, wurtzite": "mp-661",
    "ZnO, wurtzite": "mp-2133",
    "GaAs": "mp-2534",
    "Al": "mp-134",
    "Cu": "mp-30",
}
_FACE, _BODY = ((0, 1, 1), (1, 0, 1), (1, 1, 0)), ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
#: Saddle points at zero temperature: name -> (kind of cell, edge in Å, species). Perovskites whose cubic form needs
#: heat (Zhong and Vanderbilt, Phys. Rev. Lett. 74, 2587, 1995), cubic zirconia and hafnia (Parlinski, Li and Kawazoe,
#: Phys. Rev. Lett. 78, 4063, 1997), and metals in the wrong packing (Grimvall et al., Rev. Mod. Phys. 84, 945, 2012).
UNSTABLE: Mapping[str, tuple[str, float, tuple[str, ...]]] = {
    "SrTiO3, cubic": ("perovskite", 3.95, ("Sr", "Ti", "O")),
    "BaTiO3, cubic": ("perovskite", 4.03, ("Ba", "Ti", "O")),
    "PbTiO3, cubic": ("perovskite", 3.97, ("Pb", "Ti", "O")),
    "KNbO3, cubic": ("perovskite", 4.02, ("K", "Nb", "O")),
    "ZrO2, fluorite": ("fluorite", 5.12, ("Zr", "O")),
    "HfO2, fluorite": ("fluorite", 5.08, ("Hf", "O")),
    "Ti, body-centred": ("bcc", 3.25, ("Ti",)),
    "Zr, body-centred": ("bcc", 3.57, ("Zr",)),
    "W, face-centred": ("fcc", 4.05, ("W",)),
    "Cu, body-centred": ("bcc", 2.88, ("Cu",)),
}


@dataclass(frozen=True)
class Bench:
    """What to run.

    Attributes:
        data: folder of the public tables; may be None for phonons.
        keep: folder for the logs; records found there are not computed again.
        n: most rows of a table.
        potential: its name.
        python: interpreter that has GPAW; this one where empty.
    """

    data: Path | None
    keep: Path
    n: int
    potential: str = "chgnet"
    python: str = ""

    def table(self, name: str, columns: list[str] | None = None) -> Any:
        """A public table.

        Raises:
            InputError: no folder was given, or it lacks the table.
        """
        import pandas as pd

        if self.data is None or not (self.data / name).is_file():
            raise InputError(f"This needs {name}; give its folder with --data or in NOVALITH_DATA.")
        return pd.read_parquet(self.data / name, columns=columns)


def prototype(kind: str, edge_a: float, species: tuple[str, ...]) -> Crystal:
    """A cubic crystal in its primitive cell."""
    if kind == "perovskite":
        a, b, x = species
        sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        return Crystal.from_arrays(np.eye(3) * edge_a, [a, b, x, x, x], sites)
    if kind == "fluorite":
        m, x = species
        return Crystal.from_arrays(np.array(_FACE) * edge_a / 2, [m, x, x], [[0] * 3, [0.25] * 3, [0.75] * 3])
    cell = _FACE if kind == "fcc" else _BODY
    return Crystal.from_arrays(np.array(cell) * edge_a / 2, species, [[0] * 3])


def phonon_records(bench: Bench, report: Report) -> Records:
    """Verdicts on known stable and known unstable crystals."""
    known = {k.id: k.crystal for k in Library().structures}
    cases = [(name, known[id_], True) for name, id_ in STABLE.items()]
    cases += [(name, prototype(*case), False) for name, case in UNSTABLE.items()]
    potential = load_potential(bench.potential)

    def one(case: tuple[str, Crystal, bool]) -> dict[str, Any]:
        name, crystal, stable = case
        settings = PhononSettings()
        told = phonons_cost(crystal, pace(crystal, potential), settings)
        result = phonons(crystal, potential, settings)
        return {
            "id": name,
            "expected": "stable" if stable else "unstable",
            "found": "stable" if result.verdict.passed else "unstable",
            "lowest_thz": result.lowest_thz,
            "lowest_at": result.lowest_at,
            "highest_thz": result.highest_thz,
            "supercell_atoms": result.supercell_atoms,
            "estimated_s": told.seconds,
            "wall_s": result.wall_s,
        }

    return _kept(bench, "phonons", ((c[0], c) for c in cases), one, report)


def elastic_records(bench: Bench, rng: np.random.Generator, report: Report) -> Records:
    """Bulk moduli of a random part of the table, crystals of at most `MAX_ELASTIC_ATOMS`."""
    from pymatgen.core import Structure

    table = bench.table(ELASTIC)
    potential = load_potential(bench.potential)

    def one(row: Any) -> dict[str, Any]:
        crystal = Crystal.from_structure(Structure.from_str(row.poscar, fmt="poscar"))
        reference = {"id": row.material_id, "formula": row.formula, "k_dft_gpa": row.K_VRH, "g_dft_gpa": row.G_VRH}
        told = elasticity_cost(crystal, pace(crystal, potential))
        result = elasticity(crystal, potential)
        return reference | {
            "n_atoms": crystal.n_atoms,
            "k_gpa": result.bulk_modulus_gpa,
            "g_gpa": result.shear_modulus_gpa,
            "stable": result.verdict.passed,
            "reason": result.verdict.reason,
            "estimated_s": told.seconds,
            "wall_s": result.wall_s,
        }

    order = rng.permutation(len(table))
    rows = (table.iloc[int(i)] for i in order)
    cases = _first(((row.material_id, row) for row in rows if _n_atoms(row.poscar) <= MAX_ELASTIC_ATOMS), bench.n)
    return _kept(bench, "elasticity", cases, one, report)


def exfoliation_records(bench: Bench, rng: np.random.Generator, report: Report) -> Records:
    """Exfoliation energies of layers of at most `MAX_LAYER_ATOMS` that were cut from known bulk crystals ("top-down").

    The bulk is the parent that the entry names where its structure is at hand, else a stack; the former come first.
    """
    from pymatgen.core import Structure

    table = bench.table(EXFOLIATION)
    table = table[table.exfoliation_energy_per_atom.notna() & (table.discovery_process == "top-down")]
    table = table[table.nat <= MAX_LAYER_ATOMS]
    parents = _parents(bench, set(table.source_id))
    potential = load_potential(f"{bench.potential}-d3")

    def one(row: Any) -> dict[str, Any]:
        start = time.perf_counter()
        record = {
            "id": row.material_id,
            "formula": row.formula_pretty,
            "dft_ev_per_atom": row.exfoliation_energy_per_atom,
        }
        layer = as_monolayer(Crystal.from_structure(Structure.from_str(row.cif, fmt="cif")))
        if isinstance(layer, Verdict):
            return record | {"ours_ev_per_atom": None, "reason": layer.reason, "bulk": "", "wall_s": 0.0}
        parent = parents.get(row.source_id)
        if parent is not None and parent.composition.formula != layer.crystal.composition.formula:
            parent = None  # the entry is one kind of layer of several
        result = exfoliation_energy(layer, parent, potential)
        return record | {
            "ours_ev_per_atom": result.energy_ev_per_atom,
            "ours_mev_per_a2": result.energy_mev_per_a2,
            "dispersion_ev_per_atom": result.dispersion_ev_per_atom,
            "gap_a": result.gap_a,
            "bulk": "stack" if result.bulk_from != "parent" else "parent",
            "reason": result.verdict.reason,
            "wall_s": time.perf_counter() - start,
        }

    order = [table.iloc[int(i)] for i in rng.permutation(len(table))]
    order.sort(key=lambda row: row.source_id not in parents)  # stable: known parents first, each part in random order
    return _kept(bench, "exfoliation", _first(((r.material_id, r) for r in order), bench.n), one, report)


def dft_records(bench: Bench, report: Report) -> Records:
    """Formation energies of a rock salt and of a monolayer by GPAW, beside the measured ones of the bulk.

    Raises:
        CapabilityError: GPAW is not installed.
    """
    known = {k.id: k.crystal for k in Library().structures}
    layer = monolayer_of(known["mp-23210"], DFT_VACUUM_A)
    if isinstance(layer, Verdict):
        raise InputError(layer.reason)
    settings = DftSettings(cutoff_ev=DFT_CUTOFF_EV)
    plan = plan_calculations([("MgO", known["mp-1265"]), ("MgCl2-layer", layer.crystal)], settings, Library())
    command = command_of("gpaw", bench.python)
    energies: dict[str, float] = {}
    records: Records = []
    for calculation in plan:
        folder = bench.keep / "gpaw" / calculation.name
        write_inputs("gpaw", calculation, folder, settings)
        outcome = run_calculation("gpaw", folder, command, DFT_LIMIT_S)
        report(f"dft: {calculation.name} {outcome.status} in {outcome.wall_s:.0f} s {outcome.reason}")
        per_atom = None if outcome.energy_ev is None else outcome.energy_ev / calculation.crystal.n_atoms
        if calculation.element and per_atom is not None:
            energies[calculation.element] = per_atom
        records.append(
            {
                "id": calculation.name,
                "status": outcome.status,
                "code": outcome.code,
                "cutoff_ev": settings.cutoff_ev,
                "kpoints": calculation.kpoints,
                "energy_ev_per_atom": per_atom,
                "wall_s": outcome.wall_s,
            }
        )
    for record, calculation in zip(records, plan, strict=True):
        if not calculation.element and record["energy_ev_per_atom"] is not None:
            composition = calculation.crystal.composition
            if all(s in energies for s in composition.field.elements):
                record["formation_energy_ev_per_atom"] = formation_energy(
                    composition, record["energy_ev_per_atom"], energies
                )
                record["measured_bulk_ev_per_atom"] = MEASURED_EV_PER_ATOM[composition.formula]
    return records


def memory_records(bench: Bench, report: Report) -> Records:
    """Peak memory above what the process held before, of one evaluation of ever denser supercells of 250 atoms."""
    import resource

    potential = load_potential(bench.potential)
    known = {k.id: k.crystal for k in Library().structures}
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    records = []
    for name, id_ in (("NaCl", "mp-22862"), ("MgO", "mp-1265"), ("LiF", "mp-1138")):
        structure = known[id_].to_structure().get_primitive_structure()
        structure.make_supercell([5, 5, 5])
        crystal = Crystal.from_structure(structure)
        potential.evaluate(crystal)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1000
        record = {"id": name, "n_atoms": crystal.n_atoms, "peak_mb": peak, "mb_per_atom": peak / crystal.n_atoms}
        records.append(record)
        report(f"memory: {record}")
    return records


def _parents(bench: Bench, wanted: set[str]) -> dict[str, Crystal]:
    """Bulk crystals by id, from the bundle and from the public structures."""
    from pymatgen.core import Structure

    found = {k.id: k.crystal for k in Library().structures if k.id in wanted}
    rows = bench.table(STRUCTURES, ["material_id", "cif"])
    for row in rows[rows.material_id.isin(wanted - set(found))].itertuples():
        found[row.material_id] = Crystal.from_structure(Structure.from_str(row.cif, fmt="cif"))
    return found


def _n_atoms(poscar: str) -> int:
    """From the line of counts."""
    return sum(int(word) for word in poscar.split("\n")[6].split())


def _first(cases: Iterable[tuple[str, Any]], n: int) -> Iterator[tuple[str, Any]]:
    from itertools import islice

    return islice(cases, n)


def _kept(
    bench: Bench,
    subject: str,
    cases: Iterable[tuple[str, Any]],
    one: Callable[[Any], dict[str, Any]],
    report: Report,
) -> Records:
    """Compute what the log does not hold yet, and give the records of all cases."""
    make_folder(bench.keep)
    records: Records = []
    with AppendLog(bench.keep / f"{subject}-{bench.potential}.log") as log:
        known = {record["id"]: record for record in log.records}
        for name, case in cases:
            if name not in known:
                try:
                    known[name] = one(case)
                except OutOfReachError as error:
                    known[name] = {"id": name, "reason": str(error)}
                log.append(known[name])
                report(f"{subject}: {known[name]}")
            records.append(known[name])
    if not records:
        raise EmptyResultError(f"The benchmark of {subject} found no row to compute.")
    return records


def summary(subject: str, records: Records) -> dict[str, Any]:
    """The figures of a subject."""
    if subject == "phonons":
        return _phonon_summary(records)
    if subject == "elasticity":
        pairs = [(r["k_gpa"], r["k_dft_gpa"]) for r in records if r.get("k_gpa") is not None]
        ratios = [r["wall_s"] / r["estimated_s"] for r in records if r.get("estimated_s")]
        cost = {"median_wall_s": _median_wall(records), "median_wall_over_estimate": float(np.median(ratios))}
        stable = [r for r in records if r.get("stable")]
        return {
            "rows": len(records),
            "called mechanically stable": len(stable),
            "bulk modulus, all": _agreement(pairs, "gpa"),
            "bulk modulus, called stable": _agreement([(r["k_gpa"], r["k_dft_gpa"]) for r in stable], "gpa"),
            "shear modulus, called stable": _agreement([(r["g_gpa"], r["g_dft_gpa"]) for r in stable], "gpa"),
        } | cost
    answered = [r for r in records if r.get("ours_ev_per_atom") is not None]
    result: dict[str, Any] = {"rows": len(records), "median_wall_s": _median_wall(records)}
    for name, part in (
        ("all", answered),
        ("known parent", [r for r in answered if r["bulk"] == "parent"]),
        ("stacked", [r for r in answered if r["bulk"] == "stack"]),
        ("relaxed bulk layered by its bonds", [r for r in answered if r.get("gap_a") is not None]),
    ):
        pairs = [(r["ours_ev_per_atom"], r["dft_ev_per_atom"]) for r in part]
        if len(pairs) > 2:
            same = [(a < LIMIT_EV_PER_ATOM) == (b < LIMIT_EV_PER_ATOM) for a, b in pairs]
            below = [b < LIMIT_EV_PER_ATOM for _, b in pairs]
            extra = {"called_right": float(np.mean(same)), "always_below_would_get": float(np.mean(below))}
            result[name] = _agreement(pairs, "ev_per_atom") | extra
    return result


def _phonon_summary(records: Records) -> dict[str, Any]:
    right = [r["expected"] == r["found"] for r in records]
    result = {
        kind: f"{sum(r['expected'] == r['found'] == kind for r in records)} of "
        f"{sum(r['expected'] == kind for r in records)}"
        for kind in ("stable", "unstable")
    }
    ratios = [r["wall_s"] / r["estimated_s"] for r in records]
    return {
        **result,
        "wrong": [r["id"] for r, ok in zip(records, right, strict=True) if not ok],
        "median_wall_s": _median_wall(records),
        "median_wall_over_estimate": float(np.median(ratios)),
    }


def _agreement(pairs: list[tuple[float, float]], unit: str) -> dict[str, Any]:
    from scipy.stats import spearmanr

    ours, theirs = np.array(pairs, dtype=np.float64).T
    return {
        "answered": len(pairs),
        f"mae_{unit}": float(np.abs(ours - theirs).mean()),
        f"median_error_{unit}": float(np.median(ours - theirs)),
        "rank_correlation": float(spearmanr(ours, theirs).statistic),
        f"mae_of_the_mean_{unit}": float(np.abs(theirs - theirs.mean()).mean()),
    }


def _median_wall(records: Records) -> float:
    return float(np.median([r["wall_s"] for r in records if r.get("wall_s")] or [0.0]))
