"""The names of properties and their units, the same on the command line, in files and in models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from novalith.errors import UnknownNameError


@dataclass(frozen=True)
class Target:
    """A property that models predict or are asked for.

    Attributes:
        name: as on the command line.
        unit: of every value under that name.
        aliases: other spellings that column headers of published tables use.
    """

    name: str
    unit: str
    aliases: tuple[str, ...] = ()


TARGETS = {
    target.name: target
    for target in (
        Target("formation_energy", "eV/atom", ("formation_energy_per_atom", "formation_energy_ev_per_atom", "delta_e")),
        Target("energy_per_atom", "eV/atom", ("energy_pa", "energy_per_atom_ev")),
        Target("volume_per_atom", "Å³/atom", ("volume_pa",)),
        Target("decomposition_energy", "eV/atom", ("decomposition_energy_per_atom",)),
        Target("energy_above_hull", "eV/atom", ("e_above_hull", "energy_above_hull_ev_per_atom")),
        Target("band_gap", "eV", ("bandgap", "gap pbe", "band_gap_ev")),
        Target("reported", "1 with experimental evidence, else 0", ()),
        Target("bulk_modulus", "GPa", ("K_VRH", "bulk_modulus_gpa")),
        Target("shear_modulus", "GPa", ("G_VRH", "shear_modulus_gpa")),
        Target("poisson_ratio", "", ()),
        Target("dielectric_constant", "", ("poly_electronic", "dielectric_electronic")),
        Target("refractive_index", "", ("n",)),
    )
}


def target_named(name: str) -> Target:
    """The target of a name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in TARGETS:
        raise UnknownNameError("target", name, TARGETS)
    return TARGETS[name]


def column_of(target: Target, columns: Iterable[str]) -> str | None:
    """The column that holds a target: its name first, then its aliases in their order."""
    present = list(columns)
    return next((name for name in (target.name, *target.aliases) if name in present), None)
