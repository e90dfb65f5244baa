"""The chemistry rules on formulas: charge neutrality and the order of electronegativities, with SMACT's meaning.

A formula is *neutral* when its elements have oxidation states that add up to zero, one state an element. It is
*balanced* when some such assignment also passes Pauling's test: every cation less electronegative than every anion.
A single element is both. Verdicts equal those of SMACT 4.0.2 (`smact_validity`), which also fails every formula with
an element that lacks states or, in Pauling's test, an electronegativity.

Two options change what a verdict means:

- `alloys_pass` accepts every formula made of metals alone, whatever the charges. SMACT does so by default; on tables
  of intermetallics it makes the verdict say nothing (about 0.9 of the OQMD passes, against 0.3 by charges), so it is
  off here. A formula that it lets through is never called neutral.
- `mixed_valence` lets 24 elements take several states at once (Fe3O4 as Fe+2 and two Fe+3). The search is complete;
  SMACT gives up, with a False, beyond a million combinations.

Sources: Davies et al., Chem 1, 617, 2016; Davies et al., J. Open Source Softw. 4, 1361, 2019; Pauling's order as in
Pelatt et al., J. Am. Chem. Soc. 133, 16852, 2011.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, Composition, Verdict
from novalith.represent.formula_table import FormulaTable, read_formulas
from novalith.screen.charge_sums import Kernel, is_neutral, is_ordered
from novalith.screen.explain import explain
from novalith.screen.oxidation import OXIDATION_SETS, SOURCE, StateSet, load_states

__all__ = [
    "OXIDATION_SETS",
    "ChemistryOptions",
    "FormulaVerdict",
    "Judgement",
    "is_balanced",
    "judge_formulas",
    "judge_table",
    "stream_verdicts",
]

#: Formulas judged at once by `stream_verdicts`: large enough for arrays to pay, small enough for any memory.
CHUNK = 50_000


@dataclass(frozen=True)
class ChemistryOptions:
    """What the chemistry rules assume.

    Attributes:
        oxidation_set: a key of `OXIDATION_SETS`; the default is SMACT's recommended one.
        pauling: whether *balanced* asks for the order of electronegativities beyond neutrality.
        alloys_pass: whether all-metal formulas are balanced whatever their charges (see the module's text).
        mixed_valence: whether 24 elements may take several states in one formula.
    """

    oxidation_set: str = "icsd24"
    pauling: bool = True
    alloys_pass: bool = False
    mixed_valence: bool = False

    def __post_init__(self) -> None:
        load_states(self.oxidation_set)


@dataclass(frozen=True)
class Judgement:
    """Verdicts on a table, row by row.

    Attributes:
        neutral: (n,) whether some assignment of states adds up to zero.
        balanced: (n,) whether the formula passes under the options.
    """

    neutral: NDArray[np.bool_]
    balanced: NDArray[np.bool_]


@dataclass(frozen=True)
class FormulaVerdict:
    """A verdict on one formula.

    Attributes:
        formula: as it was given.
        neutral: whether some assignment of states adds up to zero.
        balanced: whether it passes under the options.
        problem: what is wrong with the formula itself; empty where it could be read.
        parts: (atomic number, reduced count) pairs.
        options: what was assumed.
    """

    formula: str
    neutral: bool
    balanced: bool
    problem: str = ""
    parts: tuple[tuple[int, int], ...] = ()
    options: ChemistryOptions = field(default_factory=ChemistryOptions)

    @cached_property
    def reason(self) -> str:
        """One sentence: which states were found, or which test failed; worked out when first asked for."""
        if self.problem:
            return self.problem
        return explain(
            self.parts,
            load_states(self.options.oxidation_set),
            pauling=self.options.pauling,
            alloys_pass=self.options.alloys_pass,
            mixed_valence=self.options.mixed_valence,
        )


def judge_formulas(
    formulas: Sequence[str | Composition], options: ChemistryOptions | None = None
) -> list[FormulaVerdict]:
    """Judge formulas; one verdict each, in order, unreadable ones with the problem as their reason."""
    options = options or ChemistryOptions()
    texts = [f if isinstance(f, str) else f.formula for f in formulas]
    table = read_formulas(texts)
    judged = judge_table(table, options)
    return [
        FormulaVerdict(text, neutral, balanced, table.problems.get(row, ""), table.parts(row), options)
        for row, (text, neutral, balanced) in enumerate(
            zip(texts, judged.neutral.tolist(), judged.balanced.tolist(), strict=True)
        )
    ]


def stream_verdicts(formulas: Iterable[str], options: ChemistryOptions) -> Iterator[FormulaVerdict]:
    """Judge any number of formulas in bounded memory."""
    source = iter(formulas)
    while chunk := list(islice(source, CHUNK)):
        yield from judge_formulas(chunk, options)


def judge_table(table: FormulaTable, options: ChemistryOptions) -> Judgement:
    """Judge a table of formulas; rows with problems are neither neutral nor balanced."""
    kernel = _kernel(options.oxidation_set)
    arity = (table.atomic_numbers > 0).sum(axis=1)
    neutral: NDArray[np.bool_] = np.equal(arity, 1)
    ordered = neutral.copy()
    metallic = kernel.is_metal[table.atomic_numbers].sum(axis=1) == arity
    for k in np.unique(arity[arity > 1]).tolist():
        rows = np.flatnonzero(arity == k)
        # Elements fill the first slots of a row, so the first k columns are all of it.
        z, n = _sorted_by_electronegativity(table, rows, k, kernel)
        known = kernel.has_states[z].all(axis=0)
        rows, z, n = rows[known], z[:, known], n[:, known]
        neutral[rows], ordered[rows] = _judge_equal_arity(z, n, kernel, options)
    balanced = ordered if options.pauling else neutral.copy()
    if options.alloys_pass:
        balanced = balanced | (metallic & (arity > 0))
    return Judgement(neutral, balanced)


def is_balanced(composition: Composition, options: ChemistryOptions | None = None) -> Verdict:
    """Whether a composition passes the chemistry rules, with the states assumed or the test failed as the reason."""
    options = options or ChemistryOptions()
    reduced = composition.reduced
    parts = tuple((ATOMIC_NUMBERS[s], n) for s, n in reduced.counts)
    passed = _balanced(parts, options)
    reason = FormulaVerdict("", passed, passed, "", parts, options).reason
    return Verdict(passed, "charge", reason, SOURCE)


@lru_cache(maxsize=100_000)
def _balanced(parts: tuple[tuple[int, int], ...], options: ChemistryOptions) -> bool:
    states = load_states(options.oxidation_set)
    if len(parts) == 1 or (options.alloys_pass and all(states.is_metal[z] for z, _ in parts)):
        return True
    return all(states.states[z] for z, _ in parts) and _exact(parts, states, options)


def _exact(parts: tuple[tuple[int, int], ...], states: StateSet, options: ChemistryOptions) -> bool:
    if not options.pauling:
        return is_neutral(parts, states, options.mixed_valence)
    return _exact_order(parts, states, options.mixed_valence)


def _exact_order(parts: tuple[tuple[int, int], ...], states: StateSet, mixed_valence: bool) -> bool:
    chi = states.electronegativity
    if any(chi[z] is None for z, _ in parts):
        return False
    return is_ordered(sorted(parts, key=lambda p: chi[p[0]] or 0.0), states, mixed_valence)


@lru_cache(maxsize=len(OXIDATION_SETS))
def _kernel(set_name: str) -> Kernel:
    return Kernel(set_name)


def _sorted_by_electronegativity(
    table: FormulaTable, rows: NDArray[np.int64], k: int, kernel: Kernel
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(k, rows) atomic numbers and counts of rows of k elements, each column sorted by electronegativity."""
    z = table.atomic_numbers[rows, :k]
    packed = (kernel.rank[z] << 40) | (z << 32) | table.counts[rows, :k]
    packed.sort(axis=1)
    packed = np.ascontiguousarray(packed.T)
    return (packed >> 32) & 0xFF, packed & 0xFFFFFFFF


def _judge_equal_arity(
    z: NDArray[np.int64], n: NDArray[np.int64], kernel: Kernel, options: ChemistryOptions
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Neutral and ordered for formulas of equally many elements that all have states."""
    states = load_states(options.oxidation_set)
    mixing: NDArray[np.bool_] = np.asarray(kernel.may_mix[z].any(axis=0))
    if not options.mixed_valence:
        mixing = np.zeros_like(mixing)
    ordered, exact = kernel.ordered(z, n)
    known = kernel.has_chi[z].all(axis=0)
    ordered &= known
    # Several states at once only add sums: what passes without them passes with them.
    open_rows = np.flatnonzero(known & ~ordered & (mixing | ~exact))
    open_rows = open_rows[kernel.order_in_range(z[:, open_rows], n[:, open_rows])]
    for row in open_rows.tolist():
        ordered[row] = _exact_order(_parts(z, n, row), states, options.mixed_valence)
    neutral = ordered.copy()
    rest = np.flatnonzero(~ordered)
    neutral[rest], exact = kernel.neutral(z[:, rest], n[:, rest])
    open_rows = rest[~neutral[rest] & (~exact | mixing[rest])]
    open_rows = open_rows[kernel.zero_in_range(z[:, open_rows], n[:, open_rows])]
    for row in open_rows.tolist():
        neutral[row] = is_neutral(_parts(z, n, row), states, options.mixed_valence)
    return neutral, ordered


def _parts(z: NDArray[np.int64], n: NDArray[np.int64], row: int) -> tuple[tuple[int, int], ...]:
    return tuple(zip(z[:, row].tolist(), n[:, row].tolist(), strict=True))
