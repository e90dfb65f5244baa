"""Magpie statistics of groups of formulas side by side: one small panel a statistic, one outline a group."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from novalith.report.figures.svg import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    RULE,
    VERMILION,
    Scale,
    figure,
    line,
    path,
    standalone,
    text,
)
from novalith.represent.composition_features import magpie_names
from novalith.store.files import write_atomic

#: What the panels show, as matminer names it, and in words with the unit.
PANELS = {
    "MagpieData mean Electronegativity": "mean electronegativity (Pauling)",
    "MagpieData range Electronegativity": "range of electronegativity (Pauling)",
    "MagpieData mean Column": "mean group of the periodic table",
    "MagpieData mean MendeleevNumber": "mean Mendeleev number",
    "MagpieData mean CovalentRadius": "mean covalent radius (pm)",
    "MagpieData mean NpValence": "mean number of p electrons",
    "MagpieData mean NdUnfilled": "mean number of empty d places",
    "MagpieData mean MeltingT": "mean melting point (K)",
    "MagpieData mean GSvolume_pa": "mean volume of the elements (Å³/atom)",
}
_COLOURS = (VERMILION, BLUE, GREEN)
_BINS, _COLUMNS = 24, 3
_WIDTH, _HEIGHT, _GAP, _TOP = 220, 120, 24, 64


def statistics_figure(groups: Mapping[str, NDArray[np.float32]]) -> Markup:
    """Frequencies of nine statistics in groups of formulas.

    Args:
        groups: at most three names -> (n, 132) statistics.
    """
    names = magpie_names()
    marks: list[Markup] = [text((_GAP, 26), "Magpie statistics of formulas", size=15)]
    for i, (name, values) in enumerate(groups.items()):
        x = _GAP + 220 * i
        marks.append(line((x, 44), (x + 18, 44), _COLOURS[i], 2.5))
        marks.append(text((x + 24, 48), f"{name} ({len(values)})", fill=INK))
    for place, (name, words) in enumerate(PANELS.items()):
        corner = (
            _GAP + (place % _COLUMNS) * (_WIDTH + _GAP),
            _TOP + (place // _COLUMNS) * (_HEIGHT + 2 * _GAP),
        )
        marks += _panel([values[:, names.index(name)] for values in groups.values()], words, corner)
    rows = -(-len(PANELS) // _COLUMNS)
    width = _COLUMNS * (_WIDTH + _GAP) + _GAP
    return figure(width, _TOP + rows * (_HEIGHT + 2 * _GAP), "Magpie statistics of formulas", *marks)


def draw_formula_statistics(groups: Mapping[str, NDArray[np.float32]], out: Path) -> None:
    """Write the figure to a file."""
    write_atomic(out, standalone(statistics_figure(groups)))


def _panel(columns: list[NDArray[np.float32]], words: str, corner: tuple[float, float]) -> list[Markup]:
    left, top = corner
    low, high = (float(q) for q in np.quantile(np.concatenate(columns), [0.005, 0.995]))
    high = max(high, low + 1e-6)
    edges = np.linspace(low, high, _BINS + 1)
    # what lies beyond the range is counted in the outermost bins
    shares = [np.histogram(np.clip(c, low, high), edges)[0] / max(1, len(c)) for c in columns]
    across = Scale(low, high, left, left + _WIDTH)
    up = Scale(0.0, max(1e-9, max(float(s.max()) for s in shares)), top + _HEIGHT, top + 14)
    marks = [line((left, top + _HEIGHT), (left + _WIDTH, top + _HEIGHT), RULE)]
    for i, share in enumerate(shares):
        steps = [(across(float(edges[j + side])), up(float(v))) for j, v in enumerate(share) for side in (0, 1)]
        marks.append(path([(left, top + _HEIGHT), *steps, (left + _WIDTH, top + _HEIGHT)], _COLOURS[i], 1.5))
    marks.append(text((left, top + 8), words, fill=INK, size=11))
    ticks = [(across(tick), f"{tick:g}") for tick in across.ticks(4)]
    labels = [text((x, top + _HEIGHT + 14), label, anchor="middle", fill=MUTED, size=10) for x, label in ticks]
    return marks + labels
