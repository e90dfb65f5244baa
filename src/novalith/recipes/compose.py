"""Drawing and ranking formulas: what stands behind `novalith compose`, and where `discover` gets its formulas.

A model of any recipe draws, the sequence model and the shipped predictor rank (`novalith.recipes.formula_ranking`). The
shipped weights have seen what tables list, so a blind search, which hides some of it, does not ask them: its formulas
are those of `novalith.propose.formulas`, which reads nothing but the tables that are left.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from novalith.errors import CapabilityError, EmptyResultError, InputError, UnknownNameError
from novalith.materials import PhaseField
from novalith.propose.base import Request
from novalith.propose.compositions import CompositionModel, FormulaRequest, FormulaSample, draw_formulas, unmet
from novalith.recipes.composition_predictors import default_predictor
from novalith.recipes.formula_ranking import STABILITY_TARGET, Estimate, RankedFormula, rank_formulas
from novalith.recipes.sequence import FormulaSequence
from novalith.recipes.virtual_screening import ScreeningRequest, enumerate_formulas, screen_table
from novalith.represent.formula_table import formula_keys, read_formulas
from novalith.screen.chemistry import ChemistryOptions
from novalith.store.checkpoint import checkpoint_kind

if TYPE_CHECKING:
    from novalith.data.library import Library

#: Shipped weights, cards beside them.
WEIGHTS = Path(__file__).parent / "weights"
#: Recipe -> (kind of its checkpoint, module, function that reads one, shipped weights).
MODELS = {
    "sequence": ("formula-sequence", "novalith.recipes.sequence", "load_sequence", "sequence.safetensors"),
    "matgan": ("matgan", "novalith.recipes.matgan", "load_matgan", "matgan.safetensors"),
    "ding": ("ding", "novalith.recipes.ding", "load_ding", "ding.safetensors"),
}
#: The recipe that draws nothing: all formulas of a system, ranked by predicted stability.
SCREENING = "screening"
#: Most atoms of a formula unit that it enumerates without another limit.
SCREENED_ATOMS = 20
#: Words for "any elements".
ANY = ("any", "all", "*")
#: `discover` asks for this many formulas and spends at most this many draws on them.
DISCOVER_FORMULAS, DISCOVER_DRAWS = 200, 4096


@dataclass(frozen=True)
class ComposeOrder:
    """What `novalith compose` was asked.

    Attributes:
        system: "Li-Sn-S-Cl", or one of `ANY`.
        n: how many distinct formulas.
        recipe: a key of `MODELS`, or `SCREENING`.
        checkpoint: weights of the user instead of the shipped ones.
        require: elements of every formula, beside those of the system.
        deny: elements of none.
        subsystems: whether formulas may lack elements of the system.
        targets: (property, value) pairs.
        n_elements: smallest and largest number of elements; by default 2 to 6, or as many as the system has.
        max_atoms: most atoms of a formula unit.
        rules: chemistry rules to satisfy; None asks for none.
        temperature: of the sequence model.
        guidance: of the sequence model.
        near: draw around this formula in the latent space instead (`ding`).
        between: the ends of a walk through the latent space instead (`ding`).
        seed: of every draw.
    """

    system: str
    n: int = 100
    recipe: str = "sequence"
    checkpoint: Path | None = None
    require: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    subsystems: bool = False
    targets: tuple[tuple[str, float], ...] = ()
    n_elements: tuple[int, int] | None = None
    max_atoms: int | None = None
    rules: ChemistryOptions | None = ChemistryOptions()  # noqa: RUF009  frozen
    temperature: float = 1.0
    guidance: float = 2.0
    near: str = ""
    between: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Composed:
    """The answer.

    Attributes:
        ranked: formulas, best first.
        sample: what was drawn and why the rest was not kept.
        warnings: sentences on targets outside of the training range.
    """

    ranked: tuple[RankedFormula, ...]
    sample: FormulaSample
    warnings: tuple[str, ...]

    @property
    def told(self) -> str:
        """Why draws were not kept, in words."""
        return ", ".join(f"{count} {reason}" for reason, count in self.sample.rejected.items()) or "none rejected"


def compose(order: ComposeOrder, library: Library, advance: Callable[[int], None] = lambda _: None) -> Composed:
    """Draw and rank formulas.

    Raises:
        EmptyResultError: no formula satisfies the order; says what was tried.
        InputError: the order cannot be read.
    """
    if order.recipe == SCREENING:
        return _screened(order, library)
    model = load_model(order.recipe, order.checkpoint)
    if isinstance(model, FormulaSequence):
        model = model.drawing_with(temperature=order.temperature, guidance=order.guidance)
    request = formula_request(order, model.elements)
    rng = np.random.default_rng(order.seed)
    if order.near or order.between:
        sample = _from_latent_space(model, order, request, rng=rng)
    else:
        sample = draw_formulas(model, order.n, request, advance=advance, rng=rng)
    if not len(sample.table):
        told = ", ".join(f"{count} {reason}" for reason, count in sample.rejected.items())
        raise EmptyResultError(f"None of {sample.drawn} draws of {order.recipe} is what was asked for ({told}).")
    names = [name for name, _ in order.targets]
    ranker = model if isinstance(model, FormulaSequence) and order.checkpoint is None else default_sequence()
    ranked = rank_formulas(
        sample.table, library, ranker, default_predictor(), targets=("formation_energy", *names), rules=order.rules
    )
    return Composed(tuple(ranked), sample, model.extrapolations(request))


def _from_latent_space(
    model: CompositionModel, order: ComposeOrder, request: FormulaRequest, *, rng: np.random.Generator
) -> FormulaSample:
    """Formulas around one, or on the way between two, as far as they satisfy the request."""
    from novalith.recipes.ding import Ding
    from novalith.recipes.ding_latent import interpolate, neighbours

    if not isinstance(model, Ding):
        raise CapabilityError(f"{order.recipe} has no latent space to look around in; give --recipe ding.")
    if order.near:
        table = neighbours(model, order.near, order.n, rng=rng).table
    elif len(order.between) == 2:
        table = interpolate(model, order.between[0], order.between[1], order.n).table
    else:
        raise InputError(f"A walk has two ends; {len(order.between)} came. Give --between NaCl,MgO.")
    reasons = np.array(unmet(table, request), dtype=object)
    keys = formula_keys(table)
    first = np.zeros(len(table), dtype=bool)
    first[np.unique(keys, return_index=True)[1]] = True
    reasons[(reasons == "") & ~first] = "met before"
    rejected = Counter(reason for reason in reasons.tolist() if reason)
    return FormulaSample(table.select(np.flatnonzero(reasons == "")), len(table), dict(rejected))


def _screened(order: ComposeOrder, library: Library) -> Composed:
    """Virtual screening: every formula of a system, in the order of predicted stability, without a generator."""
    if order.system.strip().lower() in ANY or order.targets or order.near or order.between:
        raise CapabilityError("screening enumerates one chemical system, such as Li-Sn-S-Cl, and aims at no target.")
    request = formula_request(order, ())
    elements = tuple(sorted(request.allowed or ()))
    limits = ScreeningRequest(PhaseField(elements), max_atoms=order.max_atoms or SCREENED_ATOMS)
    table = enumerate_formulas(replace(limits, all_elements=request.require == request.allowed))
    reasons = np.array(unmet(table, replace(request, rules=None)), dtype=object)
    rejected = Counter(reason for reason in reasons.tolist() if reason)
    kept = table.select(np.flatnonzero(reasons == ""))
    found = screen_table(kept, order.rules, order.n, default_predictor(), library)
    rejected["fails the chemistry rules"] += found.rejected
    rejected["without a prediction or not among the best"] += len(kept) - found.rejected - len(found.ranked)
    best = read_formulas([row.formula for row in found.ranked])
    ranked = rank_formulas(
        best, library, default_sequence(), default_predictor(), targets=("formation_energy",), rules=order.rules
    )
    place = {row.formula: (i, row) for i, row in enumerate(found.ranked)}
    above = {
        r.composition.formula: Estimate(
            place[r.composition.formula][1].hull_distance, None, r.estimates[STABILITY_TARGET].in_range
        )
        for r in ranked
    }
    with_hull = [
        replace(r, estimates={**r.estimates, "energy_above_predicted_hull": above[r.composition.formula]})
        for r in ranked
    ]
    with_hull.sort(key=lambda r: place[r.composition.formula][0])
    return Composed(tuple(with_hull), FormulaSample(best, len(table), dict(+rejected)), ())


def formula_request(order: ComposeOrder, known: Sequence[str]) -> FormulaRequest:
    """The request of an order; `known` are the elements of the model, which "any" stands for."""
    if order.n < 1:
        raise InputError(f"{order.n} formulas were asked for; expected 1 or more.")
    text = order.system.strip()
    if text.lower() in ANY:
        allowed = frozenset(known) - order.deny
        low, high = order.n_elements or (max(2, len(order.require)), max(6, len(order.require)))
        return FormulaRequest(allowed, order.require, order.targets, (low, high), order.max_atoms, order.rules)
    if re.fullmatch(r"(?=.*\d)[A-Za-z0-9()]+", text):
        raise InputError(
            f"{text!r} is a formula; compose draws formulas for a chemical system such as Li-Sn-S. To look around a "
            "formula, give --recipe ding --near FORMULA."
        )
    elements = frozenset(PhaseField.parse(text).elements)
    allowed = elements - order.deny
    require = order.require if order.subsystems else order.require | allowed
    low, high = order.n_elements or (min(2, len(allowed)), len(allowed))
    return FormulaRequest(allowed, require, order.targets, (low, high), order.max_atoms, order.rules)


def load_model(recipe: str, checkpoint: Path | None = None) -> CompositionModel:
    """The model of a recipe: the user's weights, or the shipped ones.

    Raises:
        UnknownNameError: there is no such recipe.
        InputError: the recipe ships no weights, or the checkpoint is of another recipe.
    """
    if recipe not in MODELS:
        raise UnknownNameError("recipe", recipe, (*MODELS, SCREENING))
    kind, module, loader, shipped = MODELS[recipe]
    path = checkpoint or WEIGHTS / shipped
    if checkpoint is not None and checkpoint_kind(checkpoint) != kind:
        raise InputError(
            f"{checkpoint} holds a model of kind {checkpoint_kind(checkpoint)!r}; --recipe {recipe} reads {kind!r}."
        )
    if not path.exists():
        raise InputError(
            f"{recipe} ships no weights. Train them: novalith train {recipe} --data FILE --out {recipe}.safetensors, "
            f"and give --checkpoint {recipe}.safetensors."
        )
    load: Callable[[Path], CompositionModel] = getattr(import_module(module), loader)
    return load(path)


@lru_cache(maxsize=1)
def default_sequence() -> FormulaSequence:
    """The shipped sequence model, drawing in full precision so that a list is the same wherever it is made."""
    model = FormulaSequence.load(WEIGHTS / "sequence.safetensors")
    model.drawing = replace(model.drawing, precision="float32", guidance=2.0)
    return model


def formulas_for(request: Request, library: Library, *, rng: np.random.Generator) -> tuple[RankedFormula, ...]:
    """The formulas that a search in a chemical system tries, best first.

    Charges must balance, except in a system of metals and metalloids alone, where nothing is an anion and the model
    decides. Empty where there is nothing to choose or the model cannot: for a request that names its formulas, for a
    blind library (see the module), for elements that the model does not know, and where no formula can balance.
    """
    from pymatgen.core import Element

    if request.composition is not None or request.formulas or library.hidden:
        return ()
    model = default_sequence()
    allowed = request.allowed & frozenset(model.elements)
    if not request.require <= allowed or not allowed:
        return ()
    fewest = max(1, len(request.require), min(2, len(allowed)))
    if request.max_atoms < fewest:
        return ()
    wanted = FormulaRequest(allowed, request.require, (), (fewest, len(allowed)), request.max_atoms, ChemistryOptions())
    if not all(Element(symbol).is_metal or Element(symbol).is_metalloid for symbol in allowed):
        try:
            sample = draw_formulas(model, DISCOVER_FORMULAS, wanted, max_draws=DISCOVER_DRAWS, rng=rng)
        except EmptyResultError:
            return ()
    else:
        free = replace(wanted, rules=None)
        sample = draw_formulas(model, DISCOVER_FORMULAS, free, max_draws=DISCOVER_DRAWS, rng=rng)
    return tuple(rank_formulas(sample.table, library, model, default_predictor()))


COLUMNS = (
    "formula", "score", "log_likelihood", "known", "neutral", "balanced", "charges", "states",
)  # fmt: skip


def write_rows(composed: Composed) -> str:
    """The answer as CSV: `COLUMNS`, then value, uncertainty and in_range of every predicted property."""
    names = list(composed.ranked[0].estimates) if composed.ranked else []
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [*COLUMNS, *(f"{n}{suffix}" for n in names for suffix in ("", "_uncertainty", "_in_range")), "extrapolation"]
    )
    for row in composed.ranked:
        cells: list[object] = [
            row.composition.formula, f"{row.score:.4f}", f"{row.log_likelihood:.4f}", row.known, row.neutral,
            row.balanced, row.charges, row.states,
        ]  # fmt: skip
        for name in names:
            estimate = row.estimates[name]
            cells += [_number(estimate.value), _number(estimate.uncertainty), estimate.in_range]
        writer.writerow([*cells, bool(composed.warnings)])
    return stream.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.5g}"
