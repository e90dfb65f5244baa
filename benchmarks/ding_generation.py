"""How far formulas generated for a target lie from it: DING, the plain autoencoder, exchange of elements, and others.

Run `NOVALITH_DATA=DIR python benchmarks/ding_generation.py --folder MODELS --size quick` with oqmd_compositions.parquet
in DIR. The first run trains the models on halves of the training rows and keeps them in MODELS; later ones read them.
`--maps FOLDER` draws the maps of formulas. `--json FILE` writes all records.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

from novalith.recipes.ding import Ding, decoding_figures
from novalith.recipes.ding_bench import BenchSettings, floors, run
from novalith.recipes.ding_experiment import SIZES, prepare
from novalith.recipes.ding_tables import generation_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", choices=sorted(SIZES), default="default")
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--formulas", type=int, default=100)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.time()

    def watch(line: str) -> None:
        print(f"{time.time() - started:6.0f} s  {line}", flush=True)

    data = Path(os.environ["NOVALITH_DATA"]) / "oqmd_compositions.parquet"
    experiment = prepare(data, given.folder, given.size, given.seed, watch)
    sizes = [len(part.table) for part in (experiment.data.training, experiment.data.held, experiment.data.reference)]
    print(
        f"{sizes[0]} formulas to learn from, {sizes[1]} held out, {sizes[2]} in all; "
        f"{len(experiment.set_aside)} left out"
    )
    for name, model in experiment.models.items():
        if isinstance(model, Ding):
            for told in decoding_figures(model, 20_000, rng=np.random.default_rng(given.seed)):
                print(
                    f"{name}, {told.decoding}: of {told.n_draws} draws {100 * told.empty:.2f} % hold no element, "
                    f"{100 * told.single:.2f} % one; {100 * told.lost:.2f} % lost an element that is likelier than not"
                )
    settings = BenchSettings(given.targets, given.formulas, given.draws, given.seed)
    records = run(experiment.models, experiment.judges, experiment.data, settings, given.folder / "records", watch)
    tables = generation_tables(records, floors(experiment.judges.judge, experiment.data.held), settings)
    print("\n\n".join(table.text for table in tables))
    if given.json:
        given.json.write_text(json.dumps(records, indent=1), encoding="utf-8")
    if given.maps:
        from novalith.report.figures.compositions import draw_formula_maps

        rng = np.random.default_rng(given.seed)
        model = experiment.models["ding"]
        assert isinstance(model, Ding)
        print(draw_formula_maps(model, experiment.data.training, experiment.data.held, 1000, given.maps, rng=rng).text)


if __name__ == "__main__":
    main()
