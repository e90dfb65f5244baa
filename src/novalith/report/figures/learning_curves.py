"""Learning curves of adversarial trainings: the critic's estimate of the distance between real and generated rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from novalith.errors import EmptyResultError
from novalith.report.figures.svg import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RULE,
    SKY,
    VERMILION,
    Point,
    Scale,
    figure,
    line,
    path,
    text,
    vertical_text,
)
from novalith.store.files import write_atomic

_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, INK)
_WIDTH, _HEIGHT = 800, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 520, 44, 330


def learning_curves(curves: Mapping[str, Sequence[Point]], title: str, value: str) -> Markup:
    """Curves of (epoch, value) over one pair of axes, named at the right.

    Args:
        curves: name -> points, epochs from 1.
        title: above the picture.
        value: label of the vertical axis, with its unit.

    Raises:
        EmptyResultError: no curve has a point.
    """
    points = [p for curve in curves.values() for p in curve]
    if not points:
        raise EmptyResultError("There is no learning curve to draw: train something first.")
    epochs, values = [p[0] for p in points], [p[1] for p in points]
    low, high = min(0.0, *values), max(0.0, *values)
    x = Scale(0.0, max(*epochs, 1.0), _LEFT, _RIGHT)
    y = Scale(low, high if high > low else low + 1.0, _BOTTOM, _TOP)
    marks = [text((_LEFT, 24), title, size=15)]
    for tick in y.ticks():
        marks += [line((_LEFT, y(tick)), (_RIGHT, y(tick))), text((_LEFT - 8, y(tick) + 4), f"{tick:g}", anchor="end")]
    marks += [text((x(tick), _BOTTOM + 18), f"{tick:g}", anchor="middle") for tick in x.ticks()]
    marks += [line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), RULE, 1.5), text((_RIGHT, _BOTTOM + 38), "epoch", anchor="end")]
    marks.append(vertical_text((18, (_TOP + _BOTTOM) / 2), value))
    for i, (name, curve) in enumerate(curves.items()):
        colour, at = _COLOURS[i % len(_COLOURS)], _TOP + 18 * i
        marks.append(path([(x(a), y(b)) for a, b in curve], colour, 1.8))
        marks += [line((_RIGHT + 14, at), (_RIGHT + 34, at), colour, 3), text((_RIGHT + 40, at + 4), name, fill=MUTED)]
    return figure(_WIDTH, _HEIGHT, title, *marks)


def draw_learning_curves(folder: Path, out: Path) -> Path:
    """Draw the curves that `novalith bench points` kept in a folder (one JSON file a training) as one SVG file."""
    curves = {}
    for file in sorted(folder.glob("*.json")):
        reports = json.loads(file.read_text(encoding="utf-8"))
        curves[file.stem] = [(float(r["epoch"]), float(r["distance"])) for r in reports]
    drawn = learning_curves(curves, "Learning of the point-cloud networks", "critic's distance, about Å")
    write_atomic(out, str(drawn).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))
    return out
