"""The evaluations of one relaxation: counted, judged, never repeated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Crystal
from novalith.relax.base import Ending, Evaluated, OutOfReachError, Potential
from novalith.relax.frame import Frame
from novalith.relax.settings import RelaxSettings, Windows

Array = NDArray[np.float64]

#: 1 eV/Å3 in GPa (CODATA 2018).
GPA_PER_EV_PER_A3 = 160.2176634

#: Entries of x for Uzz, Uyz and Uxz, which a relaxation in the plane leaves at zero (see `novalith.relax.frame`).
OUT_OF_PLANE = slice(-4, -1)


@dataclass(frozen=True)
class Point:
    """An evaluated crystal.

    Attributes:
        x: its vector in the frame of the walk.
        crystal: the crystal.
        energy_ev: of the cell.
        gradient: dE/dx, eV/Å.
        max_force_ev_per_a: largest force on an atom.
        max_stress_gpa: largest absolute stress component among those that may relax.
    """

    x: Array
    crystal: Crystal
    energy_ev: float
    gradient: Array
    max_force_ev_per_a: float
    max_stress_gpa: float


@dataclass(frozen=True)
class Refusal:
    """Why a point cannot be entered, or why no further one was.

    Attributes:
        ending: what a relaxation that stops here ends with.
        reason: one sentence with the numbers.
    """

    ending: Ending
    reason: str


class Walk:
    """A potential seen from the frame of a start.

    Attributes:
        frame: the start, to which every x refers.
        settings: when to stop.
        n_evaluations: calls of the potential so far.
        n_steps: points entered after the start; counted by the optimisers.
    """

    def __init__(self, crystal: Crystal, potential: Potential, settings: RelaxSettings) -> None:
        self.frame = Frame.of(crystal, settings.fixed_cell)
        self.settings = settings
        self.n_evaluations = 0
        self.n_steps = 0
        self._potential = potential

    def look(self, x: Array) -> Point | Refusal:
        """Evaluate the crystal at x, unless it is outside of the windows."""
        crystal = self.frame.crystal(x)
        if crystal is None:
            return Refusal(Ending.EXPLODED, "The cell turned inside out.")
        outside = _outside(crystal, self.settings.windows)
        if outside:
            return Refusal(Ending.EXPLODED, outside)
        self.n_evaluations += 1
        try:
            evaluated = self._potential.evaluate(crystal)
        except OutOfReachError as error:
            return Refusal(Ending.OUT_OF_REACH, str(error))
        return self._judge(x, crystal, evaluated)

    def hold(self, hessian: Array) -> Array:
        """The inverse of second derivatives, without the entries of x that must not move."""
        if not self.settings.in_plane:
            return np.linalg.inv(hessian).astype(np.float64)
        free = np.ones(len(hessian), dtype=bool)
        free[OUT_OF_PLANE] = False
        inverse = np.zeros_like(hessian)
        inverse[np.ix_(free, free)] = np.linalg.inv(hessian[np.ix_(free, free)])
        return inverse

    def _judge(self, x: Array, crystal: Crystal, evaluated: Evaluated) -> Point | Refusal:
        energy, forces, stress = evaluated.energy_ev, evaluated.forces_ev_per_a, evaluated.stress_ev_per_a3
        for name, value in (("an energy", energy), ("forces", forces), ("a stress", stress)):
            if not np.all(np.isfinite(value)):
                return Refusal(Ending.NAN, f"The potential gave {name} that cannot be read as numbers.")
        low, high = self.settings.windows.energy_per_atom_ev
        per_atom = energy / crystal.n_atoms
        if not low <= per_atom <= high:
            return Refusal(Ending.EXPLODED, f"The energy is {per_atom:.3g} eV/atom, outside of {low:g} to {high:g}.")
        gradient = self.frame.gradient(x, evaluated, crystal.volume)
        if self.settings.in_plane:
            gradient[OUT_OF_PLANE], stress = 0.0, stress[:2, :2]
        return Point(
            x=x,
            crystal=crystal,
            energy_ev=energy,
            gradient=gradient,
            max_force_ev_per_a=float(np.linalg.norm(forces, axis=1).max()),
            max_stress_gpa=float(np.abs(stress).max()) * GPA_PER_EV_PER_A3,
        )

    def converged(self, point: Point) -> bool:
        """Whether forces and stress are below their bounds."""
        calm = point.max_force_ev_per_a <= self.settings.max_force_ev_per_a
        return calm and (self.settings.fixed_cell or point.max_stress_gpa <= self.settings.max_stress_gpa)

    def capped(self, point: Point) -> Refusal | None:
        """The end of the walk at `point` where the step cap is reached."""
        if self.n_evaluations <= self.settings.max_steps:
            return None
        return Refusal(
            Ending.CAPPED,
            f"After {self.settings.max_steps} steps a force of {point.max_force_ev_per_a:.3f} eV/Å and a stress of "
            f"{point.max_stress_gpa:.2f} GPa are left.",
        )


def _outside(crystal: Crystal, windows: Windows) -> str:
    """Which window a crystal is outside of, empty where none."""
    low, high = windows.volume_per_atom_a3
    volume = crystal.volume / crystal.n_atoms
    if not low <= volume <= high:
        return f"The volume is {volume:.3g} Å3/atom, outside of {low:g} to {high:g}."
    lattice = np.array(crystal.lattice, dtype=np.float64)
    low, high = windows.cell_length_a
    lengths = np.linalg.norm(lattice, axis=1)
    if lengths.min() < low or lengths.max() > high:
        return f"The cell vectors are {np.round(lengths, 2).tolist()} Å long, outside of {low:g} to {high:g}."
    shortest = _shortest_below(crystal, lattice, windows.shortest_distance_a)
    if shortest is not None:
        return f"Two atoms are {shortest:.2f} Å apart; at least {windows.shortest_distance_a:g} Å are needed."
    return ""


def _shortest_below(crystal: Crystal, lattice: Array, limit_a: float) -> float | None:
    """The shortest distance where it is below a limit."""
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions = np.array(crystal.frac_coords, dtype=np.float64) @ lattice
    first, second, image, distance = find_points_in_spheres(
        positions, positions, r=limit_a, pbc=np.ones(3, dtype=np.int64), lattice=lattice, tol=1e-8
    )
    others = (first != second) | np.any(image != 0, axis=1)
    return float(distance[others].min()) if others.any() else None
