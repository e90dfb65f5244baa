"""The figure of statistics: a panel a statistic, an outline a group, and heights that follow the numbers."""

import numpy as np

from novalith.report.figures.formula_statistics import PANELS, draw_formula_statistics, statistics_figure
from novalith.represent.composition_features import magpie_features, magpie_names
from novalith.represent.formula_table import read_formulas

GROUPS = {"layers": ["MoS2", "WSe2", "CdI2"], "bulk": ["NaCl", "MgO", "Fe3Al", "BaTiO3"]}


def statistics():
    return {name: magpie_features(read_formulas(formulas)) for name, formulas in GROUPS.items()}


def test_every_panel_has_an_outline_for_every_group():
    drawn = str(statistics_figure(statistics()))
    assert drawn.count("<path") == len(PANELS) * len(GROUPS)
    assert "layers (3)" in drawn
    assert set(PANELS) <= set(magpie_names())


def test_the_file_is_a_picture_of_its_own_and_changes_with_the_numbers(tmp_path):
    groups = statistics()
    draw_formula_statistics(groups, tmp_path / "a.svg")
    first = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert first.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    moved = {name: np.where(np.arange(132) == 60, values + 1, values) for name, values in groups.items()}
    moved["bulk"] = moved["bulk"] * np.float32(1.5)
    draw_formula_statistics(moved, tmp_path / "b.svg")
    assert first != (tmp_path / "b.svg").read_text(encoding="utf-8")
