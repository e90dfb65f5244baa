"""Duplicates: which crystals are the same one at the house tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from novalith.materials import Crystal
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL

if TYPE_CHECKING:
    from pymatgen.core import Structure


def same_crystal(a: Crystal, b: Crystal) -> float | None:
    """Root-mean-square distance between matched sites in (V/N)^(1/3), or None where the crystals differ.

    Both are reduced to primitive cells and scaled to equal volume first (StructureMatcher, Ong et al., Comput. Mater.
    Sci. 68, 314, 2013).
    """
    if a.composition.reduced != b.composition.reduced:
        return None
    return matched_rms(primitive_structure(a), primitive_structure(b))


def group_duplicates(crystals: Sequence[Crystal]) -> list[int]:
    """For each crystal the index of the first crystal equal to it (its own where it is the first)."""
    first_of: dict[Any, list[int]] = {}
    answer = []
    for i, crystal in enumerate(crystals):
        seen = first_of.setdefault(crystal.composition.reduced, [])
        same = next((j for j in seen if same_crystal(crystals[j], crystal) is not None), i)
        if same == i:
            seen.append(i)
        answer.append(same)
    return answer


def primitive_structure(crystal: Crystal) -> Structure:
    """The primitive, Niggli-reduced cell that the matcher compares."""
    return crystal.to_structure().get_primitive_structure().get_reduced_structure()


def matched_rms(a: Structure, b: Structure) -> float | None:
    """Matcher distance of two primitive structures, None where they differ."""
    distances = _matcher().get_rms_dist(a, b)
    return None if distances is None else float(distances[0])


@cache
def _matcher() -> Any:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher(
        ltol=MATCHER_LTOL, stol=MATCHER_STOL, angle_tol=MATCHER_ANGLE_DEG, primitive_cell=False, scale=True
    )
