"""What a formula written as a sequence means: the guide of the sequence model.

A pair is (rank of an element in order of electronegativity, count - 1). The network reads, of every beginning, which
charges within 24 of zero are in reach, in Pauling's order and without it; and, before it chooses a count, which counts
would make the formula neutral and balanced if it ended there. So it learns what balance means without being held to it;
the masks, which hold it to it, are those of `novalith.screen.charge_paths`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from novalith.generate.sequence import PADDING, Floats, Index, Sequences
from novalith.materials import ATOMIC_NUMBERS
from novalith.represent.formula_table import FormulaTable, table_of
from novalith.screen.charge_paths import (
    MAX_ATOMS,
    WINDOW,
    ChargePaths,
    ChargeRule,
    Prefix,
    canonical_order,
    window,
)

#: Largest count of an element and number of elements of a formula unit.
MAX_COUNT, MAX_ELEMENTS = 20, 8
#: Widths of what the network reads; see `FormulaGuide`.
N_FEATURES, N_AMOUNT_FEATURES = 3 * (2 * WINDOW + 1), 2 * MAX_COUNT


@dataclass(frozen=True, eq=False)
class FormulaState:
    """The beginnings of n formulas under three readings of charge.

    Attributes:
        ordered: with the states the network reads, in Pauling's order.
        free: with the same states in any order.
        asked: with the states of the request; None where nothing is asked.
    """

    ordered: Prefix
    free: Prefix
    asked: Prefix | None


class FormulaGuide:
    """A guide for `SequenceGenerator`.

    Args:
        paths: what formulas must satisfy; None (in training) lets everything follow everything.
        oxidation_set: the states that the network reads.
        charges: whether it reads them at all; without, it sees the pairs alone.
    """

    def __init__(self, paths: ChargePaths | None, oxidation_set: str = "smact14", charges: bool = True) -> None:
        self._ordered, self._free = ChargeRule(oxidation_set, True), ChargeRule(oxidation_set, False)
        self._paths, self._charges = paths, charges

    def start(self, n: int) -> FormulaState:
        """Return n formulas without any element."""
        asked = None if self._paths is None else self._paths.rule.start(n)
        return FormulaState(self._ordered.start(n), self._free.start(n), asked)

    def features(self, state: FormulaState) -> Floats:
        """(n, `N_FEATURES`) the charges in reach."""
        if not self._charges:
            return np.zeros((len(state.ordered.rank), N_FEATURES), dtype=np.float32)
        return np.concatenate([window(state.ordered), window(state.free)[:, 2 * WINDOW + 1 :]], axis=1)

    def amount_features(self, state: FormulaState, symbol: Index) -> Floats:
        """(n, `N_AMOUNT_FEATURES`) which counts would balance the formula, and which would make it neutral."""
        if not self._charges:
            return np.zeros((len(symbol), N_AMOUNT_FEATURES), dtype=np.float32)
        balanced = self._ordered.balances(state.ordered, symbol, MAX_COUNT)
        neutral = self._free.balances(state.free, symbol, MAX_COUNT)
        return np.concatenate([balanced, neutral], axis=1).astype(np.float32)

    def symbols(self, state: FormulaState) -> NDArray[np.bool_]:
        """(n, elements + 1) which elements may follow; the last column is the end."""
        if self._paths is None or state.asked is None:
            return np.ones((len(state.ordered.rank), len(self._ordered.elements) + 1), dtype=bool)
        return self._paths.elements(state.asked)

    def amounts(self, state: FormulaState, symbol: Index) -> NDArray[np.bool_]:
        """(n, `MAX_COUNT`) which counts may follow."""
        if self._paths is None or state.asked is None:
            return np.ones((len(symbol), MAX_COUNT), dtype=bool)
        return self._paths.counts(state.asked, symbol)

    def extend(self, state: FormulaState, symbol: Index, amount: Index) -> FormulaState:
        """The states after one more pair."""
        asked = state.asked
        if self._paths is not None and asked is not None:
            asked = self._paths.rule.extend(asked, symbol, amount + 1)
        if not self._charges:
            return FormulaState(state.ordered, state.free, asked)
        return FormulaState(
            self._ordered.extend(state.ordered, symbol, amount + 1),
            self._free.extend(state.free, symbol, amount + 1),
            asked,
        )

    def select(self, state: FormulaState, rows: Index) -> FormulaState:
        """The states of some of the formulas."""
        asked = None if state.asked is None else state.asked.select(rows)
        return FormulaState(state.ordered.select(rows), state.free.select(rows), asked)


@dataclass(frozen=True, eq=False)
class EncodedFormulas:
    """Formulas as sequences.

    Attributes:
        sequences: of the rows that fit.
        rows: (n,) which rows of the table those are.
        refused: row -> why it does not fit.
    """

    sequences: Sequences
    rows: Index
    refused: dict[int, str]


def encode_formulas(table: FormulaTable) -> EncodedFormulas:
    """Write formulas as sequences; those beyond the limits of the model are refused one by one."""
    rank_of = np.full(len(ATOMIC_NUMBERS) + 1, -1)
    for rank, symbol in enumerate(canonical_order()):
        rank_of[ATOMIC_NUMBERS[symbol]] = rank
    z, counts = table.atomic_numbers, table.counts
    present = z > 0
    reasons = np.full(len(table), "", dtype=object)
    reasons[(present & (rank_of[z] < 0)).any(axis=1)] = "an element beyond plutonium"
    reasons[present.sum(axis=1) > MAX_ELEMENTS] = f"more than {MAX_ELEMENTS} elements"
    reasons[counts.sum(axis=1) > MAX_ATOMS] = f"more than {MAX_ATOMS} atoms in the reduced formula"
    reasons[counts.max(axis=1, initial=0) > MAX_COUNT] = f"more than {MAX_COUNT} atoms of an element"
    for row, problem in table.problems.items():
        reasons[row] = problem
    rows = np.flatnonzero(reasons == "")
    far = len(canonical_order())
    key = np.where(present[rows], rank_of[z[rows]], far)
    order = np.argsort(key, axis=1, kind="stable")
    ranks = np.take_along_axis(key, order, axis=1)
    amounts = np.take_along_axis(counts[rows], order, axis=1) - 1
    missing = ranks == far
    width = ((0, 0), (0, max(0, MAX_ELEMENTS - ranks.shape[1])))
    symbols = np.pad(np.where(missing, PADDING, ranks), width, constant_values=PADDING)[:, :MAX_ELEMENTS]
    amounts = np.pad(np.where(missing, PADDING, amounts), width, constant_values=PADDING)[:, :MAX_ELEMENTS]
    refused = {row: str(reasons[row]) for row in np.flatnonzero(reasons != "").tolist()}
    return EncodedFormulas(Sequences(symbols.astype(np.int64), amounts.astype(np.int64)), rows, refused)


def decode_sequences(sequences: Sequences) -> FormulaTable:
    """Sequences as formulas, reduced; an element that occurs twice, which no mask allows, makes a row a problem."""
    z_of = np.array([*(ATOMIC_NUMBERS[s] for s in canonical_order()), 0])
    z = np.where(sequences.symbols >= 0, z_of[sequences.symbols], 0)
    table = table_of(z, np.maximum(sequences.amounts + 1, 0))
    twice = (np.diff(np.sort(z, axis=1), axis=1) == 0) & (np.sort(z, axis=1)[:, 1:] > 0)
    rows = np.flatnonzero(twice.any(axis=1)).tolist()
    if not rows:
        return table
    atomic_numbers, counts = table.atomic_numbers.copy(), table.counts.copy()
    atomic_numbers[rows], counts[rows] = 0, 0
    return FormulaTable(atomic_numbers, counts, table.problems | dict.fromkeys(rows, "An element occurs twice."))
