"""Write `src/novalith/represent/tables/magpie_elements.csv` from the elemental tables of matminer 0.10.1 (BSD).

matminer carries Magpie's public property tables, one text file a property, line z for the element of atomic number z.
Run `python scripts/build_magpie_table.py FOLDER`, where FOLDER holds an unpacked matminer (its wheel needs no
installation); the file that it writes is committed. `--check` compares instead of writing.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "src/novalith/represent/tables/magpie_elements.csv"
TABLES = "matminer/utils/data_files/magpie_elementdata"

#: The order of matminer's preset "magpie".
PROPERTIES = """Number MendeleevNumber AtomicWeight MeltingT Column Row CovalentRadius Electronegativity NsValence
NpValence NdValence NfValence NValence NsUnfilled NpUnfilled NdUnfilled NfUnfilled NUnfilled GSvolume_pa GSbandgap
GSmagmom SpaceGroupNumber""".split()
N_ELEMENTS = 118


def text(folder: Path) -> str:
    """One line an element, an empty cell where a table says that the value is missing."""
    columns = []
    for name in PROPERTIES:
        lines = (folder / f"{name}.table").read_text(encoding="utf-8").splitlines()
        columns.append([_number(line) for line in lines[:N_ELEMENTS]] + [""] * (N_ELEMENTS - len(lines)))
    rows = [",".join((str(z + 1), *(column[z] for column in columns))) for z in range(N_ELEMENTS)]
    return "\n".join((",".join(("z", *PROPERTIES)), *rows)) + "\n"


def _number(line: str) -> str:
    try:
        value = float(line)
    except ValueError:
        return ""
    return "" if value != value else f"{value:.12g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds matminer/")
    parser.add_argument("--check", action="store_true", help="compare with the committed file instead of writing")
    arguments = parser.parse_args()
    made = text(arguments.folder / TABLES)
    digest = hashlib.sha256(made.encode()).hexdigest()
    if arguments.check:
        same = TARGET.read_text(encoding="utf-8") == made
        print(f"{TARGET.name}: {'as committed' if same else 'DIFFERS'} ({digest})")
        return 0 if same else 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(made, encoding="utf-8")
    print(f"wrote {TARGET} ({digest})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
