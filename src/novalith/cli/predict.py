"""`novalith predict`: properties of formulas."""

from __future__ import annotations

from pathlib import Path

import typer

#: Rows that are not in range and told one by one; the others are counted.
_TOLD = 20


def command(
    file: Path = typer.Argument(help="CSV file with a header."),
    column: str = typer.Option("formula", help="Column that holds the formulas."),
    target: str = typer.Option(
        "formation_energy",
        help="formation_energy, energy_per_atom, decomposition_energy (eV/atom), volume_per_atom (Å³/atom), "
        "band_gap (eV), or what the checkpoint was trained on.",
    ),
    checkpoint: Path | None = typer.Option(None, help="Model of 'novalith train'; the shipped one without it."),
    csv: Path | None = typer.Option(None, help="CSV file to write; standard output without it."),
    json: bool = typer.Option(False, "--json", help="Print the counts as JSON; rows go to --csv only."),
) -> None:
    """Predict a property of every formula, say how sure that is, and mark what lies outside of the training.

    Writes formula, value, uncertainty (one standard deviation) and in_range for every row. Rows that cannot be read
    have no value; their line and the cause are told, and the exit code is 3.
    """
    import os
    import sys

    from novalith.cli.terminal import show
    from novalith.recipes.composition_predictors import default_predictor, load_predictor
    from novalith.recipes.predict_file import predict_file

    model = default_predictor() if checkpoint is None else load_predictor(checkpoint)
    told = 0

    def tell(sentence: str) -> None:
        nonlocal told
        told += 1
        if told <= _TOLD:
            print(sentence, file=sys.stderr)

    out = Path(os.devnull) if json and csv is None else csv
    counts = predict_file(file, column, model, target, out, tell)
    if told > _TOLD:
        print(f"... and {told - _TOLD} more rows out of range.", file=sys.stderr)
    unit, (low, high) = model.targets[target], model.training_ranges[target]
    text = (
        f"{counts.rows} formulas: {counts.in_range} in range, {counts.extrapolated} extrapolated, "
        f"{counts.without_value} without a value ({counts.unreadable} unreadable). {target} in {unit or 'no unit'}; "
        f"the model was trained on {low:.4g} to {high:.4g}."
    )
    if csv is None and not json:
        print(text, file=sys.stderr)
    else:
        result = {**vars(counts), "target": target, "unit": unit, "training_range": [low, high]}
        show(result | {"csv": str(csv) if csv else None}, text, json)
    if counts.unreadable:
        raise typer.Exit(3)
