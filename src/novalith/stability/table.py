"""Competing phases from the bundled table of Materials Project formation energies: the *table* hull.

In table mode a candidate's total energy comes from a potential on the scale of the Materials Project (CHGNet, whose
energies are MP2020-corrected) and becomes a formation energy by the project's own energies of the elements
(`TABLE_REFERENCES`), so that both sides of the hull have one zero. The scale is the same; the model is not DFT. Over
300 compounds of the Materials Project of at most 24 atoms CHGNet's formation energies differed from DFT's by 0.022
eV/atom on average with these references and by 0.037 eV/atom with CHGNet's own elements. New compounds are farther from
what the potential was trained on: expect 0.05 to 0.09 eV/atom, and look at same-potential hulls (where part of the
error cancels) before believing smaller differences.

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

#: The elements whose energies are the zero of the table (see `novalith.data.library.Library.elemental_references`).
TABLE_REFERENCES = "materials-project"


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
