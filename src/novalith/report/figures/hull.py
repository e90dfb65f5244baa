"""The convex hull around a candidate as a figure: a line for two elements, a triangle for three, else a tetrahedron.

The picture holds the competing phases made of the candidate's own elements: a phase with another element can take no
part in its decomposition. The hull is pymatgen's (Ong et al., Chem. Mater. 20, 1798, 2008).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from novalith.materials import Composition
from novalith.report.figures import svg
from novalith.report.notation import formula_text, mev
from novalith.stability.hull import Phase

WIDTH, HEIGHT = 420, 340
#: Phases further above the hull than this are left out of the picture, eV/atom.
SHOWN_ABOVE_HULL_EV_PER_ATOM = 0.2
#: More names than this cannot be read; beyond it only the phases of the decomposition are named.
MAX_NAMES = 12


@dataclass(frozen=True)
class Diagram:
    """A convex hull ready to be drawn.

    Attributes:
        elements: corners, alphabetical.
        stable: phases on the hull.
        unstable: (phase, energy above hull in eV/atom) near the hull.
        edges: pairs of indices into `stable` joined by a tie line.
    """

    elements: tuple[str, ...]
    stable: tuple[Phase, ...]
    unstable: tuple[tuple[Phase, float], ...]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Mark:
    """The candidate in the picture.

    Attributes:
        composition: its formula.
        formation_energy_ev_per_atom: relative to the elements.
        energy_above_hull_ev_per_atom: as ranked.
        decomposition: formulas it would fall into.
    """

    composition: Composition
    formation_energy_ev_per_atom: float
    energy_above_hull_ev_per_atom: float
    decomposition: tuple[str, ...]


def make_diagram(phases: Sequence[Phase], elements: tuple[str, ...]) -> Diagram:
    """The hull of the phases that consist of `elements`; elements without a phase enter at zero."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    inside = [p for p in phases if set(p.composition.field.elements) <= set(elements)]
    scale = inside[0].energy_scale if inside else ""
    listed = {p.composition.formula for p in inside}
    pure = [Composition(((e, 1),)) for e in elements]
    inside += [Phase(c, 0.0, "element", scale) for c in pure if c.formula not in listed]
    entries = [
        PDEntry(p.composition.to_pymatgen(), p.formation_energy_ev_per_atom * p.composition.n_atoms) for p in inside
    ]
    diagram = PhaseDiagram(entries)
    phase_of = {id(entry): phase for entry, phase in zip(entries, inside, strict=True)}
    corners = {id(e): i for i, e in enumerate(diagram.qhull_entries)}
    on_hull = sorted(diagram.stable_entries, key=lambda e: phase_of[id(e)].composition.formula)
    number = {corners[id(e)]: i for i, e in enumerate(on_hull)}
    edges = {
        tuple(sorted((number[a], number[b])))
        for facet in diagram.facets
        for a, b in itertools.combinations((int(v) for v in facet), 2)
        if a in number and b in number
    }
    above = [(phase_of[id(e)], float(diagram.get_e_above_hull(e))) for e in diagram.unstable_entries]
    near = [(p, d) for p, d in above if d <= SHOWN_ABOVE_HULL_EV_PER_ATOM]
    return Diagram(
        elements=elements,
        stable=tuple(phase_of[id(e)] for e in on_hull),
        unstable=tuple(sorted(near, key=lambda row: (row[0].composition.formula, row[1]))),
        edges=tuple(sorted(edges)),  # type: ignore[arg-type]
    )


def hull_figure(diagram: Diagram, mark: Mark) -> Markup | None:
    """The hull with the candidate, or None for one element or more than four."""
    if len(diagram.elements) == 2:
        return _line_figure(diagram, mark)
    if len(diagram.elements) in (3, 4):
        return _simplex_figure(diagram, mark)
    return None


def _verdict(mark: Mark) -> str:
    energy = mark.energy_above_hull_ev_per_atom
    return f"{mev(abs(energy))} meV/atom {'above' if energy >= 0 else 'below'} the hull"


def _title(mark: Mark) -> str:
    return f"{formula_text(mark.composition.formula)}, {_verdict(mark)}"


def _line_figure(diagram: Diagram, mark: Mark) -> Markup:
    """Formation energy against the share of the second element."""
    second = diagram.elements[1]
    energies = [p.formation_energy_ev_per_atom for p in diagram.stable]
    energies += [p.formation_energy_ev_per_atom for p, _ in diagram.unstable]
    energies += [mark.formation_energy_ev_per_atom, 0.0]
    room = 0.12 * (max(energies) - min(energies)) or 0.1
    x = svg.Scale(0, 1, 66, WIDTH - 22)
    y = svg.Scale(min(energies) - room, max(energies) + room, HEIGHT - 54, 28)
    marks = _line_axes(diagram, x, y)
    stable = sorted((p.composition.fraction(second), p.formation_energy_ev_per_atom, p) for p in diagram.stable)
    marks.append(svg.path([(x(a), y(e)) for a, e, _ in stable], stroke=svg.INK))
    for phase, above in diagram.unstable:
        at = (x(phase.composition.fraction(second)), y(phase.formation_energy_ev_per_atom))
        marks.append(svg.dot(at, 3, svg.SKY, title=_phase_title(phase, above)))
    for share, energy, phase in stable:
        marks.append(svg.dot((x(share), y(energy)), 4.5, svg.INK, title=_phase_title(phase, 0.0)))
        if 0 < share < 1 and (len(stable) <= MAX_NAMES or phase.composition.formula in mark.decomposition):
            name = formula_text(phase.composition.formula)
            marks.append(svg.text((x(share), y(energy) + 18), name, anchor="middle", size=11))
    place = x(mark.composition.fraction(second))
    here = y(mark.formation_energy_ev_per_atom)
    hull = y(mark.formation_energy_ev_per_atom - mark.energy_above_hull_ev_per_atom)
    marks.append(svg.line((place, here), (place, hull), svg.VERMILION, 1.4, "3 2"))
    marks.append(svg.diamond((place, here), 7, svg.VERMILION, _title(mark)))
    marks.append(svg.text((WIDTH / 2, 16), _title(mark), anchor="middle", fill="#9c4300", bold=True))
    return svg.figure(WIDTH, HEIGHT, f"Convex hull: {_title(mark)}", *marks)


def _line_axes(diagram: Diagram, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    marks = []
    ticks = y.ticks()
    digits = 2 if ticks[1] - ticks[0] < 0.1 else 1
    for energy in ticks:
        marks.append(svg.line((x.start, y(energy)), (x.end, y(energy)), svg.RULE if energy else svg.MUTED, 0.8))
        label = f"{energy:.{digits}f}".replace("-", "−")
        marks.append(svg.text((x.start - 7, y(energy) + 4), label, anchor="end", fill=svg.MUTED, size=11))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        label = diagram.elements[round(share)] if share in (0.0, 1.0) else f"{share:g}"
        marks.append(svg.text((x(share), HEIGHT - 34), label, anchor="middle", bold=share in (0.0, 1.0)))
    words = f"share of {diagram.elements[1]} atoms"
    marks.append(svg.text(((x.start + x.end) / 2, HEIGHT - 10), words, anchor="middle", fill=svg.MUTED))
    marks.append(svg.vertical_text((16, HEIGHT / 2 - 10), "formation energy (eV/atom)"))
    return marks


#: Corners of the picture for three and for four elements; the tetrahedron is seen from the front, its fourth corner
#: inside and raised, which keeps all six edges apart.
_CORNERS: dict[int, tuple[svg.Point, ...]] = {
    3: ((48, 292), (372, 292), (210, 292 - 324 * math.sqrt(3) / 2 + 22)),
    4: ((36, 246), (262, 306), (388, 206), (206, 34)),
}


def _simplex_figure(diagram: Diagram, mark: Mark) -> Markup:
    """Composition as a point between corners; energy is told in words, stable phases are joined by tie lines."""
    corners = _CORNERS[len(diagram.elements)]
    spots = [_spot(p.composition, diagram.elements, corners) for p in diagram.stable]
    names = [_name(p) for p in diagram.stable]
    chosen = {i for i, p in enumerate(diagram.stable) if p.composition.formula in mark.decomposition}
    here = _spot(mark.composition, diagram.elements, corners)
    marks = _facet([spots[i] for i in sorted(chosen)])
    marks += [svg.line(a, b, svg.MUTED, 1.2) for a, b in itertools.combinations(corners, 2)]
    if len(corners) == 3:  # the tie lines inside a tetrahedron would hide each other
        marks += [svg.line(spots[a], spots[b], "#9aa6b2", 0.9) for a, b in diagram.edges]
    marks += [svg.line(spots[a], spots[b], svg.ORANGE, 1.8) for a, b in itertools.combinations(sorted(chosen), 2)]
    for phase, above in diagram.unstable:
        at = _spot(phase.composition, diagram.elements, corners)
        marks.append(svg.dot(at, 2.6, svg.SKY, title=_phase_title(phase, above)))
    for i, (spot, phase) in enumerate(zip(spots, diagram.stable, strict=True)):
        colour = svg.ORANGE if i in chosen else svg.INK
        marks.append(svg.dot(spot, 4.5, colour, title=_phase_title(phase, 0.0)))
    marks += _names(spots, names, chosen, here, corners)
    marks.append(svg.diamond(here, 7.5, svg.VERMILION, _title(mark)))
    marks.append(svg.text((WIDTH / 2, HEIGHT - 6), _title(mark), anchor="middle", fill="#9c4300", bold=True))
    return svg.figure(WIDTH, HEIGHT, f"Convex hull of {'-'.join(diagram.elements)}: {_title(mark)}", *marks)


def _name(phase: Phase) -> str:
    """The formula; for an element its bare symbol, where the formula would be that of its molecule."""
    elements = phase.composition.field.elements
    return elements[0] if len(elements) == 1 else phase.composition.formula


def _spot(composition: Composition, elements: tuple[str, ...], corners: tuple[svg.Point, ...]) -> svg.Point:
    shares = [composition.fraction(e) for e in elements]
    x, y = (sum(s * corner[axis] for s, corner in zip(shares, corners, strict=True)) for axis in (0, 1))
    return (x, y)


def _facet(spots: list[svg.Point]) -> list[Markup]:
    """The pale area of the decomposition."""
    if len(spots) < 3:
        return []
    x, y = (sum(s[axis] for s in spots) / len(spots) for axis in (0, 1))
    around = sorted(spots, key=lambda s: math.atan2(s[1] - y, s[0] - x))
    return [svg.path(around, stroke="none", fill="#fdf0d3")]


def _names(
    spots: list[svg.Point], names: list[str], chosen: set[int], here: svg.Point, corners: tuple[svg.Point, ...]
) -> list[Markup]:
    """Names of corners, of the decomposition and, where there is room, of the other stable phases."""
    centre = (sum(c[0] for c in corners) / len(corners), sum(c[1] for c in corners) / len(corners))
    taken: list[tuple[float, float, float]] = [(here[0], here[1], 10)]
    marks = []
    order = sorted(range(len(spots)), key=lambda i: (spots[i] not in corners, i not in chosen, names[i]))
    for place, i in enumerate(order):
        if place >= MAX_NAMES and i not in chosen and spots[i] not in corners:
            continue
        is_corner = any(math.dist(spots[i], c) < 1 for c in corners)
        label = _free_place(spots[i], centre, formula_text(names[i]), taken, must=is_corner or i in chosen)
        if label is not None:
            taken.append((*label, 3.3 * len(names[i]) + 3))
            words = formula_text(names[i])
            marks.append(svg.text(label, words, anchor="middle", size=13 if is_corner else 11, bold=is_corner))
    return marks


def _free_place(
    spot: svg.Point, centre: svg.Point, words: str, taken: list[tuple[float, float, float]], *, must: bool
) -> svg.Point | None:
    """Where a name fits beside its dot: away from the centre first, then the other sides."""
    half = 3.3 * len(words) + 3
    outward = math.atan2(spot[1] - centre[1], spot[0] - centre[0])
    for turn in (0.0, 0.8, -0.8, 1.6, -1.6, 2.4, -2.4, math.pi):
        angle = outward + turn
        x = spot[0] + math.cos(angle) * (half + 7)
        y = spot[1] + math.sin(angle) * 15 + 4
        inside = half < x < WIDTH - half and 12 < y < HEIGHT - 22
        if inside and all(abs(x - a) > half + h or abs(y - b) > 13 for a, b, h in taken):
            return (x, y)
    return (spot[0], spot[1] - 10) if must else None


def _phase_title(phase: Phase, above_ev_per_atom: float) -> str:
    where = "on the hull" if above_ev_per_atom < 5e-4 else f"{mev(above_ev_per_atom)} meV/atom above the hull"
    energy = f"{phase.formation_energy_ev_per_atom:.3f}".replace("-", "−")
    return f"{formula_text(phase.composition.formula)}: {energy} eV/atom, {where} ({phase.id})"


#: Segments of the decomposition bar, in order; texts on them are dark on all of these.
_SEGMENTS = (svg.SKY, svg.ORANGE, "#66c2a5", svg.PURPLE, svg.YELLOW, "#c8d1da")


def decomposition_figure(decomposition: Sequence[tuple[str, float]]) -> Markup:
    """One bar whose parts are the phases a candidate would fall into, as shares of its atoms."""
    width, marks, start = 420, [], 0.0
    total = sum(share for _, share in decomposition) or 1.0
    for i, (formula, share) in enumerate(decomposition):
        length = width * share / total
        marks.append(svg.rect((start, 0), (max(0.0, length - 1.5), 26), _SEGMENTS[i % len(_SEGMENTS)]))
        words = f"{formula_text(formula)} {100 * share / total:.0f} %"
        if length > 6.6 * len(words):
            attributes: dict[str, object] = {"x": start + length / 2, "y": 17, "text_anchor": "middle", "fill": svg.INK}
            marks.append(svg.element("text", attributes, words))
        start += length
    return svg.figure(width, 26, "Shares of the phases it would fall into", *marks)
