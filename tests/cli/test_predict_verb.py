"""`novalith predict` as it is called: exact columns, every row in its place, bad rows told with their line."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from novalith.cli.main import build
from novalith.errors import EmptyResultError, InputError, StorageError, UnknownNameError
from novalith.predict.composition import TrainingDomain
from novalith.predict.element_baseline import ElementBaseline
from novalith.recipes.set_network import SIZES, SetNetworkPredictor, new_network, save_set_network
from novalith.represent.formula_table import read_formulas


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained network on a known sum over elements: what it says does not matter here, where it stands does."""
    training = read_formulas(["NaCl", "Na2O", "Fe2O3", "LiFePO4", "NaN", "KCl"])
    domain = TrainingDomain.of(training, {"formation_energy": np.linspace(-3, 1, 6)})
    network = new_network(SIZES["tiny"].sizes, 1, 0).eval()
    baseline = ElementBaseline(np.array([-1.0]), np.zeros((118, 1)), np.array([1e-3]))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_set_network(SetNetworkPredictor((network,), baseline, np.ones(1), domain), path)
    return path


def _call(*arguments):
    return CliRunner().invoke(build(), ["predict", *map(str, arguments)])


def test_columns_order_and_bad_rows(model, tmp_path):
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    rows = ["NaCl", "NaN", "Zz3", "", "Na0Cl", "D2O", "UO2", "=1+1", "Fe2O3", "Na100000001Cl", "LiNaKFePO"]
    source.write_text("id,formula\n" + "".join(f"{i},{f}\n" for i, f in enumerate(rows)))
    done = _call(source, "--checkpoint", model, "--target", "formation_energy", "--csv", out)
    assert done.exit_code == 3
    with out.open(newline="") as handle:
        header, *answers = csv.reader(handle)
    assert header == ["formula", "value", "uncertainty", "in_range"]
    assert [a[0] for a in answers] == [*rows[:7], "'=1+1", *rows[8:]]
    assert [a[3] for a in answers] == ["True", "True", *["False"] * 6, "True", "False", "False"]
    assert [bool(a[1]) for a in answers] == [True, True, *[False] * 6, True, False, True]
    assert all(bool(a[1]) == bool(a[2]) for a in answers)
    assert float(answers[0][1]) == pytest.approx(-1, abs=0.05)
    for line in ("line 4: Zz3", "line 5: empty", "line 6: Na0Cl", "line 7: D2O", "line 8: UO2: no training formula"):
        assert line in done.stderr
    assert (
        "2 in range" not in done.stdout
        and "3 in range, 1 extrapolated, 7 without a value (6 unreadable)" in done.stdout
    )


def test_counts_as_json_and_rows_on_standard_output(model, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("formula\nNaCl\nUO2\n")
    counts = json.loads(_call(source, "--checkpoint", model, "--json").stdout)
    assert (counts["rows"], counts["in_range"], counts["without_value"], counts["unreadable"]) == (2, 1, 1, 0)
    assert counts["unit"] == "eV/atom" and counts["training_range"] == [-3, 1]
    plain = _call(source, "--checkpoint", model)
    assert plain.exit_code == 0 and plain.stdout.splitlines()[0] == "formula,value,uncertainty,in_range"


def test_what_is_wrong_is_told(model, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("formula\nNaCl\n")
    for arguments, error in (
        ((source, "--target", "band_gap"), UnknownNameError),
        ((source, "--column", "name"), UnknownNameError),
        ((tmp_path / "none.csv",), StorageError),
        ((source, "--csv", source), InputError),
    ):
        done = _call(*arguments, "--checkpoint", model)
        assert isinstance(done.exception, error) and not done.stdout
    source.write_text("formula\n")
    assert isinstance(_call(source, "--checkpoint", model).exception, EmptyResultError)
