"""`novalith validate`: the checks behind a claim, their cost told first."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from novalith.cli.terminal import progress, show


def command(
    inputs: list[Path] = typer.Argument(help="A campaign folder, or files and folders of structures."),
    checks: str = typer.Option(
        "formation-energy,phonons,elasticity",
        help="Comma-separated: formation-energy, phonons, elasticity, exfoliation, second-opinion; or all.",
    ),
    top: int = typer.Option(5, min=1, help="Of a campaign: how many candidates, from the first."),
    out: Path | None = typer.Option(None, help="Folder for results of files; a campaign keeps its own."),
    potential: str = typer.Option(
        "chgnet", help="chgnet, chgnet-d3 (with dispersion, for layers), sevennet, sevennet-d3."
    ),
    max_seconds: float = typer.Option(600.0, help="A check that would take longer is refused with its estimate."),
    max_memory: float = typer.Option(4.0, help="A check that would take more memory is refused with its estimate, GB."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Tell the cost and stop."),
    json: bool = typer.Option(False, "--json", help="Print the findings as JSON."),
) -> None:
    """Validate candidates of a campaign or structures in files; ends with code 3 where a check did not pass.

    Prints what every check will cost before any is made. The same command goes on where it was stopped.
    """
    from novalith.campaign.findings import row_to_json
    from novalith.campaign.validation import gather_targets, table_text, told_costs, validate
    from novalith.stability.checks import Toolbox, check_names
    from novalith.stability.cost import Limits

    names, tools = check_names(checks), Toolbox(potential, Limits(max_seconds, max_memory))
    targets, refused, folder = gather_targets(inputs, top, out)
    for name, verdict in refused:
        print(f"{name}: not read. {verdict.reason}", file=sys.stderr)
    if dry_run:
        costs = told_costs(targets, names, tools)
        show({"costs": list(costs)}, "\n".join(costs), json)
        return
    with progress() as observer:
        rows = validate(targets, names, tools, folder, observer=observer)
    passed = sum(row.finding.verdict.passed for row in rows)
    text = f"{table_text(rows)}\n{passed} of {len(rows)} checks passed; see {folder / 'validation.csv'}."
    show({"findings": [row_to_json(row) for row in rows], "passed": passed, "out": str(folder)}, text, json)
    if refused or passed < len(rows):
        raise typer.Exit(3)
