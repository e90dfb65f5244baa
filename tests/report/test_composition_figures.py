"""Maps of formulas: the number beside the picture is right, and every formula is in it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import EmptyResultError
from novalith.recipes.ding import SIZES, train_ding
from novalith.recipes.ding_bench import KnownFormulas
from novalith.report.figures.compositions import draw_formula_maps, explained_by_neighbours, nearest_neighbour_accuracy
from novalith.represent.formula_table import read_formulas

RNG = np.random.default_rng(0)
FORMULAS = [f"{m}{a}{x}{b}" for m in ("Li", "Na", "K") for x in ("F", "Cl") for a in range(2, 8) for b in (1, 3, 5)]
TABLE = read_formulas(list(dict.fromkeys(FORMULAS)))
VALUES = {"formation_energy": RNG.standard_normal(len(TABLE))}


def test_accuracy_of_the_same_far_and_copied_samples():
    same = [RNG.standard_normal((600, 3)) for _ in range(2)]
    assert nearest_neighbour_accuracy(*same) == pytest.approx(0.5, abs=0.05)
    assert nearest_neighbour_accuracy(same[0], same[1] + 20) == 1.0
    assert nearest_neighbour_accuracy(same[0], same[0] + 1e-9) == 0.0


def test_ties_count_by_their_share():
    # Each point has the three others at equal distance, one of them from its own sample.
    corners = np.eye(4)
    assert nearest_neighbour_accuracy(corners[:2], corners[2:]) == pytest.approx(1 / 3)


def test_near_codes_explain_what_they_carry():
    codes = RNG.standard_normal((800, 2))
    assert explained_by_neighbours(codes, codes[:, 0]) > 0.95
    assert explained_by_neighbours(codes, RNG.standard_normal(800)) < 0.05


def test_both_maps_hold_all_formulas_and_say_how_they_were_made(tmp_path):
    settings = replace(SIZES["tiny"], vae=replace(SIZES["tiny"].vae, n_epochs=60, batch_size=16), prior="normal")
    half = np.arange(len(TABLE)) % 2 == 0
    known = KnownFormulas(TABLE, VALUES)
    model, _ = train_ding(TABLE.select(half), {k: v[half] for k, v in VALUES.items()}, settings, rng=RNG)
    parts = known.select(half), known.select(~half)
    told = draw_formula_maps(model, *parts, 40, tmp_path, rng=np.random.default_rng(0))
    first, second = (ET.fromstring(path.read_text(encoding="utf-8")) for path in told.files)  # noqa: S314  our own file
    titles = [[t.text for t in root.iter("{http://www.w3.org/2000/svg}title")] for root in (first, second)]
    assert len(titles[0]) == 3 * told.n_formulas
    assert len(titles[1]) == 2 * told.n_formulas
    assert sum("generated" in t for t in titles[0]) == told.n_formulas
    assert f"seed {told.seed}" in "".join(first.itertext())
    assert f"{told.generated_against_held:.3f}" in told.text
    before = [path.read_bytes() for path in told.files]
    again = draw_formula_maps(model, *parts, 40, tmp_path, rng=np.random.default_rng(0))
    assert [path.read_bytes() for path in again.files] == before
    with pytest.raises(EmptyResultError, match="20 formulas"):
        draw_formula_maps(model, *parts, 5, tmp_path, rng=np.random.default_rng(0))
