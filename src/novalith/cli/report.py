"""`novalith report`: the report of a finished campaign, made anew from its folder."""

from __future__ import annotations

from pathlib import Path

import typer


def command(
    run: Path = typer.Argument(help="Campaign folder."),
    json: bool = typer.Option(False, "--json", help="Print a JSON object."),
) -> None:
    """Write report.html again from a campaign folder alone, and print its path."""
    from novalith.campaign.folder import CampaignFolder, load_run
    from novalith.cli.terminal import show
    from novalith.report.page import write_report

    record = load_run(run)
    page = CampaignFolder(run).report
    write_report(record, page)
    show({"report": str(page), "candidates": len(record.ranked)}, str(page), json)
