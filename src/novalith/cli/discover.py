"""`novalith discover`: the main job."""

from __future__ import annotations

from pathlib import Path

import typer

from novalith.cli.terminal import progress, show, split_list, worker_count
from novalith.errors import ContradictionError


def command(
    system: str = typer.Argument("", help="Chemical system (Li-Sn-S-Cl) or formula (Li4SnS4)."),
    out: Path = typer.Option(..., help="Campaign folder; the same command in the same folder goes on from there."),
    generators: str = typer.Option("", help="Proposers, comma-separated; all by default."),
    structures: str = typer.Option(
        "", help="Folder of structures to take up, such as --out of 'novalith sample'; then a system is not needed."
    ),
    budget: int = typer.Option(0, help="Number of relaxations; 0 means the default (160)."),
    hull: str = typer.Option("table", help="Competing phases: 'table' or 'same-potential'."),
    require: str = typer.Option("", help="Elements that every candidate must hold."),
    deny: str = typer.Option("", help="Elements that no candidate may hold."),
    subsystems: bool = typer.Option(False, help="Allow candidates without some elements of the system."),
    spacegroup: int = typer.Option(0, help="Space group of every candidate, 1 to 230; 0 for any."),
    max_atoms: int = typer.Option(24, help="Most atoms in a primitive cell."),
    top_fields: int = typer.Option(0, help="Start from the best N unreported phase fields that hold --require."),
    anions: int | None = typer.Option(None, help="With --top-fields: number of anions in a field."),
    arity: int = typer.Option(4, help="With --top-fields: number of elements in a field."),
    hide: Path | None = typer.Option(None, help="File of formulas, systems or ids to remove from every table."),
    reference: str = typer.Option("", help="Folder or file of your own known materials, for novelty."),
    keep_known: bool = typer.Option(False, help="Relax and rank known structures too."),
    validate: str = typer.Option("", help="Checks of the best candidates afterwards: see 'novalith validate --help'."),
    validate_top: int = typer.Option(5, min=1, help="With --validate: how many candidates."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    workers: int = typer.Option(0, help="Relaxations at a time; 0 means one a processor."),
    cache: Path | None = typer.Option(None, help="Folder of relaxations shared between campaigns."),
    json: bool = typer.Option(False, "--json", help="Print the table as JSON."),
) -> None:
    """Elements or a formula in, ranked relaxed crystals with reasons and doubts out."""
    from novalith.campaign.discover import discover
    from novalith.campaign.fields import discover_in_fields
    from novalith.campaign.plan import DEFAULT_BUDGET, Plan
    from novalith.campaign.record import RunRecord
    from novalith.campaign.summary import fields_text, summary_json, summary_text
    from novalith.campaign.validation import validate_run
    from novalith.data.library import Hidden
    from novalith.propose.registry import PROPOSERS
    from novalith.propose.structures import NAME as STRUCTURES
    from novalith.recipes.fields import default_scorer, rank_fields
    from novalith.report.page import write_report
    from novalith.screen.field_limits import FieldLimits
    from novalith.stability.checks import Toolbox, check_names
    from novalith.store.cache import FolderCache

    checks = check_names(validate)
    named = split_list(generators) or (() if structures else PROPOSERS)
    if structures and STRUCTURES not in named:
        named = (STRUCTURES, *named)

    def plan_for(asked: str) -> Plan:
        return Plan(
            ask=asked,
            require=split_list(require),
            deny=split_list(deny),
            subsystems=subsystems,
            spacegroup=spacegroup,
            max_atoms=max_atoms,
            generators=named,
            budget=budget or DEFAULT_BUDGET,
            hull=hull,
            seed=seed,
            keep_known=keep_known,
            hidden=() if hide is None else Hidden.read(hide).entries,
            reference=reference,
            structures=structures,
        )

    with progress() as observer:

        def run(plan: Plan, folder: Path) -> RunRecord:
            shared = None if cache is None else FolderCache(cache)
            record = discover(plan, folder, workers=worker_count(workers), cache=shared, observer=observer)
            if checks and record.ranked:
                record = validate_run(record, checks, validate_top, Toolbox(plan.potential), observer)
            write_report(record, folder / "report.html")
            return record

        if not top_fields:
            record = run(plan_for(system), out)
            show(summary_json(record), summary_text(record), json)
            return
        if system:
            raise ContradictionError(f"Give either the system {system} or --top-fields, which chooses systems.")
        limits = FieldLimits(arity, frozenset(split_list(require)), deny=frozenset(split_list(deny)), n_anions=anions)
        concealed = None if hide is None else Hidden.read(hide)
        results = discover_in_fields(
            rank_fields(limits, top_fields, default_scorer(concealed)), plan_for, run, out, observer=observer
        )
    found = {field.field.name: None if record is None else summary_json(record) for field, record in results}
    show({"folder": str(out), "fields": found}, fields_text(results, out), json)
