"""Make the tables of src/novalith/data/fields from the published lists and from pymatgen's element data.

    python scripts/build_field_data.py FOLDER

FOLDER holds the files of the repository lrcfmd/PhaseFieldRanking (MIT) under the names that `LISTS` gives.
"""

from __future__ import annotations

import csv
import io
import lzma
import sys
import warnings
from pathlib import Path

from novalith.materials import ELEMENTS

OUT = Path(__file__).parents[1] / "src" / "novalith" / "data" / "fields"
LISTS = {
    "all_arities": "all_arities_38688.txt",
    "ternary": "ternary_icsd.txt",
    "quaternary": "quaternary_icsd2017.txt",
    "quinary": "quinary_icsd.txt",
    "two_anion": "quaternary_two_cation_two_anion_2021.txt",
    "li_candidates": "li_candidates_303.txt",
    "published_training": "published_scores_training.csv",
    "published_li": "published_scores_303_vae.csv",
}
#: Kept row by row: the published statistics count rows, not fields.
VERBATIM = ("two_anion", "li_candidates", "published_training", "published_li")


def build_lists(source: Path) -> None:
    """Write the lists, compressed; lists of distinct fields hold only what the list before them does not."""
    seen: set[tuple[str, ...]] = set()
    for name, file in LISTS.items():
        lines = [line.strip() for line in (source / file).read_text(encoding="utf-8").splitlines() if line.strip()]
        if name not in VERBATIM:
            fields = {tuple(sorted(set(line.split()))) for line in lines}
            lines = [" ".join(field) for field in sorted(fields - seen)]
            seen |= fields
        (OUT / f"{name}.txt.xz").write_bytes(lzma.compress("\n".join(lines).encode(), preset=9))
        print(f"{name}: {len(lines)} lines")
    (OUT / "element_features_37.csv").write_bytes((source / "element_features_37.csv").read_bytes())


def build_properties() -> None:
    """Write one row an element: what the learned scorer and the user limits need, empty where unknown."""
    from pymatgen.analysis import cost
    from pymatgen.analysis.hhi import HHIModel
    from pymatgen.core import Element

    hhi = HHIModel()
    price_file = Path(cost.__file__).with_name("costdb_elements.csv")
    prices = {row[0]: float(row[1]) for row in csv.reader(price_file.open(encoding="utf-8"), quotechar="|")}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        "element electronegativity group row mendeleev_number atomic_radius_a highest_oxidation_state "
        "lowest_oxidation_state mean_ionic_radius_a is_metal is_f_block is_transition_metal electron_affinity_ev "
        "first_ionization_ev atomic_mass_u common_oxidation_states hhi_production hhi_reserve price_usd_per_kg "
        "is_radioactive".split()
    )
    for symbol in ELEMENTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pymatgen warns of each property it does not know
            e = Element(symbol)
            states = e.common_oxidation_states or e.oxidation_states or (0,)
            radius, affinity = e.data.get("Atomic radius"), e.data.get("Electron affinity")
            values = [
                e.X if e.X == e.X else None, e.group, e.row, e.mendeleev_no, radius, max(states), min(states),
                float(e.average_ionic_radius) or None, int(e.is_metal), int(e.is_rare_earth or e.is_actinoid),
                int(e.is_transition_metal), affinity, e.ionization_energies[0] if e.ionization_energies else None,
                float(e.atomic_mass),
            ]  # fmt: skip
        numbers = [v if isinstance(v, int | float) and v == v else None for v in values]
        supply = [hhi.get_hhi_production(symbol), hhi.get_hhi_reserve(symbol), prices.get(symbol)]
        listed = " ".join(f"{s:+d}" for s in e.common_oxidation_states)
        row = [symbol, *numbers, listed, *supply, int(e.is_radioactive)]
        writer.writerow(["" if v is None else (f"{v:.6g}" if isinstance(v, float) else v) for v in row])
    (OUT / "element_properties.csv").write_text(out.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    build_lists(Path(sys.argv[1]))
    build_properties()
