"""What a network sees: one plane through the voxel images of four small crystals, in every representation.

Rows: a dimer (carbon monoxide), a layered crystal (TiS2 with its layers level), the same with every fourth sulfur left
out, and with every second titanium replaced by niobium. The plane runs through the atom that is left out or replaced,
across the layers. Pixels are voxels; nothing is smoothed.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Crystal, Verdict
from novalith.report.figures.svg import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RULE,
    VERMILION,
    element,
    figure,
    line,
    rect,
    standalone,
    text,
)
from novalith.represent.cell_images import N_BASIS, N_CELL, STEP_A, CellImages, basis_positions
from novalith.represent.density_coordinates import PADDING, SPAN, DensityCoordinates
from novalith.represent.density_species import BOX, DensitySpecies, niggli_setting
from novalith.store.files import write_atomic

if TYPE_CHECKING:
    from novalith.recipes.voxel_bench import VoxelBench

#: Colours of the elements shown.
COLOURS: Mapping[str, str] = {"C": INK, "O": VERMILION, "S": ORANGE, "Ti": BLUE, "Nb": PURPLE}
_PANEL, _GAP, _LEFT, _TOP, _FOOT = 104, 8, 132, 84, 44
#: Groups of columns: name, and (heading, second line) of each column.
_GROUPS = (
    (
        "iMatGen",
        (("cell", "32 × 32, fractional"), *((f"{n} element", "64 × 64, 15 Å") for n in ("1st", "2nd", "3rd"))),
    ),
    ("Hoffmann", (("density", "30 × 30, 10 Å"), ("species", "30 × 30, 10 Å"))),
    ("Court", (("density", "32 × 32, 1.5 cells"), ("species", "32 × 32, 1.5 cells"), ("y of voxel", "0 to largest"))),
)
#: Where the origin of the cell stands in the box of 10 Å.
_OFFSET_A = (5.0, 4.0, 1.0)
_LOW, _HIGH, _DARK = (255, 255, 255), (0, 114, 178), (16, 24, 44)


@dataclass(frozen=True)
class Specimen:
    """A crystal of the figure.

    Attributes:
        name: what it is.
        note: second line.
        crystal: the crystal.
        through: fractional position that the plane runs through, its normal along the first axis.
    """

    name: str
    note: str
    crystal: Crystal
    through: tuple[float, float, float]


def specimens() -> tuple[Specimen, ...]:
    """The four crystals; TiS2 from a = 3.41 Å, c = 5.70 Å, z(S) = 1/4 (1T polytype, rounded), as a rectangular cell."""
    dimer = Crystal.from_arrays(np.eye(3) * 6.0, ["C", "O"], [[0.5, 0.5, 0.406], [0.5, 0.5, 0.594]])
    edges = np.diag([3.41, 5.70, 3.41 * 3**0.5])
    species = ["Ti", "Ti", "S", "S", "S", "S"]
    sites = [
        [0.0, 0.5, 0.0],
        [0.5, 0.5, 0.5],
        [0.0, 0.75, 1 / 3],
        [0.5, 0.75, 5 / 6],
        [0.5, 0.25, 1 / 6],
        [0.0, 0.25, 2 / 3],
    ]
    layered = Crystal.from_arrays(edges, species, sites)
    vacancy = Crystal.from_arrays(edges, species[:2] + species[3:], sites[:2] + sites[3:])
    defect = Crystal.from_arrays(edges, ["Nb", *species[1:]], sites)
    through = (0.0, 0.75, 1 / 3)
    return (
        Specimen("Dimer", "CO, cube of 6 Å", dimer, (0.5, 0.5, 0.406)),
        Specimen("Layered crystal", "TiS₂, layers level", layered, through),
        Specimen("with a vacancy", "one S of four missing", vacancy, through),
        Specimen("with a defect", "Nb for one Ti of two", defect, through),
    )


def slices(specimen: Specimen) -> list[NDArray[np.uint8] | None]:
    """One colour picture (h, w, 3) a column of the figure, the second axis of the cell upwards; None where none is."""
    crystal = specimen.crystal
    images = [codec.encode(crystal) for codec in (CellImages(), DensitySpecies(_OFFSET_A), DensityCoordinates())]
    for found in images:
        if isinstance(found, Verdict):  # the specimens are ours, and inside of all limits
            raise TypeError(found.reason)
    cells, box, court = (dict(i) for i in images if not isinstance(i, Verdict))
    nearest = int(np.argmin([_apart(f, specimen.through) for f in crystal.frac_coords]))
    plane = round(float(basis_positions(crystal)[nearest, 0]) / STEP_A) + N_BASIS // 2
    panels: list[NDArray[np.uint8] | None] = [shaded(cells["cell"][N_CELL // 2])]
    for k in range(3):
        shown = k < len(cells["elements"])
        colour = COLOURS[ELEMENTS[int(cells["elements"][k]) - 1]] if shown else INK
        panels.append(shaded(cells["basis"][k][plane], colour) if shown else None)
    lattice, frac = niggli_setting(crystal)
    depth = round(float((frac[nearest] @ lattice + np.array(_OFFSET_A))[0] / BOX.voxel_a - 0.5))
    panels += [shaded(box["density"][depth]), coloured(box["species"][depth])]
    depth = round((crystal.frac_coords[nearest][0] + PADDING) / SPAN * len(court["density"]) - 0.5)
    return [
        *panels,
        shaded(court["density"][depth]),
        coloured(court["species"][depth]),
        shaded(court["coordinates"][1, depth], MUTED),
    ]


def _apart(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    delta = np.asarray(first) - np.asarray(second)
    return abs(float(delta[0] - round(delta[0]))) * 1e3 + float(np.linalg.norm(delta - np.round(delta)))


def shaded(values: NDArray[Any], colour: str = "") -> NDArray[np.uint8]:
    """White for 0 to a colour for the largest value; without one over blue to nearly black."""
    share = np.asarray(values, dtype=float) / max(float(np.max(values)), 1e-9)
    stops = [_LOW, _rgb(colour)] if colour else [_LOW, _HIGH, _DARK]
    places = np.linspace(0.0, 1.0, len(stops))
    channels = [np.interp(share, places, [stop[c] for stop in stops]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)[::-1]


def coloured(numbers: NDArray[Any]) -> NDArray[np.uint8]:
    """The colour of each element, pale grey between them."""
    picture = np.full((*numbers.shape, 3), 236, dtype=np.uint8)
    for symbol, colour in COLOURS.items():
        picture[numbers == ATOMIC_NUMBERS[symbol]] = _rgb(colour)
    return picture[::-1]


def slice_figure() -> Markup:
    """The figure."""
    columns = [(group, *heading) for group, headings in _GROUPS for heading in headings]
    width = _LEFT + len(columns) * (_PANEL + _GAP) + 2 * _GAP * len(_GROUPS)
    marks, place = [text((_GAP, 20), "One plane through the images of four crystals", size=15)], _column_places()
    for (group, first, second), x in zip(columns, place, strict=True):
        marks += [text((x, 64), first, size=12), text((x, 78), second, size=10, fill=MUTED)]
        if (group, first) in [(g, h[0][0]) for g, h in _GROUPS]:
            end = x + (_PANEL + _GAP) * sum(g == group for g, *_ in columns) - _GAP
            marks += [text((x, 46), group, size=13, bold=True), line((x + 84, 42), (end, 42), RULE)]
    for row, specimen in enumerate(specimens()):
        y = _TOP + row * (_PANEL + _GAP)
        marks += [
            text((_GAP, y + 48), specimen.name, bold=True),
            text((_GAP, y + 64), specimen.note, size=10, fill=MUTED),
        ]
        for x, picture in zip(place, slices(specimen), strict=True):
            if picture is None:
                marks.append(text((x + _PANEL / 2, y + _PANEL / 2), "none", anchor="middle", size=10, fill=MUTED))
            else:
                marks.append(_picture((x, y), picture))
    foot = _TOP + len(specimens()) * (_PANEL + _GAP) + 20
    x = float(_LEFT)
    for symbol, colour in COLOURS.items():
        marks += [rect((x, foot - 10), (12, 12), colour), text((x + 16, foot), symbol)]
        x += 46
    marks.append(
        text(
            (x + 12, foot), "Values from white (0) to the darkest (largest of the panel); species pale grey where none."
        )
    )
    return figure(width, foot + _FOOT - 24, "Slices of voxel images", *marks)


def write_slice_figure(out: Path) -> None:
    """Write the figure to a file."""
    write_atomic(out, standalone(slice_figure()))


def draw_slices(bench: VoxelBench, folder: Path) -> list[Path]:
    """The figure in a folder; it needs nothing that the bench keeps."""
    del bench
    write_slice_figure(folder / "voxel_slices.svg")
    return [folder / "voxel_slices.svg"]


def _column_places() -> list[float]:
    places, x = [], float(_LEFT)
    for _, headings in _GROUPS:
        for _ in headings:
            places.append(x)
            x += _PANEL + _GAP
        x += 2 * _GAP
    return places


def _picture(corner: tuple[float, float], pixels: NDArray[np.uint8]) -> Markup:
    """An image of pixels as a square with a thin frame."""
    x, y = corner
    factor = max(1, round(2 * _PANEL / len(pixels)))  # sharp pixels also where a viewer would smooth them
    large = np.kron(pixels, np.ones((factor, factor, 1), dtype=np.uint8))
    coded = base64.b64encode(png(large)).decode("ascii")
    place: dict[str, object] = {"x": x, "y": y, "width": _PANEL, "height": _PANEL}
    frame = place | {"fill": "none", "stroke": RULE}
    return element("image", place | {"href": f"data:image/png;base64,{coded}"}) + element("rect", frame)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of colours (h, w, 3)."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels.reshape(height, -1)], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
