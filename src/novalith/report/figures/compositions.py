"""Maps of formulas: training, held-out and generated ones by their one-hot vectors, and DING's codes by energy.

The plane is t-SNE (van der Maaten and Hinton, 2008) of the 50 leading principal components. It shows neighbourhoods
only, and a picture can be read either way, so a number stands beside it: the accuracy with which the nearest neighbour
tells two samples of equal size apart (Lopez-Paz and Oquab, 2017), computed on the vectors themselves,

    a = mean over points of the share of its nearest neighbours (all that are equally near) from its own sample.

0.5 means that the samples cannot be told apart so, 1 that they lie apart; held-out against training formulas is the
value that a perfect generator would show. Below 0.5 each point has its nearest neighbour in the other sample, as copies
do.

Of the codes, the number is the share of the variance of a property that the mean of the ten nearest codes explains. A
conditional model is told the property: the less its codes explain, the more the decoder has to listen to the condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from novalith.errors import EmptyResultError
from novalith.propose.compositions import FormulaRequest, draw_formulas
from novalith.recipes.ding import Ding
from novalith.recipes.ding_bench import KnownFormulas
from novalith.recipes.ding_latent import codes_of
from novalith.recipes.ding_predictor import LAYOUT
from novalith.report.figures.fields import colour
from novalith.report.figures.svg import BLUE, INK, MUTED, ORANGE, VERMILION, element, figure, rect, standalone, text
from novalith.represent.composition_one_hot import encode_counts, expand
from novalith.represent.formula_table import FormulaTable
from novalith.store.files import make_folder, write_atomic

Floats = NDArray[np.floating[Any]]

#: Effective number of neighbours of t-SNE, and the principal components that it sees.
PERPLEXITY, N_COMPONENTS = 30.0, 50
#: Fewest formulas of each kind that make a map.
MIN_FORMULAS = 20
_WIDTH, _HEIGHT, _MARGIN = 900, 640, 40
_COLOURS = {"training": "#b3bcc6", "held out": BLUE, "generated": VERMILION}


@dataclass(frozen=True, eq=False)
class FormulaMap:
    """Points in the plane.

    Attributes:
        names: (n,) formulas.
        groups: (n,) "training", "held out" or "generated".
        places: (n, 2), any unit.
        values: (n,) what colours a point, or None where the group does.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    places: Floats
    values: Floats | None = None


@dataclass(frozen=True)
class MapFigures:
    """What was drawn and measured.

    Attributes:
        files: the pictures.
        seed: of t-SNE.
        perplexity: likewise.
        n_formulas: of each kind.
        generated_against_held: nearest-neighbour accuracy of generated and held-out formulas.
        training_against_held: the same of training and held-out ones: what a perfect generator would show.
        explained: share of the variance of the first property that near codes explain.
    """

    files: tuple[Path, ...]
    seed: int
    perplexity: float
    n_formulas: int
    generated_against_held: float
    training_against_held: float
    explained: float

    @property
    def text(self) -> str:
        """One line for the terminal."""
        return (
            f"{self.n_formulas} formulas of each kind, t-SNE with perplexity {self.perplexity:g} and seed {self.seed}; "
            f"nearest-neighbour accuracy, generated against held out {self.generated_against_held:.3f}, training "
            f"against held out {self.training_against_held:.3f} (0.5: cannot be told apart); near codes explain "
            f"{100 * self.explained:.0f} % of the variance of the first property"
        )


def nearest_neighbour_accuracy(first: Floats, second: Floats) -> float:
    """How well the nearest neighbour tells two samples of vectors apart; see the module. Takes (n, d) and (m, d)."""
    both = np.concatenate([first, second]).astype(np.float64)
    own = np.arange(len(both)) < len(first)
    square = (both**2).sum(axis=1)
    distance = square[:, None] + square[None, :] - 2 * both @ both.T
    np.fill_diagonal(distance, np.inf)
    nearest = distance <= distance.min(axis=1, keepdims=True) + 1e-6
    same = nearest & (own[:, None] == own[None, :])
    return float((same.sum(axis=1) / nearest.sum(axis=1)).mean())


def explained_by_neighbours(codes: Floats, values: Floats, n_neighbours: int = 10) -> float:
    """Share of the variance of (n,) values that the mean over the nearest other (n, d) codes explains; at most 1."""
    square = (codes.astype(np.float64) ** 2).sum(axis=1)
    distance = square[:, None] + square[None, :] - 2 * codes @ codes.T
    np.fill_diagonal(distance, np.inf)
    nearest = np.argpartition(distance, n_neighbours, axis=1)[:, :n_neighbours]
    rest = values - values[nearest].mean(axis=1)
    return float(1 - (rest**2).mean() / values.var())


def place(vectors: Floats, seed: int, perplexity: float = PERPLEXITY) -> Floats:
    """(n, d) vectors -> (n, 2) places by t-SNE; equal vectors and seeds give equal places."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    reduced = PCA(min(N_COMPONENTS, *vectors.shape), random_state=seed).fit_transform(vectors)
    flow = TSNE(2, init="pca", perplexity=perplexity, random_state=seed, learning_rate="auto")
    places: Floats = flow.fit_transform(reduced)
    return places


def draw_formula_maps(
    model: Ding, training: KnownFormulas, held: KnownFormulas, n: int, folder: Path, *, rng: np.random.Generator
) -> MapFigures:
    """Draw n generated, n training and n held-out formulas; write `formula_map.svg` and `latent_map.svg`.

    Args:
        model: draws at conditions of its training rows.
        training: what it was trained on.
        held: what it was not.
        n: formulas of each kind.
        folder: where the pictures go.
        rng: picks formulas, draws, and gives the seed of t-SNE.

    Raises:
        EmptyResultError: fewer than `MIN_FORMULAS` of a kind.
    """
    parts = [_some(known, n, rng) for known in (training, held)]
    drawn = draw_formulas(model, n, FormulaRequest(), max_draws=50 * n, rng=rng).table
    n = min(len(drawn), *(len(part.table) for part in parts))
    if n < MIN_FORMULAS:
        raise EmptyResultError(f"A map needs {MIN_FORMULAS} formulas of each kind; {n} came. Train on more, draw more.")
    seed = int(rng.integers(2**31))
    perplexity = min(PERPLEXITY, n / 4)
    tables = {"training": parts[0].table, "held out": parts[1].table, "generated": drawn}
    tables = {group: table.select(np.arange(n)) for group, table in tables.items()}
    vectors = {group: _one_hot(table) for group, table in tables.items()}
    accuracies = [nearest_neighbour_accuracy(vectors[g], vectors["held out"]) for g in ("generated", "training")]
    make_folder(folder)
    files = folder / "formula_map.svg", folder / "latent_map.svg"
    notes = (
        f"t-SNE of one-hot counts, perplexity {perplexity:g}, seed {seed}",
        f"nearest-neighbour accuracy: generated against held out {accuracies[0]:.3f}; training against held out "
        f"{accuracies[1]:.3f} (0.5: cannot be told apart)",
    )
    groups = FormulaMap(_names(tables.values()), _labels(tables), place(np.concatenate(list(vectors.values())), seed))
    title = f"{n} training, held-out and generated formulas each"
    write_atomic(files[0], standalone(group_map(groups, title, notes)))
    latent, told, explained = _latent(model, parts, n, seed)
    write_atomic(files[1], standalone(value_map(latent, f"Codes of {len(latent.names)} formulas", told)))
    return MapFigures(files, seed, perplexity, n, accuracies[0], accuracies[1], explained)


def _latent(
    model: Ding, parts: Sequence[KnownFormulas], n: int, seed: int
) -> tuple[FormulaMap, tuple[str, str], float]:
    """The codes of training and held-out formulas, coloured by the first property."""
    names, groups, codes, values = [], [], [], []
    for group, part in zip(("training", "held out"), parts, strict=True):
        some = part.select(np.arange(n))
        wanted = [some.values[name] for name in model.conditions.names]
        given = np.stack(wanted, axis=1) if wanted else np.zeros((n, 0))
        own, rows = codes_of(model, some.table, given)
        names += [some.table.composition(row).formula for row in rows.tolist()]
        groups += [group] * len(rows)
        codes.append(own)
        values.append(some.values[next(iter(some.values))][rows])
    perplexity = min(PERPLEXITY, len(names) / 4)
    property_name = next(iter(parts[0].values)).replace("_", " ")
    whole, known = np.concatenate(codes), np.concatenate(values)
    explained = explained_by_neighbours(whole, known)
    notes = (
        f"t-SNE of DING's latent codes, perplexity {perplexity:g}, seed {seed}; rings: held out",
        f"colour: {property_name}, 2nd to 98th percentile; near codes explain {100 * explained:.0f} % of it",
    )
    return FormulaMap(tuple(names), tuple(groups), place(whole, seed, perplexity), known), notes, explained


def group_map(points: FormulaMap, title: str, notes: Sequence[str]) -> Markup:
    """Points coloured by their group, the generated ones on top."""
    left, top = _positions(points.places)
    marks = _headings(title, notes)
    for group in _COLOURS:
        for i in [i for i, g in enumerate(points.groups) if g == group]:
            look = {"cx": float(left[i]), "cy": float(top[i]), "r": 2.2, "fill": _COLOURS[group], "fill_opacity": 0.8}
            marks.append(element("circle", look, element("title", {}, f"{points.names[i]}: {group}")))
    for row, group in enumerate(_COLOURS):
        y = 100 + 20 * row
        marks.append(element("circle", {"cx": _WIDTH - 104, "cy": y - 4, "r": 4, "fill": _COLOURS[group]}))
        marks.append(text((_WIDTH - 94, y), group, fill=INK))
    return figure(_WIDTH, _HEIGHT, title, *marks)


def value_map(points: FormulaMap, title: str, notes: Sequence[str]) -> Markup:
    """Points coloured by their value, held-out ones with a ring, and the scale of colours."""
    values = points.values if points.values is not None else np.zeros(len(points.names))
    low, high = (float(x) for x in np.quantile(values, [0.02, 0.98]))
    left, top = _positions(points.places)
    marks = _headings(title, notes)
    for i, name in enumerate(points.names):
        look: dict[str, object] = {"cx": float(left[i]), "cy": float(top[i]), "r": 2.6}
        look["fill"] = colour((float(values[i]) - low) / max(high - low, 1e-12))
        if points.groups[i] == "held out":
            look |= {"stroke": ORANGE, "stroke_width": 0.9}
        marks.append(element("circle", look, element("title", {}, f"{name}: {values[i]:.3f} ({points.groups[i]})")))
    steps = 20
    for step in range(steps):
        marks.append(rect((_WIDTH - 84, 100 + 10 * step), (14, 10), colour(1 - step / (steps - 1))))
    for share in (0.0, 0.5, 1.0):
        marks.append(text((_WIDTH - 65, 104 + 200 * (1 - share)), f"{low + share * (high - low):.2f}", fill=MUTED))
    return figure(_WIDTH, _HEIGHT, title, *marks)


def _headings(title: str, notes: Sequence[str]) -> list[Markup]:
    lines = [text((_MARGIN, 44 + 16 * i), note, fill=MUTED, size=11) for i, note in enumerate(notes)]
    return [text((_MARGIN, 26), title, size=15), *lines]


def _positions(places: Floats) -> tuple[Floats, Floats]:
    room = np.array([_WIDTH - 2 * _MARGIN - 100, _HEIGHT - 2 * _MARGIN - 50])
    span = np.ptp(places, axis=0)
    scale = float((room / span).min())
    corner = np.array([_MARGIN, _MARGIN + 50]) + (room - scale * span) / 2
    left, top = (corner + (places - places.min(axis=0)) * scale).T
    return left, top


def _some(known: KnownFormulas, n: int, rng: np.random.Generator) -> KnownFormulas:
    """At most n formulas that fit the one-hot matrix."""
    return known.select(rng.permutation(encode_counts(known.table, LAYOUT).rows)[:n])


def _one_hot(table: FormulaTable) -> Floats:
    return expand(encode_counts(table, LAYOUT).counts, LAYOUT).reshape(len(table), -1)


def _names(tables: Any) -> tuple[str, ...]:
    return tuple(table.composition(row).formula for table in tables for row in range(len(table)))


def _labels(tables: Mapping[str, FormulaTable]) -> tuple[str, ...]:
    return tuple(group for group, table in tables.items() for _ in range(len(table)))
