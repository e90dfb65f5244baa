"""Write the training part of the public tables of crystals: what the shipped graph network is trained on.

    python scripts/build_crystal_training.py DATA OUT

OUT is a folder of the tables named in `novalith.recipes.cgcnn_data` without the chemical systems of the test part; the
first has the energy per atom beside the formation energy. Then

    novalith train cgcnn --data OUT --out cgcnn.safetensors --option precision=float16
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from novalith.materials import Composition
from novalith.recipes.cgcnn_data import FILES, in_test_part, reference_energies


def main(data: Path, out: Path) -> None:
    """Write the tables."""
    out.mkdir(parents=True, exist_ok=True)
    references = reference_energies(data)
    for name in FILES:
        frame = pd.read_parquet(data / f"{name}.parquet")
        compositions = [Composition.parse("".join(formula.split())) for formula in frame["formula"]]
        if "formation_energy_per_atom" in frame:
            shift = [np.mean([references.get(s, np.nan) for s, n in c.counts for _ in range(n)]) for c in compositions]
            frame["energy_per_atom"] = frame["formation_energy_per_atom"] + shift
        test = np.array([in_test_part("-".join(s for s, _ in c.counts)) for c in compositions])
        frame[~test].to_parquet(out / f"{name}.parquet", index=False)
        print(f"{name}: {int((~test).sum())} rows to train on, {int(test.sum())} of the test part left out")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
