"""`novalith decode`: crystals from arrays."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    file: Path = typer.Argument(help="NPZ file of 'novalith encode'."),
    out: Path = typer.Option(help="Folder for CIF files and decoded.csv."),
    json: bool = typer.Option(False, "--json", help="Print the counts as JSON."),
) -> None:
    """Turn arrays back into crystals: a CIF file each, and a table with the reason where there is none.

    Arrays that show no crystal are told one by one and counted; where there are any, the exit code is 3.
    """
    import sys

    from novalith.cli.terminal import show
    from novalith.recipes.array_files import decode_file

    counts = decode_file(file, out, lambda line: print(line, file=sys.stderr))
    text = f"{counts.done} of {counts.given} crystals decoded into {out}; {counts.told}."
    show({**vars(counts), "set_aside": counts.set_aside, "out": str(out)}, text, json)
    if counts.set_aside:
        raise typer.Exit(3)
