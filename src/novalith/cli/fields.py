"""`novalith fields`: which elements to combine."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Rank, score and explain phase fields: which elements to combine.", no_args_is_help=True)

_CSV = typer.Option(None, help="CSV file to write.")
_JSON = typer.Option(False, "--json", help="Print one JSON object.")
_SEED = typer.Option(0, help="Seeds training; without training nothing is random.")


@app.command()
def rank(
    require: str = typer.Option("", help="Elements that every field holds, such as Li or Li,S."),
    allow: str = typer.Option("", help="The only other elements that may occur."),
    deny: str = typer.Option("", help="Elements that may not occur."),
    anions: int | None = typer.Option(None, help="Number of anions; P, As and H count as the field needs them."),
    arity: int = typer.Option(4, help="Number of elements, 2 to 5."),
    no_radioactive: bool = typer.Option(False, "--no-radioactive", help="Leave out elements without a stable isotope."),
    no_toxic: bool = typer.Option(False, "--no-toxic", help="Leave out As Be Cd Cr Hg Ni Pb Tl."),
    no_redox_active: bool = typer.Option(
        False, "--no-redox-active", help="Leave out d and f elements with several common oxidation states."
    ),
    max_hhi: float | None = typer.Option(None, help="Largest supply-risk index (HHI of production, to 10000)."),
    max_price: float | None = typer.Option(None, help="Largest price of an element, US$/kg (2013)."),
    top: int = typer.Option(50, min=1, help="How many fields."),
    hide: Path | None = typer.Option(None, help="Materials that must not be known: one formula or system a line."),
    csv: Path | None = _CSV,
    json: bool = _JSON,
) -> None:
    """Rank the unreported fields within limits by how much they resemble reported ones."""
    from novalith.cli.terminal import split_list
    from novalith.data.hidden import Hidden
    from novalith.recipes.field_output import show_fields
    from novalith.recipes.fields import default_scorer, rank_fields
    from novalith.screen.field_limits import FieldLimits

    limits = FieldLimits(
        arity=arity,
        require=frozenset(split_list(require)),
        allow=frozenset(split_list(allow)),
        deny=frozenset(split_list(deny)),
        n_anions=anions,
        no_radioactive=no_radioactive,
        no_toxic=no_toxic,
        no_redox_active=no_redox_active,
        max_hhi=max_hhi,
        max_price_usd_per_kg=max_price,
    )
    scorer = default_scorer(Hidden.read(hide) if hide else None)
    print(show_fields(rank_fields(limits, top, scorer), csv, json))


@app.command()
def score(
    file: Path = typer.Argument(help="Text file with one field a line, symbols separated by blanks."),
    train_on: list[Path] = typer.Option(
        [],
        "--train-on",
        help="List of reported fields to learn from; repeat it for more lists. The shipped model without.",
    ),
    members: int = typer.Option(3, min=1, help="Members of a newly trained scorer."),
    csv: Path | None = _CSV,
    seed: int = _SEED,
    json: bool = _JSON,
) -> None:
    """Score the fields of a file, in its order, by the shipped model or by one trained on any lists."""
    import sys

    import numpy as np

    from novalith.data.reported_fields import read_fields, read_training_lists
    from novalith.recipes.field_output import show_fields
    from novalith.recipes.field_training import FieldTraining
    from novalith.recipes.fields import default_scorer, train_scorer, trained_arities

    fields = read_fields(file)
    scorer = default_scorer() if not train_on else None
    if scorer is None:
        reported, repeated = read_training_lists(train_on)
        print(f"{len(reported)} reported fields; {repeated} lines repeat an element.", file=sys.stderr)
        settings, rng = FieldTraining(n_members=members), np.random.default_rng(seed)
        tell = lambda line: print(line, file=sys.stderr)  # noqa: E731
        scorer = train_scorer(reported, trained_arities(fields), settings, tell, rng=rng)
    print(show_fields(scorer.score_fields(fields), csv, json))


@app.command()
def why(
    field: str = typer.Argument(help="Elements, such as Li-Sn-S-Cl."),
    json: bool = _JSON,
) -> None:
    """Say why a field stands where it stands: nearest reported fields, pairs of elements, known sub-fields."""
    from novalith.data.reported_fields import check_arity
    from novalith.materials import PhaseField
    from novalith.recipes.field_output import show_reasons
    from novalith.recipes.fields import default_scorer

    asked = check_arity(PhaseField.parse(field), "the field given")
    print(show_reasons(default_scorer().score_fields([asked], with_reasons=True)[0], json))


@app.command()
def train(
    data: list[Path] = typer.Option([], "--data", help="Lists of reported fields; the bundled ones without it."),
    out: Path = typer.Option(..., help="Checkpoint to write."),
    members: int = typer.Option(3, min=1, help="Members of the scorer."),
    seed: int = typer.Option(1, help="Deals folds and random fields, starts networks."),
    json: bool = _JSON,
) -> None:
    """Train the scorer for two to five elements; this command made the shipped weights."""
    import sys

    import numpy as np

    from novalith.cli.terminal import show
    from novalith.data.reported_fields import read_training_lists, reported_fields
    from novalith.recipes.field_training import FieldTraining
    from novalith.recipes.fields import train_scorer
    from novalith.represent.phase_field import ARITIES

    reported = read_training_lists(data)[0] if data else reported_fields()
    tell = lambda line: print(line, file=sys.stderr)  # noqa: E731
    settings = FieldTraining(n_members=members)
    train_scorer(reported, ARITIES, settings, tell, rng=np.random.default_rng(seed)).save(out)
    show(
        {"out": str(out), "reported": len(reported)}, f"Trained on {len(reported)} reported fields; wrote {out}.", json
    )


@app.command(name="map")
def draw_map(
    out: Path = typer.Option(..., help="Folder to write latent_map.svg and element_heat_map.svg to."),
    require: str = typer.Option("Li", help="Elements that every field on the map holds."),
    anions: int | None = typer.Option(2, help="Number of anions."),
    arity: int = typer.Option(4, help="Number of elements, 2 to 5."),
    fields: int = typer.Option(1500, min=50, help="Largest number of fields on the map."),
    seed: int = _SEED,
    json: bool = _JSON,
) -> None:
    """Draw the map of fields (t-SNE, coloured by score) and the periodic table of mean scores."""
    import numpy as np

    from novalith.cli.terminal import show, split_list
    from novalith.report.figures.fields import draw_field_figures
    from novalith.screen.field_limits import FieldLimits

    limits = FieldLimits(arity, frozenset(split_list(require)), n_anions=anions)
    written = draw_field_figures(limits, fields, out, np.random.default_rng(seed))
    show({"written": [str(path) for path in written]}, "\n".join(map(str, written)), json)
