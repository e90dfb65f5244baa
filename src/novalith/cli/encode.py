"""`novalith encode`: crystals as arrays."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    structures: Path = typer.Argument(help="File or folder of structures, or a table with the columns id and cif."),
    representation: str = typer.Option(help="imatgen, hoffmann, court or points."),
    out: Path = typer.Option(help="NPZ file to write; 'novalith decode' and numpy.load read it."),
    json: bool = typer.Option(False, "--json", help="Print the counts as JSON."),
) -> None:
    """Turn crystals into the arrays that networks see: voxel images or points.

    Structures outside of the limits of a representation are told one by one with the reason and counted; where there
    are any, the exit code is 3.
    """
    import sys

    from novalith.cli.terminal import show
    from novalith.recipes.array_files import encode_file

    counts = encode_file(structures, representation, out, lambda line: print(line, file=sys.stderr))
    text = f"{counts.done} of {counts.given} structures encoded as {representation} in {out}; {counts.told}."
    show({**vars(counts), "set_aside": counts.set_aside, "out": str(out)}, text, json)
    if counts.set_aside:
        raise typer.Exit(3)
