r"""The convex hull of formation energies: what a material would fall apart into, and what that gains.

For a composition with atomic fractions :math:`c_i` and competing phases :math:`j` of fractions :math:`c_{ij}` and
formation energies :math:`E_j` (eV/atom), the hull at that composition is the smallest energy of a mixture,

.. math:: E_\mathrm{hull}(c) = \min_x \sum_j x_j E_j \quad\text{with}\quad \sum_j c_{ij} x_j = c_i,\; x_j \ge 0,

a linear programme whose solution :math:`x_j` (shares of atoms) names the decomposition products. It needs no facets, so
it holds in any number of elements and for degenerate sets of phases alike. A candidate at energy :math:`E` lies
:math:`E - E_\mathrm{hull}` above the hull; the candidate itself is no phase of the hull, so the number is negative for
a material that would be a new ground state.

Source: Ong, Wang, Kang and Ceder, Chem. Mater. 20, 1798 (2008); Akbarzadeh, Ozolins and Wolverton, Adv. Mater. 19, 3233
(2007), for the linear programme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from novalith.errors import InputError, ScaleError
from novalith.materials import Composition, PhaseField, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Formation energies outside this window (eV/atom) are total energies, other units or misprints: the deepest known
#: formation energies of solids are fluorides and oxides of about -4.5 eV/atom (ThF4 -4.3 in the Materials Project).
SANE_FORMATION_ENERGY_EV_PER_ATOM = (-6.0, 6.0)

#: The id of an element in its reference state, which every hull holds at zero.
ELEMENT_ID = "element"

#: Shares of atoms below this are rounding of the linear programme, not products (HiGHS keeps constraints to 1e-7).
_SMALLEST_SHARE = 1e-6


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


@dataclass(frozen=True)
class HullPosition:
    """Where a material lies relative to its competing phases.

    Attributes:
        energy_above_hull_ev_per_atom: its formation energy less the hull of the other phases; negative below the hull.
        decomposition: (reduced formula, share of the atoms) of the phases it would fall into, largest share first;
            shares add up to one.
    """

    energy_above_hull_ev_per_atom: float
    decomposition: tuple[tuple[str, float], ...]


def judge_formation_energy(energy_ev_per_atom: float) -> Verdict:
    """Whether a formation energy lies in the window of real solids; call it before a candidate meets a hull."""
    low, high = SANE_FORMATION_ENERGY_EV_PER_ATOM
    if math.isfinite(energy_ev_per_atom) and low <= energy_ev_per_atom <= high:
        return Verdict(True, "formation-energy")
    return Verdict(
        False,
        "formation-energy",
        f"A formation energy of {energy_ev_per_atom:g} eV/atom is outside {low:g} to {high:g} eV/atom; a total energy, "
        "an energy per cell or another unit may have been given.",
    )


class ConvexHull:
    """The lower convex hull of competing phases of one energy scale.

    Elements of the phases stand at zero whether they are listed or not. Of several phases of one formula the lowest
    counts.

    Attributes:
        field: elements the hull covers.
        energy_scale: scale of every energy in it.
        phases: the lowest phase of each formula and the elements, sorted by formula.
        quarantined: phases whose formation energy is outside `SANE_FORMATION_ENERGY_EV_PER_ATOM`; they take no part.
    """

    def __init__(self, phases: Iterable[Phase]) -> None:
        """Build the hull.

        Raises:
            InputError: there are no phases, or a formation energy is not a number.
            ScaleError: the phases are on more than one scale; the message names them.
        """
        given = tuple(phases)
        if not given:
            raise InputError("A hull needs at least one phase; none was given.")
        self.energy_scale = _single_scale(given)
        for phase in given:
            if math.isnan(phase.formation_energy_ev_per_atom):
                raise InputError(f"The formation energy of {phase.composition} ({phase.id}) is not a number.")
        self.quarantined = tuple(p for p in given if not judge_formation_energy(p.formation_energy_ev_per_atom).passed)
        self.field = PhaseField(tuple({s for p in given for s in p.composition.field.elements}))
        outcast = set(self.quarantined)
        self.phases = _lowest([*self._elements(), *(p for p in given if p not in outcast)])
        self._formulas = tuple(p.composition.formula for p in self.phases)
        self._fractions, self._energies = _arrays(self.phases, self.field.elements)
        self._mixtures: dict[Composition, tuple[float, tuple[tuple[str, float], ...]]] = {}

    def _elements(self) -> list[Phase]:
        return [Phase(Composition(((s, 1),)), 0.0, ELEMENT_ID, self.energy_scale) for s in self.field.elements]

    def without(self, composition: Composition) -> ConvexHull:
        """The hull of all phases but those of this formula: what a known material is held against.

        Elements stay, since a hull without them has no end points.
        """
        formula = composition.formula
        return ConvexHull(p for p in self.phases if p.composition.formula != formula or len(p.composition.field) == 1)

    def energy(self, composition: Composition) -> float:
        """Energy of the hull at a composition, eV/atom.

        Raises:
            InputError: an element of the composition is not covered.
        """
        return self._mixture(composition.reduced)[0]

    def position(
        self, composition: Composition, formation_energy_ev_per_atom: float, energy_scale: str
    ) -> HullPosition:
        """Where a material of this formation energy lies relative to the phases of the hull.

        The material is not added to the hull. A phase of the same formula in the hull competes like any other.

        Raises:
            InputError: an element is not covered, or the energy is outside the sane window or not a number.
            ScaleError: the energy is on another scale than the hull's.
        """
        if energy_scale != self.energy_scale:
            raise ScaleError(
                f"The energy of {composition} is on the scale {energy_scale!r} and the hull on {self.energy_scale!r}. "
                "Energies of different origin cannot be compared; compute both with one method."
            )
        verdict = judge_formation_energy(formation_energy_ev_per_atom)
        if not verdict.passed:
            raise InputError(f"{composition}: {verdict.reason}")
        energy, decomposition = self._mixture(composition.reduced)
        return HullPosition(formation_energy_ev_per_atom - energy, decomposition)

    def stable_phases(self, tolerance_ev_per_atom: float = 1e-6) -> tuple[Phase, ...]:
        """Phases on the hull to within a tolerance, sorted by formula."""
        return tuple(
            p
            for p in self.phases
            if p.formation_energy_ev_per_atom - self.energy(p.composition) <= tolerance_ev_per_atom
        )

    def _mixture(self, composition: Composition) -> tuple[float, tuple[tuple[str, float], ...]]:
        """Energy and parts of the mixture of lowest energy at a reduced composition, kept for the next of its kind."""
        if composition not in self._mixtures:
            self._mixtures[composition] = self._cheapest_mixture(composition)
        return self._mixtures[composition]

    def _cheapest_mixture(self, composition: Composition) -> tuple[float, tuple[tuple[str, float], ...]]:
        foreign = [s for s in composition.field.elements if s not in self.field]
        if foreign:
            raise InputError(
                f"The hull of {self.field} holds no phases of {', '.join(foreign)}, so {composition} cannot be placed "
                "on it; build the hull of a field with all elements of the formula."
            )
        import numpy as np

        target = np.array([composition.fraction(s) for s in self.field.elements])
        present = target > 0
        inside = np.flatnonzero(~self._fractions[~present].any(axis=0))
        energies = self._energies[inside]
        shares = _cheapest_mixture(self._fractions[np.ix_(present, inside)], energies, target[present])
        energy = float(sum(share * energies[j] for j, share in shares))
        named = [(self._formulas[inside[j]], share) for j, share in shares]
        return energy, tuple(sorted(named, key=lambda part: (-round(part[1], 9), part[0])))


def _single_scale(phases: tuple[Phase, ...]) -> str:
    scales = sorted({p.energy_scale for p in phases})
    if len(scales) > 1:
        examples = [f"{s!r} ({next(str(p.composition) for p in phases if p.energy_scale == s)})" for s in scales]
        raise ScaleError(
            f"A hull of one energy scale was asked for phases on {' and '.join(examples)}. "
            "Compute all phases with one method, or take them from one table."
        )
    return scales[0]


def _lowest(phases: Iterable[Phase]) -> tuple[Phase, ...]:
    """The lowest phase of each formula, sorted by formula; of equal ones the first."""
    best: dict[str, Phase] = {}
    for phase in phases:
        formula = phase.composition.formula
        if formula not in best or phase.formation_energy_ev_per_atom < best[formula].formation_energy_ev_per_atom:
            best[formula] = phase
    return tuple(best[f] for f in sorted(best))


def _arrays(phases: tuple[Phase, ...], elements: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Atomic fractions (elements, phases) and formation energies (phases,), eV/atom."""
    import numpy as np

    fractions = np.array([[p.composition.fraction(s) for s in elements] for p in phases], dtype=float).T
    return fractions, np.array([p.formation_energy_ev_per_atom for p in phases], dtype=float)


def _cheapest_mixture(
    fractions: NDArray[np.float64], energies: NDArray[np.float64], target: NDArray[np.float64]
) -> list[tuple[int, float]]:
    """(phase, share of atoms) of the mixture of lowest energy at a composition.

    The programme is feasible since the elements are among the phases. The shares of its corner are solved for once
    more, because the programme itself is only kept to 1e-7.
    """
    import numpy as np
    from scipy.optimize import linprog

    answer = linprog(energies, A_eq=fractions, b_eq=target, bounds=(0, None), method="highs-ds")
    if answer.x is None:
        raise ValueError(f"The linear programme of the hull has no solution: {answer.message}")
    parts = np.flatnonzero(answer.x > _SMALLEST_SHARE)
    shares, *_ = np.linalg.lstsq(fractions[:, parts], target, rcond=None)
    return [(int(j), float(x)) for j, x in zip(parts, shares, strict=True) if x > 0]
