"""`novalith train`: learn a recipe from a table."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    recipe: str = typer.Argument(
        help="What to train. From formulas: sequence, matgan, ding, elemnet, magpie-forest, set-network, "
        "two-dimensional. From structures: cgcnn, imatgen, hoffmann, court, point-cloud-gan, cross-domain-gan."
    ),
    out: Path = typer.Option(..., help="Checkpoint (.safetensors) to write."),
    data: Path | None = typer.Option(
        None,
        help="CSV or Parquet to learn from, with a column of formulas, or of structures (cif) with their properties; "
        "the bundled data without it.",
    ),
    column: str = typer.Option("formula", help="Column that holds the formulas."),
    target: list[str] = typer.Option([], help="Property to learn or to be conditioned on; repeat it for more."),
    size: str = typer.Option("default", help="tiny, default or paper (the published sizes)."),
    epochs: int | None = typer.Option(None, min=1, help="Passes over the data; the size's own number without it."),
    option: list[str] = typer.Option([], help="Further settings of the recipe, such as network=gru."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    device: str = typer.Option("cpu", help="cpu, cuda or auto."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Train a recipe; when it was stopped, the same command goes on from the last epoch."""
    import sys

    from novalith.cli.terminal import show, split_pairs
    from novalith.recipes.training import TrainingOrder, train_recipe

    def watch(report):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  loaded with torch only
        print(
            f"epoch {report.epoch}: loss {report.training_loss:.5g}, validation {report.validation_loss:.5g}",
            file=sys.stderr,
        )

    order = TrainingOrder(data, out, column, tuple(target), size, epochs, split_pairs(option), seed, device, watch)
    summary = train_recipe(recipe, order)
    for line, reason in list(summary.set_aside.items())[:10]:
        print(f"line {line} was left out: {reason}", file=sys.stderr)
    figures = ", ".join(f"{name} {value:.4g}" for name, value in summary.figures.items())
    text = (
        f"{recipe}: {summary.n_rows} rows, {len(summary.set_aside)} left out; {figures or 'no figures'}; wrote {out}."
    )
    result = {"recipe": recipe, "out": str(out), "rows": summary.n_rows, "left_out": len(summary.set_aside)}
    show(result | {"figures": dict(summary.figures)}, text, json)
