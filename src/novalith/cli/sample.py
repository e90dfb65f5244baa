"""`novalith sample`: proposals without relaxation, as CIF files and a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from novalith.cli.terminal import show, split_list


def command(
    system: str = typer.Argument(help="Chemical system (Li-Sn-S-Cl) or formula (Li4SnS4)."),
    out: Path = typer.Option(..., help="Folder for structures/*.cif and proposals.csv."),
    generators: str = typer.Option("", help="Proposers, comma-separated; all by default."),
    recipe: str = typer.Option("", help="A trained network instead: point-cloud-gan or cross-domain-gan."),
    model: Path | None = typer.Option(None, help="Checkpoint of the network, written by novalith train."),
    photoanode: bool = typer.Option(
        False, "--photoanode", help="With point-cloud-gan: relax the products, keep stable ones with a useful band gap."
    ),
    n: int = typer.Option(20, "-n", "--number", help="How many proposals."),
    require: str = typer.Option("", help="Elements that every proposal must hold."),
    deny: str = typer.Option("", help="Elements that no proposal may hold."),
    spacegroup: int = typer.Option(0, help="Space group of every proposal, 1 to 230; 0 for any."),
    max_atoms: int = typer.Option(24, help="Most atoms in a primitive cell."),
    hide: Path | None = typer.Option(None, help="File of formulas, systems or ids to remove from every table."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    json: bool = typer.Option(False, "--json", help="Print the table as JSON."),
) -> None:
    """Propose crystals for a system or a formula without relaxing them."""
    from novalith.data.library import Hidden, Library
    from novalith.propose.registry import PROPOSERS, load_proposers
    from novalith.propose.request import parse_request
    from novalith.propose.sampling import TABLE, draw_sample, write_sample

    request = parse_request(system, require=require, deny=deny, spacegroup=spacegroup or None, max_atoms=max_atoms)
    if photoanode:
        _photoanodes(recipe, model, request, n, out, seed, json)
        return
    if recipe or model:
        candidates = _from_network(recipe, model, request, n, seed)
    else:
        library = Library(Hidden.read(hide) if hide is not None else Hidden())
        proposers = load_proposers(split_list(generators) or PROPOSERS, library)
        candidates = draw_sample(proposers, request, n, seed)
    rows = write_sample(candidates, out)
    text = f"{len(rows)} of {n} proposals in {out / TABLE}, their CIF files beside it. They are not relaxed."
    show({"proposals": rows, "asked": n, "out": str(out)}, text, json)


def _from_network(recipe: str, model: Path | None, request: Any, n: int, seed: int) -> Any:
    import numpy as np

    from novalith.errors import InputError
    from novalith.recipes.points_sampling import sample_recipe

    if model is None or not recipe:
        raise InputError("A network needs both --recipe and --model: its name and the checkpoint that training wrote.")
    return sample_recipe(recipe, model, request, n, rng=np.random.default_rng(seed))


def _photoanodes(recipe: str, model: Path | None, request: Any, n: int, out: Path, seed: int, json: bool) -> None:
    from dataclasses import asdict

    import numpy as np

    from novalith.errors import InputError
    from novalith.recipes.photoanode import TABLE, screen_photoanodes, told
    from novalith.recipes.point_cloud_gan import NAME, PointCloudGan

    if model is None or recipe != NAME or request.composition is None:
        raise InputError(f"--photoanode needs a formula, --recipe {NAME} and --model with its checkpoint.")
    network, rng = PointCloudGan.load(model), np.random.default_rng(seed)
    rows = screen_photoanodes(network, [request.composition], n, out, rng=rng)
    show({"rows": [asdict(row) for row in rows], "out": str(out)}, f"{told(rows)}\nAll rows: {out / TABLE}", json)
