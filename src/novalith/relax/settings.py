"""When a relaxation stops, and what it must never leave."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from novalith.errors import ContradictionError, InputError


@dataclass(frozen=True)
class Windows:
    """What a crystal must stay within to be a crystal at all; wider than anything known at ambient pressure.

    Attributes:
        volume_per_atom_a3: from below dense hydrides (about 4) to above solid xenon and caesium (about 115).
        shortest_distance_a: below the bond of the hydrogen molecule, 0.74 Å.
        energy_per_atom_ev: the deepest solid element (tungsten) has -13 eV/atom and no compound gains more than 5.
        cell_length_a: of each cell vector.
    """

    volume_per_atom_a3: tuple[float, float] = (2.0, 250.0)
    shortest_distance_a: float = 0.5
    energy_per_atom_ev: tuple[float, float] = (-20.0, 100.0)
    cell_length_a: tuple[float, float] = (1.0, 120.0)


@dataclass(frozen=True)
class RelaxSettings:
    """When to stop.

    Attributes:
        max_force_ev_per_a: largest force on an atom of a converged crystal.
        max_stress_gpa: largest stress component of a converged crystal. At 0.1 GPa the edge of a soft cubic salt
            (bulk modulus 25 GPa) is within 0.15 % and the energy of any crystal within 0.1 meV/atom of the minimum.
        max_steps: evaluations after the first. Strained and rattled crystals need about ten, random ones up to a
            hundred; what needs more is usually falling apart.
        fixed_cell: relax the positions alone; the stress is then reported, not required.
        in_plane: relax the cell in the plane of x and y alone, for a monolayer whose vacuum is along z; stresses that
            reach out of the plane are then reported, not required.
        windows: sane volumes, distances and energies.
    """

    max_force_ev_per_a: float = 0.05
    max_stress_gpa: float = 0.1
    max_steps: int = 250
    fixed_cell: bool = False
    in_plane: bool = False
    windows: Windows = field(default_factory=Windows)

    def __post_init__(self) -> None:
        for name in ("max_force_ev_per_a", "max_stress_gpa"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; expected a positive number.")
        if self.fixed_cell and self.in_plane:
            raise ContradictionError(
                "A cell is either fixed or free in its plane: give one of fixed_cell and in_plane."
            )
        if self.max_steps < 0:
            raise InputError(f"max_steps is {self.max_steps}; expected 0 or more.")
