"""`novalith sample`: proposals as CIF files and a table, relaxed and validated only where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from novalith.cli.terminal import show, split_list, split_targets
from novalith.errors import CapabilityError, InputError


def command(
    system: str = typer.Argument("", help="Chemical system (Li-Sn-S-Cl) or formula (Li4SnS4), where one is needed."),
    out: Path = typer.Option(..., help="Folder for structures/*.cif and proposals.csv."),
    generators: str = typer.Option("", help="Proposers, comma-separated; all by default."),
    recipe: str = typer.Option(
        "", help="A trained network instead: court, imatgen, hoffmann, point-cloud-gan or cross-domain-gan."
    ),
    checkpoint: Path | None = typer.Option(
        None, "--checkpoint", "--model", help="Its weights, by novalith train; those that ship without it."
    ),
    family: str = typer.Option("", help="Class of materials that the network knows, such as perovskite."),
    photoanode: bool = typer.Option(
        False, "--photoanode", help="With point-cloud-gan: relax the products, keep stable ones with a useful band gap."
    ),
    target: list[str] = typer.Option([], help="Property to ask a network for, such as formation_energy=-2."),
    around: Path | None = typer.Option(None, help="Draw around this crystal, for a network with codes."),
    spread: float = typer.Option(0.5, help="With --around: how far, in standard deviations of the codes."),
    between: tuple[Path, Path] | None = typer.Option(None, help="Two crystals: decode the way between their codes."),
    optimise: str = typer.Option("", help="Search the codes for an optimum: formation_energy=min, band_gap=1.5."),
    relax: bool = typer.Option(
        False, "--relax", help="Relax every proposal too: energy above the hull, symmetry, what relaxation did to it."
    ),
    validate: str = typer.Option("", help="Checks of the proposals afterwards: see 'novalith validate --help'."),
    workers: int = typer.Option(1, min=0, help="Relaxations at a time; 0 for one a processor."),
    n: int = typer.Option(20, "-n", "--number", help="How many proposals."),
    require: str = typer.Option("", help="Elements that every proposal must hold."),
    deny: str = typer.Option("", help="Elements that no proposal may hold."),
    spacegroup: int = typer.Option(0, help="Space group of every proposal, 1 to 230; 0 for any."),
    max_atoms: int = typer.Option(24, help="Most atoms in a primitive cell."),
    hide: Path | None = typer.Option(None, help="File of formulas, systems or ids to remove from every table."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    json: bool = typer.Option(False, "--json", help="Print the table as JSON."),
) -> None:
    """Propose crystals for a system or a formula; they are relaxed only with --relax."""
    from novalith.propose.sampling import check_sample_folder
    from novalith.recipes.crystal_sampling import SampleOrder, recipe_of
    from novalith.recipes.relaxed_products import distances_told

    targets = dict(split_targets(target))
    recipe = recipe_of(recipe, checkpoint)
    check_sample_folder(out)
    if photoanode:
        request = _request(system, require=require, deny=deny, spacegroup=spacegroup or None, max_atoms=max_atoms)
        _photoanodes(recipe, checkpoint, request, n, out, seed, targets, json)
        return
    if recipe:
        if spacegroup:
            raise CapabilityError(
                f"{recipe} cannot be asked for a space group; draw many and look for it in the table."
            )
        order = SampleOrder(
            recipe, checkpoint, system, split_list(require), split_list(deny), family, targets, around, spread, between,
            optimise, n, max_atoms, seed,
        )  # fmt: skip
        candidates, result, text = _from_network(order, out)
    else:
        if family or targets or around or between or optimise:
            raise CapabilityError(
                "A family, a target, a crystal to start from or an optimum needs a network: --recipe."
            )
        request = _request(system, require=require, deny=deny, spacegroup=spacegroup or None, max_atoms=max_atoms)
        candidates, result, text = _proposed(request, split_list(generators), hide, n, seed, out)
    text += f"\nDistances: {distances_told(candidates)}."
    if relax:
        counts, told = _relaxed(candidates, out, workers)
        text, result = f"{text}\n{told}", result | {"relaxed": counts}
    if validate:
        findings, told = _validated(candidates, validate, out)
        text, result = f"{text}\n{told}", result | {"findings": findings}
    show(result, text, json)


def _from_network(order: Any, out: Path) -> tuple[Any, dict[str, Any], str]:
    from novalith.propose.sampling import WAY
    from novalith.recipes.crystal_sampling import draw, summary, write_drawn
    from novalith.report.figures.latent import draw_way

    drawn = draw(order)
    rows = write_drawn(drawn, out)
    if drawn.model is not None and drawn.way is not None:
        draw_way(drawn.model, drawn.way, out / WAY)
    text = f"{drawn.told}\nTables, CIF files and figures in {out}. They are not relaxed."
    return drawn.candidates, summary(drawn, rows, out), text


def _request(system: str, **parts: Any) -> Any:
    from novalith.propose.request import parse_request

    return parse_request(system, **parts)


def _proposed(
    request: Any, generators: tuple[str, ...], hide: Path | None, n: int, seed: int, out: Path
) -> tuple[Any, dict[str, Any], str]:
    from novalith.data.library import Hidden, Library
    from novalith.propose.registry import PROPOSERS, load_proposers
    from novalith.propose.sampling import TABLE, draw_sample, write_sample

    library = Library(Hidden.read(hide) if hide is not None else Hidden())
    candidates = draw_sample(load_proposers(generators or PROPOSERS, library), request, n, seed)
    rows = write_sample(candidates, out)
    text = f"{len(rows)} of {n} proposals in {out / TABLE}, their CIF files beside it. They are not relaxed."
    return candidates, {"proposals": rows, "asked": n, "out": str(out)}, text


def _relaxed(candidates: Any, out: Path, workers: int) -> tuple[Any, str]:
    from novalith.cli.terminal import worker_count
    from novalith.recipes.bench_tables import table_of_records
    from novalith.recipes.relaxed_products import TABLE, write_relaxed

    counts = write_relaxed(candidates, out, worker_count(workers))
    records = [{"after relaxation": name, "": value} for name, value in counts.items()]
    return counts, table_of_records(f"Relaxed copies and what relaxation did: {out / TABLE}", records).text


def _validated(candidates: Any, checks: str, out: Path) -> tuple[Any, str]:
    from novalith.campaign.findings import FOLDER, row_to_json
    from novalith.campaign.validation import Target, table_text, validate
    from novalith.cli.terminal import progress
    from novalith.stability.checks import Toolbox, check_names

    targets = [Target(c.id, c.crystal) for c in candidates]
    with progress() as observer:
        rows = validate(targets, check_names(checks), Toolbox(), out / FOLDER, observer=observer)
    return [row_to_json(row) for row in rows], table_text(rows)


def _photoanodes(
    recipe: str, model: Path | None, request: Any, n: int, out: Path, seed: int, targets: dict[str, float], json: bool
) -> None:
    from dataclasses import asdict

    import numpy as np

    from novalith.recipes.photoanode import TABLE, PhotoanodeLimits, screen_photoanodes, told
    from novalith.recipes.point_cloud_gan import NAME, PointCloudGan

    if model is None or recipe != NAME or request.composition is None:
        raise InputError(f"--photoanode needs a formula, --recipe {NAME} and --checkpoint with its weights.")
    network, rng = PointCloudGan.load(model), np.random.default_rng(seed)
    limits = PhotoanodeLimits(ask_ev_per_atom=targets.get("formation_energy"))
    rows = screen_photoanodes(network, [request.composition], n, out, limits, rng=rng)
    show({"rows": [asdict(row) for row in rows], "out": str(out)}, f"{told(rows)}\nAll rows: {out / TABLE}", json)
