"""Duplicates: which crystals are the same one at the house tolerances.

The judge is pymatgen's StructureMatcher (Ong et al., Comput. Mater. Sci. 68, 314, 2013): both crystals are reduced to
primitive cells and scaled to equal volume, and they are the same when some alignment of their lattices brings every
site within `MATCHER_STOL` of its partner. Where noise hides the primitive cell of one, so that its sites are a multiple
of the other's, a supercell of the other is compared: the plain matcher would call a rattled supercell a new crystal. No
site may then be farther than `_NOISE_A` from its partner, lest a superstructure pass for its parent.

Before the matcher is asked, three properties that equal crystals share sort out most pairs: the reduced formula, the
number of sites or a multiple of it, and nearly the element-resolved average minimum distances
(`novalith.screen.fingerprint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Composition, Crystal
from novalith.screen.fingerprint import FAR, fingerprint
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL

if TYPE_CHECKING:
    from pymatgen.core import Structure

#: The distance up to which pymatgen's search for primitive cells takes sites for translated copies, Å.
_NOISE_A = 0.25


@dataclass(frozen=True)
class Reduced:
    """A crystal made ready for comparison.

    Attributes:
        composition: reduced composition.
        structure: primitive cell.
        fingerprint: see `novalith.screen.fingerprint`.
    """

    composition: Composition
    structure: Structure
    fingerprint: NDArray[np.float64]

    @classmethod
    def of(cls, crystal: Crystal) -> Reduced:
        """Reduce a crystal to its primitive cell as the matcher does, and measure it."""
        structure = _primitive(crystal)
        symbols = [site.specie.symbol for site in structure]
        numbers = fingerprint(structure.lattice.matrix, structure.frac_coords, symbols)
        return cls(crystal.composition.reduced, structure, numbers)


def same_crystal(a: Crystal, b: Crystal) -> float | None:
    """Root-mean-square distance between matched sites in (V/N)^(1/3), or None where the crystals differ."""
    if a.composition.reduced != b.composition.reduced:
        return None
    return rms_distance(Reduced.of(a), Reduced.of(b))


def rms_distance(a: Reduced, b: Reduced) -> float | None:
    """`same_crystal` of crystals already reduced."""
    if not (may_match(a, b) and matches(a, b)):
        return None
    found = _matcher(len(a.structure) != len(b.structure)).get_rms_dist(a.structure, b.structure)
    # Asked for the smallest distance the matcher reduces the cells once more; should it then miss the match it has
    # just found, the tolerance is all that is known of the distance.
    return MATCHER_STOL if found is None else float(found[0])


def may_match(a: Reduced, b: Reduced) -> bool:
    """Whether the matcher has to be asked: False only where it would find the crystals different."""
    return (
        a.composition == b.composition
        and max(len(a.structure), len(b.structure)) % min(len(a.structure), len(b.structure)) == 0
        and float(np.abs(a.fingerprint - b.fingerprint).max()) <= FAR
    )


def matches(a: Reduced, b: Reduced) -> bool:
    """Whether the matcher finds the crystals equal."""
    if len(a.structure) == len(b.structure):
        return bool(_matcher(False).fit(a.structure, b.structure, skip_structure_reduction=True))
    found = _matcher(True).get_rms_dist(a.structure, b.structure)
    spacing_a = float(b.structure.volume / len(b.structure)) ** (1.0 / 3.0)
    return found is not None and float(found[1]) * spacing_a <= _NOISE_A


def group_duplicates(crystals: Sequence[Crystal]) -> list[int]:
    """For each crystal the index of the first of its group (its own where it starts one).

    Each crystal is compared with the first members of the groups of its formula only, those with the nearest
    fingerprints first, so that many copies of few crystals cost one comparison each.
    """
    groups: dict[Composition, _Groups] = {}
    answer = []
    for i, crystal in enumerate(crystals):
        reduced = Reduced.of(crystal)
        bucket = groups.setdefault(reduced.composition, _Groups([], [], np.zeros((0, 0))))
        answer.append(bucket.place(i, reduced))
    return answer


@dataclass
class _Groups:
    """First members of the groups of one formula, with their fingerprints as rows."""

    indices: list[int]
    members: list[Reduced]
    fingerprints: NDArray[np.float64]

    def place(self, index: int, reduced: Reduced) -> int:
        """The first member equal to a crystal; a crystal without one starts a group."""
        n = len(self.members)
        if n:
            distances = np.abs(self.fingerprints[:n] - reduced.fingerprint).max(axis=1)
            for j in np.argsort(distances, kind="stable").tolist():
                if distances[j] > FAR:
                    break
                if may_match(self.members[j], reduced) and matches(self.members[j], reduced):
                    return self.indices[j]
        if n == len(self.fingerprints):
            grown = np.zeros((max(8, 2 * n), len(reduced.fingerprint)))
            grown[:n] = self.fingerprints[:n] if n else grown[:n]
            self.fingerprints = grown
        self.fingerprints[n] = reduced.fingerprint
        self.indices.append(index)
        self.members.append(reduced)
        return index


def _primitive(crystal: Crystal) -> Structure:
    return crystal.to_structure().get_reduced_structure().get_primitive_structure()


@cache
def _matcher(supercells: bool) -> Any:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher(
        ltol=MATCHER_LTOL,
        stol=MATCHER_STOL,
        angle_tol=MATCHER_ANGLE_DEG,
        primitive_cell=False,
        scale=True,
        attempt_supercell=supercells,
    )
