"""What a validation will cost, told before it runs and held against a limit.

The pace is not a table of constants: the potential evaluates the crystal once and the time is scaled by the number of
atoms, since both networks here cost the same for every atom (messages reach a few Å). Memory scales likewise.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.relax.base import Potential

#: Peak memory of one evaluation of CHGNet above what the process held before, MB an atom: 1.1 in sodium chloride, 1.7
#: in magnesium oxide, 5.6 in lithium fluoride, whose angles are many (`novalith bench validation --memory`).
MEMORY_MB_PER_ATOM = 6.0
#: An evaluation of very few atoms costs this share of the time of eight: the rest is overhead.
_FEW_ATOMS = 8


@dataclass(frozen=True)
class Limits:
    """What one validation of one crystal may take.

    Attributes:
        seconds: wall time on one core, s.
        memory_gb: GB.
    """

    seconds: float = 600.0
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        for name in ("seconds", "memory_gb"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; expected a positive number.")


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        check: name of the validation.
        evaluations: calls of the potential.
        atoms: in the largest cell that is evaluated.
        seconds: wall time on one core, s.
        memory_gb: GB.
    """

    check: str
    evaluations: int
    atoms: int
    seconds: float
    memory_gb: float

    def __str__(self) -> str:
        return (
            f"{self.check}: about {self.evaluations} evaluations of up to {self.atoms} atoms, "
            f"{duration(self.seconds)} and {self.memory_gb:.1f} GB"
        )

    def verdict(self, limits: Limits) -> Verdict:
        """Whether the validation may run."""
        over = []
        if self.seconds > limits.seconds:
            over.append(f"{duration(self.seconds)} of at most {duration(limits.seconds)}")
        if self.memory_gb > limits.memory_gb:
            over.append(f"{self.memory_gb:.1f} GB of at most {limits.memory_gb:g} GB")
        reason = f"{self.check} would take {' and '.join(over)} ({self.atoms} atoms, {self.evaluations} evaluations)."
        return Verdict(not over, "cost", reason if over else "")


def estimate(check: str, evaluations: int, atoms: int, seconds_per_atom: float) -> Cost:
    """The cost of some evaluations of one size.

    Args:
        check: name of the validation.
        evaluations: calls of the potential.
        atoms: in each.
        seconds_per_atom: from `pace`.
    """
    seconds = evaluations * seconds_per_atom * max(atoms, _FEW_ATOMS)
    return Cost(check, evaluations, atoms, seconds, MEMORY_MB_PER_ATOM * atoms / 1000)


def pace(crystal: Crystal, potential: Potential) -> float:
    """Seconds an evaluation takes for every atom, measured by one evaluation after one to warm up.

    Raises:
        OutOfReachError: the potential does not know the crystal.
    """
    potential.evaluate(crystal)
    start = time.perf_counter()
    potential.evaluate(crystal)
    return (time.perf_counter() - start) / max(crystal.n_atoms, _FEW_ATOMS)


def duration(seconds: float) -> str:
    """Such as "12 s", "3 min" or "2.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
