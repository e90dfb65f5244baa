"""A training that was stopped goes on with what it was started with, and with nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CampaignError, CorruptDataError, InputError
from novalith.recipes.resumption import checksum_of, order_path
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.store.checkpoint import load_checkpoint, save_checkpoint

SYMBOLS = "Li Na K Mg Ca Al Si P S Cl O F".split()


def table(path, seed):
    """As many rows whatever the seed."""
    rng, lines = np.random.default_rng(seed), ["formula,formation_energy"]
    for _ in range(60):
        i, j = rng.choice(len(SYMBOLS), 2, replace=False)
        lines.append(f"{SYMBOLS[i]}{rng.integers(1, 4)}{SYMBOLS[j]},{rng.uniform(-3, 0):.3f}")
    path.write_text("\n".join(lines))
    return path


def stopped(order):
    """Leave the state of one epoch."""

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_recipe("elemnet", replace(order, watch=stop))
    assert order.resume_path.exists()


@pytest.fixture
def order(tmp_path):
    return TrainingOrder(
        table(tmp_path / "rows.csv", 0), tmp_path / "m.safetensors", size="tiny", epochs=3,
        targets=("formation_energy",),
    )  # fmt: skip


def files(order):
    return sorted(p.name for p in order.out.parent.iterdir() if p.name.startswith(order.out.name))


def test_the_same_data_go_on_and_nothing_is_left_behind(order, tmp_path):
    stopped(order)
    told = []
    train_recipe("elemnet", replace(order, data=order.data.rename(tmp_path / "moved.csv"), watch=told.append))
    assert told[0].epoch == 2
    assert files(order) == [order.out.name]


def test_other_data_with_as_many_rows_are_refused_until_the_state_is_removed(order):
    stopped(order)
    kept = order.resume_path.read_bytes()
    table(order.data, 1)
    with pytest.raises(CampaignError, match=r"m.safetensors.resume .*\(data changed\).*remove .*resume\*"):
        train_recipe("elemnet", order)
    assert order.resume_path.read_bytes() == kept
    for name in files(order):
        order.out.with_name(name).unlink()
    train_recipe("elemnet", order)
    assert files(order) == [order.out.name]


def test_another_column_is_told_as_it_was(order):
    stopped(order)
    with pytest.raises(CampaignError, match="column 'formula' there, 'name' now"):
        train_recipe("elemnet", replace(order, column="name"))


def test_state_of_a_version_that_wrote_nothing_down_is_gone_on_with(order):
    stopped(order)
    order_path(order).unlink()
    told = []
    train_recipe("elemnet", replace(order, watch=told.append))
    assert told[0].epoch == 2


def test_a_training_that_never_began_leaves_nothing(order):
    with pytest.raises(InputError, match="size"):
        train_recipe("elemnet", replace(order, size="huge"))
    assert files(order) == []


def test_broken_state_is_told_with_its_file(order):
    stopped(order)
    stored = load_checkpoint(order.resume_path, "training")
    save_checkpoint(replace(stored, config={k: v for k, v in stored.config.items() if k != "rates"}), order.resume_path)
    with pytest.raises(CorruptDataError, match="resume does not hold"):
        train_recipe("elemnet", order)


def test_the_checksum_of_a_folder_is_of_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.cif").write_text("1")
    (tmp_path / "a" / "two.cif").write_text("2")
    first = checksum_of(tmp_path / "a")
    (tmp_path / "a" / "m.safetensors.resume").write_text("state")
    assert checksum_of(tmp_path / "a", ("m.safetensors",)) == first != checksum_of(tmp_path / "a")
    (tmp_path / "a" / "m.safetensors.resume").unlink()
    (tmp_path / "a" / "two.cif").rename(tmp_path / "a" / "three.cif")
    assert checksum_of(tmp_path / "a") != first
