"""A library small enough to reason about, and the bundled one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from novalith.data.library import Hidden, KnownStructure, Library, WyckoffPattern
from novalith.materials import Crystal, Gene
from novalith.represent.gene import encode_gene

FCC = np.array([(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])


def rock_salt(a: float, cation: str, anion: str) -> Crystal:
    return Crystal.from_arrays(FCC * a, [cation, anion], [(0, 0, 0), (0.5, 0.5, 0.5)])


def zinc_blende(a: float, cation: str, anion: str) -> Crystal:
    return Crystal.from_arrays(FCC * a, [cation, anion], [(0, 0, 0), (0.25, 0.25, 0.25)])


def caesium_chloride(a: float, cation: str, anion: str) -> Crystal:
    return Crystal.from_arrays(np.eye(3) * a, [cation, anion], [(0, 0, 0), (0.5, 0.5, 0.5)])


def perovskite(a: float, large: str, small: str, anion: str) -> Crystal:
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Crystal.from_arrays(np.eye(3) * a, [large, small, *[anion] * 3], sites)


#: PBE lattice parameters in Å, rounded, as the Materials Project reports them.
CRYSTALS = (
    rock_salt(5.69, "Na", "Cl"),
    rock_salt(6.06, "Na", "Br"),
    rock_salt(6.39, "K", "Cl"),
    rock_salt(6.71, "K", "Br"),
    rock_salt(4.25, "Mg", "O"),
    rock_salt(4.84, "Ca", "O"),
    zinc_blende(5.45, "Zn", "S"),
    zinc_blende(5.74, "Zn", "Se"),
    caesium_chloride(4.20, "Cs", "Cl"),
    caesium_chloride(4.41, "Cs", "Br"),
    perovskite(3.94, "Sr", "Ti", "O"),
    perovskite(3.89, "Ca", "Ti", "O"),
    perovskite(4.04, "Ba", "Ti", "O"),
)


class SmallLibrary(Library):
    """The thirteen crystals above in place of the bundled tables."""

    def __init__(self, hidden: Hidden | None = None) -> None:
        super().__init__(hidden)
        kept = [c for c in CRYSTALS if not self.hidden.hides(c.composition.formula)]
        self.__dict__["structures"] = tuple(self._known(i, c) for i, c in enumerate(kept))
        self.__dict__["hull_energies"] = {k.formula: -1.0 for k in self.structures}
        self.__dict__["wyckoff_prior"] = (
            WyckoffPattern(62, 8, ("c", "c"), 20),
            WyckoffPattern(194, 4, ("c", "a"), 5),
            WyckoffPattern(225, 8, ("a", "b"), 50),
        )

    @staticmethod
    def _known(number: int, crystal: Crystal) -> KnownStructure:
        gene = encode_gene(crystal)
        assert isinstance(gene, Gene)
        return KnownStructure(f"mp-{number}", crystal, gene, crystal.composition.formula, {})


@pytest.fixture(scope="session")
def small_library() -> Library:
    return SmallLibrary()


@pytest.fixture(scope="session")
def small_library_without() -> Callable[[str], Library]:
    """The small library with some formulas (comma-separated) hidden."""
    return lambda formulas: SmallLibrary(Hidden(formulas=frozenset(formulas.split(","))))


@pytest.fixture(scope="session")
def library() -> Library:
    """The bundled tables, nothing hidden."""
    return Library()
