"""The latent space of DING: codes of formulas, formulas around one, formulas on the way from one to another.

    code(x, c) = mean of q(z | x, c)

*Around* a formula: z ~ N(code, (w sigma)^2) with sigma the model's own uncertainty of the code; w starts at 1 and grows
by `GROWTH` until enough other formulas have come or `WIDEST` is reached. *Between* two: straight lines of codes and of
conditions, decoded at even steps; continuity is what the publication looked at.

A formula whose properties are not given takes those of the training row under which the model finds it least odd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, EmptyResultError, InputError
from novalith.propose.compositions import concatenated
from novalith.recipes.ding import Ding
from novalith.recipes.ding_predictor import LAYOUT
from novalith.represent.composition_one_hot import Counts, encode_counts
from novalith.represent.formula_table import FormulaTable, formula_keys, read_formulas

Floats = NDArray[np.float64]

#: Factor between the widths of one round and the next, and the largest width tried.
GROWTH, WIDEST = 1.3, 20.0
#: Draws a round for each formula that is wanted.
_DRAWS = 20
#: Training rows whose conditions are tried on a formula.
_TRIED = 512


@dataclass(frozen=True, eq=False)
class LatentFormulas:
    """Formulas at places of the latent space.

    Attributes:
        table: formulas; a place that decodes to none is a row with a problem.
        positions: (n,) distance of the code drawn to that of the known formula (neighbours), or the share of the way
            from the first to the second (between).
        conditions: (n, c) properties that they were decoded at, in the order of the model's conditions.
    """

    table: FormulaTable
    positions: Floats
    conditions: Floats


def neighbours(
    model: Ding, formula: str, n: int, conditions: Mapping[str, float] | None = None, *, rng: np.random.Generator
) -> LatentFormulas:
    """Up to n other formulas around a known one, nearest codes first.

    Args:
        model: trained, with or without conditions.
        formula: the known one.
        n: how many.
        conditions: its properties; the model's guess without them.
        rng: draws.

    Raises:
        CapabilityError: the formula does not fit the one-hot matrix.
        EmptyResultError: nothing but the formula itself came, however wide the draws.
    """
    counts, values = _located(model, formula, conditions)
    mean, spread = model.encode(counts, values)
    own = formula_keys(read_formulas([formula])).tolist()[0]
    seen = {own}
    tables, distances = [], []
    width, found = 1.0, 0
    while found < n and width <= WIDEST:
        z = mean + width * spread * rng.standard_normal((_DRAWS * n, mean.shape[1]))
        drawn = model.decode(z, np.tile(values, (len(z), 1)))
        fresh: list[int] = []
        for row, key in enumerate(formula_keys(drawn).tolist()):
            if row not in drawn.problems and key not in seen and found + len(fresh) < n:
                seen.add(key)
                fresh.append(row)
        found += len(fresh)
        tables.append(drawn.select(np.array(fresh, dtype=np.int64)))
        distances.append(np.linalg.norm(z - mean, axis=1)[fresh])
        width *= GROWTH
    if not found:
        raise EmptyResultError(
            f"Around {formula} the model decodes to nothing but {formula}, up to {WIDEST:g} times the width of its "
            "code. Train it with a larger weight of the KL term."
        )
    distance = np.concatenate(distances)
    order = np.argsort(distance, kind="stable")
    return LatentFormulas(concatenated(tables).select(order), distance[order], np.tile(values, (found, 1)))


def interpolate(
    model: Ding,
    first: str,
    second: str,
    n_steps: int,
    conditions: tuple[Mapping[str, float], Mapping[str, float]] | None = None,
) -> LatentFormulas:
    """What lies on the straight line between the codes of two formulas, both ends included.

    Args:
        model: trained, with or without conditions.
        first: the formula at 0.
        second: the formula at 1.
        n_steps: number of places, 2 or more.
        conditions: properties of the two; the model's guesses without them.

    Raises:
        CapabilityError: a formula does not fit the one-hot matrix.
    """
    if n_steps < 2:
        raise InputError(f"{n_steps} steps between two formulas: expected 2 or more, the ends count.")
    given = conditions or (None, None)
    ends = [_located(model, formula, own) for formula, own in zip((first, second), given, strict=True)]
    codes = [model.encode(counts, values)[0] for counts, values in ends]
    share = np.linspace(0.0, 1.0, n_steps)
    z = codes[0] + share[:, None] * (codes[1] - codes[0])
    values = ends[0][1] + share[:, None] * (ends[1][1] - ends[0][1])
    return LatentFormulas(model.decode(z, values), share, values)


def codes_of(model: Ding, table: FormulaTable, values: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Codes (m, latent) of the rows of a table that fit, at their (n, c) properties, and those rows."""
    encoded = encode_counts(table, LAYOUT)
    return model.encode(encoded.counts, values[encoded.rows])[0], encoded.rows


def _located(model: Ding, formula: str, conditions: Mapping[str, float] | None) -> tuple[Counts, Floats]:
    """(1, 89) counts of a formula and its (1, c) properties."""
    encoded = encode_counts(read_formulas([formula]), LAYOUT)
    if encoded.problems:
        raise CapabilityError(f"{formula} does not fit the model: {encoded.problems[0]}.")
    names = model.conditions.names
    if conditions is None:
        return encoded.counts, _least_odd(model, encoded.counts)
    missing = [name for name in names if name not in conditions]
    if missing:
        raise InputError(f"The properties of {formula} lack {', '.join(missing)}; give all of {', '.join(names)}.")
    return encoded.counts, np.array([[conditions[name] for name in names]], dtype=np.float64).reshape(1, len(names))


def _least_odd(model: Ding, counts: Counts) -> Floats:
    tried = model.conditions.rows[:_TRIED]
    if not model.conditions.names:
        return np.zeros((1, 0))
    repeated: NDArray[Any] = np.repeat(counts, len(tried), axis=0)
    best = int(np.argmin(model.vae.losses(repeated, model.conditions.scaled(tried))))
    return tried[best : best + 1]
