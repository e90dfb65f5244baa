"""Complete inputs of DFT codes, a folder a calculation.

======================  ==============================================================================================
code                    files
======================  ==============================================================================================
vasp                    INCAR, KPOINTS, POSCAR by the set of the Materials Project (pymatgen), POTCAR.spec: the names of
                        the potentials, which VASP's licence keeps from being shipped
espresso                pw.in; names the pseudopotentials of the SSSP library as ``El.UPF``
gpaw                    job.json and run_gpaw.py, which is also what `novalith dft --run gpaw` runs
======================  ==============================================================================================
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from novalith.errors import UnknownNameError
from novalith.stability.dft_plan import Calculation, DftSettings
from novalith.store.files import make_folder, write_atomic

CODES = ("vasp", "espresso", "gpaw")
#: Cutoffs of the SSSP efficiency library 1.3 that suffice for most elements, Ry: of wave functions and density.
_ESPRESSO_CUTOFFS_RY = (60.0, 480.0)
_EV_PER_RY = 13.605693122994
#: Most steps of a relaxation by GPAW in one go.
MAX_STEPS = 40


def write_inputs(code: str, calculation: Calculation, folder: Path, settings: DftSettings) -> None:
    """Write the inputs of one calculation; files of the same names are replaced.

    Raises:
        UnknownNameError: no such code.
    """
    if code not in CODES:
        raise UnknownNameError("DFT code", code, CODES)
    make_folder(folder)
    for name, content in _WRITERS[code](calculation, settings).items():
        write_atomic(folder / name, content)


def _vasp(calculation: Calculation, settings: DftSettings) -> dict[str, str]:
    from pymatgen.io.vasp.sets import MPRelaxSet, MPStaticSet

    structure = calculation.crystal.to_structure()
    if calculation.moments:
        structure.add_site_property("magmom", list(calculation.moments))
    incar: dict[str, Any] = {"LWAVE": False, "LCHARG": False}
    if calculation.molecule:
        incar |= {"ISMEAR": 0, "SIGMA": 0.02}
    if calculation.kpoints[2] == 1 and not calculation.molecule and settings.relax:
        incar["ISIF"] = 4  # shape and ions; the vacuum keeps its volume
    kind = MPRelaxSet if settings.relax and not calculation.molecule else MPStaticSet
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hints at POTCAR folders, which nobody needs for names
        made = kind(
            structure,
            user_incar_settings=incar,
            user_potcar_functional="PBE_54",
            user_kpoints_settings=_grid(calculation),
        )
        return {
            "INCAR": str(made.incar),
            "KPOINTS": str(made.kpoints),
            "POSCAR": made.poscar.get_str(),
            "POTCAR.spec": "\n".join(made.potcar_symbols) + "\n",
        }


def _grid(calculation: Calculation) -> Any:
    from pymatgen.io.vasp import Kpoints

    return Kpoints.gamma_automatic(calculation.kpoints)


def _espresso(calculation: Calculation, settings: DftSettings) -> dict[str, str]:
    crystal = calculation.crystal
    symbols = sorted(set(crystal.species))
    wave, density = _ESPRESSO_CUTOFFS_RY
    wave = max(wave, settings.cutoff_ev / _EV_PER_RY)
    relax = settings.relax
    kind = ("relax" if calculation.molecule else "vc-relax") if relax else "scf"
    system: dict[str, Any] = {
        "ibrav": 0,
        "nat": crystal.n_atoms,
        "ntyp": len(symbols),
        "ecutwfc": wave,
        "ecutrho": max(density, 8 * wave),
    }
    if calculation.molecule:
        system |= (
            {"occupations": "'fixed'"} if not calculation.moments else {"occupations": "'smearing'", "degauss": 1e-4}
        )
    else:
        system |= {"occupations": "'smearing'", "smearing": "'fd'", "degauss": settings.smearing_ev / _EV_PER_RY}
    if calculation.moments:
        system["nspin"] = 2
        system |= {f"starting_magnetization({i})": 0.5 for i, _ in enumerate(symbols, 1)}
        if calculation.molecule:
            system["tot_magnetization"] = sum(calculation.moments)
    cards: dict[str, dict[str, Any]] = {
        "control": {"calculation": f"'{kind}'", "prefix": "'novalith'", "outdir": "'scratch'", "pseudo_dir": "'pseudo'",
                    "tprnfor": ".true."},
        "system": system,
        "electrons": {"conv_thr": 1e-8},
    }  # fmt: skip
    if relax:
        cards["ions"] = {"ion_dynamics": "'bfgs'"}
    if relax and not calculation.molecule:
        cards["cell"] = {"cell_dynamics": "'bfgs'"} | ({"cell_dofree": "'2Dxy'"} if calculation.kpoints[2] == 1 else {})
    return {"pw.in": _namelists(cards) + _espresso_cards(calculation, symbols)}


def _namelists(cards: Mapping[str, Mapping[str, Any]]) -> str:
    return "".join(
        f"&{name}\n" + "".join(f"  {key} = {value}\n" for key, value in values.items()) + "/\n"
        for name, values in cards.items()
    )


def _espresso_cards(calculation: Calculation, symbols: list[str]) -> str:
    from ase.data import atomic_masses, atomic_numbers

    crystal = calculation.crystal
    lines = ["ATOMIC_SPECIES"]
    lines += [f"{s} {atomic_masses[atomic_numbers[s]]:.4f} {s}.UPF" for s in symbols]
    lines += ["CELL_PARAMETERS angstrom"]
    lines += [" ".join(f"{x:.10f}" for x in row) for row in crystal.lattice]
    lines += ["ATOMIC_POSITIONS crystal"]
    lines += [
        f"{s} " + " ".join(f"{x:.10f}" for x in row)
        for s, row in zip(crystal.species, crystal.frac_coords, strict=True)
    ]
    a, b, c = calculation.kpoints
    lines += ["K_POINTS gamma"] if (a, b, c) == (1, 1, 1) else ["K_POINTS automatic", f"{a} {b} {c} 0 0 0"]
    return "\n".join(lines) + "\n"


def _gpaw(calculation: Calculation, settings: DftSettings) -> dict[str, str]:
    slab = calculation.kpoints[2] == 1 and not calculation.molecule
    job = {
        **calculation.crystal.to_json(),
        "molecule": calculation.molecule,
        "moments": list(calculation.moments),
        "kpoints": list(calculation.kpoints),
        "cutoff_ev": settings.cutoff_ev,
        "smearing_ev": settings.smearing_ev,
        "functional": settings.functional,
        "relax": settings.relax,
        "free_strain": [1, 1, 0, 0, 0, 1] if slab else [1] * 6,
        "max_steps": MAX_STEPS,
    }
    script = files("novalith.stability").joinpath("run_gpaw.py.txt").read_text(encoding="utf-8")
    return {"job.json": json.dumps(job, indent=1), "run_gpaw.py": script}


_WRITERS = {"vasp": _vasp, "espresso": _espresso, "gpaw": _gpaw}
