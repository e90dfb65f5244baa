"""`novalith screen`: the chemistry rules on a table of formulas."""

from __future__ import annotations

import sys
from pathlib import Path

import typer


def command(
    file: Path = typer.Argument(help="CSV file with a header."),
    column: str = typer.Option("formula", help="Column that holds the formulas."),
    oxidation_set: str = typer.Option(
        "icsd24", help="Oxidation states: smact14, icsd16, icsd24, icsd24_consensus3, pymatgen_sp or wiki."
    ),
    pauling: bool = typer.Option(True, help="Ask for cations less electronegative than anions, beyond neutrality."),
    alloys: bool = typer.Option(
        False, help="Pass every all-metal formula whatever its charges; makes verdicts on intermetallics meaningless."
    ),
    mixed_valence: bool = typer.Option(False, help="Let Fe, Mn, Cu and 21 others take several states at once."),
    csv: Path | None = typer.Option(None, help="CSV file to write; standard output without it."),
    json: bool = typer.Option(False, "--json", help="Print the counts as JSON; rows go to --csv only."),
) -> None:
    """Judge formulas by charge neutrality and electronegativity, with SMACT 4.0.2's meaning, and say why.

    Writes formula, neutral, balanced and reason for every row; rows that cannot be read give their line and the cause,
    and make the exit code 3.
    """
    import json as json_format
    import os
    from dataclasses import asdict

    from novalith.screen.chemistry import ChemistryOptions
    from novalith.screen.formula_file import screen_file

    options = ChemistryOptions(oxidation_set, pauling, alloys, mixed_valence)
    out = Path(os.devnull) if json and csv is None else csv
    counts = screen_file(file, column, options, out)
    if json:
        print(json_format.dumps({**asdict(counts), "options": asdict(options), "csv": str(csv) if csv else None}))
    else:
        print(
            f"{counts.rows} formulas: {counts.neutral} neutral, {counts.balanced} balanced, "
            f"{counts.unreadable} unreadable ({oxidation_set}).",
            file=sys.stderr if csv is None else sys.stdout,
        )
    if counts.unreadable:
        raise typer.Exit(3)
