"""The latent space of a model of crystals in pictures: the map of its codes, and ways through it as strips of slices.

Colours run along viridis (Smith and van der Walt, 2015): it rises evenly in brightness and is told apart by all common
kinds of colour vision.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from novalith.materials import Crystal
from novalith.recipes.crystal_models import CodeImages, CrystalModel, SampleRequest
from novalith.recipes.latent import Way
from novalith.report.figures.svg import (
    INK,
    MUTED,
    RULE,
    Point,
    Scale,
    diamond,
    element,
    figure,
    line,
    standalone,
    text,
    vertical_text,
)
from novalith.report.notation import formula_text
from novalith.store.files import write_atomic

#: Nine even stops of viridis, red, green and blue from 0 to 255.
STOPS = np.array(
    [
        (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141),
        (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37),
    ],
    dtype=np.float64,
)  # fmt: skip
#: Images of a strip: more cannot be told apart.
STRIP_IMAGES = 9
#: Colours that points of the map are sorted into; half a percent of the values lie beyond either end of the scale.
_SHADES, _BEYOND = 32, 0.005
_MAP, _MAP_LEFT, _MAP_TOP = 460, 52, 48
_IMAGE, _GAP, _LEFT, _TOP = 92, 6, 118, 66


def shades(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values from 0 to 1, of any shape, as colours (..., 3)."""
    place = np.clip(np.nan_to_num(values), 0.0, 1.0) * (len(STOPS) - 1)
    low = np.minimum(place.astype(int), len(STOPS) - 2)
    mixed = STOPS[low] + (place - low)[..., None] * (STOPS[low + 1] - STOPS[low])
    return np.asarray(mixed.round(), dtype=np.uint8)


def picture(colours: NDArray[np.uint8]) -> str:
    """Pixels (height, width, 3) as the address of a PNG."""
    height, width, _ = colours.shape
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(colours))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + parts).decode()


def image(corner: Point, size: Point, colours: NDArray[np.uint8]) -> Markup:
    """Pixels as a rectangle of a figure, not smoothed."""
    attributes: dict[str, object] = {
        "x": corner[0], "y": corner[1], "width": size[0], "height": size[1], "href": picture(colours),
        "preserveAspectRatio": "none", "style": "image-rendering:pixelated",
    }  # fmt: skip
    return element("image", attributes)


def latent_map_figure(
    points: NDArray[np.float64], values: NDArray[np.floating], label: str, title: str, marks: Sequence[Marked] = ()
) -> Markup:
    """Codes on their map, coloured by a property.

    Args:
        points: (n, 2) places.
        values: (n,) property.
        label: of the colours, with the unit.
        title: above the picture.
        marks: (row, name) of points that are named.
    """
    low, high = (float(q) for q in np.quantile(values, [_BEYOND, 1 - _BEYOND]))
    high = max(high, low + 1e-6)
    x, y = _square(points)
    spots = [(x(float(a)), y(float(b))) for a, b in points]
    shade = np.clip((values - low) / (high - low) * _SHADES, 0, _SHADES - 1).astype(int)
    drawn: list[Markup] = [text((_MAP_LEFT, 26), title, size=15)]
    for corner in ((_MAP_LEFT, _MAP_TOP), (_MAP_LEFT + _MAP, _MAP_TOP + _MAP)):
        drawn.append(line(corner, (_MAP_LEFT + _MAP, _MAP_TOP), RULE))
        drawn.append(line(corner, (_MAP_LEFT, _MAP_TOP + _MAP), RULE))
    radius = 5.0 if len(points) < 400 else 3.6 if len(points) < 1500 else 2.8
    drawn += [_spots([spots[i] for i in np.flatnonzero(shade == s)], s, radius) for s in np.unique(shade)]
    for row, name in marks:
        drawn.append(diamond(spots[row], 6, INK, title=name))
        drawn.append(text((spots[row][0] + 8, spots[row][1] + 4), name, bold=True))
    drawn.append(text((_MAP_LEFT + _MAP / 2, _MAP_TOP + _MAP + 22), "t-SNE 1 (no unit)", anchor="middle", fill=MUTED))
    drawn.append(vertical_text((_MAP_LEFT - 18, _MAP_TOP + _MAP / 2), "t-SNE 2 (no unit)"))
    drawn += _bar((_MAP_LEFT + _MAP + 34, _MAP_TOP + 60), (16, _MAP - 120), (low, high), label)
    return figure(_MAP_LEFT + _MAP + 150, _MAP_TOP + _MAP + 40, title, *drawn)


#: A row of the map and its name.
Marked = tuple[int, str]


def draw_latent_map(
    points: NDArray[np.float64],
    values: NDArray[np.floating],
    label: str,
    title: str,
    path: Path,
    marks: Sequence[Marked] = (),
) -> None:
    """Write the map to an SVG file."""
    write_atomic(path, standalone(latent_map_figure(points, values, label, title, marks)))


def strip_figure(images: Sequence[CodeImages], shares: Sequence[float], names: Sequence[str], title: str) -> Markup:
    """Slices of the images on a way, a column a code, a row a channel.

    Args:
        images: channels of n codes.
        shares: (n,) of the way.
        names: (n,) what each decodes to.
        title: above the picture.
    """
    n = len(shares)
    drawn: list[Markup] = [text((16, 26), title, size=15)]
    for j, share in enumerate(shares):
        middle = _LEFT + j * (_IMAGE + _GAP) + _IMAGE / 2
        drawn.append(text((middle, _TOP - 22), f"t = {share:.3g}", anchor="middle", fill=MUTED, size=11))
        drawn.append(text((middle, _TOP - 7), names[j], anchor="middle", size=11))
    for i, channel in enumerate(images):
        top = _TOP + i * (_IMAGE + _GAP)
        drawn += _channel(channel, top)
    width = _LEFT + n * (_IMAGE + _GAP) + 84
    return figure(width, _TOP + len(images) * (_IMAGE + _GAP) + 12, title, *drawn)


def draw_strip(
    images: Sequence[CodeImages], shares: Sequence[float], names: Sequence[str], title: str, path: Path
) -> None:
    """Write the strip to an SVG file."""
    write_atomic(path, standalone(strip_figure(images, shares, names, title)))


def draw_way(model: CrystalModel, way: Way, path: Path, request: SampleRequest | None = None) -> None:
    """Draw at most `STRIP_IMAGES` codes of a way as a strip, the ends among them."""
    chosen = np.unique(np.linspace(0, len(way.shares) - 1, STRIP_IMAGES).round().astype(int))
    images = model.images(way.codes[chosen], request or SampleRequest())
    outcomes = [way.outcomes[i] for i in chosen]
    names = [formula_text(o.composition.formula) if isinstance(o, Crystal) else "no crystal" for o in outcomes]
    title = f"From {names[0]} to {names[-1]} through the latent space of {model.name}"
    draw_strip(images, [way.shares[i] for i in chosen], names, title, path)


def _channel(channel: CodeImages, top: float) -> list[Markup]:
    """One row: the slice with the most in it, the same for every code, on one scale of colours."""
    values = np.nan_to_num(np.asarray(channel.values, dtype=np.float64))
    k = values.shape[3]
    plane = int(np.abs(values).sum(axis=(0, 1, 2)).argmax())
    low, high = float(min(values.min(), 0.0)), float(max(values.max(), 1e-9))
    edge = "" if channel.edge_a is None else f"{channel.edge_a:.3g} Å wide"
    words = [channel.name, f"plane {plane + 1} of {k}", edge]
    drawn = [
        text((16, top + 36 + 15 * j), word, fill=MUTED if j else INK, size=11) for j, word in enumerate(words) if word
    ]
    for j, cube in enumerate(values):
        colours = shades((cube[:, :, plane].T[::-1] - low) / (high - low))
        drawn.append(image((_LEFT + j * (_IMAGE + _GAP), top), (_IMAGE, _IMAGE), colours))
    right = _LEFT + len(values) * (_IMAGE + _GAP) + 8
    return drawn + _bar((right, top + 4), (10, _IMAGE - 8), (low, high), "")


def _square(points: NDArray[np.float64]) -> tuple[Scale, Scale]:
    """Scales that keep the shape of the cloud and leave a margin."""
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    reach = max(float(np.ptp(points, axis=0).max()) / 2 * 1.04, 1e-9)
    x = Scale(middle[0] - reach, middle[0] + reach, _MAP_LEFT, _MAP_LEFT + _MAP)
    return x, Scale(middle[1] - reach, middle[1] + reach, _MAP_TOP + _MAP, _MAP_TOP)


def _spots(places: Sequence[Point], shade: int, radius: float) -> Markup:
    """Dots of one colour as one path: points of a round pen."""
    red, green, blue = shades(np.array([(shade + 0.5) / _SHADES]))[0]
    attributes: dict[str, object] = {
        "d": "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places),
        "stroke": f"#{red:02x}{green:02x}{blue:02x}",
        "stroke_width": 2 * radius,
        "stroke_linecap": "round",
        "stroke_opacity": "0.85",
    }
    return element("path", attributes)


def _bar(corner: Point, size: Point, ends: tuple[float, float], label: str) -> list[Markup]:
    """The scale of the colours, lowest value below, its label beside it."""
    (x, y), (width, height), scale = corner, size, Scale(*ends, corner[1] + size[1], corner[1])
    drawn = [image(corner, size, shades(np.linspace(1.0, 0.0, 64)[:, None]))]
    for tick in scale.ticks(3 if height < 120 else 6):
        drawn.append(line((x + width, scale(tick)), (x + width + 4, scale(tick)), MUTED))
        drawn.append(text((x + width + 7, scale(tick) + 4), f"{tick:.4g}", fill=MUTED, size=11))
    if label:
        drawn.append(vertical_text((x + width + 56, y + height / 2), label))
    return drawn
