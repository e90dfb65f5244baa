"""Crystals written to CIF, POSCAR and extxyz: plain ASCII files that say what made them and how symmetry was found."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import novalith
from novalith.errors import InputError
from novalith.materials import Crystal
from novalith.store.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


#: Tolerance (Å) at which the operations of a standardised cell are found.
EXACT_SYMPREC_A = 1e-4


@dataclass(frozen=True)
class Frame:
    """One structure of an extxyz file.

    Attributes:
        id: written as `id`.
        crystal: the structure.
        energy_ev: total energy of the cell, eV, or None.
        forces_ev_per_a: (n, 3), eV/Å, or None.
        info: further values of the second line.
    """

    id: str
    crystal: Crystal
    energy_ev: float | None = None
    forces_ev_per_a: NDArray[np.float64] | None = None
    info: Mapping[str, str | float | int | bool] | None = None


def write_cif(crystal: Crystal, path: Path, *, symprec: float | None, name: str, notes: Sequence[str] = ()) -> None:
    """Write one crystal as CIF.

    Args:
        crystal: what to write.
        path: where; an existing file is replaced in one step.
        symprec: tolerance (Å) at which symmetry is found and the cell standardised; None writes all atoms in P1.
        name: name of the data block; characters other than ASCII letters, digits, dot and hyphen become "_".
        notes: sentences for the comment at the top (the run, the proposal, energies).
    """
    write_atomic(path, cif_text(crystal, symprec=symprec, name=name, notes=notes))


def cif_text(crystal: Crystal, *, symprec: float | None, name: str, notes: Sequence[str] = ()) -> str:
    """The text that `write_cif` writes; P1 where atoms lie so near to one another that no symmetry can be found.

    The cell is standardised at `symprec`, and the operations are those of the standardised cell at `EXACT_SYMPREC_A`:
    at `symprec` it may seem to have more of them, which map atoms beside one another instead of onto one another.
    """
    from pymatgen.io.cif import CifWriter
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING", category=DeprecationWarning)  # spglib 2.8
        try:
            structure, exact = crystal.to_structure(), None
            if symprec is not None:
                structure = SpacegroupAnalyzer(structure, symprec).get_refined_structure()
                exact = EXACT_SYMPREC_A
            body = str(CifWriter(structure, symprec=exact, refine_struct=False))
        except SymmetryUndeterminedError:  # atoms nearer to one another than the tolerance
            return cif_text(crystal, symprec=None, name=name, notes=notes)
    block = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_") or "crystal"
    symmetry = "P1, no symmetry was sought" if symprec is None else f"symmetry found by spglib at symprec {symprec:g} A"
    comments = [f"novalith {novalith.__version__}", symmetry, *notes]
    head = "\n".join(f"# {_ascii(sentence)}" for sentence in comments)
    lines = body.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("data_"))
    return "\n".join([head, f"data_{block}", *lines[start + 1 :]]) + "\n"


def write_poscar(crystal: Crystal, path: Path, *, comment: str = "") -> None:
    """Write one crystal as POSCAR (VASP 5, direct coordinates, atoms grouped by element)."""
    from pymatgen.io.vasp.inputs import Poscar

    title = _ascii(comment) or f"{crystal.composition.formula} novalith {novalith.__version__}"
    structure = crystal.to_structure().get_sorted_structure(key=lambda site: site.specie.symbol)
    write_atomic(path, Poscar(structure, comment=title).get_str(significant_figures=12))


def write_extxyz(frames: Iterable[Frame], path: Path) -> None:
    """Write crystals as extended XYZ with `energy` (total, eV) and `forces` (eV/Å) where they are known.

    Raises:
        InputError: forces do not fit the number of atoms.
    """
    from io import StringIO

    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write as write_ase

    images = []
    for frame in frames:
        atoms = frame.crystal.to_atoms()
        atoms.info = {"id": frame.id, **(frame.info or {})}
        results: dict[str, object] = {}
        if frame.energy_ev is not None:
            results["energy"] = frame.energy_ev
        if frame.forces_ev_per_a is not None:
            if frame.forces_ev_per_a.shape != (frame.crystal.n_atoms, 3):
                raise InputError(
                    f"Forces of {frame.id} have the shape {frame.forces_ev_per_a.shape}; expected "
                    f"({frame.crystal.n_atoms}, 3)."
                )
            results["forces"] = frame.forces_ev_per_a
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    text = StringIO()
    write_ase(text, images, format="extxyz")
    write_atomic(path, text.getvalue())


def _ascii(sentence: str) -> str:
    """One line of plain ASCII: "Å" as "A", everything else outside ASCII as "?"."""
    plain = " ".join(sentence.split()).replace("Å", "A").replace("³", "3")
    return plain.encode("ascii", "replace").decode("ascii")
