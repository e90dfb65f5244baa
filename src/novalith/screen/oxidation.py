"""The tables behind the chemistry rules: oxidation states, electronegativities, which elements are metals.

The file `tables/oxidation_states.json` is made from the data of SMACT 4.0.2 by `scripts/build_chemistry_tables.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

from novalith.errors import UnknownNameError
from novalith.materials import ATOMIC_NUMBERS

#: Name -> where the states come from. The first five are named as in SMACT; "icsd24" holds states with more than five
#: reports in the ICSD of 2024, "icsd24_consensus3" those with at least three, which is what SMACT's `smact_validity`
#: uses when it is given no set.
OXIDATION_SETS = {
    "icsd16": "states found in the ICSD of 2016",
    "icsd24": "states with more than 5 reports in the ICSD of 2024",
    "icsd24_consensus3": "states with at least 3 reports in the ICSD of 2024",
    "pymatgen_sp": "states of pymatgen's structure predictor",
    "smact14": "the set compiled for SMACT in 2014",
    "wiki": "states listed by Wikipedia in 2022, zero among them",
}
SOURCE = "SMACT 4.0.2, Davies et al., J. Open Source Softw. 4, 1361, 2019"


@dataclass(frozen=True)
class StateSet:
    """Oxidation states and what else the rules ask of an element, by atomic number (index 0 is empty).

    Attributes:
        name: a key of `OXIDATION_SETS`.
        states: sorted states; empty where the set knows none.
        electronegativity: Pauling's; None where unknown.
        is_metal: whether SMACT counts the element as a metal.
        may_mix: whether the element may take several states in one formula when mixed valence is allowed.
    """

    name: str
    states: tuple[tuple[int, ...], ...]
    electronegativity: tuple[float | None, ...]
    is_metal: tuple[bool, ...]
    may_mix: tuple[bool, ...]

    @cached_property
    def cation_states(self) -> tuple[tuple[int, ...], ...]:
        """The states that are not negative."""
        return tuple(tuple(s for s in states if s >= 0) for states in self.states)

    @cached_property
    def anion_states(self) -> tuple[tuple[int, ...], ...]:
        """The magnitudes of the states that are not positive, sorted."""
        return tuple(tuple(-s for s in reversed(states) if s <= 0) for states in self.states)


@cache
def load_states(name: str) -> StateSet:
    """Read a set.

    Raises:
        UnknownNameError: there is no set of that name.
    """
    if name not in OXIDATION_SETS:
        raise UnknownNameError("oxidation-state set", name, OXIDATION_SETS)
    text = files("novalith.screen").joinpath("tables/oxidation_states.json").read_text(encoding="utf-8")
    table = json.loads(text)
    symbols = ["", *ATOMIC_NUMBERS]
    return StateSet(
        name=name,
        states=tuple(tuple(table["states"][name].get(s, ())) for s in symbols),
        electronegativity=tuple(table["electronegativity"].get(s) for s in symbols),
        is_metal=tuple(s in table["metals"] for s in symbols),
        may_mix=tuple(s in table["mixed_valence"] for s in symbols),
    )
