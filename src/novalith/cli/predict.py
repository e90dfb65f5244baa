"""`novalith predict`: properties of formulas and of structures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

#: Rows that are not in range and told one by one; the others are counted.
_TOLD = 20


def command(
    file: Path = typer.Argument(
        help="CSV file of formulas; or structures: a folder, a file, or a CSV or Parquet table with an id and a cif "
        "column."
    ),
    column: str = typer.Option("formula", help="Column that holds the formulas."),
    target: str = typer.Option(
        "formation_energy",
        help="formation_energy, energy_per_atom (eV/atom), band_gap (eV); of formulas also decomposition_energy "
        "(eV/atom), volume_per_atom (Å³/atom); of structures also bulk_modulus, shear_modulus (GPa), poisson_ratio, "
        "dielectric_constant, refractive_index; or what the checkpoint was trained on.",
    ),
    checkpoint: Path | None = typer.Option(None, help="Model of 'novalith train'; the shipped one without it."),
    csv: Path | None = typer.Option(None, help="CSV file to write; standard output without it."),
    json: bool = typer.Option(False, "--json", help="Print the counts as JSON; rows go to --csv only."),
) -> None:
    """Predict a property of every formula or structure, say how sure that is, and mark what lies outside the training.

    Writes formula (or id), value, uncertainty (one standard deviation) and in_range for every row. What cannot be read
    has no value; its line or id and the cause are told, and the exit code is 3.
    """
    from novalith.cli.terminal import show
    from novalith.recipes.predict_structures import holds_structures

    work = _of_structures if holds_structures(file, column, checkpoint) else _of_formulas
    counts, text, result, n_bad = work(file, column, target, checkpoint, csv, json)
    if csv is None and not json:
        import sys

        print(text, file=sys.stderr)
    else:
        show({**counts, **result, "target": target, "csv": str(csv) if csv else None}, text, json)
    if n_bad:
        raise typer.Exit(3)


_Outcome = tuple[dict[str, Any], str, dict[str, Any], int]


def _of_formulas(
    file: Path, column: str, target: str, checkpoint: Path | None, csv: Path | None, json: bool
) -> _Outcome:
    from novalith.recipes.composition_predictors import default_predictor, load_predictor
    from novalith.recipes.predict_file import predict_file

    model = default_predictor() if checkpoint is None else load_predictor(checkpoint)
    with _Teller() as tell:
        counts = predict_file(file, column, model, target, _out(csv, json), tell)
    unit, (low, high) = model.targets[target], model.training_ranges[target]
    text = (
        f"{counts.rows} formulas: {counts.in_range} in range, {counts.extrapolated} extrapolated, "
        f"{counts.without_value} without a value ({counts.unreadable} unreadable). {target} in {unit or 'no unit'}; "
        f"the model was trained on {low:.4g} to {high:.4g}."
    )
    return dict(vars(counts)), text, {"unit": unit, "training_range": [low, high]}, counts.unreadable


def _of_structures(
    file: Path, column: str, target: str, checkpoint: Path | None, csv: Path | None, json: bool
) -> _Outcome:
    del column
    from novalith.recipes.cgcnn import default_structure_predictor
    from novalith.recipes.predict_structures import load_structure_predictor, predict_structures

    model = default_structure_predictor() if checkpoint is None else load_structure_predictor(checkpoint)
    with _Teller() as tell:
        counts = predict_structures(file, model, target, _out(csv, json), tell)
    unit, (low, high) = model.units[target], model.training_ranges[target]
    text = (
        f"{counts.structures} structures: {counts.in_range} in range, {counts.extrapolated} extrapolated, "
        f"{counts.without_value} without a value ({counts.refused} refused). {target} in {unit or 'no unit'}; "
        f"the model was trained on {low:.4g} to {high:.4g}."
    )
    return dict(vars(counts)), text, {"unit": unit, "training_range": [low, high]}, counts.refused


def _out(csv: Path | None, json: bool) -> Path | None:
    import os

    return Path(os.devnull) if json and csv is None else csv


class _Teller:
    """Tells the first sentences on standard error, and at the end how many there were more."""

    def __init__(self) -> None:
        self.told = 0

    def __enter__(self) -> Callable[[str], None]:
        return self.tell

    def tell(self, sentence: str) -> None:
        import sys

        self.told += 1
        if self.told <= _TOLD:
            print(sentence, file=sys.stderr)

    def __exit__(self, kind: object, *_: object) -> None:
        import sys

        if self.told > _TOLD and kind is None:
            print(f"... and {self.told - _TOLD} more rows out of range.", file=sys.stderr)
