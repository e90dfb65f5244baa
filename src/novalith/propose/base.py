"""What every proposer is asked and what it answers.

A proposer turns a `Request` into candidates. It honours every part of the request that it lists in `honours` and names
the parts it cannot honour; the campaign filters the rest and says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from novalith.errors import ContradictionError, InputError
from novalith.materials import Candidate, Composition, PhaseField, check_element, check_spacegroup

#: Parts of a request that a proposer may honour by itself.
REQUEST_PARTS = frozenset({"field", "composition", "deny", "require", "spacegroup", "max_atoms", "targets"})


@dataclass(frozen=True)
class Request:
    """What the user wants.

    Attributes:
        field: elements that candidates may be made of.
        composition: exact formula, or None for any formula in the field.
        require: elements that every candidate must hold.
        deny: elements that no candidate may hold.
        spacegroup: exact space group (1 to 230, at `symprec` 0.1 Å after relaxation), or None.
        max_atoms: largest number of atoms in the primitive cell.
        targets: (property name, value) pairs, units as in the names of the property models.
        formulas: formulas to try in this order, best first; made by `novalith.propose.formulas` for a field.
    """

    field: PhaseField
    composition: Composition | None = None
    require: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    spacegroup: int | None = None
    max_atoms: int = 24
    targets: tuple[tuple[str, float], ...] = ()
    formulas: tuple[Composition, ...] = ()

    def __post_init__(self) -> None:
        for symbol in sorted(self.require | self.deny):
            check_element(symbol)
        both = sorted(self.require & self.deny)
        if both:
            raise ContradictionError(f"{', '.join(both)} cannot be both required and denied.")
        if self.composition is not None and self.composition.field != self.field:
            raise ContradictionError(f"{self.composition} does not consist of the elements {self.field}.")
        outside = sorted(self.require - set(self.field.elements))
        if outside:
            raise ContradictionError(f"{', '.join(outside)} is required but not in the field {self.field}.")
        allowed = set(self.field.elements) - self.deny
        if not allowed or (self.composition is not None and allowed != set(self.field.elements)):
            raise ContradictionError(f"Denying {', '.join(sorted(self.deny))} leaves nothing of {self.field}.")
        if self.spacegroup is not None:
            check_spacegroup(self.spacegroup)
        if self.max_atoms < 1:
            raise InputError(f"max_atoms is {self.max_atoms}; expected at least 1.")

    @property
    def allowed(self) -> frozenset[str]:
        """Elements of the field that are not denied."""
        return frozenset(self.field.elements) - self.deny

    def admits(self, composition: Composition) -> bool:
        """Whether a composition satisfies the chemical parts of the request."""
        elements = set(composition.field.elements)
        if self.composition is not None:
            return composition.reduced == self.composition.reduced
        return elements <= self.allowed and self.require <= elements


@dataclass(frozen=True)
class Evaluation:
    """What became of a proposal, told back to the proposer that made it.

    Attributes:
        candidate: the proposal, as it was proposed.
        energy_above_hull_ev_per_atom: None where relaxation did not converge.
    """

    candidate: Candidate
    energy_above_hull_ev_per_atom: float | None


class Proposer(ABC):
    """A source of candidate crystals.

    Attributes:
        name: short name on the command line and in lineages.
        honours: parts of a request (`REQUEST_PARTS`) that proposals satisfy by construction.
    """

    name: str
    honours: frozenset[str]

    @abstractmethod
    def propose(self, request: Request, rng: np.random.Generator) -> Iterator[Candidate]:
        """Yield candidates, best first, without end or until the source is exhausted.

        The same request and an equal `rng` give the same candidates in the same order, bit for bit. A candidate may
        still fail a screen; a proposer never hides one that it could not build in silence: it skips only what is
        impossible by construction.
        """

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Learn from evaluated proposals; proposers without memory do nothing."""
