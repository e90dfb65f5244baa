"""Real DFT for a short list: inputs written, codes run where they are installed, formation energies on their own scale.

::

    dft/CODE/NAME/        inputs of one calculation, its output and status.json
    dft/CODE/energies.csv candidates with formation energies, or why there is none
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from novalith.campaign.observer import Observer
from novalith.campaign.outputs import csv_text
from novalith.campaign.validation import Target
from novalith.data.library import Library
from novalith.errors import UnknownNameError
from novalith.stability.dft_inputs import CODES, write_inputs
from novalith.stability.dft_plan import Calculation, DftSettings, plan_calculations
from novalith.stability.dft_run import Outcome, command_of, read_outcome, run_calculation
from novalith.stability.references import formation_energy
from novalith.store.files import folder_lock, make_folder, write_atomic

FOLDER, TABLE = "dft", "energies.csv"
COLUMNS = ("id", "formula", "status", "formation_energy_ev_per_atom", "energy_ev_per_atom", "wall_s", "scale", "reason")


@dataclass(frozen=True)
class DftRow:
    """A calculation and what came of it.

    Attributes:
        id: of the candidate, or "element-Mg".
        formula: reduced.
        status: see `novalith.stability.dft_run`.
        formation_energy_ev_per_atom: with the elements of the same code and settings; None where one is missing.
        energy_ev_per_atom: total energy, eV/atom.
        wall_s: s.
        scale: code, functional and cutoff: what the energies may be compared within.
        reason: why there is no energy.
    """

    id: str
    formula: str
    status: str
    formation_energy_ev_per_atom: float | None
    energy_ev_per_atom: float | None
    wall_s: float
    scale: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dict(vars(self))


@dataclass(frozen=True)
class DftRequest:
    """What is asked for.

    Attributes:
        codes: whose inputs are written.
        run: the code to run, empty for none.
        python: the interpreter that has GPAW; this one by default.
        limit_s: wall time of one calculation, s.
        settings: of the calculations.
    """

    codes: tuple[str, ...]
    run: str = ""
    python: str = ""
    limit_s: float = 86_400.0
    settings: DftSettings = field(default_factory=DftSettings)


def write_and_run(
    targets: Sequence[Target], out: Path, request: DftRequest, observer: Observer
) -> Mapping[str, tuple[DftRow, ...]]:
    """Write the inputs of every code, run one, and read what lies there.

    Args:
        targets: candidates.
        out: folder for one folder a code.
        request: what to do.
        observer: hears of every calculation.

    Returns:
        Code -> rows, candidates first.

    Raises:
        EmptyResultError: there are no targets.
        CapabilityError: the code to run is not installed (the inputs are written), or an element has no structure.
        UnknownNameError: no such code.
    """
    for code in (*request.codes, *([request.run] if request.run else [])):
        if code not in CODES:
            raise UnknownNameError("DFT code", code, CODES)
    plan = plan_calculations([(t.id, t.crystal) for t in targets], request.settings, Library())
    make_folder(out)
    with folder_lock(out):
        for code in dict.fromkeys((*request.codes, *([request.run] if request.run else []))):
            for calculation in plan:
                write_inputs(code, calculation, out / code / calculation.name, request.settings)
            observer.note(f"{len(plan)} inputs for {code} in {out / code}.")
        if request.run:
            _run(plan, out / request.run, request, observer)
        codes = dict.fromkeys((*request.codes, *([request.run] if request.run else [])))
        tables = {code: _rows(plan, code, out / code, request.settings) for code in codes}
        for code, rows in tables.items():
            cells = (tuple("" if v is None else v for v in vars(row).values()) for row in rows)
            write_atomic(out / code / TABLE, csv_text(COLUMNS, cells))
    return tables


def _run(plan: Sequence[Calculation], folder: Path, request: DftRequest, observer: Observer) -> None:
    command = command_of(request.run, request.python)
    observer.stage(f"Running {request.run}", len(plan))
    for calculation in plan:
        before = read_outcome(request.run, folder / calculation.name)
        if before.status not in ("done", "not run", "running"):
            observer.note(f"{calculation.name} was {before.status} before ({before.reason}) and is run again.")
        outcome = run_calculation(request.run, folder / calculation.name, command, request.limit_s)
        observer.note(f"{calculation.name}: {outcome.status} in {outcome.wall_s:.0f} s. {outcome.reason}".rstrip())
        observer.advance(1)


def _rows(plan: Sequence[Calculation], code: str, folder: Path, settings: DftSettings) -> tuple[DftRow, ...]:
    outcomes = {c.name: read_outcome(code, folder / c.name) for c in plan}
    references = {
        c.element: energy / c.crystal.n_atoms
        for c in plan
        if c.element and (energy := outcomes[c.name].energy_ev) is not None
    }
    return tuple(_row(c, outcomes[c.name], references, settings) for c in plan)


def _row(calculation: Calculation, outcome: Outcome, references: Mapping[str, float], settings: DftSettings) -> DftRow:
    composition = calculation.crystal.composition
    energy = None if outcome.energy_ev is None else outcome.energy_ev / calculation.crystal.n_atoms
    missing = [s for s in composition.field.elements if s not in references]
    reason, formed = outcome.reason, None
    if energy is not None and not missing:
        formed = formation_energy(composition, energy, references)
    elif energy is not None:
        reason = f"No formation energy: the reference of {', '.join(missing)} is not done."
    scale = f"{settings.functional} by {outcome.code or 'the code'}, {settings.cutoff_ev:g} eV, own elements"
    return DftRow(calculation.name, composition.formula, outcome.status, formed, energy, outcome.wall_s, scale, reason)


def table_text(tables: Mapping[str, Sequence[DftRow]]) -> str:
    """The rows for the terminal."""
    lines = []
    for code, rows in tables.items():
        lines.append(f"{code}:")
        for row in rows:
            energy = row.formation_energy_ev_per_atom
            value = "" if energy is None else f" formation energy {energy:.3f} eV/atom ({row.scale})"
            total = "" if row.energy_ev_per_atom is None else f", total {row.energy_ev_per_atom:.4f} eV/atom"
            lines.append(f"  {row.id} ({row.formula}) {row.status}{total}{value} {row.reason}".rstrip())
    return "\n".join(lines)
