"""A first guess of the second derivatives from springs between neighbours.

A quasi-Newton optimiser that starts from a good guess needs a fraction of the steps. Each pair of atoms i, j at a
distance r gets a spring of stiffness

    k(r) = K exp(-A (r / (r_i + r_j) - 1))

along it, with covalent radii r_i (Cordero et al., Dalton Trans. 2832, 2008), after the idea of Lindh et al. (Chem.
Phys. Lett. 241, 423, 1995) and, for solids, of Packwood et al. (J. Chem. Phys. 144, 164109, 2016). A strain stretches
the same springs, so that atoms, cell and their coupling come from one model, and its symmetry is that of the crystal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, Crystal
from novalith.relax.frame import BOND_A, pack

Array = NDArray[np.float64]

# Chosen by counting evaluations: 40 strained and rattled crystals of the Materials Project took 377 and 16 random
# symmetric ones 527 with these values. Half or twice the stiffness or another decay (3, 8) took up to 403 and 828.
STIFFNESS_EV_PER_A2 = 6.0
DECAY = 5.0
#: Stiffness across a spring, as a share of that along it.
TRANSVERSE = 0.1
#: Stiffness that every atom and every strain has at least, so that the model is positive definite.
ATOM_FLOOR_EV_PER_A2 = 0.5
CELL_FLOOR_EV_PER_A3 = 0.1
_CUTOFF_A = 6.0


def model_hessian(crystal: Crystal, fixed_cell: bool) -> Array:
    """Positive definite guess of d2E/dx2 in the frame of `crystal` (see `novalith.relax.frame`), eV/Å2."""
    from ase.data import covalent_radii
    from pymatgen.optimization.neighbors import find_points_in_spheres

    lattice = np.array(crystal.lattice, dtype=np.float64)
    positions = np.array(crystal.frac_coords, dtype=np.float64) @ lattice
    i, j, image, r = find_points_in_spheres(
        positions, positions, r=_CUTOFF_A, pbc=np.ones(3, dtype=np.int64), lattice=lattice, tol=1e-8
    )
    real = r > 1e-3
    i, j, image, r = i[real], j[real], image[real], r[real]
    vectors = positions[j] + image @ lattice - positions[i]
    directions = vectors / r[:, None]
    radii = covalent_radii[[ATOMIC_NUMBERS[s] for s in crystal.species]]
    stiffness = STIFFNESS_EV_PER_A2 * np.exp(-DECAY * np.maximum(r / (radii[i] + radii[j]) - 1, -0.3))
    stiffness = stiffness / 2  # every pair is met from both ends

    n = crystal.n_atoms
    atoms = np.zeros((n, n, 3, 3))
    projector = directions[:, :, None] * directions[:, None, :]
    blocks = stiffness[:, None, None] * (projector + TRANSVERSE * (np.eye(3) - projector))
    for a, b, sign in ((i, i, 1.0), (j, j, 1.0), (i, j, -1.0), (j, i, -1.0)):
        np.add.at(atoms, (a, b), sign * blocks)
    atoms[np.arange(n), np.arange(n)] += ATOM_FLOOR_EV_PER_A2 * np.eye(3)
    size = 3 * n + (0 if fixed_cell else 6)
    hessian = np.zeros((size, size))
    hessian[: 3 * n, : 3 * n] = atoms.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    if not fixed_cell:
        # Stretch of a pair by the six packed strains: r (e e) : U; the transverse part is left to the floor.
        stretch = pack(projector) * (r / BOND_A)[:, None]
        cell = (stiffness[:, None] * stretch).T @ stretch
        hessian[-6:, -6:] = cell + CELL_FLOOR_EV_PER_A3 * crystal.volume / BOND_A**2 * np.eye(6)
        pull = stiffness[:, None, None] * directions[:, :, None] * stretch[:, None, :]
        coupling = np.zeros((n, 3, 6))
        np.add.at(coupling, j, pull)
        np.add.at(coupling, i, -pull)
        hessian[: 3 * n, -6:] = coupling.reshape(3 * n, 6)
        hessian[-6:, : 3 * n] = hessian[: 3 * n, -6:].T
    return hessian
