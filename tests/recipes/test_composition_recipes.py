"""elemnet and magpie-forest through the door of `novalith train`, and reading any predictor back by its kind."""

import numpy as np
import pytest

from novalith.errors import CapabilityError, CorruptDataError, InputError, UnknownNameError
from novalith.recipes.composition_predictors import load_predictor
from novalith.recipes.composition_rows import hold_out
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.represent.formula_table import formula_keys, read_formulas
from novalith.store.checkpoint import Checkpoint, save_checkpoint

SYMBOLS = "Li Na K Mg Ca Al Si P S Cl O F".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(0)
    lines = ["formula,volume_pa,delta_e"]
    for _ in range(400):
        i, j = rng.choice(len(SYMBOLS), 2, replace=False)
        a, b = rng.integers(1, 4, 2)
        x = a / (a + b)
        lines.append(f"{SYMBOLS[i]}{a}{SYMBOLS[j]}{b},{10 + i * x + j * (1 - x)},{-abs(int(i) - int(j)) / 6:.4f}")
    lines[11] = "NaCl,22.0,-7.5"
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("recipe", "uncertain"), [("elemnet", False), ("magpie-forest", True)])
def test_a_recipe_learns_is_stored_and_comes_back(recipe, uncertain, data, tmp_path):
    epochs = 12 if recipe == "elemnet" else None
    order = TrainingOrder(data, tmp_path / "model.safetensors", size="tiny", epochs=epochs, seed=2)
    summary = train_recipe(recipe, order)
    assert summary.set_aside == {12: "formation_energy of -7.5 lies outside -5 to 5"}
    assert summary.figures["volume_per_atom_mae_a3_per_atom"] < 1.5  # the mean alone is 2.2 off
    model = load_predictor(order.out)
    assert model.targets == {"formation_energy": "eV/atom", "volume_per_atom": "Å³/atom"}
    said = model.predict(read_formulas(["NaCl", "CaF2", "UO2"]), "volume_per_atom")
    assert (said.uncertainty is not None) == uncertain
    assert said.in_range.tolist()[2] is False and np.isnan(said.value[2])
    assert said.value[0] == pytest.approx(10 + (1 + 9) / 2, abs=3)
    twice = train_recipe(
        recipe, TrainingOrder(data, tmp_path / "again.safetensors", size="tiny", epochs=epochs, seed=2)
    )
    assert twice.figures == summary.figures
    assert (tmp_path / "again.safetensors").read_bytes() == order.out.read_bytes()


def test_what_cannot_be_done_is_told(data, tmp_path):
    out = tmp_path / "x.safetensors"
    with pytest.raises(CapabilityError, match="no epochs"):
        train_recipe("magpie-forest", TrainingOrder(data, out, size="tiny", epochs=3))
    with pytest.raises(UnknownNameError, match="size"):
        train_recipe("elemnet", TrainingOrder(data, out, size="huge"))
    with pytest.raises(InputError, match="give --data"):
        train_recipe("elemnet", TrainingOrder(None, out))
    save_checkpoint(Checkpoint("fields", {"a": np.zeros(1)}), out)
    with pytest.raises(CorruptDataError, match="predicts no property"):
        load_predictor(out)


def test_equal_formulas_are_held_out_together():
    table = read_formulas(["NaCl", "Na2Cl2", "ClNa"] * 20 + [f"Fe{i}O" for i in range(1, 40)])
    kept, held = hold_out(table, 0.3, np.random.default_rng(0))
    keys = formula_keys(table)
    assert not set(keys[kept]) & set(keys[held])
    assert len(kept) + len(held) == len(table)
