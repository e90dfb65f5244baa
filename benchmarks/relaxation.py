"""Relaxations per minute: novalith against the optimiser that CHGNet is published with, one thread each.

    python benchmarks/relaxation.py [--seed N] [--count N]

Draws bundled structures of 2 to 10 atoms, strains them by up to 4 %, rattles them by 0.1 Å, and relaxes each with both
programs in turn, so that a busy machine slows both alike. Both stop at 0.05 eV/Å. The published optimiser (FIRE on a
filter of atoms and cell) asks 0.05 eV/atom of the stress besides, which is about 0.5 GPa; ours asks 0.1 GPa.

Every energy is printed. Where they differ by more than 1 meV/atom, both go on from their own results to 0.005 eV/Å:
where they then agree, one of them had stopped above the common minimum. Ends with code 1 where ours is not 2.5 times
as fast, or where it ended in another, higher minimum.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MKL_CBWR": "AUTO"}

import argparse
import contextlib
import io
import math
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from chgnet.model import CHGNet, StructOptimizer

from novalith.data.library import Library
from novalith.materials import Crystal
from novalith.relax.base import Potential, Relaxation
from novalith.relax.potentials import load_potential
from novalith.relax.relaxer import RelaxSettings, relax

N_ATOMS = (2, 10)
STRAIN, SHIFT_A = 0.04, 0.1
MAX_FORCE, TIGHT_FORCE, MAX_STEPS = 0.05, 0.005, 500
REQUIRED_RATIO, ALLOWED_EV_PER_ATOM = 2.5, 1e-3


@dataclass
class Row:
    """One start, relaxed by both programs; energies in eV/atom."""

    id: str
    n_atoms: int
    ours: Relaxation
    ours_s: float
    published: dict[str, Any]
    published_s: float

    @property
    def published_energy(self) -> float:
        return float(np.ravel(self.published["trajectory"].energies[-1])[0]) / self.n_atoms

    @property
    def deviation(self) -> float:
        return (self.ours.energy_ev_per_atom or math.nan) - self.published_energy


def draw(count: int, seed: int) -> list[tuple[str, Crystal]]:
    rng = np.random.default_rng(seed)
    pool = [k for k in Library().structures if N_ATOMS[0] <= k.crystal.n_atoms <= N_ATOMS[1]]
    chosen = rng.choice(len(pool), count, replace=False)
    return [(pool[i].id, disturbed(pool[i].crystal, rng)) for i in sorted(chosen)]


def disturbed(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    """Each strain component uniform within 4 %; each atom moved 0.1 Å (root mean square)."""
    bend = rng.uniform(-STRAIN, STRAIN, (3, 3))
    lattice = np.array(crystal.lattice) @ (np.eye(3) + (bend + bend.T) / 2)
    moved = np.array(crystal.frac_coords) @ lattice + rng.normal(0, SHIFT_A / np.sqrt(3), (crystal.n_atoms, 3))
    return Crystal.from_arrays(lattice, crystal.species, moved @ np.linalg.inv(lattice))


def compare(name: str, crystal: Crystal, potential: Potential, optimiser: StructOptimizer) -> Row:
    """Relax one start with both programs, one after the other."""
    settings = RelaxSettings(max_force_ev_per_a=MAX_FORCE, max_steps=MAX_STEPS)
    t0 = time.perf_counter()
    ours = relax(crystal, potential, settings)
    t1 = time.perf_counter()
    published = optimiser.relax(crystal.to_structure(), fmax=MAX_FORCE, steps=MAX_STEPS, verbose=False)
    row = Row(name, crystal.n_atoms, ours, t1 - t0, published, time.perf_counter() - t1)
    print(
        f"{name:12s} {crystal.composition.formula:14s} {crystal.n_atoms:2d} atoms   "
        f"ours {ours.ending.value}, {ours.n_evaluations:3d} evaluations, {row.ours_s:6.2f} s   "
        f"published {len(published['trajectory'].energies):3d} evaluations, {row.published_s:6.2f} s   "
        f"ours - published {1e3 * row.deviation:+7.2f} meV/atom",
        flush=True,
    )
    return row


def final_deviation(row: Row, potential: Potential, optimiser: StructOptimizer) -> float:
    """Ours less the published energy (eV/atom) where each goes on from its own result to a small force."""
    tight = RelaxSettings(max_force_ev_per_a=TIGHT_FORCE, max_stress_gpa=0.01, max_steps=2000)
    further = relax(row.ours.final, potential, tight)
    on = optimiser.relax(row.published["final_structure"], fmax=TIGHT_FORCE, steps=2000, verbose=False)
    published = float(np.ravel(on["trajectory"].energies[-1])[0]) / row.n_atoms
    print(
        f"  {row.id}: going on to {TIGHT_FORCE} eV/Å, ours {row.ours.energy_ev_per_atom:.5f} -> "
        f"{further.energy_ev_per_atom:.5f}, published {row.published_energy:.5f} -> {published:.5f} eV/atom"
    )
    return (further.energy_ev_per_atom or math.nan) - published


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")  # of the published code
    print(f"seed {arguments.seed}, {arguments.count} structures, {MAX_FORCE} eV/Å, one thread, CHGNet 0.3.0 for both")

    potential = load_potential("chgnet")
    with contextlib.redirect_stdout(io.StringIO()):
        optimiser = StructOptimizer(model=CHGNet.load(use_device="cpu", verbose=False), use_device="cpu")
    starts = draw(arguments.count, arguments.seed)
    with contextlib.redirect_stdout(io.StringIO()):
        compare(*starts[0], potential, optimiser)  # both programs warm
    rows = [compare(name, crystal, potential, optimiser) for name, crystal in starts]

    ours_s, published_s = sum(r.ours_s for r in rows), sum(r.published_s for r in rows)
    ratio = published_s / ours_s
    apart = [r for r in rows if not abs(r.deviation) <= ALLOWED_EV_PER_ATOM]
    print(
        f"ours      {60 * len(rows) / ours_s:7.1f} relaxations a minute, "
        f"{sum(r.ours.converged for r in rows)} of {len(rows)} converged"
    )
    print(
        f"published {60 * len(rows) / published_s:7.1f} relaxations a minute; "
        f"ours is {ratio:.1f} times as fast (required: {REQUIRED_RATIO})"
    )
    print(f"{len(rows) - len(apart)} of {len(rows)} energies within 1 meV/atom; the others:")
    deviations = {r.id: final_deviation(r, potential, optimiser) for r in apart}
    same = [name for name, d in deviations.items() if abs(d) <= ALLOWED_EV_PER_ATOM]
    lower = [name for name, d in deviations.items() if d < -ALLOWED_EV_PER_ATOM]
    higher = [name for name in deviations if name not in (*same, *lower)]
    print(f"same minimum, one of the two had stopped above it: {', '.join(same) or 'none'}")
    print(f"another minimum, ours the lower one: {', '.join(lower) or 'none'}")
    print(f"another minimum, ours the higher one: {', '.join(higher) or 'none'}")
    return 0 if ratio >= REQUIRED_RATIO and not higher else 1


if __name__ == "__main__":
    sys.exit(main())
