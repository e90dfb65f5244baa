"""The contract of models that draw formulas, and what one may ask of them.

A model draws tables of formulas in bulk. It honours every part of a request that it lists in `honours` by
construction; `draw_formulas` asks again until enough distinct formulas satisfy the rest, and counts why others did not:

    drawn = kept + rejected, each rejection under its reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, ContradictionError, InputError
from novalith.materials import ATOMIC_NUMBERS, check_element
from novalith.represent.formula_table import FormulaTable, formula_keys
from novalith.screen.chemistry import ChemistryOptions, judge_table

#: Parts of a request that a model may honour by construction.
REQUEST_PARTS = frozenset({"allowed", "require", "targets", "n_elements", "max_atoms", "rules"})


@dataclass(frozen=True)
class FormulaRequest:
    """Which formulas are wanted.

    Attributes:
        allowed: elements that may occur; None for all that the model knows.
        require: elements that every formula holds.
        targets: (property, value) pairs to aim at; units as in `novalith.data.targets`.
        n_elements: smallest and largest number of elements.
        max_atoms: most atoms in the reduced formula unit; None for no limit.
        rules: every formula passes these chemistry rules; None asks nothing of charges.
    """

    allowed: frozenset[str] | None = None
    require: frozenset[str] = frozenset()
    targets: tuple[tuple[str, float], ...] = ()
    n_elements: tuple[int, int] = (1, 8)
    max_atoms: int | None = None
    rules: ChemistryOptions | None = None

    def __post_init__(self) -> None:
        for symbol in sorted(self.require | (self.allowed or frozenset())):
            check_element(symbol)
        outside = sorted(self.require - self.allowed) if self.allowed is not None else []
        if outside:
            raise ContradictionError(f"{', '.join(outside)} is required but not among the allowed elements.")
        low, high = self.n_elements
        if not 1 <= low <= high:
            raise InputError(f"The number of elements is {low} to {high}; expected 1 or more, in this order.")
        if len(self.require) > high:
            raise ContradictionError(f"{len(self.require)} elements are required but at most {high} may occur.")
        if self.max_atoms is not None and self.max_atoms < max(low, len(self.require)):
            raise ContradictionError(f"At most {self.max_atoms} atoms leave no room for the elements asked for.")


class CompositionModel(ABC):
    """Draws formulas.

    Attributes:
        name: of the recipe.
        honours: parts of a request (`REQUEST_PARTS`) that every draw satisfies by construction.
    """

    name: ClassVar[str]
    honours: ClassVar[frozenset[str]]

    @property
    @abstractmethod
    def elements(self) -> tuple[str, ...]:
        """The elements that formulas may hold, in the model's order."""

    @property
    @abstractmethod
    def target_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Property -> range of its training values; empty for a model without conditions."""

    @abstractmethod
    def draw(self, n: int, request: FormulaRequest, *, rng: np.random.Generator) -> FormulaTable:
        """Draw n rows, repeats included; a draw that decodes to no formula is a row with a problem.

        Equal arguments and an equal `rng` give equal rows.

        Raises:
            CapabilityError: the request asks for elements or targets that the model does not know.
        """

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the model as one checkpoint."""

    def check(self, request: FormulaRequest) -> None:
        """Refuse elements and targets that the model does not know.

        Raises:
            CapabilityError: says which, and which it knows.
        """
        asked = request.require if request.allowed is None else request.allowed
        unknown = sorted(asked - set(self.elements))
        if unknown:
            raise CapabilityError(
                f"The model {self.name} was trained without {', '.join(unknown)}; it knows {' '.join(self.elements)}."
            )
        foreign = [name for name, _ in request.targets if name not in self.target_ranges]
        if foreign:
            known = ", ".join(self.target_ranges) or "no target"
            raise CapabilityError(f"The model {self.name} cannot aim at {', '.join(foreign)}; it knows {known}.")

    def extrapolations(self, request: FormulaRequest) -> tuple[str, ...]:
        """One sentence for every target outside the range of the training values."""
        told = []
        for name, value in request.targets:
            low, high = self.target_ranges[name]
            if not low <= value <= high:
                told.append(f"{name} = {value:g} lies outside the training range {low:.3g} to {high:.3g}.")
        return tuple(told)


@dataclass(frozen=True, eq=False)
class FormulaSample:
    """Distinct formulas that satisfy a request.

    Attributes:
        table: the formulas, in the order of their first draw.
        drawn: number of draws spent; `drawn` = kept + rejected.
        rejected: reason -> number of draws.
    """

    table: FormulaTable
    drawn: int
    rejected: Mapping[str, int]


def draw_formulas(
    model: CompositionModel,
    n: int,
    request: FormulaRequest,
    *,
    max_draws: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    rng: np.random.Generator,
) -> FormulaSample:
    """Draw until n distinct formulas satisfy a request or the draws are spent.

    Args:
        model: where formulas come from.
        n: how many distinct formulas.
        request: what they must satisfy.
        max_draws: draws to spend; 100 for each formula asked for, at least 10,000, without it.
        advance: told the number of formulas found after each block.
        rng: draws.
    """
    model.check(request)
    budget = max_draws or max(10_000, 100 * n)
    seen: set[bytes] = set()
    kept: list[FormulaTable] = []
    rejected: Counter[str] = Counter()
    drawn = found = 0
    while found < n and drawn < budget:
        block = min(budget - drawn, max(1024, min(32_768, 2 * (n - found))))
        table = model.draw(block, request, rng=rng)
        drawn += block
        reasons = unmet(table, request)
        fresh: list[int] = []
        for row, key in enumerate(formula_keys(table).tolist()):
            if reasons[row]:
                rejected[reasons[row]] += 1
            elif key in seen:
                rejected["drawn before"] += 1
            elif found + len(fresh) == n:
                rejected["more than asked for"] += 1
            else:
                seen.add(key)
                fresh.append(row)
        kept.append(table.select(np.array(fresh, dtype=np.int64)))
        found += len(fresh)
        advance(len(fresh))
    return FormulaSample(concatenated(kept), drawn, dict(rejected))


def unmet(table: FormulaTable, request: FormulaRequest) -> list[str]:
    """For each row the first part of the request that it fails; empty where it satisfies all of them."""
    reasons = np.full(len(table), "", dtype=object)
    reasons[list(table.problems)] = "no formula"
    z = table.atomic_numbers
    arity = (z > 0).sum(axis=1)

    def fail(rows: Any, reason: str) -> None:
        reasons[rows & (reasons == "")] = reason

    if request.allowed is not None:
        fail(~_among(z, request.allowed).all(axis=1), "an element that is not allowed")
    for symbol in sorted(request.require):
        fail(~(z == ATOMIC_NUMBERS[symbol]).any(axis=1), f"without {symbol}")
    low, high = request.n_elements
    fail((arity < low) | (arity > high), f"not {low} to {high} elements")
    if request.max_atoms is not None:
        fail(table.counts.sum(axis=1) > request.max_atoms, f"more than {request.max_atoms} atoms")
    if request.rules is not None:
        fail(~judge_table(table, request.rules).balanced, "fails the chemistry rules")
    return reasons.tolist()


def concatenated(tables: list[FormulaTable]) -> FormulaTable:
    """Tables one after another."""
    width = max([1, *(t.atomic_numbers.shape[1] for t in tables)])
    starts = np.cumsum([0, *(len(t) for t in tables)]).tolist()
    problems = {start + row: text for start, t in zip(starts, tables, strict=False) for row, text in t.problems.items()}
    empty = np.zeros((0, width), dtype=np.int64)
    return FormulaTable(
        np.concatenate([empty, *(_widened(t.atomic_numbers, width) for t in tables)]),
        np.concatenate([empty, *(_widened(t.counts, width) for t in tables)]),
        problems,
    )


def _widened(array: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))


def _among(z: NDArray[np.int64], symbols: frozenset[str]) -> NDArray[np.bool_]:
    lookup = np.zeros(len(ATOMIC_NUMBERS) + 1, dtype=bool)
    lookup[[0, *(ATOMIC_NUMBERS[s] for s in symbols)]] = True
    return lookup[z]
