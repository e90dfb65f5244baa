"""`novalith compose`: formulas for a chemical system, drawn by a model and ranked."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    system: str = typer.Argument(help="Chemical system such as Li-Sn-S-Cl, or 'any'."),
    n: int = typer.Option(100, "-n", "--number", help="How many distinct formulas."),
    recipe: str = typer.Option("sequence", help="sequence, matgan or ding draw; screening enumerates and predicts."),
    checkpoint: Path | None = typer.Option(None, help="Your own weights of that recipe."),
    target: list[str] = typer.Option([], help="Property to aim at, such as formation_energy=-2; repeat it for more."),
    require: str = typer.Option("", help="Elements that every formula holds."),
    deny: str = typer.Option("", help="Elements that no formula holds."),
    subsystems: bool = typer.Option(False, "--subsystems", help="Let formulas lack elements of the system."),
    n_elements: str = typer.Option("", help="Numbers of elements, such as 3 or 2-4."),
    max_atoms: int | None = typer.Option(None, min=1, help="Most atoms of a formula unit."),
    oxidation_set: str = typer.Option("icsd24", help="Oxidation states that must balance; 'none' asks for no balance."),
    pauling: bool = typer.Option(True, help="Ask for cations less electronegative than anions."),
    temperature: float = typer.Option(1.0, min=0.05, help="Below 1 prefers likely formulas (sequence)."),
    guidance: float = typer.Option(2.0, min=0.0, help="How strongly targets are followed (sequence)."),
    near: str = typer.Option("", help="Draw around this formula in the latent space (ding)."),
    between: str = typer.Option("", help="Walk from one formula to another, such as NaCl,MgO (ding)."),
    hide: Path | None = typer.Option(None, help="Formulas, systems or ids to treat as unknown."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    csv: Path | None = typer.Option(None, help="CSV file to write; standard output without it."),
    json: bool = typer.Option(False, "--json", help="Print the counts as JSON; rows go to --csv only."),
) -> None:
    """Draw formulas that satisfy every demand, and rank them by likelihood, predicted stability and novelty."""
    import sys

    from novalith.cli.terminal import progress, show, split_list, split_range, split_targets
    from novalith.data.library import Hidden, Library
    from novalith.recipes.compose import ComposeOrder, compose, write_rows
    from novalith.screen.chemistry import ChemistryOptions
    from novalith.store.files import write_atomic

    rules = None if oxidation_set == "none" else ChemistryOptions(oxidation_set, pauling)
    order = ComposeOrder(
        system, n, recipe, checkpoint, frozenset(split_list(require)), frozenset(split_list(deny)), subsystems,
        split_targets(target), split_range(n_elements), max_atoms, rules, temperature, guidance,
        near, split_list(between), seed,
    )  # fmt: skip
    library = Library(Hidden.read(hide) if hide else None)
    with progress() as observer:
        observer.stage("Drawing formulas", n)
        composed = compose(order, library, observer.advance)
    for warning in composed.warnings:
        print(f"Warning: {warning} The rows are marked as extrapolation.", file=sys.stderr)
    rows = write_rows(composed)
    if csv is not None:
        write_atomic(csv, rows.encode())
    elif not json:
        print(rows, end="")
    counts = {
        "formulas": len(composed.ranked),
        "drawn": composed.sample.drawn,
        "rejected": dict(composed.sample.rejected),
    }
    text = f"{len(composed.ranked)} formulas from {composed.sample.drawn} draws ({composed.told})."
    print(text, file=sys.stderr) if not json else show(counts, text, json)
