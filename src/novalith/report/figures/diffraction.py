"""The powder pattern as a figure: sticks, a broadened curve, and indices on the strongest lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from novalith.report.diffraction import TWO_THETA_MAX_DEG, TWO_THETA_MIN_DEG, Reflection
from novalith.report.figures import svg

WIDTH, HEIGHT = 540, 300
#: Full width at half maximum of the drawn lines, degrees: that of a common laboratory instrument.
FWHM_DEG = 0.25
#: Lines that get their indices, the strongest first.
MAX_LABELS = 8


def diffraction_figure(reflections: Sequence[Reflection]) -> Markup:
    """Intensity (strongest line = 100) against 2θ in degrees for Cu K-alpha."""
    x = svg.Scale(TWO_THETA_MIN_DEG, TWO_THETA_MAX_DEG, 46, WIDTH - 12)
    y = svg.Scale(0, 100, HEIGHT - 58, 34)
    marks = [*_axes(x), *_sticks(reflections, x)]
    marks.append(svg.path([(x(a), y(i)) for a, i in _broadened(reflections)], stroke=svg.BLUE, width=1.3))
    marks += _labels(reflections, x, y)
    return svg.figure(WIDTH, HEIGHT, "Simulated powder X-ray diffraction pattern, Cu K-alpha", *marks)


def _axes(x: svg.Scale) -> list[Markup]:
    base = HEIGHT - 40
    marks = [svg.line((x.start, base), (x.end, base), svg.MUTED)]
    for angle in range(10, 81, 10):
        marks.append(svg.line((x(angle), base), (x(angle), base + 4), svg.MUTED))
        marks.append(svg.text((x(angle), base + 17), str(angle), anchor="middle", fill=svg.MUTED, size=11))
    middle = (x.start + x.end) / 2
    marks.append(svg.text((middle, HEIGHT - 6), "2θ (°), Cu Kα, λ = 1.5418 Å", anchor="middle", fill=svg.MUTED))
    marks.append(svg.vertical_text((16, HEIGHT / 2 - 12), "relative intensity"))
    return marks


def _sticks(reflections: Sequence[Reflection], x: svg.Scale) -> list[Markup]:
    base = HEIGHT - 41
    return [
        svg.line((x(r.two_theta_deg), base), (x(r.two_theta_deg), base - 12), svg.ORANGE, 1.2)
        for r in reflections
        if r.intensity >= 0.5
    ]


def _broadened(reflections: Sequence[Reflection]) -> list[svg.Point]:
    """Gaussian lines summed on a grid of 0.05°, the highest point at 100; straight stretches are left out."""
    sigma = FWHM_DEG / math.sqrt(8 * math.log(2))
    steps = round((TWO_THETA_MAX_DEG - TWO_THETA_MIN_DEG) / 0.05)
    heights = [0.0] * (steps + 1)
    for r in reflections:
        centre = (r.two_theta_deg - TWO_THETA_MIN_DEG) / 0.05
        reach = round(4 * sigma / 0.05)
        for i in range(max(0, round(centre) - reach), min(steps, round(centre) + reach) + 1):
            heights[i] += r.intensity * math.exp(-0.5 * ((i - centre) * 0.05 / sigma) ** 2)
    top = max(heights, default=0.0) or 1.0
    curve = [(TWO_THETA_MIN_DEG + 0.05 * i, round(100 * h / top, 1)) for i, h in enumerate(heights)]
    return [p for i, p in enumerate(curve) if i in (0, steps) or not (curve[i - 1][1] == p[1] == curve[i + 1][1])]


def _labels(reflections: Sequence[Reflection], x: svg.Scale, y: svg.Scale) -> list[Markup]:
    """Indices above the strongest lines, leaving out those that would overlap a stronger one's."""
    placed: list[tuple[float, float]] = []
    marks = []
    for r in sorted(reflections, key=lambda r: (-r.intensity, r.two_theta_deg))[: 2 * MAX_LABELS]:
        words = _indices(r.hkl)
        half = 3.2 * len(words) + 2
        at = x(r.two_theta_deg)
        if len(placed) == MAX_LABELS or r.intensity < 5 or any(abs(at - p) < half + h for p, h in placed):
            continue
        placed.append((at, half))
        marks.append(svg.text((at, y(min(100.0, r.intensity)) - 7), words, anchor="middle", size=10.5))
    return marks


def _indices(hkl: tuple[int, ...]) -> str:
    """Miller indices, a bar over negative ones; spaces where an index has two digits."""
    parts = [f"{abs(i)}" + ("\u0305" if i < 0 else "") for i in hkl]
    return (" " if any(abs(i) > 9 for i in hkl) else "").join(parts)
