r"""Virtual screening: enumerate formulas, predict, rank; the baseline that every generator has to beat.

    formulas of a chemical system (all counts up to a limit, or a list) -> chemistry rules -> predictor -> order

Two predictions of stability stand beside each other, since a good formation energy says little about it:

* ``decomposition_energy``: learned as such (Bartel et al. 2020), eV/atom, negative where nothing else is predicted to
  be more stable;
* ``hull_distance``: the predicted formation energy less the hull of the predicted formation energies of all *other*
  formulas of the screening, and of the elements at zero. Both sides of the difference are predictions; hull energies of
  another origin are never mixed in.

A formula is called stable only where both are at or below zero, and `promising` where both are below their
uncertainty; the list is ordered by the larger of the two, so that neither can carry a formula alone. What lies outside
of the training is ranked behind everything else and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.errors import CapabilityError, EmptyResultError, InputError
from novalith.materials import ATOMIC_NUMBERS, PhaseField
from novalith.predict.composition import CompositionPrediction, CompositionPredictor
from novalith.represent.formula_table import FormulaTable, formula_keys, read_formulas, table_of
from novalith.screen.chemistry import ChemistryOptions, judge_table
from novalith.stability.formula_hull import FormulaHull

BIBTEX = """@article{bartel2020critical,
  title = {A critical examination of compound stability predictions from machine-learned formation energies},
  author = {Bartel, Christopher J. and Trewartha, Amalie and Wang, Qi and Dunn, Alexander and Jain, Anubhav and
            Ceder, Gerbrand},
  journal = {npj Computational Materials}, volume = {6}, pages = {97}, year = {2020}, doi = {10.1038/s41524-020-00362-y}
}"""
#: Formulas that one enumeration may give; beyond, the limits must be tightened.
MOST_FORMULAS = 2_000_000


@dataclass(frozen=True)
class ScreeningRequest:
    """Which formulas to screen.

    Attributes:
        system: the chemical system; formulas hold two or more of its elements.
        max_count: largest count of an element.
        max_atoms: most atoms in a formula unit.
        all_elements: only formulas with every element of the field.
        rules: chemistry rules that every formula passes; None asks nothing.
        top: formulas that are placed on the hull and returned.
    """

    system: PhaseField
    max_count: int = 8
    max_atoms: int = 20
    all_elements: bool = False
    rules: ChemistryOptions | None = field(default_factory=ChemistryOptions)
    top: int = 100


@dataclass(frozen=True)
class ScreenedFormula:
    """A formula with what is predicted of it; energies in eV/atom, uncertainties one standard deviation or None.

    Attributes:
        formula: reduced.
        formation_energy: predicted.
        formation_energy_uncertainty: of it.
        decomposition_energy: predicted as such; NaN where the model was not trained for it.
        decomposition_energy_uncertainty: of it.
        hull_distance: formation energy less the hull of the other predictions.
        stable: whether both stabilities are at or below zero.
        promising: whether both are below their uncertainty.
        known: whether somebody reported it or computed it before (Materials Project, OQMD).
        in_range: whether the model knows such formulas.
        reason: why not; empty where it does.
    """

    formula: str
    formation_energy: float
    formation_energy_uncertainty: float | None
    decomposition_energy: float
    decomposition_energy_uncertainty: float | None
    hull_distance: float
    stable: bool
    promising: bool
    known: bool
    in_range: bool
    reason: str


@dataclass(frozen=True)
class Screening:
    """What came of it: enumerated = rejected by the rules + predicted; the best of those are returned.

    Attributes:
        enumerated: formulas.
        rejected: of them by the chemistry rules.
        without_value: formulas that the model cannot predict.
        ranked: the best, best first.
    """

    enumerated: int
    rejected: int
    without_value: int
    ranked: tuple[ScreenedFormula, ...]


def screen_system(request: ScreeningRequest, predictor: CompositionPredictor, library: Library) -> Screening:
    """Enumerate a chemical system, predict, rank.

    Raises:
        InputError: the limits give no formula or too many.
        CapabilityError: the predictor does not predict formation energies.
        EmptyResultError: the rules reject every formula.
    """
    return screen_table(enumerate_formulas(request), request.rules, request.top, predictor, library)


def screen_table(
    table: FormulaTable,
    rules: ChemistryOptions | None,
    top: int,
    predictor: CompositionPredictor,
    library: Library,
) -> Screening:
    """Rank formulas at hand; the hull holds all of them that pass the rules.

    Raises:
        CapabilityError: the predictor does not predict formation energies.
        EmptyResultError: no formula passes the rules.
    """
    if "formation_energy" not in predictor.targets:
        raise CapabilityError(
            f"This model predicts {', '.join(predictor.targets)}; screening for stability needs formation_energy."
        )
    passed = np.ones(len(table), dtype=bool)
    if rules is not None:
        passed = judge_table(table, rules).balanced
    passed[list(table.problems)] = False
    kept = table.select(passed)
    if not len(kept):
        raise EmptyResultError(f"None of {len(table)} formulas passes the chemistry rules; relax them or the limits.")
    formation = predictor.predict(kept, "formation_energy")
    direct = _direct(kept, predictor)
    # First by what is cheap, then the hull for the front of the list, with a margin for what the hull puts back.
    first = np.nan_to_num(direct.value if direct is not None else formation.value, nan=np.inf)
    order = np.lexsort((formula_keys(kept), first, ~formation.in_range))[: max(3 * top, 50)]
    distance = FormulaHull(kept, formation.value).decomposition_energies(kept.select(order), formation.value[order])
    rows = [
        _screened(kept, int(row), float(d), formation, direct)
        for row, d in zip(order.tolist(), distance, strict=True)
        if np.isfinite(d)
    ]
    known = _known(library, [row.formula for row in rows])
    ranked = sorted(rows, key=lambda r: (not r.in_range, _stabilities(r), r.formula))[:top]
    return Screening(
        len(table),
        len(table) - len(kept),
        int(np.isnan(formation.value).sum()),
        tuple(replace(r, known=r.formula in known) for r in ranked),
    )


def _direct(table: FormulaTable, predictor: CompositionPredictor) -> CompositionPrediction | None:
    if "decomposition_energy" not in predictor.targets:
        return None
    return predictor.predict(table, "decomposition_energy")


def _stabilities(row: ScreenedFormula) -> tuple[float, ...]:
    """The predictions of stability, the less favourable first."""
    both = (row.hull_distance, row.decomposition_energy)
    return tuple(sorted((e for e in both if not np.isnan(e)), reverse=True))


def _screened(
    table: FormulaTable,
    row: int,
    distance: float,
    formation: CompositionPrediction,
    direct: CompositionPrediction | None,
) -> ScreenedFormula:
    spread = None if formation.uncertainty is None else float(formation.uncertainty[row])
    d = float("nan") if direct is None else float(direct.value[row])
    d_spread = None if direct is None or direct.uncertainty is None else float(direct.uncertainty[row])
    votes = [distance] if np.isnan(d) else [distance, d]
    limits = [spread or 0.0] if np.isnan(d) else [spread or 0.0, d_spread or 0.0]
    reasons = [p.reasons[row] for p in (formation, direct) if p is not None and row in p.reasons]
    return ScreenedFormula(
        table.composition(row).formula,
        float(formation.value[row]),
        spread,
        d,
        d_spread,
        distance,
        stable=max(votes) <= 0,
        promising=all(v < limit for v, limit in zip(votes, limits, strict=True)),
        known=False,
        in_range=not reasons,
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _known(library: Library, formulas: Sequence[str]) -> set[str]:
    listed = (library.reported, library.hull_energies, library.oqmd)
    return {f for f in formulas if any(f in names for names in listed)}


def enumerate_formulas(request: ScreeningRequest) -> FormulaTable:
    """All reduced formulas within the limits, fewest elements first.

    Raises:
        InputError: the limits give no formula, or more than `MOST_FORMULAS`.
    """
    symbols = request.system.elements
    sizes = [len(symbols)] if request.all_elements else range(2, len(symbols) + 1)
    blocks: list[tuple[tuple[str, ...], NDArray[np.int64]]] = []
    total = 0
    for size in sizes:
        counts = _count_vectors(size, request.max_count, request.max_atoms)
        for part in combinations(symbols, size):
            blocks.append((part, counts))
            total += len(counts)
            if total > MOST_FORMULAS:
                raise InputError(
                    f"{request.system} has more than {MOST_FORMULAS} formulas with counts up to {request.max_count} "
                    f"and {request.max_atoms} atoms; lower these limits."
                )
    if not total:
        raise InputError(f"{request.system} has no formula within {request.max_atoms} atoms; raise the limit.")
    width = len(symbols)
    z, n = np.zeros((total, width), dtype=np.int64), np.zeros((total, width), dtype=np.int64)
    start = 0
    for part, counts in blocks:
        rows = slice(start, start + len(counts))
        z[rows, : len(part)] = [ATOMIC_NUMBERS[s] for s in part]
        n[rows, : len(part)] = counts
        start += len(counts)
    return table_of(z, n)


def _count_vectors(size: int, max_count: int, max_atoms: int) -> NDArray[np.int64]:
    """(m, size) counts from 1 up without a common divisor; built a column at a time, so that memory follows the sum."""
    vectors = np.zeros((1, 0), dtype=np.int64)
    for place in range(size):
        steps = np.arange(1, max_count + 1)
        wide = np.concatenate([np.repeat(vectors, len(steps), axis=0), np.tile(steps, len(vectors))[:, None]], axis=1)
        vectors = wide[wide.sum(axis=1) <= max_atoms - (size - place - 1)]
        if len(vectors) > MOST_FORMULAS:
            raise InputError(
                f"More than {MOST_FORMULAS} counts of {place + 1} elements up to {max_count}; lower the limits."
            )
    coprime: NDArray[np.int64] = vectors[np.gcd.reduce(vectors, axis=1) == 1] if len(vectors) else vectors
    return coprime


def screen_formulas(
    formulas: Sequence[str], rules: ChemistryOptions | None, top: int, predictor: CompositionPredictor, library: Library
) -> Screening:
    """Rank formulas given as text; those that cannot be read count as rejected."""
    return screen_table(read_formulas(formulas), rules, top, predictor, library)
