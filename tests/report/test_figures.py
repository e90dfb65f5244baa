"""The figures against what is known from outside: NaCl's lines, a hull made by hand, neighbours counted by hand."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

import pytest
from specimens import layered, perovskite, rock_salt

from novalith.campaign.record import FunnelStage
from novalith.materials import Composition
from novalith.report import scene as scenes
from novalith.report.diffraction import powder_pattern
from novalith.report.figures.diffraction import diffraction_figure
from novalith.report.figures.funnel import funnel_figure
from novalith.report.figures.hull import Mark, decomposition_figure, hull_figure, make_diagram
from novalith.report.notation import formula_html, formula_text, number, spacegroup_html
from novalith.report.scene import make_scene
from novalith.stability.hull import Phase

SODIUM_CHLORIDE = rock_salt(5.6402, "Na", "Cl")


def phase(formula, energy):
    return Phase(Composition.parse(formula), energy, "table", "scale")


def shapes(figure, tag):
    """Elements of one kind in a figure, which must be well-formed XML."""
    return list(ElementTree.fromstring(str(figure)).iter(tag))  # noqa: S314  our own text


def test_sodium_chloride_diffracts_as_measured():
    """PDF 5-628: (200) at 31.69° is the strongest line, (220) at 45.45° has 55 %, (111) at 27.33° has 13 %."""
    lines = {line.hkl: line for line in powder_pattern(SODIUM_CHLORIDE)}
    strongest = max(lines.values(), key=lambda line: line.intensity)
    assert sorted(map(abs, strongest.hkl)) == [0, 0, 2]
    assert strongest.two_theta_deg == pytest.approx(31.7, abs=0.05)
    by_family = {tuple(sorted(map(abs, hkl))): line for hkl, line in lines.items()}
    assert by_family[0, 2, 2].two_theta_deg == pytest.approx(45.45, abs=0.05)
    assert by_family[0, 2, 2].intensity == pytest.approx(55, abs=12)
    assert by_family[1, 1, 1].two_theta_deg == pytest.approx(27.33, abs=0.06)


def test_indices_of_a_hexagonal_cell_are_three():
    assert all(len(line.hkl) == 3 for line in powder_pattern(layered()))


def test_the_strongest_line_is_labelled_and_reaches_the_top():
    figure = diffraction_figure(powder_pattern(SODIUM_CHLORIDE))
    assert "200" in [t.text for t in shapes(figure, "text")]
    curve = max((p.get("d") for p in shapes(figure, "path")), key=len)
    assert min(float(y) for y in re.findall(r"[\d.]+ ([\d.]+)", curve)) == pytest.approx(34, abs=0.5)


def test_a_hull_made_by_hand():
    """A2B at -0.3 and AB at -0.4 are on the hull; AB2 at -0.1 lies 1/6 eV above the line from AB to B at -0.2667."""
    phases = [phase("Li2O", -0.3), phase("LiO", -0.4), phase("LiO2", -0.1)]
    diagram = make_diagram(phases, ("Li", "O"))
    assert {p.composition for p in diagram.stable} == {Composition.parse(f) for f in ("Li", "Li2O", "LiO", "O")}
    (unstable, above), *others = diagram.unstable
    assert not others
    assert unstable.composition == Composition.parse("LiO2")
    assert above == pytest.approx(0.4 * 2 / 3 - 0.1)
    assert len(diagram.edges) == 3


def test_phases_with_other_elements_stay_out_of_the_hull():
    diagram = make_diagram([phase("LiCl", -2.0), phase("NaCl", -2.1)], ("Cl", "Na"))
    assert [p.composition.formula for p in diagram.stable] == ["Cl2", "Na", "NaCl"]


def test_the_candidate_is_where_its_composition_says():
    """Half of each element lies in the middle of the axis; the line down to the hull has the length of the energy."""
    diagram = make_diagram([phase("NaCl", -2.0)], ("Cl", "Na"))
    figure = hull_figure(diagram, Mark(Composition.parse("NaCl"), -1.5, 0.5, ("NaCl",)))
    dashed = next(e for e in shapes(figure, "line") if e.get("stroke-dasharray"))
    dots = {t.get("cx"): t for t in shapes(figure, "circle")}
    assert dashed.get("x1") == dashed.get("x2") in dots
    assert float(dashed.get("y2")) == pytest.approx(float(dots[dashed.get("x2")].get("cy")), abs=0.1)
    assert "NaCl, 500.0 meV/atom above the hull" in str(figure)


@pytest.mark.parametrize("elements", [("Li", "O"), ("Co", "Li", "O"), ("Co", "Li", "Ni", "O")])
def test_every_hull_figure_is_well_formed_and_inside_its_frame(elements):
    phases = [phase(f, e) for f, e in {"Li2O": -2.0, "CoO": -1.1, "NiO": -1.2, "Co3O4": -1.3, "LiCoO2": -1.8}.items()]
    formula = "".join(elements) + "2"
    mark = Mark(Composition.parse(formula), -1.0, 0.1, ("Li2O", "CoO"))
    figure = hull_figure(make_diagram(phases, elements), mark)
    _, _, width, height = map(float, ElementTree.fromstring(str(figure)).get("viewBox").split())  # noqa: S314
    for item in shapes(figure, "circle"):
        assert 0 < float(item.get("cx")) < width
        assert 0 < float(item.get("cy")) < height
    names = {t.text for t in shapes(figure, "text")}
    assert set(elements) <= names


def test_no_figure_for_five_elements():
    elements = ("Co", "Li", "Mn", "Ni", "O")
    assert hull_figure(make_diagram([], elements), Mark(Composition.parse("LiNiMnCoO4"), -1.0, 0.1, ())) is None


def test_the_decomposition_bar_is_divided_by_shares():
    first, second = shapes(decomposition_figure((("Li2O", 0.75), ("CoO", 0.25))), "rect")
    assert float(first.get("width")) / float(second.get("width")) == pytest.approx(3, rel=0.02)


def test_the_funnel_bar_is_as_long_as_the_share_that_went_on():
    figure = funnel_figure([FunnelStage("distances", 400, 100, {"too close": 300}), FunnelStage("none", 0, 0, {})])
    whole, kept = shapes(figure, "rect")
    assert float(kept.get("width")) / float(whole.get("width")) == pytest.approx(0.25, abs=1e-3)
    words = [t.text for t in shapes(figure, "text")]
    assert {"400", "300", "100", "25 %", "nothing came in"} <= set(words)


def test_rock_salt_is_drawn_with_its_faces_and_six_neighbours():
    """27 atoms: 14 of one kind on corners and faces, 13 of the other on edges and in the middle; 54 whole bonds."""
    scene = make_scene(SODIUM_CHLORIDE)
    assert Counter(symbol for symbol, _ in scene.atoms) in (Counter(Na=14, Cl=13), Counter(Na=13, Cl=14))
    halves = Counter(i for i, _ in scene.bonds)
    middle = next(i for i, (_, p) in enumerate(scene.atoms) if p == pytest.approx((2.8201,) * 3))
    assert halves[middle] == 6
    lengths = {
        round(sum((a - b) ** 2 for a, b in zip(scene.atoms[i][1], end, strict=True)) ** 0.5, 3)
        for i, end in scene.bonds
    }
    assert lengths == {1.41}


def test_large_cells_are_bonded_by_radii_with_the_same_neighbours(monkeypatch):
    crystal = perovskite(3.905, "Sr", "Ti", "O")
    monkeypatch.setattr(scenes, "MAX_CRYSTALNN_SITES", 0)
    scene = make_scene(crystal)
    assert scene.method == "sum of covalent radii"
    titanium = next(i for i, (symbol, _) in enumerate(scene.atoms) if symbol == "Ti")
    assert sum(i == titanium for i, _ in scene.bonds) >= 6


def test_formulas_and_symbols_are_written_as_in_print():
    assert formula_html("Ca(HO)2") == "Ca(HO)<sub>2</sub>"
    assert formula_text("Li10GeP2S12") == "Li₁₀GeP₂S₁₂"
    assert formula_html("Xx2<b>") == "Xx2&lt;b&gt;"
    assert spacegroup_html("Fm-3m") == '<i>F</i><i>m</i><span class="bar">3</span><i>m</i>'
    assert spacegroup_html("P6_3/mmc").startswith("<i>P</i>6<sub>3</sub>/")
    assert spacegroup_html("P<b>") == "P&lt;b&gt;"
    assert number(-0.00001, 3) == "0.000"
