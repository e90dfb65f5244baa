"""Textbook crystals, disturbances that leave a crystal itself, and a small stand-in for the bundled library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from novalith.data.library import KnownStructure
from novalith.materials import Crystal, Gene
from novalith.represent.gene import encode_gene

_FCC = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]


def rock_salt(cation: str, anion: str, a: float) -> Crystal:
    """Conventional cell of eight atoms."""
    sites = _FCC + [((x + 0.5) % 1, y, z) for x, y, z in _FCC]
    return Crystal.from_arrays(np.eye(3) * a, [cation] * 4 + [anion] * 4, sites)


def caesium_chloride(cation: str, anion: str, a: float) -> Crystal:
    return Crystal.from_arrays(np.eye(3) * a, [cation, anion], [(0, 0, 0), (0.5, 0.5, 0.5)])


def zinc_blende(cation: str, anion: str, a: float) -> Crystal:
    sites = _FCC + [((x + 0.25) % 1, (y + 0.25) % 1, (z + 0.25) % 1) for x, y, z in _FCC]
    return Crystal.from_arrays(np.eye(3) * a, [cation] * 4 + [anion] * 4, sites)


def perovskite(a_site: str, b_site: str, anion: str, a: float) -> Crystal:
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Crystal.from_arrays(np.eye(3) * a, [a_site, b_site, *[anion] * 3], sites)


def rutile(cation: str, anion: str, a: float, c: float, u: float = 0.305) -> Crystal:
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (u, u, 0), (-u, -u, 0), (0.5 + u, 0.5 - u, 0.5), (0.5 - u, 0.5 + u, 0.5)]
    return Crystal.from_arrays(np.diag([a, a, c]), [cation] * 2 + [anion] * 4, sites)


def supercell(crystal: Crystal, repeats: tuple[int, int, int]) -> Crystal:
    shifts = np.stack(np.meshgrid(*(np.arange(r) for r in repeats), indexing="ij"), axis=-1).reshape(-1, 3)
    frac = (np.array(crystal.frac_coords)[:, None, :] + shifts) / np.array(repeats)
    species = np.repeat(crystal.species, len(shifts))
    return Crystal.from_arrays(np.array(crystal.lattice) * np.array(repeats)[:, None], species, frac.reshape(-1, 3))


def strained(crystal: Crystal, size: float, rng: np.random.Generator) -> Crystal:
    """A symmetric strain whose largest part is `size`."""
    strain = rng.uniform(-1, 1, (3, 3))
    strain = (strain + strain.T) / 2
    strain *= size / np.abs(strain).max()
    return Crystal.from_arrays(np.array(crystal.lattice) @ (np.eye(3) + strain), crystal.species, crystal.frac_coords)


def rattled(crystal: Crystal, size_a: float, rng: np.random.Generator) -> Crystal:
    """Every atom moved by `size_a` (Å) in a random direction."""
    steps = rng.normal(size=(crystal.n_atoms, 3))
    steps *= size_a / np.linalg.norm(steps, axis=1, keepdims=True)
    frac = np.array(crystal.frac_coords) + steps @ np.linalg.inv(np.array(crystal.lattice))
    return Crystal.from_arrays(crystal.lattice, crystal.species, frac)


def shifted(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Another origin and another order of the sites."""
    order = rng.permutation(crystal.n_atoms)
    frac = np.array(crystal.frac_coords)[order] + rng.uniform(size=3)
    return Crystal.from_arrays(crystal.lattice, [crystal.species[i] for i in order], frac)


def axes_permuted(crystal: Crystal) -> Crystal:
    """The same crystal with its axes renamed a, b, c -> b, c, a."""
    lattice, frac = np.array(crystal.lattice), np.array(crystal.frac_coords)
    return Crystal.from_arrays(lattice[[1, 2, 0]], crystal.species, frac[:, [1, 2, 0]])


def disguises(crystal: Crystal, rng: np.random.Generator) -> dict[str, Crystal]:
    """One crystal in other clothes."""
    return {
        "supercell": supercell(crystal, (2, 1, 1)),
        "strain": strained(crystal, 0.03, rng),
        "rattle": rattled(crystal, 0.05, rng),
        "shift": shifted(crystal, rng),
        "axes": axes_permuted(crystal),
        "all": axes_permuted(shifted(rattled(strained(supercell(crystal, (1, 2, 1)), 0.03, rng), 0.05, rng), rng)),
    }


@dataclass
class SmallLibrary:
    """The attributes of `novalith.data.library.Library` that the screens read."""

    crystals: list[tuple[str, Crystal, float]]
    hull_energies: dict[str, float] = field(default_factory=dict)
    reported: frozenset[str] = frozenset()
    oqmd: dict[str, float] = field(default_factory=dict)

    @property
    def structures(self) -> tuple[KnownStructure, ...]:
        answer: list[Any] = []
        for id_, crystal, energy in self.crystals:
            gene = encode_gene(crystal)
            assert isinstance(gene, Gene)
            properties = {"formation_energy_ev_per_atom": energy}
            answer.append(KnownStructure(id_, crystal, gene, crystal.composition.formula, properties))
        return tuple(answer)
