"""Write the table that the shipped composition predictor is trained on, from two files of the data folder.

    python scripts/build_composition_training.py DATA OUT.parquet

`oqmd_compositions.parquet` (OQMD through CrabNet, CC BY 4.0) gives formation energy, energy and volume per atom and
band gap; `mp_ground_states.parquet` (Materials Project through Bartel et al. 2020, CC BY 4.0) gives the decomposition
energy. Only the training rows of both published splits are taken, so that the validation rows measure the shipped
weights. The formation energies of the second file are on another scale of corrections and are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

OQMD = {
    "delta_e": "formation_energy",
    "energy_pa": "energy_per_atom",
    "volume_pa": "volume_per_atom",
    "bandgap": "band_gap",
}


def table(folder: Path) -> pd.DataFrame:
    """Training rows of both files, one after the other; a property that a file does not have is missing."""
    oqmd = pd.read_parquet(folder / "oqmd_compositions.parquet")
    oqmd = oqmd[oqmd["crabnet_eform_split"] == "train"][["formula", *OQMD]].rename(columns=OQMD)
    ground = pd.read_parquet(folder / "mp_ground_states.parquet")
    ground = ground[ground["split"] == "train"][["formula", "decomposition_energy_per_atom"]]
    ground = ground.rename(columns={"decomposition_energy_per_atom": "decomposition_energy"})
    return pd.concat([oqmd, ground], ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="holds the two files")
    parser.add_argument("out", type=Path, help="Parquet file to write")
    arguments = parser.parse_args()
    rows = table(arguments.data)
    rows.to_parquet(arguments.out)
    print(f"wrote {arguments.out}: {len(rows)} rows")


if __name__ == "__main__":
    main()
