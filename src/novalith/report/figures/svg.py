"""The few pieces of SVG that the figures are drawn with: elements, axes, colours.

Colours are those of Okabe and Ito (Color Universal Design, 2008), told apart by all common kinds of colour vision.
Positions are in user units of the viewBox; one unit is about one pixel on screen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup, escape

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW = "#56B4E9", "#CC79A7", "#F0E442"
INK, MUTED, RULE, PAPER = "#1d2733", "#5b6875", "#d5dbe1", "#ffffff"

Point = tuple[float, float]


def element(name: str, attributes: dict[str, object], *children: Markup | str) -> Markup:
    """One SVG element; every attribute and every text is escaped, underscores in attribute names become hyphens."""
    written = "".join(f' {key.replace("_", "-")}="{escape(_plain(value))}"' for key, value in attributes.items())
    inner = Markup("").join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inner}</{name}>")  # noqa: S704  every part is escaped above


def _plain(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


def figure(width: int, height: int, title: str, *children: Markup) -> Markup:
    """A whole picture with a title for readers who hear it."""
    attributes: dict[str, object] = {
        "class": "figure",
        "viewBox": f"0 0 {width} {height}",
        "width": round(1.12 * width),
        "role": "img",
        "aria-label": title,
        "font-size": 12,
    }
    return element("svg", attributes, *children)


def standalone(picture: Markup) -> str:
    """A figure as a file of its own: with the name space, a white ground and plain letters."""
    own = '<svg xmlns="http://www.w3.org/2000/svg" style="background:#ffffff" font-family="Arial, sans-serif" '
    return str(picture).replace("<svg ", own, 1) + "\n"


def line(start: Point, end: Point, stroke: str = RULE, width: float = 1.0, dash: str = "") -> Markup:
    """A straight line; `dash` as in stroke-dasharray."""
    attributes: dict[str, object] = {
        "x1": start[0],
        "y1": start[1],
        "x2": end[0],
        "y2": end[1],
        "stroke": stroke,
        "stroke_width": width,
    }
    return element("line", attributes | ({"stroke_dasharray": dash} if dash else {}))


def path(points: list[Point], stroke: str = INK, width: float = 1.5, fill: str = "none") -> Markup:
    """Straight segments through points; closed where `fill` is a colour."""
    steps = "L".join(f"{_plain(x)} {_plain(y)}" for x, y in points)
    closed = "" if fill == "none" else "Z"
    attributes: dict[str, object] = {
        "d": f"M{steps}{closed}",
        "fill": fill,
        "stroke": stroke,
        "stroke_width": width,
        "stroke_linejoin": "round",
    }
    return element("path", attributes)


def rect(corner: Point, size: Point, fill: str) -> Markup:
    """A filled rectangle with its upper left corner and its width and height."""
    return element("rect", {"x": corner[0], "y": corner[1], "width": size[0], "height": size[1], "fill": fill})


def dot(centre: Point, radius: float, fill: str, stroke: str = PAPER, title: str = "") -> Markup:
    """A disc; `title` is shown under the pointer."""
    attributes: dict[str, object] = {
        "cx": centre[0],
        "cy": centre[1],
        "r": radius,
        "fill": fill,
        "stroke": stroke,
        "stroke_width": 1.2,
    }
    return element("circle", attributes, *([element("title", {}, title)] if title else []))


def diamond(centre: Point, radius: float, fill: str, title: str = "") -> Markup:
    """A diamond: the mark of the candidate, told apart from discs without colour."""
    x, y = centre
    corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
    steps = "L".join(f"{_plain(a)} {_plain(b)}" for a, b in corners)
    attributes: dict[str, object] = {"d": f"M{steps}Z", "fill": fill, "stroke": PAPER, "stroke_width": 1.2}
    return element("path", attributes, *([element("title", {}, title)] if title else []))


def text(
    at: Point, words: str, *, anchor: str = "start", fill: str = INK, size: float = 12, bold: bool = False
) -> Markup:
    """Words on a pale halo, so that lines behind them do not disturb; anchor is start, middle or end."""
    attributes: dict[str, object] = {
        "x": at[0],
        "y": at[1],
        "text_anchor": anchor,
        "fill": fill,
        "font_size": size,
        "paint_order": "stroke",
        "stroke": PAPER,
        "stroke_width": 3,
        "stroke_linejoin": "round",
    }
    return element("text", attributes | ({"font_weight": 600} if bold else {}), words)


def vertical_text(at: Point, words: str) -> Markup:
    """Words that run upwards, for the label of a vertical axis."""
    place = f"rotate(-90 {_plain(at[0])} {_plain(at[1])})"
    attributes: dict[str, object] = {"x": at[0], "y": at[1], "text_anchor": "middle", "fill": MUTED, "transform": place}
    return element("text", attributes, words)


@dataclass(frozen=True)
class Scale:
    """A linear map from data to positions.

    Attributes:
        low: data value at `start`.
        high: data value at `end`.
        start: position of `low`.
        end: position of `high`.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Position of a data value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """About so many round numbers (1, 2 or 5 times a power of ten apart) in the range."""
        step = _round_step((self.high - self.low) / about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999))
