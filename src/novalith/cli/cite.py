"""`novalith cite`: what to cite for a campaign."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer


def command(
    run: Path = typer.Argument(help="Campaign folder."),
    json: bool = typer.Option(False, "--json", help="Print a JSON object."),
) -> None:
    """Print BibTeX of exactly the data, models and methods that a campaign used."""
    from novalith.campaign.folder import load_run
    from novalith.cli.terminal import show
    from novalith.report.citations import bibtex, citations_of

    citations = citations_of(load_run(run).cited)
    show({"citations": [asdict(c) for c in citations]}, bibtex(citations).rstrip("\n"), json)
