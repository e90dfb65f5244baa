"""`novalith bench`: the figures that the documentation claims, computed anew. One sub-verb a subject."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Recompute the figures that the documentation claims.", no_args_is_help=True)


@app.callback()
def _subjects() -> None:
    """Recompute the figures that the documentation claims."""


@app.command()
def fields(
    published: bool = typer.Option(False, "--published", help="The published ranking of fields, and what it is."),
    discrimination: bool = typer.Option(
        False, "--discrimination", help="Each scorer on reported fields that it has not seen, against random fields."
    ),
    calibration: bool = typer.Option(False, "--calibration", help="Said against seen probabilities, four elements."),
    protocol: str = typer.Option("", help="One protocol only, such as quaternary; all without it."),
    folds: int = typer.Option(5, min=1, max=5, help="Folds to run."),
    members: int = typer.Option(1, min=1, help="Members of the learned scorers; the shipped one has 3."),
    epochs: int = typer.Option(15, min=0, help="Epochs of the published network; 0 trains none."),
    seed: int = typer.Option(0, help="Deals folds and random fields, starts networks."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recompute the figures on phase fields; with no option, both tables."""
    import json as json_format
    import sys

    import numpy as np

    from novalith.recipes import field_report

    both = not (published or discrimination or calibration)
    tables = []
    if published or both:
        tables.append(field_report.published_table(epochs, np.random.default_rng(seed)))
    if discrimination or both:
        asked = field_report.BenchRequest(protocol, folds, members, seed)
        tables += field_report.discrimination_tables(asked, lambda line: print(line, file=sys.stderr))
    if calibration:
        tables.append(field_report.reliability_table(4, members, seed))
    if json:
        print(json_format.dumps({table.title: table.records for table in tables}, indent=2))
    else:
        print("\n\n".join(table.text for table in tables))


@app.command()
def validation(
    phonons: bool = typer.Option(False, "--phonons", help="Verdicts on crystals known to be stable and unstable."),
    elasticity: bool = typer.Option(False, "--elasticity", help="Bulk moduli against DFT (mp_elastic_tensor.parquet)."),
    exfoliation: bool = typer.Option(
        False, "--exfoliation", help="Exfoliation energies against 2DMatPedia, and mp_structures.parquet for parents."
    ),
    memory: bool = typer.Option(False, "--memory", help="Memory of evaluations of large cells."),
    dft: bool = typer.Option(False, "--dft", help="Formation energies of MgO and a monolayer of MgCl2 by GPAW."),
    n: int = typer.Option(150, min=1, help="Most rows of a table."),
    potential: str = typer.Option("chgnet", help="The potential; exfoliation adds the dispersion itself."),
    python: str = typer.Option("", help="With --dft: interpreter that has GPAW; this one by default."),
    data: Path | None = typer.Option(None, envvar="NOVALITH_DATA", help="Folder of the public tables."),
    keep: Path = typer.Option(Path("bench-validation"), help="Folder for results; what it holds is not done again."),
    seed: int = typer.Option(0, help="Chooses the rows."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recompute the figures on validations; with no option phonons, elasticity and exfoliation."""
    import json as json_format
    import sys

    import numpy as np

    from novalith.recipes import validation_bench as bench

    asked = bench.Bench(data, keep, n, potential, python)

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    every = not (phonons or elasticity or exfoliation or memory or dft)
    found = {}
    if phonons or every:
        found["phonons"] = bench.phonon_records(asked, tell)
    if elasticity or every:
        found["elasticity"] = bench.elastic_records(asked, np.random.default_rng(seed), tell)
    if exfoliation or every:
        found["exfoliation"] = bench.exfoliation_records(asked, np.random.default_rng(seed), tell)
    figures: dict[str, object] = {subject: bench.summary(subject, records) for subject, records in found.items()}
    if dft:
        found["dft"] = figures["dft"] = bench.dft_records(asked, tell)
    if memory:
        found["memory"] = figures["memory"] = bench.memory_records(asked, tell)
    if json:
        print(json_format.dumps({"figures": figures, "records": found}, indent=2))
    else:
        print("\n\n".join(f"{subject}: {json_format.dumps(f, indent=2)}" for subject, f in figures.items()))


@app.command()
def points(
    memory: bool = typer.Option(False, "--memory", help="Memory of one crystal in each representation."),
    composition: bool = typer.Option(False, "--composition", help="The composition-conditioned network."),
    cross_domain: bool = typer.Option(False, "--cross-domain", help="The cross-domain network, three pairs."),
    keep: Path = typer.Option(Path("bench-points"), help="Folder for sets, models and relaxations; reused."),
    curves: Path | None = typer.Option(None, help="SVG file to draw the learning curves to."),
    system: str = typer.Option("Mg-Mn-O", help="System of the composition-conditioned network."),
    draws: int = typer.Option(50, min=1, help="Products drawn of each composition or pair."),
    relax: int = typer.Option(4, min=0, help="Products relaxed of each, and of each control."),
    crystals: int = typer.Option(700, min=10, help="Substituted structures relaxed to learn from."),
    epochs: int = typer.Option(0, min=0, help="Epochs of training; 0 for those of the size."),
    size: str = typer.Option("default", help="tiny, default or paper."),
    workers: int = typer.Option(1, min=1, help="Relaxations at a time."),
    seed: int = typer.Option(0, help="Seed of every random choice."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recompute the figures on point clouds; with no option all three."""
    import sys

    from novalith.cli.terminal import show
    from novalith.recipes import points_bench
    from novalith.recipes.bench_tables import as_records

    every = not (memory or composition or cross_domain)
    asked = points_bench.PointsBench(
        keep, system, n_draws=draws, n_relaxed=relax, n_training=crystals, epochs=epochs or None, size=size,
        workers=workers, seed=seed,
    )  # fmt: skip
    subjects = (memory or every, composition or every, cross_domain or every)
    tables = points_bench.tables(asked, subjects, lambda line: print(line, file=sys.stderr))
    if curves is not None:
        from novalith.report.figures.learning_curves import draw_learning_curves

        draw_learning_curves(asked.curves, curves)
    show(dict(as_records(tables)), "\n\n".join(table.text for table in tables), json)


@app.command()
def compositions(
    part: list[str] = typer.Option([], help="rules, generators, constraints, ding or predictors; all without it."),
    sets: str = typer.Option("", help="Sets of formulas for the generators, such as icsd,mp; all without it."),
    models: str = typer.Option(
        "matgan,sequence", help="Generators; also sequence-gru, sequence-uncharged, matgan-paper."
    ),
    n: int = typer.Option(2_000_000, "-n", "--number", min=1000, help="Draws of each generator."),
    n_rules: int = typer.Option(30_000, min=100, help="Formulas of each table that the rules are compared on."),
    n_stream: int = typer.Option(10_000_000, min=0, help="Formulas streamed to measure the memory; 0 for none."),
    targets: int = typer.Option(200, min=1, help="Targets of each kind for the conditioned generators."),
    data: Path = typer.Option(..., envvar="NOVALITH_DATA", help="Folder of the public tables."),
    keep: Path = typer.Option(
        Path("bench-compositions"), help="Folder of models and records; what it holds is not redone."
    ),
    seed: int = typer.Option(0, help="Of trainings and draws."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recompute the figures on compositions: rules, generators, conditioning, predictors. Hours for all of it."""
    import json as json_format
    import sys

    from novalith.cli.terminal import split_list
    from novalith.recipes import composition_suite as suite
    from novalith.recipes.composition_bench import DATA_SETS

    order = suite.CompositionSuite(
        data, keep, tuple(part) or suite.PARTS, split_list(sets) or tuple(DATA_SETS), split_list(models),
        n, n_rules, n_stream, targets, seed,
    )  # fmt: skip
    tables = suite.run(order, lambda line: print(line, file=sys.stderr))
    if json:
        print(json_format.dumps({table.title: table.records for table in tables}, indent=2))
    else:
        print("\n\n".join(table.text for table in tables))


@app.command()
def twod(
    classifier: bool = typer.Option(False, "--classifier", help="The classifier of formulas."),
    pipeline: bool = typer.Option(False, "--pipeline", help="One run from drawn formulas to monolayers."),
    folds: int = typer.Option(5, min=1, max=5, help="Folds to run, of five."),
    unlabelled: int = typer.Option(30_000, min=300, help="Unlabelled formulas that the classifier is measured on."),
    trees: int = typer.Option(50, min=1, help="Trees of every forest that is measured."),
    n: int = typer.Option(2_000_000, "-n", "--number", min=1000, help="Formulas drawn."),
    top: int = typer.Option(40, min=1, help="Layers relaxed at most."),
    threshold: float = typer.Option(0.95, min=0, max=1, help="Least score of the classifier."),
    figure: Path | None = typer.Option(None, help="SVG to write: statistics of listed, bulk and drawn formulas."),
    data: Path = typer.Option(..., envvar="NOVALITH_DATA", help="Folder of the public tables."),
    keep: Path = typer.Option(Path("bench-twod"), help="Folder of the run; formulas drawn there are not drawn again."),
    seed: int = typer.Option(0, help="Of folds, forests and draws."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recompute the figures on monolayers; with no option, both parts."""
    import sys

    from novalith.cli.terminal import show
    from novalith.data.library import Library
    from novalith.recipes import song_2d_output as song
    from novalith.recipes import two_dimensional_bench as bench
    from novalith.recipes.bench_tables import as_records
    from novalith.recipes.song_2d import Song2dOrder

    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    tables = []
    asked = bench.ClassifierBench(data, folds, unlabelled, trees, seed)
    run = song.Song2dRun(keep, Song2dOrder(threshold, top), draw=n, seed=seed)
    if classifier or not pipeline:
        tables += bench.classifier_tables(asked, tell)
    if pipeline or not classifier:
        tables += song.tables(song.run_song_2d(run, Library(), tell))
    if figure is not None:
        from novalith.report.figures.formula_statistics import draw_formula_statistics

        draw_formula_statistics(bench.feature_groups(asked, next(run.blocks()).table), figure)
    show(dict(as_records(tables)), "\n\n".join(table.text for table in tables), json)


@app.command()
def voxels(
    part: list[str] = typer.Option(
        [], help="representations, imatgen, court, hoffmann or latent; repeat it for more, all without it."
    ),
    n: int = typer.Option(500, "-n", "--number", min=1, help="Crystals tried, or drawn, by each part."),
    size: str = typer.Option("default", help="Of the networks: tiny, default or paper."),
    epochs: int | None = typer.Option(None, min=1, help="Passes over the data; the size's own number without it."),
    workers: int = typer.Option(1, min=1, help="Relaxations at a time."),
    figure: Path | None = typer.Option(None, help="Folder for SVG files: slices, latent map, interpolation."),
    data: Path | None = typer.Option(None, envvar="NOVALITH_DATA", help="Folder of the public tables."),
    keep: Path = typer.Option(Path("bench-voxels"), help="Folder of models and results; what it holds is not redone."),
    seed: int = typer.Option(0, help="Of trainings and draws."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recompute the figures on voxel images. Hours for all of it where no model is kept yet."""
    import sys

    from novalith.cli.terminal import show
    from novalith.recipes import voxel_suite as suite
    from novalith.recipes.bench_tables import as_records
    from novalith.recipes.voxel_bench import VoxelBench
    from novalith.report.voxel_figures import draw_voxels

    bench = VoxelBench(data, keep, n, size, epochs, workers, seed)
    tables = suite.run_voxels(bench, part, lambda line: print(line, file=sys.stderr, flush=True))
    drawn = [] if figure is None else draw_voxels(bench, part, figure)
    lines = [*(table.text for table in tables), *(f"Drawn: {path}" for path in drawn)]
    show(dict(as_records(tables)), "\n\n".join(lines), json)


@app.command()
def cgcnn(
    size: str = typer.Option("", help="Train this size first (tiny, default, paper); the shipped weights without it."),
    epochs: int = typer.Option(0, min=0, help="Epochs of training; 0 for those of the size."),
    members: int = typer.Option(0, min=0, help="Networks to train; 0 for those of the size."),
    n: int = typer.Option(1000, "-n", "--number", min=100, help="Structures that the speed is measured on."),
    forest: bool = typer.Option(True, help="Grow the forest that the network is compared with."),
    data: Path = typer.Option(..., envvar="NOVALITH_DATA", help="Folder of the public tables."),
    keep: Path = typer.Option(Path("bench-cgcnn"), help="Folder of the network that is trained; reused."),
    seed: int = typer.Option(0, help="Of training and forest."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Recompute the figures on the graph network: errors, other crystals, uncertainty, speed."""
    import sys

    from novalith.cli.terminal import show
    from novalith.recipes import cgcnn_bench
    from novalith.recipes.bench_tables import as_records

    asked = cgcnn_bench.CgcnnBench(data, keep, size, epochs or None, members or None, n, forest, seed)
    tables = cgcnn_bench.tables(asked, lambda line: print(line, file=sys.stderr, flush=True))
    show(dict(as_records(tables)), "\n\n".join(table.text for table in tables), json)
