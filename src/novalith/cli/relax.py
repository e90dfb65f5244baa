"""`novalith relax`: structures in, their nearest minima out."""

from __future__ import annotations

from pathlib import Path

import typer

from novalith.cli.terminal import progress, show, worker_count


def command(
    inputs: list[Path] = typer.Argument(help="Folders or files: CIF, POSCAR, extxyz, JSON, tables with a cif column."),
    out: Path = typer.Option(..., help="Folder for structures/*.cif and relaxations.csv."),
    workers: int = typer.Option(0, help="Relaxations at a time; 0 means one a processor."),
    max_force: float = typer.Option(0.05, help="Largest force of a relaxed crystal, eV/Å."),
    max_stress: float = typer.Option(0.1, help="Largest stress of a relaxed crystal, GPa."),
    max_steps: int = typer.Option(250, help="Most steps of one relaxation."),
    fixed_cell: bool = typer.Option(False, help="Relax the positions alone."),
    json: bool = typer.Option(False, "--json", help="Print the table as JSON."),
) -> None:
    """Relax structures with the default potential; ends with code 3 where some were refused or did not converge."""
    from novalith.relax.folder import TABLE, relax_files
    from novalith.relax.relaxer import RelaxSettings

    settings = RelaxSettings(
        max_force_ev_per_a=max_force, max_stress_gpa=max_stress, max_steps=max_steps, fixed_cell=fixed_cell
    )
    with progress() as observer:

        def report(done: int, total: int) -> None:
            observer.stage("relaxations", total) if done == 0 else observer.advance(1)

        result = relax_files(inputs, out, settings, n_workers=worker_count(workers), report=report)
    rows = result.rows()
    lines = [f"{row['id']}: {row['ending']}. {row['reason']}" for row in rows if row["ending"] != "converged"]
    lines.append(f"{result.n_converged} of {len(rows)} structures relaxed; see {out / TABLE}.")
    show({"structures": rows, "converged": result.n_converged, "out": str(out)}, "\n".join(lines), json)
    if not result.complete:
        raise typer.Exit(3)
