"""Learning curves: every curve drawn once, in range, and files read back."""

import json
import re

import pytest

from novalith.errors import EmptyResultError
from novalith.report.figures.learning_curves import draw_learning_curves, learning_curves


def test_each_curve_is_one_path_within_the_axes():
    drawn = str(learning_curves({"A & B": [(1, 4.0), (2, -1.0)], "C": [(1, 0.5), (2, 0.2)]}, "Title", "distance"))
    paths = re.findall(r'<path d="M([^"]*)"', drawn)
    assert len(paths) == 2
    numbers = [tuple(map(float, step.split())) for p in paths for step in p.split("L")]
    assert all(64 <= x <= 520 and 44 <= y <= 330 for x, y in numbers)
    assert numbers[0][1] == 44  # the largest value is at the top
    assert numbers[1][1] == 330
    assert "A &amp; B" in drawn


def test_files_of_the_bench_are_drawn(tmp_path):
    with pytest.raises(EmptyResultError):
        draw_learning_curves(tmp_path, tmp_path / "x.svg")
    (tmp_path / "one.json").write_text(json.dumps([{"epoch": 1, "distance": 0.3}, {"epoch": 2, "distance": 0.1}]))
    assert "one" in draw_learning_curves(tmp_path, tmp_path / "x.svg").read_text(encoding="utf-8")
