"""The recipe set-network on a property whose values are known: it must learn it, say how sure it is, and come back."""

import numpy as np
import pytest

from novalith.data.training_table import TrainingTable
from novalith.errors import InputError
from novalith.recipes.set_network import SIZES, load_set_network, save_set_network, train_set_network
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.represent.formula_table import read_formulas

SYMBOLS = "Li Na K Mg Ca Al Si P S Cl O F Fe Cu Zn".split()


def _table(n=600, seed=0):
    """Formulas A_a B_b with y = |Z_A - Z_B| x_A x_B (no sum over elements), and a volume with gaps."""
    rng = np.random.default_rng(seed)
    formulas, gap, volume = [], [], []
    for _ in range(n):
        i, j = rng.choice(len(SYMBOLS), 2, replace=False)
        a, b = rng.integers(1, 4, 2)
        x = a / (a + b)
        formulas.append(f"{SYMBOLS[i]}{a}{SYMBOLS[j]}{b}")
        gap.append(abs(int(i) - int(j)) * x * (1 - x))
        volume.append(10 + i * x + j * (1 - x))
    y = np.array(volume)
    y[::3] = np.nan
    return TrainingTable(
        "made", tuple(formulas), tuple(range(2, n + 2)), {"band_gap": np.array(gap), "volume_per_atom": y}, {}
    )


@pytest.fixture(scope="module")
def trained():
    return train_set_network(_table(), SIZES["tiny"], rng=np.random.default_rng(1))


def test_it_learns_pairs_and_beats_the_sum_over_elements(trained):
    test = _table(300, seed=5)
    table = read_formulas(test.formulas)
    said = trained.predict(table, "band_gap")
    truth = test.targets["band_gap"]
    linear = trained.baseline.values(table)[:, 0]
    assert np.abs(said.value - truth).mean() < 0.6 * np.abs(linear - truth).mean()
    assert np.abs(said.value - truth).mean() < 0.5 * np.abs(truth - truth.mean()).mean()
    assert 0.4 < (np.abs(said.value - truth) < said.uncertainty).mean() < 0.95


def test_missing_values_are_masked(trained):
    test = _table(200, seed=6)
    full = np.array(test.targets["volume_per_atom"])
    seen = np.isfinite(full)
    said = trained.predict(read_formulas(test.formulas), "volume_per_atom").value
    assert np.abs(said - full)[seen].mean() < 0.5


def test_the_same_seed_gives_the_same_answers_and_a_checkpoint_comes_back(trained, tmp_path):
    again = train_set_network(_table(), SIZES["tiny"], rng=np.random.default_rng(1))
    table = read_formulas(["NaCl", "Fe2O3", "K", "LiFePO4"])
    for name in trained.targets:
        np.testing.assert_array_equal(again.predict(table, name).value, trained.predict(table, name).value)
    save_set_network(trained, tmp_path / "a.safetensors")
    save_set_network(trained, tmp_path / "half.safetensors", "float16")
    for file, tolerance in (("a", 1e-6), ("half", 2e-2)):
        back = load_set_network(tmp_path / f"{file}.safetensors")
        assert list(back.domain.values) == ["band_gap", "volume_per_atom"]
        for name in trained.targets:
            mine, stored = trained.predict(table, name), back.predict(table, name)
            np.testing.assert_allclose(stored.value, mine.value, atol=tolerance)
            np.testing.assert_allclose(stored.uncertainty, mine.uncertainty, rtol=5e-2)
            assert stored.reasons == mine.reasons


def test_unseen_elements_have_no_value_and_pure_elements_are_extrapolations(trained):
    said = trained.predict(read_formulas(["UO2", "Na", "NaCl"]), "band_gap")
    assert np.isnan(said.value[0]) and "holds U" in said.reasons[0]
    assert np.isfinite(said.value[1]) and "100 % Na" in said.reasons[1]


def test_training_from_a_file_accounts_for_every_row(tmp_path):
    table = _table(120)
    lines = [f"{f},{g}" for f, g in zip(table.formulas, table.targets["band_gap"], strict=True)]
    lines[3], lines[5] = "Xx2,1.0", "NaCl,nan"
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["formula,band_gap", *lines]) + "\n")
    order = TrainingOrder(path, tmp_path / "out.safetensors", size="tiny", epochs=2)
    summary = train_recipe("set-network", order)
    assert set(summary.set_aside) == {5, 7}
    assert "band_gap_mae_ev" in summary.figures and not order.resume_path.exists()
    assert load_set_network(order.out).targets == {"band_gap": "eV"}


def test_a_file_without_targets_or_rows_is_told(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("formula,colour\n" + "NaCl,white\n" * 20)
    with pytest.raises(InputError, match="no column for any of"):
        train_recipe("set-network", TrainingOrder(path, tmp_path / "out.safetensors"))
    path.write_text("formula,band_gap\n" + "??,1.0\n" * 20)
    with pytest.raises(InputError, match="0 formulas that can be read"):
        train_recipe("set-network", TrainingOrder(path, tmp_path / "out.safetensors"))
