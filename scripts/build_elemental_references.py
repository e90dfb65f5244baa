"""Relax the elements with the default potential and write their energies, the zero of every formation energy.

    pip download --no-deps --no-binary matcalc matcalc==0.7.0
    python scripts/build_elemental_references.py matcalc-0.7.0.tar.gz

The source package is only unpacked, never imported. For each element the few structures that the Materials Project
finds lowest are relaxed; the lowest energy afterwards is the reference. Molecular elements (H, N, O, F, Cl) are the
solids of the Materials Project, not free molecules: the potential was trained on energies with the MP2020 corrections,
which go with those solids. Elements without a converged structure are named in the table with the reason.

Two sets are written. "chgnet" is the zero where everything was computed with the potential (same-potential hulls).
"materials-project" holds the lowest DFT energies of the source table: the zero of the Materials Project's own formation
energies, and therefore the right one where energies of the potential meet those of the Materials Project. Both are on
the MP2020 scale; elements are not corrected on it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from novalith.materials import ELEMENTS, Crystal
from novalith.relax.base import Ending, Relaxation
from novalith.relax.pool import RelaxationPool
from novalith.relax.potentials import potential_info
from novalith.relax.relaxer import RelaxSettings

SDIST_SHA256 = "4e3f9ed95dc828afc1f7fa3278cc2014cc4aa16de3f02d97cf61f8ff1f1e90e5"
TABLE = "matcalc-0.7.0/src/matcalc/elemental_refs/{}-Element-Refs.json.gz"
#: The Materials Project table has no ytterbium; the other table of the same package does.
FALLBACK = {"Yb": "MatPES-PBE"}
#: How many of the lowest structures are tried, and how many atoms a cell may have (the lowest one always takes part).
N_TRIED, MAX_ATOMS = 5, 20
OUT = Path(__file__).parents[1] / "src/novalith/data/bundle/elemental_references.json"
POTENTIAL = "chgnet"


def read_table(sdist: Path, name: str) -> dict[str, dict[str, list[object]]]:
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(TABLE.format(name))
        if member is None:
            raise SystemExit(f"{sdist} holds no table {name}.")
        return json.loads(gzip.decompress(member.read()))


def candidates(record: dict[str, object]) -> list[Crystal]:
    """The structures to try, lowest energy first."""
    from pymatgen.core import Structure

    structures, energies = record["structure"], record["energy_per_atom"]
    if isinstance(structures, dict):
        structures, energies = [structures], [energies]
    order = sorted(range(len(structures)), key=lambda i: (energies[i], i))
    ordered = [Crystal.from_structure(Structure.from_dict(structures[i])) for i in order]
    small = [c for c in ordered if c.n_atoms <= MAX_ATOMS][:N_TRIED]
    return small if ordered[0] in small else [ordered[0], *small]


def tasks(sdist: Path) -> Iterator[tuple[str, Crystal]]:
    table = read_table(sdist, "MP-PBE")
    for element, name in FALLBACK.items():
        table[element] = read_table(sdist, name)[element]
    for element in sorted(table, key=ELEMENTS.index):
        for i, crystal in enumerate(candidates(table[element])):
            yield f"{element} {i}", crystal


def build(sdist: Path, n_workers: int) -> dict[str, object]:
    settings = RelaxSettings(max_force_ev_per_a=0.01, max_stress_gpa=0.05, max_steps=500)
    done: dict[str, list[Relaxation]] = {}
    with RelaxationPool(POTENTIAL, settings, n_workers) as pool:
        for task, relaxation in sorted(pool.run(tasks(sdist))):
            done.setdefault(task.split()[0], []).append(relaxation)
            print(task, relaxation.ending.value, relaxation.energy_ev_per_atom, relaxation.reason)
    energies, left_out = {}, {}
    for element in sorted(done, key=ELEMENTS.index):
        converged = [r.energy_ev_per_atom for r in done[element] if r.ending is Ending.CONVERGED]
        if converged:
            energies[element] = round(min(e for e in converged if e is not None), 6)
        else:
            left_out[element] = "; ".join(f"{r.ending.value}: {r.reason}" for r in done[element])
    for element in ELEMENTS[:94]:
        if element not in done:
            left_out[element] = "no structure in the source table"
    info = potential_info(POTENTIAL)
    dft = {s: round(min(record["energy_per_atom"]), 6) for s, record in read_table(sdist, "MP-PBE").items()}
    borrowed = {s: energies[s] for s in FALLBACK if s in energies}
    return {
        POTENTIAL: {"version": info.version, "energies_ev_per_atom": energies, "left_out": left_out},
        "materials-project": {
            "version": "MP-PBE table of matcalc 0.7.0",
            "energies_ev_per_atom": dict(sorted((dft | borrowed).items(), key=by_number)),
            "taken_from_the_potential": sorted(borrowed),
        },
    }


def by_number(item: tuple[str, float]) -> int:
    return ELEMENTS.index(item[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    found = hashlib.sha256(arguments.sdist.read_bytes()).hexdigest()
    if found != SDIST_SHA256:
        raise SystemExit(f"{arguments.sdist} has SHA-256 {found}, expected {SDIST_SHA256}.")
    content = json.dumps(build(arguments.sdist, arguments.workers), indent=1) + "\n"
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(content, encoding="utf-8")
    print(f"{arguments.out} sha256 {hashlib.sha256(content.encode()).hexdigest()}")


if __name__ == "__main__":
    main()
