"""`novalith rediscover`: blind mode over known compounds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from novalith.cli.terminal import progress, show, split_list, worker_count


def command(
    targets: Path | None = typer.Option(None, help="Parquet or CSV with id, formula and cif; default: --draw."),
    draw: int = typer.Option(30, help="Without --targets: draw this many bundled compounds, printed with the seed."),
    top: int = typer.Option(0, help="Count a target as found only at this rank or better; 0 means any rank."),
    budget: int = typer.Option(20, help="Relaxations of each run."),
    generators: str = typer.Option("", help="Proposers, comma-separated; all by default, alone and together."),
    max_atoms: int = typer.Option(24, help="Most atoms in a primitive cell."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    workers: int = typer.Option(0, help="Relaxations at a time; 0 means one a processor."),
    work: Path | None = typer.Option(None, help="Folder of the runs: the same command goes on from there."),
    json: Path | None = typer.Option(None, "--json", help="Write every attempt to this file."),
) -> None:
    """Hide each compound's formula, ask for it, and count how many known structures come back, and at which rank."""
    import json as json_format

    from novalith.campaign.plan import Plan
    from novalith.campaign.rediscover import draw_targets, read_targets, rediscover, summary_text
    from novalith.data.library import Library
    from novalith.propose.registry import PROPOSERS
    from novalith.store.files import write_atomic

    chosen = draw_targets(Library(), draw, seed) if targets is None else read_targets(targets)
    plan = Plan(
        ask=chosen[0].formula,
        generators=split_list(generators) or PROPOSERS,
        budget=budget,
        max_atoms=max_atoms,
        seed=seed,
        keep_known=True,
    )
    with tempfile.TemporaryDirectory(prefix="novalith-") as scratch, progress() as observer:
        result = rediscover(
            chosen, plan, work or Path(scratch), workers=worker_count(workers), top=top or None, observer=observer
        )
    if json is not None:
        write_atomic(json, json_format.dumps(result, indent=1))
    show(result, summary_text(result), as_json=False)
