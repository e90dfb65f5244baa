"""`novalith data`: the bundled tables, their origin and whether they are intact."""

from __future__ import annotations

import typer

from novalith.cli.terminal import show
from novalith.errors import CorruptDataError

app = typer.Typer(help="List the bundled tables and check that they are intact.")


@app.callback(invoke_without_command=True)
def tables(
    context: typer.Context,
    json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """List the bundled tables: entries, size, source and licence; 'novalith data verify' checks them."""
    if context.invoked_subcommand is None:
        from novalith.data.summary import listing_json, listing_text

        show(listing_json(), listing_text(), json)


@app.command()
def verify(json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Recompute the checksums of the bundled tables; ends with code 4 and names the file where one does not hold."""
    from dataclasses import asdict

    from novalith.data.verify import verify as recompute

    checks = recompute()
    lines = [f"{check.file}: {'intact' if check.passed else check.reason}" for check in checks]
    show({"checks": [asdict(check) for check in checks]}, "\n".join(lines), json)
    failed = [check.file for check in checks if not check.passed]
    if failed:
        raise CorruptDataError(f"{', '.join(failed)} not as on the card; install novalith again.")
