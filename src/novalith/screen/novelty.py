"""Novelty, graded and named: what is already known that is nearest to a crystal.

A crystal is compared with the bundled structures and the user's references (structures of the same reduced formula,
by the matcher of `novalith.screen.duplicates`) and its formula with the bundled lists. For a formula that no list
holds, the nearest known one is named. Site disorder is not compared: an ordered cell may be a known disordered phase
in disguise, so the note names elements that are alike enough to share a site.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.materials import Composition, Crystal, Gene
from novalith.represent.formula_table import element_keys, read_formulas
from novalith.screen.composition_distance import cumulative_shares, nearest_composition, scale_distance
from novalith.screen.duplicates import Reduced, rms_distance
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL

if TYPE_CHECKING:
    from novalith.data.library import Library

__all__ = ["MATCHER_ANGLE_DEG", "MATCHER_LTOL", "MATCHER_STOL", "Grade", "Novelty", "NoveltyIndex"]

#: What a formula list is called where the material in it has no id of its own.
HULL_TABLE, REPORTED, OQMD = "MP hull table", "reported formulas", "OQMD"
#: Steps on Pettifor's scale up to which two metals are said to be alike enough to share a site: Cr and Ta, the pair
#: of the disordered rutile TaCr2O6 that was once taken for a new compound, are 5 apart.
_ALIKE = 5


class Grade(Enum):
    """How new a crystal is, from least to most."""

    KNOWN_STRUCTURE = "known structure"
    OTHER_STRUCTURE = "known formula, another structure"
    KNOWN_FORMULA = "known formula"  # the formula is listed, no structure of it is at hand to compare with
    NEW_FORMULA = "new formula"


@dataclass(frozen=True)
class Novelty:
    """A verdict on novelty.

    Attributes:
        grade: how new.
        nearest_id: id of the nearest known material, or its source where it has no id ("OQMD"); empty only where
            nothing at all is known.
        nearest_formula: reduced formula of it.
        rms_distance: matcher distance in (V/N)^(1/3) where a structure matched, else None.
        note: one sentence or two for the reader.
    """

    grade: Grade
    nearest_id: str
    nearest_formula: str
    rms_distance: float | None
    note: str


@dataclass(frozen=True)
class _Known:
    """A known structure: its id, its crystal and the energy that orders polymorphs (eV/atom; infinite if unknown)."""

    id: str
    crystal: Crystal
    gene: Gene | None
    energy: float

    @cached_property
    def reduced(self) -> Reduced:
        return Reduced.of(self.crystal)


class NoveltyIndex:
    """Everything known, ready to be compared with.

    Args:
        library: the bundled tables, blind to what it hides.
        references: (id, crystal) pairs of the user's own known materials.
    """

    def __init__(self, library: Library, references: Sequence[tuple[str, Crystal]] = ()) -> None:
        self._library = library
        self._known: dict[str, list[_Known]] = {}
        for entry in library.structures:
            energy = entry.properties.get("formation_energy_ev_per_atom", float("inf"))
            self._known.setdefault(entry.formula, []).append(_Known(entry.id, entry.crystal, entry.gene, energy))
        for id_, crystal in references:
            known = _Known(id_, crystal, _gene(crystal), float("inf"))
            self._known.setdefault(crystal.composition.formula, []).append(known)

    def judge(self, crystal: Crystal) -> Novelty:
        """Grade one crystal."""
        composition = crystal.composition
        formula = composition.formula
        known = self._known.get(formula, [])
        if known:
            return self._among_structures(crystal, known)
        listed = [name for name, table in self._lists if formula in table]
        if listed:
            where = " and ".join(listed)
            note = f"{formula} is listed ({where}), but no structure of it is at hand."
            return Novelty(Grade.KNOWN_FORMULA, listed[0], formula, None, _join(note, self._prototype(crystal)))
        id_, nearest = self._nearest(composition)
        if not nearest:
            return Novelty(Grade.NEW_FORMULA, "", "", None, f"{formula} is in no list, and nothing else is known.")
        note = f"{formula} is in no list; the nearest known formula is {nearest} ({id_})."
        return Novelty(
            Grade.NEW_FORMULA, id_, nearest, None, _join(note, self._prototype(crystal), _disorder(composition))
        )

    def judge_many(self, crystals: Iterable[Crystal]) -> list[Novelty]:
        """Grade crystals, in order."""
        return [self.judge(c) for c in crystals]

    def _among_structures(self, crystal: Crystal, known: list[_Known]) -> Novelty:
        mine = Reduced.of(crystal)
        formula = crystal.composition.formula
        matched = [(rms, k.id) for k in known if (rms := rms_distance(k.reduced, mine)) is not None]
        if matched:
            rms, id_ = min(matched)
            note = f"The structure of {id_}; matched sites are {rms:.3f} (V/N)^(1/3) apart (rms)."
            return Novelty(Grade.KNOWN_STRUCTURE, id_, formula, rms, note)
        lowest = min(known, key=lambda k: (k.energy, k.id))
        many = "" if len(known) == 1 else f", the lowest in energy of {len(known)} known,"
        note = f"{formula} is known as {lowest.id}{many} with another structure."
        note = _join(note, self._prototype(crystal), _disorder(crystal.composition))
        return Novelty(Grade.OTHER_STRUCTURE, lowest.id, formula, None, note)

    @cached_property
    def _lists(self) -> tuple[tuple[str, Any], ...]:
        library = self._library
        return (HULL_TABLE, library.hull_energies), (REPORTED, library.reported), (OQMD, library.oqmd)

    def _nearest(self, composition: Composition) -> tuple[str, str]:
        """Id (or list) and formula of the nearest known composition: of the same elements, or of most of them."""
        ids, formulas, shares = self._with_structures
        same = self._in_system(composition)
        if same:
            nearest, other = same[nearest_composition(composition, cumulative_shares([c for _, c in same]))]
            return nearest, other.formula
        if not ids:
            return "", ""
        row = nearest_composition(composition, shares)
        return ids[row], formulas[row]

    @cached_property
    def _with_structures(self) -> tuple[list[str], list[str], Any]:
        """Ids and formulas of the lowest known structure of each formula, and their places on Pettifor's scale."""
        names = sorted(self._known)
        lowest = [min(self._known[f], key=lambda k: (k.energy, k.id)) for f in names]
        return [k.id for k in lowest], names, cumulative_shares([k.crystal.composition for k in lowest])

    def _in_system(self, composition: Composition) -> list[tuple[str, Composition]]:
        """(id or list, composition) of all that is known of exactly the elements of a composition, ids first."""
        sources, formulas, order, keys = self._systems
        key = element_keys(read_formulas([composition.formula]))[0]
        first, last = np.searchsorted(keys, key, side="left"), np.searchsorted(keys, key, side="right")
        rows = sorted(int(i) for i in order[first:last])
        return [(sources[i], Composition.parse(formulas[i])) for i in rows]

    @cached_property
    def _systems(self) -> tuple[list[str], list[str], Any, Any]:
        """Source and formula of everything known, the order that sorts them by elements, and the sorted keys."""
        ids, names, _ = self._with_structures
        sources, formulas, seen = list(ids), list(names), set(names)
        for name, table in self._lists:
            fresh = sorted(f for f in table if f not in seen)
            seen.update(fresh)
            sources += [name] * len(fresh)
            formulas += fresh
        keys = element_keys(read_formulas(formulas))
        order = np.argsort(keys, kind="stable")
        return sources, formulas, order, keys[order]

    def _prototype(self, crystal: Crystal) -> str:
        """The known material with the same space group and occupied orbits that is nearest in composition."""
        gene = _gene(crystal)
        kin = self._by_skeleton.get(gene.skeleton, []) if gene else []
        if not kin:
            return ""
        nearest = kin[nearest_composition(crystal.composition, cumulative_shares([k.crystal.composition for k in kin]))]
        return f"Its arrangement is that of {nearest.crystal.composition.formula} ({nearest.id})."

    @cached_property
    def _by_skeleton(self) -> dict[object, list[_Known]]:
        skeletons: dict[object, list[_Known]] = {}
        for formula in sorted(self._known):
            for known in self._known[formula]:
                if known.gene is not None:
                    skeletons.setdefault(known.gene.skeleton, []).append(known)
        return skeletons


def _gene(crystal: Crystal) -> Gene | None:
    from novalith.represent.gene import encode_gene

    gene = encode_gene(crystal)
    return gene if isinstance(gene, Gene) else None


def _disorder(composition: Composition) -> str:
    """A caveat where two metals are alike enough to share a site."""
    from pymatgen.core import Element

    metals = [s for s, _ in composition.counts if Element(s).is_metal]
    alike = [(scale_distance(a, b), a, b) for a, b in combinations(metals, 2) if scale_distance(a, b) <= _ALIKE]
    if not alike:
        return ""
    _, a, b = min(alike)
    return f"{a} and {b} may share a site: compare with disordered phases, which no list here holds."


def _join(*sentences: str) -> str:
    return " ".join(s for s in sentences if s)
