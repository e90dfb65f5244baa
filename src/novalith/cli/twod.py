"""`novalith twod`: monolayers from formulas, by rules, classifier, templates and energies."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    out: Path = typer.Option(..., help="Folder for the table, the funnel and the structures."),
    formulas: Path | None = typer.Option(None, help="CSV with a column of formulas, instead of drawing them."),
    column: str = typer.Option("formula", help="Column that holds the formulas."),
    draw: int = typer.Option(0, min=0, help="Draw so many formulas with the sequence model; the blocks are kept."),
    templates: list[Path] = typer.Option([], help="Your own monolayers: a table, or a file or folder of structures."),
    classifier: Path | None = typer.Option(None, help="Your own weights (novalith train two-dimensional)."),
    threshold: float = typer.Option(0.95, min=0, max=1, help="Least score of the classifier."),
    top: int = typer.Option(40, min=1, help="Layers relaxed at most."),
    per_formula: int = typer.Option(1, min=1, help="Templates tried for one formula."),
    max_atoms: int = typer.Option(12, min=1, help="Most atoms of a layer."),
    limit: float = typer.Option(0.2, help="Exfoliation energies below this are kept, eV/atom."),
    phonons: int = typer.Option(0, min=0, help="Vibrations of so many of the best layers: minutes to hours each."),
    max_seconds: float = typer.Option(600.0, help="Exfoliation or phonons of a layer that take longer: not made."),
    max_memory: float = typer.Option(4.0, help="The same for memory, GB."),
    potential: str = typer.Option("chgnet", help="The potential; dispersion (D3) is added."),
    oxidation_set: str = typer.Option("icsd24", help="Oxidation states that must balance; 'none' asks for no balance."),
    workers: int = typer.Option(1, min=0, help="Relaxations at a time; 0 for one a processor."),
    hide: Path | None = typer.Option(None, help="Formulas, systems or ids to treat as unknown."),
    seed: int = typer.Option(0, help="Seed of the draws."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Formulas in, ranked monolayers out, with the funnel and the time of each stage."""
    import sys

    from novalith.cli.terminal import show, worker_count
    from novalith.data.library import Hidden, Library
    from novalith.recipes.bench_tables import as_records
    from novalith.recipes.song_2d import Song2dOrder
    from novalith.recipes.song_2d_output import Song2dRun, run_song_2d, tables
    from novalith.screen.chemistry import ChemistryOptions
    from novalith.stability.cost import Limits

    rules = None if oxidation_set == "none" else ChemistryOptions(oxidation_set)
    order = Song2dOrder(
        threshold, top, per_formula, max_atoms, phonons, limit, potential, worker_count(workers), rules,
        Limits(max_seconds, max_memory),
    )  # fmt: skip
    run = Song2dRun(out, order, formulas, column, draw, tuple(templates), classifier, seed)
    library = Library(Hidden.read(hide) if hide else None)
    found = run_song_2d(run, library, lambda line: print(line, file=sys.stderr))
    for name, verdict in found.refused_templates:
        print(f"template {name}: refused. {verdict.reason}", file=sys.stderr)
    printed = tables(found)
    text = "\n\n".join([*(t.text for t in printed), f"{len(found.rows)} monolayers in {out}, {found.wall_s:.0f} s."])
    show({**as_records(printed), "monolayers": len(found.rows), "out": str(out)}, text, json)
    if not found.rows:
        raise typer.Exit(3)
