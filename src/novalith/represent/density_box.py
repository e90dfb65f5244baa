"""A piece of a repeating crystal in a cubic box: electron-like density and species on one grid, many boxes a second.

    rho(r) = sum_a Z_a (2 pi s^2)^(-3/2) exp(-|r - r_a|^2 / 2 s^2),   s = 1 Å
    species(r) = Z of the nearest atom within 0.65 Å, else 0,         r = (i + 1/2, j + 1/2, k + 1/2) h

over all atoms of the crystal and its images, also those outside the box whose tails reach in. The Gaussian is a product
of three, so that a box is one matrix product instead of a sum over voxels and atoms. Hoffmann, Maestrati, Sawada, Tang,
Sellier and Bengio, arXiv:1909.00949 (2019): 30^3 voxels over 10 Å, padded to 40^3; here 32^3 voxels of the same edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Width of the density and radius of a species (Å), both of the published code.
SIGMA_A, SPECIES_RADIUS_A = 1.0, 0.65
#: Atoms farther outside the box than this many widths are left out: exp(-4^2/2) = 3e-4 of their peak.
REACH_IN_SIGMA = 4.0


@dataclass(frozen=True)
class Box:
    """A cubic grid.

    Attributes:
        n: voxels along an edge.
        voxel_a: edge of a voxel, Å.
    """

    n: int = 32
    voxel_a: float = 1 / 3

    @property
    def edge_a(self) -> float:
        """Edge of the box, Å."""
        return self.n * self.voxel_a

    @property
    def axis_a(self) -> Floats:
        """(n,) centres of the voxels along an edge, Å."""
        return np.asarray((np.arange(self.n) + 0.5) * self.voxel_a, dtype=np.float64)


def atoms_in_box(
    lattice: Floats, positions: Floats, numbers: NDArray[np.int64], offset: Floats, box: Box
) -> tuple[Floats, NDArray[np.int64]]:
    """All atoms whose density reaches into the box.

    Args:
        lattice: (3, 3) cell vectors as rows, Å.
        positions: (atoms, 3) Cartesian, Å.
        numbers: (atoms,) atomic numbers.
        offset: (3,) Å, where the origin of the cell lies in the box.
        box: the grid.

    Returns:
        Positions (m, 3) in Å in the box's frame, and the atomic numbers (m,).
    """
    margin = REACH_IN_SIGMA * SIGMA_A
    corners = np.array(list(product((-margin, box.edge_a + margin), repeat=3)))
    inverse = np.linalg.inv(lattice)
    shifted = positions + offset
    fractions = shifted @ inverse
    low = np.floor((corners @ inverse).min(axis=0) - fractions.max(axis=0)).astype(int)
    high = np.ceil((corners @ inverse).max(axis=0) - fractions.min(axis=0)).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    images = (steps.reshape(-1, 1, 3) @ lattice + shifted).reshape(-1, 3)
    kept = ((images > -margin) & (images < box.edge_a + margin)).all(axis=1)
    return images[kept], np.tile(numbers, len(steps.reshape(-1, 3)))[kept]


def box_density(positions: Floats, numbers: NDArray[Any], box: Box) -> NDArray[np.float32]:
    """(m, 3) positions in Å and (m,) atomic numbers -> (n, n, n) density, electrons/Å3."""
    waves = np.exp(-((positions[:, :, None] - box.axis_a) ** 2) / (2 * SIGMA_A**2)).astype(np.float32)
    x, y, z = waves[:, 0], waves[:, 1], waves[:, 2]
    weighted = x * (numbers * (2 * np.pi * SIGMA_A**2) ** -1.5).astype(np.float32)[:, None]
    plane = (weighted[:, :, None] * y[:, None, :]).reshape(len(positions), -1)
    return (plane.T @ z).reshape(box.n, box.n, box.n)


def box_species(positions: Floats, numbers: NDArray[np.int64], box: Box) -> NDArray[np.int64]:
    """(m, 3) positions in Å and (m,) atomic numbers -> (n, n, n) atomic number of the nearest atom in reach, else 0."""
    reach = int(np.ceil(SPECIES_RADIUS_A / box.voxel_a))
    steps = np.arange(-reach, reach + 1)
    around = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.floor(positions / box.voxel_a).astype(int)[:, None, :] + around
    distances = np.linalg.norm((voxels + 0.5) * box.voxel_a - positions[:, None, :], axis=2)
    inside = (distances <= SPECIES_RADIUS_A) & ((voxels >= 0) & (voxels < box.n)).all(axis=2)
    flat = (voxels[..., 0] * box.n + voxels[..., 1]) * box.n + voxels[..., 2]
    order = np.argsort(-distances[inside], kind="stable")  # the nearest is written last, and stays
    species = np.zeros(box.n**3, dtype=np.int64)
    species[flat[inside][order]] = np.broadcast_to(numbers[:, None], distances.shape)[inside][order]
    return species.reshape(box.n, box.n, box.n)
