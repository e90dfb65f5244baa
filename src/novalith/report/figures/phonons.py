"""Phonon bands as a figure: frequency along a path through the Brillouin zone, imaginary ones below zero."""

from __future__ import annotations

import math

from markupsafe import Markup

from novalith.report.figures import svg
from novalith.stability.phonons import Bands

WIDTH, HEIGHT = 540, 280
#: ASE's name of the centre of the zone.
_GAMMA = "G"


def phonon_figure(bands: Bands) -> Markup:
    """Frequency in THz along the path; imaginary modes are drawn below zero, in vermilion."""
    lowest = min(min(row) for row in bands.frequencies_thz)
    highest = max(max(row) for row in bands.frequencies_thz)
    step = _step(highest - min(0.0, lowest))
    top = step * math.ceil(highest / step + 1e-9)
    bottom = step * math.floor(min(0.0, lowest) / step + 1e-9) if lowest < -0.02 * top else 0.0
    x = svg.Scale(bands.distance[0], bands.distance[-1], 46, WIDTH - 12)
    y = svg.Scale(bottom, top, HEIGHT - 40, 14)
    marks = [*_frame(bands, x, y, step)]
    for branch in zip(*bands.frequencies_thz, strict=True):
        points = [(x(d), y(f)) for d, f in zip(bands.distance, branch, strict=True)]
        soft = min(branch) < -0.02 * top
        marks.append(svg.path(points, stroke=svg.VERMILION if soft else svg.BLUE, width=1.3))
    return svg.figure(WIDTH, HEIGHT, "Phonon bands, imaginary frequencies below zero", *marks)


def _frame(bands: Bands, x: svg.Scale, y: svg.Scale, step: float) -> list[Markup]:
    marks = []
    n = round((y.high - y.low) / step)
    for i in range(n + 1):
        value = y.low + i * step
        marks.append(svg.line((x.start, y(value)), (x.end, y(value)), svg.MUTED if abs(value) < 1e-9 else svg.RULE))
        marks.append(svg.text((x.start - 6, y(value) + 4), f"{value:g}", anchor="end", fill=svg.MUTED, size=11))
    for at, label in bands.ticks:
        marks.append(svg.line((x(at), y(y.low)), (x(at), y(y.high)), svg.RULE))
        words = label.replace(_GAMMA, "Γ")
        marks.append(svg.text((x(at), HEIGHT - 22), words, anchor="middle", fill=svg.MUTED, size=11))
    marks.append(svg.vertical_text((14, HEIGHT / 2 - 12), "frequency (THz)"))
    return marks


def _step(span: float) -> float:
    """A round step that divides a span into about five."""
    raw = max(span, 1e-3) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
