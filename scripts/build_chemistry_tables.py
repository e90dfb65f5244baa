"""Write `src/novalith/screen/tables/oxidation_states.json` from the data files of smact 4.0.2 (MIT).

Run `python scripts/build_chemistry_tables.py` in an environment that holds smact 4.0.2; the file that it writes is
committed, and smact itself is never needed to use novalith. `--check` compares instead of writing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

from smact import Element, metals, ordered_elements
from smact.screening import MIXED_VALENCE_ELEMENTS
from smact.utils.oxidation import ICSD24OxStatesFilter

TARGET = Path(__file__).parents[1] / "src/novalith/screen/tables/oxidation_states.json"
SMACT_VERSION = "4.0.2"

#: Our name of a set -> smact's attribute. The names are the ones that smact's functions take.
ATTRIBUTES = {
    "smact14": "oxidation_states_smact14",
    "icsd16": "oxidation_states_icsd16",
    "icsd24": "oxidation_states_icsd24",
    "pymatgen_sp": "oxidation_states_sp",
    "wiki": "oxidation_states_wiki",
}
#: What smact_validity uses when it is given no set: the 2024 counts with at least 3 reports.
DYNAMIC = "icsd24_consensus3"


def tables() -> dict[str, object]:
    """Everything the rules need, as plain JSON."""
    symbols = ordered_elements(1, 103)
    elements = {s: Element(s) for s in symbols}
    sets: dict[str, dict[str, list[int]]] = {
        name: {s: sorted(set(states)) for s in symbols if (states := getattr(elements[s], attribute))}
        for name, attribute in ATTRIBUTES.items()
    }
    frame = ICSD24OxStatesFilter().filter(consensus=3, include_zero=False, commonality="low")
    sets[DYNAMIC] = {
        str(row["element"]): sorted({int(x) for x in str(row["oxidation_state"]).split()})
        for _, row in frame.iterrows()
    }
    return {
        "source": f"smact {SMACT_VERSION} (MIT), Davies et al., J. Open Source Softw. 4, 1361, 2019",
        "electronegativity": {s: e.pauling_eneg for s, e in elements.items() if e.pauling_eneg is not None},
        "metals": sorted(metals, key=symbols.index),
        "mixed_valence": sorted(MIXED_VALENCE_ELEMENTS, key=symbols.index),
        "states": {name: sets[name] for name in sorted(sets)},
    }


def as_text(content: dict[str, object]) -> str:
    """JSON with one element a line, so that a changed state shows as one changed line."""
    lines = ["{", *(f"{json.dumps(k)}: {json.dumps(content[k])}," for k in ("source", "metals", "mixed_valence"))]
    lines.append('"electronegativity": {')
    lines.append(",\n".join(f"{json.dumps(k)}: {v}" for k, v in content["electronegativity"].items()))
    lines.append("},")
    lines.append('"states": {')
    blocks = []
    for name, states in content["states"].items():
        rows = ",\n".join(f"{json.dumps(s)}: {json.dumps(v)}" for s, v in states.items())
        blocks.append(f"{json.dumps(name)}: {{\n{rows}\n}}")
    lines.append(",\n".join(blocks))
    lines.append("}\n}\n")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the committed file instead of writing")
    check = parser.parse_args().check
    if version("smact") != SMACT_VERSION:
        print(f"smact {version('smact')} is installed; these tables are those of {SMACT_VERSION}.", file=sys.stderr)
        return 2
    text = as_text(tables())
    digest = hashlib.sha256(text.encode()).hexdigest()
    if check:
        same = TARGET.read_text(encoding="utf-8") == text
        print(f"{TARGET.name}: {'as committed' if same else 'DIFFERS'} ({digest})")
        return 0 if same else 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    print(f"wrote {TARGET} ({digest})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
