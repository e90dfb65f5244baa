"""The cell rule: volume per atom, density and cell vectors in the range of real crystals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from novalith.materials import Crystal, Verdict
from novalith.screen.base import Rule

#: g/cm3 per u/Å3 (CODATA 2018: 1 u = 1.66053906660e-24 g).
_G_PER_CM3 = 1.66053906660


@dataclass(frozen=True)
class CellSanity(Rule):
    """Volume per atom, density and cell vectors must lie where those of real crystals lie.

    The windows hold the relaxed crystals of the Materials Project with a margin (`python benchmarks/novelty.py
    --limits` prints their range); they reject exploded and collapsed cells, nothing else.

    Attributes:
        min_volume_a3_per_atom: smallest volume per atom, Å3 (diamond has 5.7).
        max_volume_a3_per_atom: largest volume per atom, Å3 (caesium has 117).
        min_density_g_per_cm3: lowest density (solid hydrogen has 0.09, helium relaxed without dispersion 0.04).
        max_density_g_per_cm3: highest density (osmium has 22.6).
        min_length_a: shortest cell vector, Å (beryllium and diamond have 2.2 and 2.5).
        max_spacing_a: largest spacing of lattice planes of a cell axis, Å.
        min_angle_deg: smallest cell angle, degrees; 180 minus it is the largest.
    """

    min_volume_a3_per_atom: float = 3.0
    max_volume_a3_per_atom: float = 200.0
    min_density_g_per_cm3: float = 0.02
    max_density_g_per_cm3: float = 25.0
    min_length_a: float = 1.5
    max_spacing_a: float = 100.0
    min_angle_deg: float = 2.0

    name: ClassVar[str] = "cell"
    source: ClassVar[str] = "range of relaxed Materials Project crystals"

    def check(self, crystal: Crystal) -> Verdict:
        """Judge volume, density, angles and lengths, in this order; the first failure is the reason."""
        reason = self._volume(crystal) or self._angles(crystal) or self._lengths(crystal)
        return Verdict(not reason, self.name, reason, self.source)

    def _volume(self, crystal: Crystal) -> str:
        volume = crystal.volume / crystal.n_atoms
        if not self.min_volume_a3_per_atom <= volume <= self.max_volume_a3_per_atom:
            return (
                f"{volume:.2f} Å3 per atom; crystals have {self.min_volume_a3_per_atom:g} to "
                f"{self.max_volume_a3_per_atom:g}."
            )
        density = density_g_per_cm3(crystal)
        if not self.min_density_g_per_cm3 <= density <= self.max_density_g_per_cm3:
            return (
                f"Density {density:.3g} g/cm3; crystals have {self.min_density_g_per_cm3:g} to "
                f"{self.max_density_g_per_cm3:g}."
            )
        return ""

    def _angles(self, crystal: Crystal) -> str:
        lattice = np.asarray(crystal.lattice)
        unit = lattice / np.linalg.norm(lattice, axis=1, keepdims=True)
        cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
        angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
        worst = int(np.argmax(np.abs(angles - 90.0)))
        if not self.min_angle_deg <= angles[worst] <= 180.0 - self.min_angle_deg:
            return f"Cell angle {('alpha', 'beta', 'gamma')[worst]} is {angles[worst]:.2f}°, a degenerate cell."
        return ""

    def _lengths(self, crystal: Crystal) -> str:
        lattice = np.asarray(crystal.lattice)
        shortest = float(np.linalg.norm(lattice, axis=1).min())
        if shortest < self.min_length_a:
            return f"A cell vector is {shortest:.2f} Å long; equal sites of crystals are {self.min_length_a:g} Å apart."
        # Spacings of lattice planes, unlike lengths, stay what they are when a cell is written in a skewed setting.
        widest = float((1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)).max())
        if widest > self.max_spacing_a:
            return f"Lattice planes are {widest:.1f} Å apart; crystals have at most {self.max_spacing_a:g}."
        return ""


def density_g_per_cm3(crystal: Crystal) -> float:
    """Mass density from standard atomic weights."""
    masses = _masses()
    mass_u = sum(masses[s] for s in crystal.species)
    return mass_u / crystal.volume * _G_PER_CM3


@cache
def _masses() -> dict[str, float]:
    from ase.data import atomic_masses, chemical_symbols

    return {s: float(m) for s, m in zip(chemical_symbols, atomic_masses, strict=True)}
