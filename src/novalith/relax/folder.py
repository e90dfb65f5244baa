"""Relax the structures in files and folders: what goes in comes out as a row, relaxed or refused with a reason."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novalith.data.door import read_structures
from novalith.data.writers import write_cif
from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.relax.base import Relaxation
from novalith.relax.pool import RelaxationPool
from novalith.relax.relaxer import RelaxSettings
from novalith.store.files import make_folder, write_atomic

TABLE = "relaxations.csv"
#: Columns of the table, in this order.
COLUMNS = (
    "id",
    "formula",
    "n_atoms",
    "ending",
    "energy_ev_per_atom",
    "max_force_ev_per_a",
    "max_stress_gpa",
    "volume_change_percent",
    "n_steps",
    "n_evaluations",
    "potential",
    "energy_scale",
    "reason",
)


@dataclass(frozen=True)
class FolderRelaxation:
    """What became of the structures in some files.

    Attributes:
        relaxed: (id, relaxation) in the order of the input, whatever their ending.
        refused: (id, why) of structures that could not be read.
    """

    relaxed: tuple[tuple[str, Relaxation], ...]
    refused: tuple[tuple[str, Verdict], ...]

    @property
    def n_converged(self) -> int:
        """Number of structures that are relaxed."""
        return sum(r.converged for _, r in self.relaxed)

    @property
    def complete(self) -> bool:
        """Whether every structure was read and converged."""
        return not self.refused and self.n_converged == len(self.relaxed)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping of `COLUMNS` a structure."""
        refused = [
            dict.fromkeys(COLUMNS, None) | {"id": name, "ending": "refused", "reason": verdict.reason}
            for name, verdict in self.refused
        ]
        return [_row(name, r) for name, r in self.relaxed] + refused


def relax_files(
    paths: Sequence[Path],
    out: Path,
    settings: RelaxSettings,
    *,
    potential: str = "chgnet",
    n_workers: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> FolderRelaxation:
    """Relax all structures in files and folders; write `structures/*.cif` (all atoms in P1) and `relaxations.csv`.

    What is finished when the run is stopped stays, with its row in the table.

    Args:
        paths: files or folders that `novalith.data.door.read_structures` can read.
        out: folder to write to; it must not hold a table of relaxations yet.
        settings: when each relaxation stops.
        potential: name of the potential.
        n_workers: processes to run.
        report: called with the number of structures done and their total, first with none done.

    Raises:
        InputError: nothing to read, or `out` already holds relaxations.
        StorageError: a file system that says no.
    """
    make_folder(out)
    if (out / TABLE).exists():
        raise InputError(f"{out} already holds {TABLE}; name another folder with --out, or remove that file.")
    accepted, refused = _read(paths)
    structures = make_folder(out / "structures")
    done: dict[str, Relaxation] = {}
    told = report or _nobody
    told(0, len(accepted))
    try:
        with RelaxationPool(potential, settings, n_workers) as pool:
            for name, relaxation in pool.run(accepted):
                done[name] = relaxation
                _write(structures, name, relaxation)
                told(len(done), len(accepted))
    finally:
        result = FolderRelaxation(tuple((name, done[name]) for name, _ in accepted if name in done), refused)
        write_atomic(out / TABLE, _csv(result.rows()))
    return result


def _nobody(_done: int, _total: int) -> None:
    """Listen to nothing."""


def _read(paths: Sequence[Path]) -> tuple[list[tuple[str, Crystal]], tuple[tuple[str, Verdict], ...]]:
    accepted: dict[str, Crystal] = {}
    refused: list[tuple[str, Verdict]] = []
    for path in paths:
        reading = read_structures(path)
        refused += reading.refused
        for name, crystal in reading.accepted:
            unique, n = name, 1
            while unique in accepted:  # the same name in another folder
                n += 1
                unique = f"{name}_{n}"
            accepted[unique] = crystal
    return list(accepted.items()), tuple(refused)


def _write(folder: Path, name: str, relaxation: Relaxation) -> None:
    """The relaxed crystal as CIF, with its ending in the comment; nothing where there is no energy."""
    if relaxation.energy_ev_per_atom is None:
        return
    notes = [
        f"relaxed with {relaxation.potential}: {relaxation.ending.value}",
        f"energy {relaxation.energy_ev_per_atom:.6f} eV/atom ({relaxation.energy_scale})",
    ]
    file = re.sub(r"[^A-Za-z0-9._+-]", "_", name)
    write_cif(relaxation.final, folder / f"{file}.cif", symprec=None, name=name, notes=notes)


def _row(name: str, r: Relaxation) -> dict[str, Any]:
    return {
        "id": name,
        "formula": r.initial.composition.formula,
        "n_atoms": r.initial.n_atoms,
        "ending": r.ending.value,
        "energy_ev_per_atom": _rounded(r.energy_ev_per_atom, 6),
        "max_force_ev_per_a": _rounded(r.max_force_ev_per_a, 4),
        "max_stress_gpa": _rounded(r.max_stress_gpa, 4),
        "volume_change_percent": round(100 * (r.final.volume / r.initial.volume - 1), 2),
        "n_steps": r.n_steps,
        "n_evaluations": r.n_evaluations,
        "potential": r.potential,
        "energy_scale": r.energy_scale,
        "reason": r.reason,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
