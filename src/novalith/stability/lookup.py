"""Answers to "is it stable?" from the bundled table: for a formula, for a chemical system, for structures at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from novalith.data.door import read_structures
from novalith.data.library import Library
from novalith.errors import InputError, NovalithError
from novalith.materials import Composition, Crystal, PhaseField, Verdict
from novalith.relax.base import MP2020_PBE, Potential
from novalith.relax.potentials import load_potential
from novalith.stability.hull import ConvexHull, HullPosition, judge_formation_energy
from novalith.stability.references import formation_energy
from novalith.stability.table import TABLE_REFERENCES, table_phases


@dataclass(frozen=True)
class HullRow:
    """One material on the hull of the bundled table.

    Attributes:
        id: the table's name, or the id of a structure.
        formula: reduced formula.
        formation_energy_ev_per_atom: on the scale of the table; None where there is none.
        energy_above_hull_ev_per_atom: against the hull named in `note`; negative below it; None where there is none.
        decomposition: (formula, share of atoms) it would fall into.
        note: what the hull holds, or why there is no answer.
    """

    id: str
    formula: str
    formation_energy_ev_per_atom: float | None
    energy_above_hull_ev_per_atom: float | None
    decomposition: tuple[tuple[str, float], ...]
    note: str

    @property
    def products(self) -> str:
        """The decomposition in one line: "0.667 Li2S + 0.333 SnS2"."""
        return " + ".join(f"{share:.3f} {formula}" for formula, share in self.decomposition)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and lists."""
        return asdict(self) | {"decomposition": [{"formula": f, "fraction_of_atoms": x} for f, x in self.decomposition]}


def answer(library: Library, target: str, energy_ev_per_atom: float | None = None) -> tuple[HullRow, ...]:
    """Rows for what a person typed: a path that exists, a system with separators, or else a formula.

    Raises:
        InputError: an energy is given for anything but a formula, or the text is none of the three.
        StorageError: the folder cannot be read.
    """
    path = Path(target)
    system = "-" in target or "," in target
    if energy_ev_per_atom is not None and (path.exists() or system):
        raise InputError(f"--energy belongs to one formula; {target!r} is not a formula.")
    if path.exists():
        inside = path / "structures"
        reading = read_structures(inside if inside.is_dir() else path)
        return place_structures(library, reading.accepted, load_potential()) + refused_rows(reading.refused)
    if system:
        return stable_rows(library, PhaseField.parse(target))
    return (place_formula(library, Composition.parse(target), energy_ev_per_atom),)


def place_formula(library: Library, composition: Composition, energy_ev_per_atom: float | None = None) -> HullRow:
    """A formula on the hull of the table.

    With a formation energy given, the material is a newcomer and every phase of the table competes, one of its own
    formula included. Without one, the table's own phase is held against all others.

    Raises:
        InputError: no energy is given and the table does not hold the formula; or the energy is not a sane one.
    """
    hull = ConvexHull(table_phases(library, composition.field))
    if energy_ev_per_atom is not None:
        position = hull.position(composition, energy_ev_per_atom, MP2020_PBE)
        return _row("given energy", composition, energy_ev_per_atom, position, "against all phases of the table")
    own = next((p for p in hull.phases if p.composition.formula == composition.formula), None)
    if own is None:
        products = " + ".join(f for f, _ in hull.position(composition, 0.0, MP2020_PBE).decomposition)
        raise InputError(
            f"{composition} is not in the bundled table, so its energy is unknown; give one with --energy (formation "
            f"energy, eV/atom, {MP2020_PBE}). The table's phases at that composition are {products}."
        )
    energy = own.formation_energy_ev_per_atom
    position = hull.without(composition).position(composition, energy, MP2020_PBE)
    return _row(own.id, composition, energy, position, "against all other formulas of the table")


def stable_rows(library: Library, field: PhaseField) -> tuple[HullRow, ...]:
    """The phases on the hull of a chemical system, each held against the others: how deep below them it lies."""
    hull = ConvexHull(table_phases(library, field))
    rows = []
    for phase in hull.stable_phases():
        energy = phase.formation_energy_ev_per_atom
        position = hull.without(phase.composition).position(phase.composition, energy, MP2020_PBE)
        rows.append(_row(phase.id, phase.composition, energy, position, "against all other formulas of the table"))
    return tuple(sorted(rows, key=lambda r: (len(Composition.parse(r.formula).counts), r.formula)))


def place_structures(
    library: Library, structures: Iterable[tuple[str, Crystal]], potential: Potential
) -> tuple[HullRow, ...]:
    """Crystals as they are given (not relaxed) on the hull of the table, by the energies of a potential.

    A crystal that cannot be placed keeps its row, with the reason.
    """
    references = library.elemental_references(TABLE_REFERENCES)

    @lru_cache(maxsize=256)
    def hull_of(field: PhaseField) -> ConvexHull:
        return ConvexHull(table_phases(library, field))

    rows = []
    for id_, crystal in structures:
        composition = crystal.composition.reduced
        try:
            total = potential.evaluate(crystal).energy_ev
            energy = formation_energy(composition, total / crystal.n_atoms, references)
            verdict = judge_formation_energy(energy)
            if not verdict.passed:
                raise InputError(verdict.reason)
            position = hull_of(composition.field).position(composition, energy, potential.energy_scale)
        except NovalithError as error:
            rows.append(HullRow(id_, composition.formula, None, None, (), str(error)))
            continue
        rows.append(_row(id_, composition, energy, position, f"as given, by {potential.name}, against the table"))
    return tuple(rows)


def refused_rows(refused: Sequence[tuple[str, Verdict]]) -> tuple[HullRow, ...]:
    """Rows for structures that were not let in, with the reason."""
    return tuple(HullRow(id_, "", None, None, (), verdict.reason) for id_, verdict in refused)


def _row(id_: str, composition: Composition, energy: float, position: HullPosition, note: str) -> HullRow:
    return HullRow(
        id=id_,
        formula=composition.formula,
        formation_energy_ev_per_atom=energy,
        energy_above_hull_ev_per_atom=position.energy_above_hull_ev_per_atom,
        decomposition=position.decomposition,
        note=note,
    )


def csv_text(rows: Sequence[HullRow]) -> str:
    """Rows as CSV; a cell that a spreadsheet would take for a formula is quoted with an apostrophe."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    energies = ["formation_energy_ev_per_atom", "energy_above_hull_ev_per_atom"]
    writer.writerow(["id", "formula", *energies, "decomposition", "note"])
    for row in rows:
        numbers = [row.formation_energy_ev_per_atom, row.energy_above_hull_ev_per_atom]
        cells = ["" if x is None else f"{x:.6f}" for x in numbers]
        writer.writerow([_safe(row.id), row.formula, *cells, row.products, _safe(row.note)])
    return out.getvalue()


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def table_text(rows: Sequence[HullRow]) -> str:
    """Rows as lines for a terminal."""
    lines = []
    for row in rows:
        if row.energy_above_hull_ev_per_atom is None or row.formation_energy_ev_per_atom is None:
            lines.append(f"{row.id}  {row.formula}  no energy: {row.note}")
            continue
        lines.append(
            f"{row.formula:<16} formation {row.formation_energy_ev_per_atom:+8.4f} eV/atom   above hull "
            f"{row.energy_above_hull_ev_per_atom:+8.4f} eV/atom   {row.products or '-'}   ({row.id}; {row.note})"
        )
    return "\n".join(lines)
