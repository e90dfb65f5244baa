"""Formulas in the order in which they are worth trying, each with its reasons.

    score = ln p(formula | reported) + max over neutral states of sum_i ln p_i(q_i)
          + ln P(E_d <= `STABLE_EV_PER_ATOM`) - `KNOWN_NATS` if the formula is known

The first term is the likelihood of the sequence model: how much the formula looks like those that were made. The second
is how usual its oxidation states are (`novalith.propose.oxidation_states`), at least `UNUSUAL_NATS`, and zero without a
nonmetal, where nothing is an anion: the rules accept every listed state, chemists expect the common ones. The third
takes the predicted decomposition energy E_d with its uncertainty as a normal distribution: a composition alone says
little of stability (Bartel et al., npj Comput. Mater. 6, 97, 2020), so it may only tip the balance. The last puts new
formulas first; known ones stay on the list, since they may have polymorphs. Scores are nats, comparable in one list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Composition
from novalith.predict.composition import CompositionPrediction, CompositionPredictor
from novalith.propose.oxidation_states import best_assignments
from novalith.represent.formula_table import FormulaTable, element_keys
from novalith.screen.charge_paths import canonical_order
from novalith.screen.chemistry import ChemistryOptions, judge_formulas

if TYPE_CHECKING:
    from novalith.data.library import Library
    from novalith.recipes.sequence import FormulaSequence

#: Decomposition energy below which a formula counts as worth trying, eV/atom: nine in ten of the metastable compounds
#: that were made lie within 0.067 (Sun et al., Sci. Adv. 2, e1600225, 2016), and predictions err by about the rest.
STABLE_EV_PER_ATOM = 0.1
#: Least that unusual oxidation states count.
UNUSUAL_NATS = -8.0
#: What a known formula loses.
KNOWN_NATS = 3.0
#: No probability of stability counts for less: predictors of compositions are too coarse to rule a formula out.
LEAST_PROBABILITY = 0.02
STABILITY_TARGET = "decomposition_energy"


@dataclass(frozen=True)
class Estimate:
    """A predicted property: value and standard deviation in the unit of the target, and whether to believe it."""

    value: float
    uncertainty: float | None
    in_range: bool


@dataclass(frozen=True)
class RankedFormula:
    """A formula and what speaks for it.

    Attributes:
        composition: reduced.
        score: nats, larger is better; see the module.
        log_likelihood: of the sequence model, nats.
        neutral: whether its charges can add up to zero.
        balanced: whether they do so in the order of electronegativities.
        charges: the states found, or the test that failed.
        states: the most usual neutral states, "Li+1 Sn+4 S-2 Cl-1"; empty where there are none.
        known: "reported" (experimental evidence), "computed" (in a table of calculations) or "new".
        estimates: target -> prediction.
    """

    composition: Composition
    score: float
    log_likelihood: float
    neutral: bool
    balanced: bool
    charges: str
    states: str
    known: str
    estimates: Mapping[str, Estimate] = field(hash=False)

    @property
    def reason(self) -> str:
        """One sentence on why it stands where it stands."""
        charges = f"neutral as {self.states}" if self.states else self.charges.rstrip(".")
        parts = [charges, {"new": "no table lists it"}.get(self.known, f"already {self.known}")]
        estimate = self.estimates.get(STABILITY_TARGET)
        if estimate is not None and np.isfinite(estimate.value):
            spread = "" if estimate.uncertainty is None else f" ± {1000 * estimate.uncertainty:.0f}"
            doubt = "" if estimate.in_range else ", an extrapolation"
            parts.append(f"decomposition energy {1000 * estimate.value:.0f}{spread} meV/atom predicted{doubt}")
        return "; ".join(parts)


def rank_formulas(
    table: FormulaTable,
    library: Library,
    model: FormulaSequence,
    predictor: CompositionPredictor,
    *,
    targets: Sequence[str] = (),
    rules: ChemistryOptions | None = None,
) -> list[RankedFormula]:
    """Rank distinct formulas, best first.

    Args:
        table: the formulas; rows with problems are left out.
        library: what is known.
        model: gives the likelihoods.
        predictor: gives the decomposition energy and `targets`.
        targets: further properties to predict, where the predictor can.
        rules: under which the charges are told; the default options without.
    """
    table = table.select(np.array([row not in table.problems for row in range(len(table))], dtype=bool))
    if not len(table):
        return []
    aim = {"reported": 1.0} if "reported" in model.target_ranges else {}
    likelihood = model.log_likelihood(table, aim)
    names = [name for name in dict.fromkeys((STABILITY_TARGET, *targets)) if name in predictor.targets]
    predicted = {name: predictor.predict(table, name) for name in names}
    stability = np.zeros(len(table))
    if STABILITY_TARGET in predicted:
        stability = np.log(np.maximum(_chance_of_stability(predicted[STABILITY_TARGET]), LEAST_PROBABILITY))
    usual, states = _usual_states(table)
    compositions = [table.composition(row) for row in range(len(table))]
    verdicts = judge_formulas(compositions, rules)
    ranked = []
    for row, (composition, verdict) in enumerate(zip(compositions, verdicts, strict=True)):
        known = _standing(composition.formula, library)
        score = float(likelihood[row] + usual[row] + stability[row] - KNOWN_NATS * (known != "new"))
        estimates = {name: _estimate(prediction, row) for name, prediction in predicted.items()}
        charges = (verdict.neutral, verdict.balanced, verdict.reason, states[row])
        ranked.append(RankedFormula(composition, score, float(likelihood[row]), *charges, known, estimates))
    return sorted(ranked, key=lambda r: (-r.score, r.composition.formula))


def _usual_states(table: FormulaTable) -> tuple[np.ndarray, list[str]]:
    """The second term of the score, and the states behind it."""
    from pymatgen.core import Element

    score, told = np.zeros(len(table)), [""] * len(table)
    keys = element_keys(table)
    order = np.argsort(keys, kind="stable")
    for rows in np.split(order, np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1):
        present = [ELEMENTS[z - 1] for z, _ in table.parts(int(rows[0]))]
        symbols = tuple(sorted(present, key=canonical_order().index))
        if len(symbols) == 1 or all(Element(s).is_metal or Element(s).is_metalloid for s in symbols):
            continue
        numbers, counts = table.atomic_numbers[rows], table.counts[rows]
        amounts = np.stack([np.where(numbers == ATOMIC_NUMBERS[s], counts, 0).sum(axis=1) for s in symbols], axis=1)
        best, states = best_assignments(symbols, amounts)
        score[rows] = np.maximum(best, UNUSUAL_NATS)
        for row, found, assigned in zip(rows.tolist(), best.tolist(), states.tolist(), strict=True):
            if found > -np.inf:
                told[row] = " ".join(f"{s}{q:+.3g}" for s, q in zip(symbols, assigned, strict=True))
    return score, told


def _standing(formula: str, library: Library) -> str:
    if formula in library.reported:
        return "reported"
    return "computed" if formula in library.hull_energies or formula in library.oqmd else "new"


def _chance_of_stability(prediction: CompositionPrediction) -> np.ndarray:
    """(n,) P(E_d <= `STABLE_EV_PER_ATOM`); one half where nothing is predicted."""
    from scipy.special import ndtr

    value = prediction.value
    spread = np.full(len(value), STABLE_EV_PER_ATOM) if prediction.uncertainty is None else prediction.uncertainty
    with np.errstate(invalid="ignore"):
        chance = ndtr((STABLE_EV_PER_ATOM - value) / np.maximum(spread, 1e-3))
    return np.where(np.isfinite(chance), chance, 0.5)


def _estimate(prediction: CompositionPrediction, row: int) -> Estimate:
    uncertainty = None if prediction.uncertainty is None else float(prediction.uncertainty[row])
    return Estimate(float(prediction.value[row]), uncertainty, bool(prediction.in_range[row]))
