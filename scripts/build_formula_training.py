"""Join public tables of formulas into the training file of the shipped formula generator.

Run `python scripts/build_formula_training.py --data DIR --out formulas.parquet` with these files in DIR:

- `oqmd_compositions.parquet`: OQMD as packed in CrabNet (CC BY 4.0): formula, delta_e, energy_pa, volume_pa, bandgap.
- `mp_ground_states.parquet`: Bartel et al. 2020, Materials Project (CC BY 4.0): formula, decomposition energy.
- `icsd_reported_formulas.parquet`: formulas of ICSD-reported compounds in MP through SynthNN (MIT).

One row a reduced formula, the lowest energy where a formula occurs more than once; a property that no table gives is
empty. Rows with |formation energy| of 5 eV/atom or more are calculations gone wrong and are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from novalith.represent.formula_table import formula_keys, read_formulas


def reduced(formulas: pd.Series) -> list[str]:
    table = read_formulas(formulas.astype(str).tolist())
    if table.problems:
        raise SystemExit(f"Unreadable formulas: {list(table.problems.items())[:5]}")
    return [table.composition(row).formula for row in range(len(table))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    oqmd = pd.read_parquet(options.data / "oqmd_compositions.parquet")
    names = {"delta_e": "formation_energy", "energy_pa": "energy_per_atom", "volume_pa": "volume_per_atom"}
    oqmd = oqmd.rename(columns=names | {"bandgap": "band_gap"})
    oqmd = oqmd[oqmd["formation_energy"].abs() < 5].assign(formula=lambda t: reduced(t["formula"]))
    oqmd = oqmd.sort_values(["formula", "formation_energy"]).drop_duplicates("formula")
    oqmd = oqmd[["formula", *names.values(), "band_gap"]]

    mp = pd.read_parquet(options.data / "mp_ground_states.parquet")
    mp = pd.DataFrame(
        {"formula": reduced(mp["formula"]), "decomposition_energy": mp["decomposition_energy_per_atom"].to_numpy()}
    )
    mp = mp.sort_values(["formula", "decomposition_energy"]).drop_duplicates("formula")

    icsd = pd.read_parquet(options.data / "icsd_reported_formulas.parquet")["reduced_formula"]
    reported = pd.DataFrame({"formula": sorted(set(reduced(icsd)))}).assign(reported=1.0)

    joined = oqmd.merge(mp, on="formula", how="outer").merge(reported, on="formula", how="outer")
    joined["reported"] = joined["reported"].fillna(0.0)
    joined = joined.sort_values("formula").reset_index(drop=True)
    keys = formula_keys(read_formulas(joined["formula"].tolist()))
    if len(np.unique(keys)) != len(joined):
        raise SystemExit("A formula occurs twice under two spellings.")
    joined.to_parquet(options.out, index=False)
    print(f"{len(joined)} formulas: {joined.notna().sum().to_dict()}, reported {int(joined['reported'].sum())}")


if __name__ == "__main__":
    main()
