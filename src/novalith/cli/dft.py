"""`novalith dft`: inputs for real DFT, and the codes run where they are installed."""

from __future__ import annotations

from pathlib import Path

import typer

from novalith.cli.terminal import progress, show, split_list


def command(
    inputs: list[Path] = typer.Argument(help="A campaign folder, or files and folders of structures."),
    top: int = typer.Option(5, min=1, help="Of a campaign: how many candidates, from the first."),
    codes: str = typer.Option("vasp,espresso,gpaw", help="Whose inputs to write."),
    run: str = typer.Option("", help="Run this code here: gpaw, espresso or vasp."),
    out: Path | None = typer.Option(None, help="Folder for files; a campaign keeps its own in dft/."),
    relax: bool = typer.Option(False, "--relax", help="Relax positions and cell by DFT."),
    cutoff: float = typer.Option(600.0, help="Cutoff of the plane waves, eV."),
    kspacing: float = typer.Option(0.4, help="Largest distance between k-points, 1/Å."),
    python: str = typer.Option("", help="Interpreter that has GPAW; this one by default."),
    limit: float = typer.Option(86_400.0, help="Wall time that one calculation may take, s."),
    json: bool = typer.Option(False, "--json", help="Print the rows as JSON."),
) -> None:
    """Write complete inputs for DFT codes and run one where it is installed.

    Each candidate and each of its elements is a folder, so that formation energies are on a scale of their own. The
    same command runs again what failed or was killed, and reads what was computed elsewhere. Ends with code 3 where a
    calculation that was run has no energy, or a structure could not be read.
    """
    import sys

    from novalith.campaign.dft import FOLDER, DftRequest, table_text, write_and_run
    from novalith.campaign.validation import gather_targets
    from novalith.stability.dft_plan import DftSettings

    targets, refused, kept = gather_targets(inputs, top, out)
    for name, verdict in refused:
        print(f"{name}: not read. {verdict.reason}", file=sys.stderr)
    folder = kept if out is not None else kept.parent / FOLDER
    request = DftRequest(split_list(codes), run, python, limit, DftSettings(cutoff, kspacing, relax=relax))
    with progress() as observer:
        tables = write_and_run(targets, folder, request, observer)
    rows = {code: [row.to_json() for row in table] for code, table in tables.items()}
    show({"folder": str(folder), "calculations": rows}, table_text(tables), json)
    if refused or (run and any(row.status != "done" for row in tables[run])):
        raise typer.Exit(3)
