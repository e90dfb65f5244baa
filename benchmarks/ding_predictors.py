"""The predictor networks of DING on OQMD: mean absolute errors on the validation split, against the published ones.

Run `NOVALITH_DATA=DIR python benchmarks/ding_predictors.py formation_energy --out FILE.safetensors` with
oqmd_compositions.parquet in DIR, once a property; killed, the same command goes on. Rows of the split "train" with a
formation energy between -5 and 5 eV/atom are trained on (5 % of them stop the training early); those of "val" are
looked at once, at the end.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from novalith.recipes.ding_predictor import PROPERTIES, SANE, SIZES, DingPredictor, Watched, train_predictor
from novalith.represent.formula_table import read_formulas

COLUMNS = {"formation_energy": "delta_e", "energy_per_atom": "energy_pa", "volume_per_atom": "volume_pa"}
#: Test errors of the publication.
PUBLISHED = {"formation_energy": 0.0515, "energy_per_atom": 0.0722, "volume_per_atom": 0.3986}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("property", choices=PROPERTIES)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=sorted(SIZES), default="default")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--dropout-epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--multiples", choices=("yes", "no"))
    parser.add_argument("--fractions", choices=("yes", "no"))
    parser.add_argument("--baseline", choices=("yes", "no"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = SIZES[given.size]
    changes = {
        "n_epochs": given.epochs,
        "dropout_epochs": given.dropout_epochs,
        "batch_size": given.batch,
        "learning_rate": given.rate,
        "fractions": None if given.fractions is None else given.fractions == "yes",
        "baseline": None if given.baseline is None else given.baseline == "yes",
        "multiples": None if given.multiples is None else given.multiples == "yes",
    }
    settings = dataclasses.replace(settings, **{k: v for k, v in changes.items() if v is not None})
    print(given.property, settings, flush=True)

    rows = pd.read_parquet(Path(os.environ["NOVALITH_DATA"]) / "oqmd_compositions.parquet")
    low, high = SANE["formation_energy"]
    sane = rows[(rows.delta_e > low) & (rows.delta_e < high)]
    print(f"{len(rows)} rows, {len(rows) - len(sane)} left out for their formation energy")
    parts = {name: sane[sane.crabnet_eform_split == name] for name in ("train", "val")}
    started, spent = time.time(), time.process_time()
    watched = Watched(
        given.out.with_name(given.out.name + ".resume"),
        lambda r: print(
            f"{r.epoch} {r.training_loss:.5f} {r.validation_loss:.5f} {time.time() - started:.0f} s", flush=True
        ),
    )
    table = read_formulas(parts["train"].formula.tolist())
    values = {given.property: parts["train"][COLUMNS[given.property]].to_numpy()}
    predictor, left_out, _ = train_predictor(table, values, settings, watched, rng=np.random.default_rng(given.seed))
    predictor.save(given.out)
    watched.forget()
    predictor = DingPredictor.load(given.out)
    print(f"trained on {len(table) - len(left_out)} formulas; {len(left_out)} do not fit counts up to 10")
    print(f"{time.process_time() - spent:.0f} s of processor time in this run")

    predicted = predictor.values(read_formulas(parts["val"].formula.tolist()), given.property).value
    error = np.abs(predicted - parts["val"][COLUMNS[given.property]].to_numpy())
    fits = np.isfinite(error)
    print(
        f"{given.property}: validation split {fits.sum()} of {len(error)} formulas (the others have counts over 10), "
        f"MAE {error[fits].mean():.4f}, median {np.median(error[fits]):.4f}; published {PUBLISHED[given.property]}; "
        f"on the rows of early stopping {predictor.fitted[given.property].validation_error:.4f}"
    )


if __name__ == "__main__":
    main()
