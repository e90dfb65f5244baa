"""`novalith discover`: the main job."""

from __future__ import annotations

from pathlib import Path

import typer

from novalith.cli.terminal import progress, show, split_list, worker_count


def command(
    system: str = typer.Argument(help="Chemical system (Li-Sn-S-Cl) or formula (Li4SnS4)."),
    out: Path = typer.Option(..., help="Campaign folder; the same command in the same folder goes on from there."),
    generators: str = typer.Option("", help="Proposers, comma-separated; all by default."),
    budget: int = typer.Option(0, help="Number of relaxations; 0 means the default (160)."),
    hull: str = typer.Option("table", help="Competing phases: 'table' or 'same-potential'."),
    require: str = typer.Option("", help="Elements that every candidate must hold."),
    deny: str = typer.Option("", help="Elements that no candidate may hold."),
    subsystems: bool = typer.Option(False, help="Allow candidates without some elements of the system."),
    spacegroup: int = typer.Option(0, help="Space group of every candidate, 1 to 230; 0 for any."),
    max_atoms: int = typer.Option(24, help="Most atoms in a primitive cell."),
    hide: Path | None = typer.Option(None, help="File of formulas, systems or ids to remove from every table."),
    reference: str = typer.Option("", help="Folder or file of your own known materials, for novelty."),
    keep_known: bool = typer.Option(False, help="Relax and rank known structures too."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    workers: int = typer.Option(0, help="Relaxations at a time; 0 means one a processor."),
    cache: Path | None = typer.Option(None, help="Folder of relaxations shared between campaigns."),
    json: bool = typer.Option(False, "--json", help="Print the table as JSON."),
) -> None:
    """Elements or a formula in, ranked relaxed crystals with reasons and doubts out."""
    from novalith.campaign.discover import discover
    from novalith.campaign.plan import DEFAULT_BUDGET, Plan
    from novalith.campaign.summary import summary_json, summary_text
    from novalith.data.library import Hidden
    from novalith.propose.registry import PROPOSERS
    from novalith.report.page import write_report
    from novalith.store.cache import FolderCache

    plan = Plan(
        ask=system,
        require=split_list(require),
        deny=split_list(deny),
        subsystems=subsystems,
        spacegroup=spacegroup,
        max_atoms=max_atoms,
        generators=split_list(generators) or PROPOSERS,
        budget=budget or DEFAULT_BUDGET,
        hull=hull,
        seed=seed,
        keep_known=keep_known,
        reference=reference,
        hidden=() if hide is None else Hidden.read(hide).entries,
    )
    with progress() as observer:
        shared = None if cache is None else FolderCache(cache)
        record = discover(plan, out, workers=worker_count(workers), cache=shared, observer=observer)
        write_report(record, out / "report.html")
    show(summary_json(record), summary_text(record), json)
