"""`novalith hull`: how far above the hull of known phases a material lies, and what it would fall into."""

from __future__ import annotations

from pathlib import Path

import typer

from novalith.cli.terminal import show


def command(
    target: str = typer.Argument(help="A formula (LiFePO4), a chemical system (Li-Fe-P-O), or a file or folder."),
    energy: float | None = typer.Option(
        None, help="Formation energy of the formula, eV/atom on the MP2020 scale, in place of the table's."
    ),
    csv: Path | None = typer.Option(None, help="CSV file to write."),
    json: bool = typer.Option(False, "--json", help="Print the rows as JSON."),
    hide: Path | None = typer.Option(None, help="File of formulas, systems or ids that no table may show."),
) -> None:
    """Place a formula, a chemical system or structures on the hull of the bundled Materials Project table.

    A formula: its table energy against all other formulas. A system: its stable phases. A file or folder of structures
    (of a folder made by discover or relax, its structures/): each as it is, not relaxed again, with the energy of the
    default potential; relax them first with 'novalith relax'. Ends with code 3 where a structure got no answer.
    """
    from novalith.data.library import Hidden, Library
    from novalith.stability import lookup
    from novalith.store.files import write_atomic

    library = Library(Hidden.read(hide)) if hide is not None else Library()
    rows = lookup.answer(library, target, energy)
    if csv is not None:
        write_atomic(csv, lookup.csv_text(rows))
    show({"target": target, "rows": [row.to_json() for row in rows]}, lookup.table_text(rows), json)
    if any(row.energy_above_hull_ev_per_atom is None for row in rows):
        raise typer.Exit(3)
