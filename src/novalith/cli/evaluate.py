"""`novalith evaluate`: validity, uniqueness, novelty and stability of structures from anywhere."""

from __future__ import annotations

from pathlib import Path

import typer

from novalith.cli.terminal import progress, show, worker_count


def command(
    folder: Path = typer.Argument(help="Folder or file of structures (CIF, POSCAR, extxyz, JSON, Parquet, CSV)."),
    json: Path | None = typer.Option(None, "--json", help="Write everything, structure by structure, to this file."),
    hide: Path | None = typer.Option(None, help="File of formulas, systems or ids to remove from every table."),
    workers: int = typer.Option(0, help="Relaxations at a time; 0 means one a processor."),
) -> None:
    """Count how many structures are valid, unique, novel and stable, with every verdict on each of them."""
    import json as json_format

    from novalith.campaign.evaluate import evaluate
    from novalith.data.door import read_structures
    from novalith.data.library import Hidden, Library
    from novalith.store.files import write_atomic

    library = Library(Hidden() if hide is None else Hidden.read(hide))
    reading = read_structures(folder)
    with progress() as observer:
        result = evaluate(reading.accepted, reading.refused, library, workers=worker_count(workers), observer=observer)
    if json is not None:
        write_atomic(json, json_format.dumps(result, indent=1))
    text = "\n".join(f"{name:<28} {value}" for name, value in {**result["summary"], **result["protocol"]}.items())
    refusals = "".join(f"\nrefused {identifier}: {reason}" for identifier, reason in result["refused"].items())
    show(result, text + refusals, as_json=False)
    if reading.refused:
        raise typer.Exit(3)
