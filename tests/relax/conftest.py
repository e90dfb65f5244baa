from __future__ import annotations

import numpy as np
import pytest

from novalith.materials import Crystal
from novalith.relax.base import Evaluated, Potential, PotentialInfo
from novalith.relax.potentials import load_potential

TOY = PotentialInfo("toy", "1", "toy scale", "none")


@pytest.fixture(scope="session")
def chgnet() -> Potential:
    return load_potential("chgnet")


def rock_salt(cation: str, anion: str, edge_a: float) -> Crystal:
    half = edge_a / 2
    lattice = ((0.0, half, half), (half, 0.0, half), (half, half, 0.0))
    return Crystal(lattice, (cation, anion), ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)))


def rattled(crystal: Crystal, seed: int, strain: float = 0.04, shift_a: float = 0.1) -> Crystal:
    rng = np.random.default_rng(seed)
    bend = rng.uniform(-strain, strain, (3, 3))
    lattice = np.array(crystal.lattice) @ (np.eye(3) + (bend + bend.T) / 2)
    moved = np.array(crystal.frac_coords) @ lattice + rng.normal(0, shift_a / np.sqrt(3), (crystal.n_atoms, 3))
    return Crystal.from_arrays(lattice, crystal.species, moved @ np.linalg.inv(lattice))


def perovskite() -> Crystal:
    coordinates = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5))
    a = 3.9
    return Crystal(((a, 0.0, 0.0), (0.0, a, 0.0), (0.0, 0.0, a)), ("Sr", "Ti", "O", "O", "O"), coordinates)


class Springs(Potential):
    """Springs of 2 eV/Å2 and rest length 3 Å to every neighbour within 4 Å: a potential with a known minimum."""

    info = TOY

    def evaluate(self, crystal: Crystal) -> Evaluated:
        lattice = np.array(crystal.lattice)
        positions = np.array(crystal.frac_coords) @ lattice
        images = np.array(np.meshgrid(*[range(-2, 3)] * 3)).reshape(3, -1).T @ lattice
        vectors = positions[None, :, None] - positions[:, None, None] + images[None, None]  # (n, n, images, 3)
        r = np.linalg.norm(vectors, axis=-1)
        near = (r > 1e-6) & (r < 4.0)
        pull = np.where(near, 2.0 * (r - 3.0), 0.0)
        unit = vectors / np.where(near, r, 1.0)[..., None]
        forces = (pull[..., None] * unit).sum(axis=(1, 2))
        virial = np.einsum("ijk,ijkx,ijky->xy", np.where(near, pull, 0.0) / 2, unit, vectors)
        return Evaluated(float(0.5 * (pull**2).sum() / 2.0 / 2.0), forces, virial / crystal.volume)
