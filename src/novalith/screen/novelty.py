"""Novelty, graded and named: what is already known that is nearest to a crystal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

#: StructureMatcher tolerances of every verdict in this package (Ong et al., Comput. Mater. Sci. 68, 314, 2013;
#: the tighter setting of Zeni et al., Nature 639, 624, 2025): relative length, site distance in (V/N)^(1/3), degrees.
MATCHER_LTOL, MATCHER_STOL, MATCHER_ANGLE_DEG = 0.2, 0.3, 5.0


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
