"""What a potential promises and how a relaxation may end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from novalith.errors import NovalithError
from novalith.materials import Crystal

#: The scale of Materials Project energies with the 2020 correction scheme (Wang et al., Sci. Rep. 11, 15496, 2021).
MP2020_PBE = "MP2020-corrected PBE"
#: The scale of the same calculations before any correction.
PBE_UNCORRECTED = "Materials Project PBE, uncorrected"


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of a potential.

    Attributes:
        energy_ev: total energy of the cell, eV.
        forces_ev_per_a: (n, 3), eV/Å.
        stress_ev_per_a3: (3, 3), eV/Å3, ASE's sign (positive under tension).
    """

    energy_ev: float
    forces_ev_per_a: NDArray[np.float64]
    stress_ev_per_a3: NDArray[np.float64]


@dataclass(frozen=True)
class PotentialInfo:
    """What is known of a potential without loading it.

    Attributes:
        name: short name on the command line ("chgnet").
        version: model version and a hash of its weights: part of every cache key.
        energy_scale: the name of the scale its energies live on; scales never mix on one hull.
        citation: BibTeX key in `novalith.data` cards.
        dispersion: whether van der Waals attraction is in its energies; without it layers do not hold together.
    """

    name: str
    version: str
    energy_scale: str
    citation: str
    dispersion: bool = False

    @property
    def label(self) -> str:
        """Name and version, as a `Relaxation` carries them."""
        return f"{self.name} {self.version}"


class OutOfReachError(NovalithError):
    """A potential cannot answer for this crystal; a relaxation turns it into `Ending.OUT_OF_REACH`."""


class Potential(ABC):
    """An energy model of atoms.

    Attributes:
        info: its name, version and energy scale.
    """

    info: PotentialInfo

    @property
    def name(self) -> str:
        """Short name on the command line."""
        return self.info.name

    @property
    def version(self) -> str:
        """Model version and a hash of its weights."""
        return self.info.version

    @property
    def energy_scale(self) -> str:
        """The scale its energies live on."""
        return self.info.energy_scale

    @property
    def citation(self) -> str:
        """BibTeX key in `novalith.data` cards."""
        return self.info.citation

    @abstractmethod
    def evaluate(self, crystal: Crystal) -> Evaluated:
        """Energy, forces and stress of one crystal; NaN is passed on, not hidden.

        Raises:
            OutOfReachError: the model has no answer: an element it does not know, an atom without neighbours.
        """


class Ending(Enum):
    """How a relaxation ended; only CONVERGED is ever ranked."""

    CONVERGED = "converged"
    CAPPED = "capped"  # the step cap came first
    EXPLODED = "exploded"  # the cell or the energy left every sane window
    NAN = "nan"  # the potential answered with something that is not a number
    OUT_OF_REACH = "out of reach"  # the potential has no answer: an isolated atom, an unknown element
    TIMED_OUT = "timed out"  # the wall clock limit of one task came first
    FAILED = "failed"  # the worker process died, and died again on the second try


@dataclass(frozen=True)
class Relaxation:
    """The result of a relaxation.

    Attributes:
        initial: the crystal that went in.
        final: the crystal that came out; where `ending` is not CONVERGED, the last sane one.
        ending: how it ended.
        energy_ev_per_atom: energy of `final`, eV/atom; None where the potential gave none.
        max_force_ev_per_a: largest force on an atom of `final`, eV/Å.
        max_stress_gpa: largest absolute stress component of `final`, GPa.
        n_steps: optimiser steps taken.
        n_evaluations: energy calls spent.
        energy_scale: scale of the energy.
        potential: name and version of the potential.
        reason: one sentence with the numbers behind an ending other than CONVERGED.
    """

    initial: Crystal
    final: Crystal
    ending: Ending
    energy_ev_per_atom: float | None
    max_force_ev_per_a: float | None
    max_stress_gpa: float | None
    n_steps: int
    n_evaluations: int
    energy_scale: str
    potential: str
    reason: str = ""

    @property
    def converged(self) -> bool:
        """Whether the result may be ranked."""
        return self.ending is Ending.CONVERGED
