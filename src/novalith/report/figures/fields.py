"""Figures of phase fields: a map of a family of fields, and the periodic table of their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from novalith.errors import EmptyResultError
from novalith.materials import ELEMENTS
from novalith.propose.fields import enumerate_fields
from novalith.recipes.fields import FieldScorer, default_scorer
from novalith.report.figures.svg import INK, MUTED, PAPER, RULE, VERMILION, element, figure, standalone
from novalith.represent.field_evidence import describe_fields
from novalith.represent.phase_field import Indices, canonical, decode_fields
from novalith.screen.field_limits import FieldLimits
from novalith.store.files import make_folder, write_atomic

#: Five steps of viridis (Smith and van der Walt, 2015), even in lightness and safe for colour-blind readers.
VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
N_LABELS = 12


@dataclass(frozen=True)
class MapPoint:
    """A field on the map.

    Attributes:
        name: symbols with hyphens.
        x: position, any unit.
        y: likewise.
        probability: colours the point; of a reported field, drawn as a ring, it is not shown.
        reported: whether a list holds it.
    """

    name: str
    x: float
    y: float
    probability: float
    reported: bool


def colour(share: float) -> str:
    """A number from 0 to 1 as a colour of `VIRIDIS`, interpolated."""
    at = float(np.clip(share, 0.0, 1.0)) * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    ends = [[int(VIRIDIS[i][k : k + 2], 16) for k in (1, 3, 5)] for i in (low, low + 1)]
    mixed = [round(a + (b - a) * (at - low)) for a, b in zip(*ends, strict=True)]
    return "#" + "".join(f"{c:02x}" for c in mixed)


def latent_map(points: Sequence[MapPoint], title: str) -> Markup:
    """The map: unreported fields as dots coloured by probability, reported ones as rings, the best ones named."""
    width, height, margin = 900, 640, 40
    x, y = np.array([p.x for p in points]), np.array([p.y for p in points])
    scale = min((width - 2 * margin - 110) / np.ptp(x), (height - 2 * margin - 40) / np.ptp(y))
    left, top = margin + (x - x.min()) * scale, margin + 30 + (y - y.min()) * scale
    marks = [_text(margin, 26, title, 15, INK)]
    order = sorted(range(len(points)), key=lambda i: (not points[i].reported, points[i].probability))
    for i in order:
        p = points[i]
        look = (
            {"fill": "none", "stroke": "#9aa5b1"} if p.reported else {"fill": colour(p.probability), "stroke": "none"}
        )
        note = f"{p.name}: reported" if p.reported else f"{p.name}: {p.probability:.2f}"
        circle = {"cx": float(left[i]), "cy": float(top[i]), "r": 2.6 if p.reported else 3.4, **look}
        marks.append(element("circle", circle, element("title", {}, note)))
    best = [i for i in order if not points[i].reported][-N_LABELS:]
    places = [(float(left[i]), float(top[i]), points[i].name) for i in reversed(best)]
    marks += _labels(places, (width - 100, 360))
    marks += _legend((width - 86, 90), "probability", 1.0)
    marks.append(element("circle", {"cx": width - 79, "cy": 330, "r": 3, "fill": "none", "stroke": "#9aa5b1"}))
    marks.append(_text(width - 70, 334, "reported", 11, MUTED))
    return figure(width, height, title, *marks)


def _labels(places: Sequence[tuple[float, float, str]], corner: tuple[float, float]) -> list[Markup]:
    """Numbers beside the points, moved down where they would cover another, and the names in a list."""
    marks: list[Markup] = []
    taken: list[tuple[float, float]] = []
    halo: dict[str, object] = {"stroke": PAPER, "stroke_width": 3, "paint_order": "stroke", "font_weight": "bold"}
    for number, (x, y, name) in enumerate(places, start=1):
        at = y + 4
        while any(abs(at - other) < 12 and abs(x - beside) < 18 for beside, other in taken):
            at += 12
        taken.append((x, at))
        look = {"x": x + 5, "y": at, "font_size": 11, "fill": VERMILION}
        marks.append(element("text", look | halo, str(number)))
        marks.append(_text(corner[0], corner[1] + 16 * number, f"{number}  {name}", 11, INK))
    return marks


def element_heat_map(values: dict[str, float], title: str) -> Markup:
    """The periodic table, each element coloured by a number from 0 to the largest; elements without one stay blank."""
    cell, left, top = 46, 20, 50
    largest = max(values.values(), default=1.0) or 1.0
    marks = [_text(left, 28, title, 15, INK)]
    for symbol in ELEMENTS[:103]:
        row, column = _place(symbol)
        x, y = left + column * cell, top + row * cell
        value = values.get(symbol)
        fill = PAPER if value is None else colour(value / largest)
        ink = MUTED if value is None else (PAPER if value < 0.6 * largest else INK)
        box = {"x": x, "y": y, "width": cell - 3, "height": cell - 3, "rx": 3, "fill": fill, "stroke": RULE}
        marks.append(element("rect", box))
        marks.append(_text(x + 5, y + 19, symbol, 14, ink))
        if value is not None:
            marks.append(_text(x + 5, y + 35, f"{value:.2f}", 10, ink))
    marks += _legend((left + 18 * cell + 14, top + 10), "mean", largest)
    return figure(left + 18 * cell + 90, top + 10 * cell, title, *marks)


def _place(symbol: str) -> tuple[float, int]:
    """Row and column in the long form with the f block below."""
    z = ELEMENTS.index(symbol) + 1
    if 57 <= z <= 71:
        return 7.4, z - 57 + 2
    if 89 <= z <= 103:
        return 8.4, z - 89 + 2
    noble = [0, 2, 10, 18, 36, 54, 86, 118]
    row = next(i for i in range(1, 8) if z <= noble[i])
    along, length = z - noble[row - 1], noble[row] - noble[row - 1]
    if along <= 2 and not (row == 1 and along == 2):
        return row - 1, along - 1
    return row - 1, 18 - (length - along) - 1


def _legend(corner: tuple[float, float], what: str, top: float) -> list[Markup]:
    x, y = corner
    bars = [
        element("rect", {"x": x, "y": y + 10 * i, "width": 14, "height": 10, "fill": colour(1 - i / 20)})
        for i in range(21)
    ]
    ticks = [_text(x + 19, y + 9 + 100 * i, f"{top * (1 - i / 2):.2f}", 11, MUTED) for i in range(3)]
    return [_text(x - 4, y - 8, what, 11, MUTED), *bars, *ticks]


def _text(x: float, y: float, words: str, size: int, fill: str) -> Markup:
    return element("text", {"x": x, "y": y, "font_size": size, "fill": fill}, words)


def draw_field_figures(limits: FieldLimits, n_fields: int, folder: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Write the map and the heat map of the fields within limits as SVG files.

    Args:
        limits: the family of fields.
        n_fields: the best-scoring and, as many, random others fill the map; reported ones come on top.
        folder: to write `latent_map.svg` and `element_heat_map.svg` to.
        rng: draws the random others and starts t-SNE.
    """
    scorer = default_scorer()
    candidates = enumerate_fields(limits, scorer.known_elements(), scorer.groups[limits.arity])
    probabilities = scorer.scores(candidates)[1]
    shown = _choose(probabilities, n_fields, rng)
    reported = np.array(
        [row for row in canonical(scorer.groups[limits.arity]) if limits.admits(decode_fields(row[None])[0])]
    ).reshape(-1, limits.arity)
    if len(reported) > n_fields:
        reported = reported[np.sort(rng.permutation(len(reported))[:n_fields])]
    rows = np.concatenate([candidates[shown], reported])
    if len(rows) < 10:
        raise EmptyResultError(f"Only {len(rows)} fields lie within the limits; a map needs 10. Relax a limit.")
    place = _positions(scorer, rows, rng)
    values = [*probabilities[shown].tolist(), *([1.0] * len(reported))]
    points = [
        MapPoint(f.name, float(x), float(y), value, i >= len(shown))
        for i, (f, (x, y), value) in enumerate(zip(decode_fields(rows), place, values, strict=True))
    ]
    what = _title(limits)
    make_folder(folder)
    files = folder / "latent_map.svg", folder / "element_heat_map.svg"
    write_atomic(files[0], standalone(latent_map(points, f"Map of {what} (t-SNE of what the scorer sees)")))
    means = _element_means(candidates, probabilities, limits)
    write_atomic(files[1], standalone(element_heat_map(means, f"Mean probability of unreported {what}, by element")))
    return files


def _choose(probabilities: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    best = np.argsort(-probabilities, kind="stable")
    others = rng.permutation(best[n // 2 :])[: n - n // 2]
    return np.concatenate([best[: n // 2], others])


def _positions(scorer: FieldScorer, rows: Indices, rng: np.random.Generator) -> NDArray[np.float64]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    arity = rows.shape[1]
    latent = scorer.models[arity].standardise(describe_fields(scorer.evidence(arity), rows))
    seed = int(rng.integers(2**31))
    reduced = PCA(min(30, *latent.shape), random_state=seed).fit_transform(latent)
    flow = TSNE(2, init="pca", perplexity=min(30.0, len(rows) / 4), random_state=seed, learning_rate="auto")
    place: NDArray[np.float64] = flow.fit_transform(reduced)
    return place


def _element_means(candidates: Indices, probabilities: NDArray[np.float64], limits: FieldLimits) -> dict[str, float]:
    free = sorted({int(i) for i in np.unique(candidates)})
    return {
        ELEMENTS[i]: float(probabilities[(candidates == i).any(axis=1)].mean())
        for i in free
        if ELEMENTS[i] not in limits.require
    }


def _title(limits: FieldLimits) -> str:
    required = "-".join(sorted(limits.require)) + " " if limits.require else ""
    anions = "" if limits.n_anions is None else f" with {limits.n_anions} anions"
    return f"{required}fields of {limits.arity} elements{anions}"
