"""The parts of the benchmark that need no training: stability figures by hand, fractional formulas, splits."""

import os
from pathlib import Path

import numpy as np
import pytest

from novalith.errors import StorageError, UnknownNameError
from novalith.recipes.predictor_bench import PredictorBench, multiplied_out, oqmd_rows, run
from novalith.recipes.stability_bench import read_ground_states, stability_record


def test_stability_figures_by_hand():
    truth = np.array([-0.1, -0.2, 0.1, 0.2, 0.3])
    said = np.array([-0.1, 0.1, -0.05, 0.2, 0.3])
    record = stability_record(("m", "w"), said, truth)
    assert record["mae"] == pytest.approx((0.3 + 0.15) / 5, abs=1e-4)
    assert (record["accuracy"], record["f1"], record["false_discovery"]) == (0.6, 0.5, 0.5)
    nothing = stability_record(("m", "w"), np.full(5, 0.1), truth)
    assert nothing["false_discovery"] is None and nothing["f1"] == 0 and nothing["false_top_100"] is None


def test_false_discoveries_count_the_most_stable():
    truth = np.concatenate([np.full(60, -1.0), np.full(600, 1.0)])
    said = np.concatenate([np.full(60, -0.5), np.linspace(-0.4, 0.4, 600)])
    assert stability_record(("m", "w"), said, truth)["false_top_100"] == pytest.approx(0.4)


def test_fractional_formulas_are_multiplied_out():
    table = multiplied_out(["Al62.5Fe12.5Cu25", "Fe2O3", "Al0.01Cd0.99Sb0.01Te0.99"])
    parts = [dict(table.parts(row)) for row in range(3)]
    assert parts[0] == {13: 5, 26: 1, 29: 2}
    assert parts[1] == {26: 2, 8: 3}
    assert parts[2][48] / parts[2][13] == pytest.approx(99, rel=0.02)


def test_unknown_parts_and_missing_files_are_told(tmp_path):
    with pytest.raises(UnknownNameError, match="part of the benchmark"):
        run(PredictorBench(tmp_path, tmp_path, parts=("all",)))
    with pytest.raises(StorageError, match="is missing"):
        run(PredictorBench(tmp_path, tmp_path, parts=("oqmd",)))


@pytest.mark.skipif("NOVALITH_DATA" not in os.environ, reason="NOVALITH_DATA names no folder of data")
def test_the_published_splits_are_kept():
    data = Path(os.environ["NOVALITH_DATA"])
    train, val, left_out = oqmd_rows(data)
    assert (len(train), len(val), left_out) == (239_190 - 69, 51_255 - 13, 82)
    states = read_ground_states(data)
    assert (int(states.train.sum()), int((~states.train).sum())) == (59_509, 12_752)
