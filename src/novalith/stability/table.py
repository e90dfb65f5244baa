"""Competing phases from the bundled table of Materials Project formation energies: the *table* hull.

In table mode a candidate's formation energy comes from a potential on the scale of the table (CHGNet, whose energies
are MP2020-corrected, less CHGNet's own elemental references) and is held against formation energies of the Materials
Project on the same named scale. The scale is the same; the model is not DFT. Over 150 random compounds of the Materials
Project CHGNet's static formation energies differed from DFT's by 0.086 eV/atom on average (median 0.045), so expect an
error of 0.05 to 0.09 eV/atom in every energy above a table hull, and look at same-potential hulls (where part of the
error cancels) before believing smaller differences.

The published table carries the corrections of the Materials Project before 2021; the build of the bundled table moved
each energy to the present scale (`novalith.data.mp2020`). Without that step Na2S would be 0.05 eV/atom
too stable and NaBr 0.27 eV/atom too unstable beside CHGNet's energies.

The table holds the lowest formation energy of each reduced formula, so polymorphs are not told apart.
"""

from __future__ import annotations

import re
from functools import lru_cache

from novalith.data.library import Library
from novalith.materials import Composition, PhaseField
from novalith.relax.base import MP2020_PBE
from novalith.stability.hull import ELEMENT_ID, Phase

#: The id of every phase of the table; polymorphs and their ids are not in it.
TABLE_ID = "MP hull table"


def table_phases(library: Library, field: PhaseField) -> tuple[Phase, ...]:
    """All phases of the bundled table made of elements of the field, and the elements at zero; sorted by formula."""
    energies = library.hull_energies
    elements = [Phase(Composition(((s, 1),)), 0.0, ELEMENT_ID, MP2020_PBE) for s in field.elements]
    wanted = set(field.elements)
    formulas = [f for f in energies if len(_elements_of(f)) > 1 and _elements_of(f) <= wanted]
    compounds = [Phase(Composition.parse(f), energies[f], TABLE_ID, MP2020_PBE) for f in formulas]
    return tuple(sorted([*elements, *compounds], key=lambda p: p.composition.formula))


@lru_cache(maxsize=200_000)
def _elements_of(formula: str) -> frozenset[str]:
    """Symbols in a reduced formula as the table spells it."""
    return frozenset(re.findall(r"[A-Z][a-z]?", formula))
