"""Novelty, graded and named: what is already known that is nearest to a crystal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from novalith.materials import Composition, Crystal
from novalith.screen.duplicates import matched_rms, primitive_structure
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL

if TYPE_CHECKING:
    from novalith.data.library import Library

__all__ = ["MATCHER_ANGLE_DEG", "MATCHER_LTOL", "MATCHER_STOL", "Grade", "Novelty", "NoveltyIndex"]


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
        nearest_id: id of the nearest known material, or its source where it has no id ("OQMD").
        nearest_formula: reduced formula of it.
        rms_distance: matcher distance in (V/N)^(1/3) where a structure matched, else None.
        note: one sentence for the reader.
    """

    grade: Grade
    nearest_id: str
    nearest_formula: str
    rms_distance: float | None
    note: str


class NoveltyIndex:
    """Everything known, ready to be compared with.

    Args:
        library: the bundled tables.
        references: (id, crystal) pairs of the user's own known materials.
    """

    def __init__(self, library: Library, references: Sequence[tuple[str, Crystal]] = ()) -> None:
        self._library = library
        self._references: dict[str, list[tuple[str, Crystal]]] = {}
        for id_, crystal in references:
            self._references.setdefault(crystal.composition.formula, []).append((id_, crystal))
        self._formulas: list[tuple[str, Composition]] | None = None

    def judge(self, crystal: Crystal) -> Novelty:
        """Grade one crystal."""
        formula = crystal.composition.formula
        known = [
            *((k.id, k.crystal) for k in self._library.structures_of(formula)),
            *self._references.get(formula, []),
        ]
        mine = primitive_structure(crystal)
        matches = [
            (rms, id_) for id_, other in known if (rms := matched_rms(primitive_structure(other), mine)) is not None
        ]
        if matches:
            rms, id_ = min(matches)
            return Novelty(Grade.KNOWN_STRUCTURE, id_, formula, rms, f"The structure of {id_} at house tolerances.")
        if known:
            return Novelty(Grade.OTHER_STRUCTURE, known[0][0], formula, None, f"{known[0][0]} has another structure.")
        for name, table in (
            ("MP hull table", self._library.hull_energies),
            ("reported formulas", self._library.reported),
            ("OQMD", self._library.oqmd),
        ):
            if formula in table:
                return Novelty(Grade.KNOWN_FORMULA, name, formula, None, f"The formula is listed in {name}.")
        id_, nearest = self._nearest(crystal.composition)
        return Novelty(Grade.NEW_FORMULA, id_, nearest, None, f"No list holds the formula; {nearest} is nearest.")

    def judge_many(self, crystals: Iterable[Crystal]) -> list[Novelty]:
        """Grade crystals, in order."""
        return [self.judge(c) for c in crystals]

    def _nearest(self, composition: Composition) -> tuple[str, str]:
        if self._formulas is None:
            self._formulas = [(k.id, k.crystal.composition) for k in self._library.structures]
        if not self._formulas:
            return "", ""
        id_, other = min(self._formulas, key=lambda pair: _distance(composition, pair[1]))
        return id_, other.formula


def _distance(a: Composition, b: Composition) -> float:
    symbols = {s for s, _ in a.counts} | {s for s, _ in b.counts}
    return sum(abs(a.fraction(s) - b.fraction(s)) for s in sorted(symbols))
