"""What a campaign leaves for people and for other programs: the table, the structures, the record."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from novalith.campaign.codec import record_to_json
from novalith.campaign.folder import CampaignFolder
from novalith.campaign.funnel import Rejection
from novalith.campaign.properties import property_cells, property_columns
from novalith.campaign.record import RankedCrystal, RunRecord
from novalith.data.writers import Frame, write_cif, write_extxyz, write_poscar
from novalith.represent.gene import SYMPREC
from novalith.store.files import make_folder, write_atomic

CANDIDATE_COLUMNS = (
    "rank",
    "id",
    "formula",
    "spacegroup",
    "n_atoms",
    "formation_energy_ev_per_atom",
    "energy_above_hull_ev_per_atom",
    "converged",
    "novelty",
    "nearest_known",
    "generator",
    "spacegroup_symbol",
    "decomposition",
    "max_force_ev_per_a",
    "n_steps",
    "parents",
    "move",
    "doubts",
    *property_columns(),
)


def write_outputs(record: RunRecord, folder: CampaignFolder, rejections: Sequence[Rejection], run_id: str) -> None:
    """Write every file of a finished campaign but the report; files of an earlier finish are replaced."""
    write_atomic(folder.root / "candidates.csv", csv_text(CANDIDATE_COLUMNS, map(table_row, record.ranked)))
    unranked = ((i, formula, ending) for i, (formula, ending) in record.unranked.items())
    write_atomic(folder.root / "unranked.csv", csv_text(("id", "formula", "ending"), unranked))
    columns = ("id", "formula", "generator", "stage", "rule", "reason")
    rows = ((r.id, r.formula, r.generator, r.stage, r.rule, r.reason) for r in rejections)
    write_atomic(folder.root / "rejected.csv", csv_text(columns, rows))
    if record.formulas:
        write_atomic(folder.root / "formulas.csv", csv_text(("formula", "score_nats", "reason"), record.formulas))
    _write_structures(record.ranked, folder.structures, run_id)
    write_atomic(folder.record, json.dumps(record_to_json(record), allow_nan=False))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV table; text that a spreadsheet would run as a formula is quoted with an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
    return stream.getvalue()


def _harmless(cell: object) -> object:
    if not isinstance(cell, str) or cell[:1] not in ("=", "+", "-", "@") or re.fullmatch(r"[+-]?[\d.]+", cell):
        return cell
    return f"'{cell}"


def table_row(row: RankedCrystal) -> tuple[object, ...]:
    """The cells of one row of `candidates.csv`, energies with four decimals."""
    return (
        row.rank,
        row.id,
        row.crystal.composition.formula,
        row.spacegroup,
        row.crystal.n_atoms,
        f"{row.formation_energy_ev_per_atom:.4f}",
        f"{row.energy_above_hull_ev_per_atom:.4f}",
        True,
        row.novelty.grade.value,
        f"{row.novelty.nearest_formula} ({row.novelty.nearest_id})",
        row.lineage.generator,
        row.spacegroup_symbol,
        " + ".join(f"{share:.3f} {formula}" for formula, share in row.decomposition),
        f"{row.max_force_ev_per_a:.4f}",
        row.n_steps,
        " ".join(row.lineage.parents),
        row.lineage.move,
        " ".join(row.doubts),
        *property_cells(row),
    )


def _write_structures(rows: Sequence[RankedCrystal], folder: Path, run_id: str) -> None:
    """Write all structures into a new folder and put it in the place of the old one."""
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for part in (fresh / "p1", fresh / "poscar"):
        make_folder(part)
    for row in rows:
        notes = (
            f"novalith run {run_id}, rank {row.rank}, {row.lineage.generator}: {row.lineage.move}",
            f"energy above hull {row.energy_above_hull_ev_per_atom:.4f} eV/atom, predicted, not measured",
        )
        write_cif(row.crystal, fresh / f"{row.id}.cif", symprec=SYMPREC, name=row.id, notes=notes)
        write_cif(row.crystal, fresh / "p1" / f"{row.id}.cif", symprec=None, name=row.id, notes=notes)
        write_poscar(row.crystal, fresh / "poscar" / f"{row.id}.vasp", comment=row.id)
    write_extxyz(map(_frame, rows), fresh / "candidates.extxyz")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _frame(row: RankedCrystal) -> Frame:
    info = {"rank": row.rank, "energy_above_hull_ev_per_atom": round(row.energy_above_hull_ev_per_atom, 6)}
    energy = None if row.energy_ev_per_atom is None else row.energy_ev_per_atom * row.crystal.n_atoms
    return Frame(row.id, row.crystal, energy_ev=energy, info=info)
