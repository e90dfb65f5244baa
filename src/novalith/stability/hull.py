"""The convex hull of formation energies: what a material would fall apart into, and what that gains."""

from __future__ import annotations

from dataclasses import dataclass

from novalith.materials import Composition


@dataclass(frozen=True)
class Phase:
    """A competing phase.

    Attributes:
        composition: its formula.
        formation_energy_ev_per_atom: relative to the elements, eV/atom.
        id: where it comes from ("MP hull table", "mp-30249 by chgnet").
        energy_scale: the scale of its energy; a hull refuses phases of different scales.
    """

    composition: Composition
    formation_energy_ev_per_atom: float
    id: str
    energy_scale: str
