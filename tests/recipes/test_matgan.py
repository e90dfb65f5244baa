"""MatGAN trains on a file, keeps to the elements asked for, answers to its condition, and comes back from its file."""

import numpy as np
import pytest
import torch

from novalith.data.training_table import TrainingTable
from novalith.errors import CapabilityError, CorruptDataError, InputError, UnknownNameError
from novalith.networks.composition_images import (
    PUBLISHED,
    DenseCritic,
    DenseGenerator,
    ImageCritic,
    ImageGenerator,
    noise_width,
)
from novalith.propose.compositions import FormulaRequest
from novalith.recipes.matgan import MatGanSettings, load_matgan, prepare, train_from_file, train_matgan
from novalith.recipes.training import TrainingOrder
from novalith.represent.formula_table import formula_keys
from novalith.store.checkpoint import Checkpoint, save_checkpoint

CHLORIDES = tuple(f"{m}Cl{x}" for m in "Li Na K Rb Cs Mg Ca Sr Ba Ti Zr Hf".split() for x in (1, 2, 3, 4))
OXIDES = tuple(f"{m}O{x}" for m in "Li Na K Rb Cs Mg Ca Sr Ba Ti Zr Hf".split() for x in (1, 2, 3, 4))
QUICK = MatGanSettings(
    "tiny",
    "threshold",
    n_epochs=150,
    batch_size=48,
    rate=3e-3,
    critic_rate=3e-3,
    critic_steps=1,
    one_sided=False,
    every=75,
)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def table(formulas, **targets):
    lines = tuple(range(2, len(formulas) + 2))
    return TrainingTable("test", tuple(formulas), lines, {n: np.array(v, float) for n, v in targets.items()}, {})


@pytest.fixture(scope="module")
def conditioned():
    formulas, values = CHLORIDES + OXIDES, [-1.0] * len(CHLORIDES) + [-3.0] * len(OXIDES)
    return train_matgan(table(formulas * 4, formation_energy=values * 4), QUICK, rng=np.random.default_rng(0))


def elements_drawn(model, **asked):
    drawn = model.draw(2000, FormulaRequest(**asked), rng=np.random.default_rng(1))
    return [drawn.parts(row) for row in range(len(drawn)) if row not in drawn.problems]


def test_the_condition_decides_what_is_drawn(conditioned):
    for energy, mine, other in ((-1.0, 17, 8), (-3.0, 8, 17)):
        drawn = elements_drawn(conditioned, targets=(("formation_energy", energy),))
        assert len(drawn) > 500
        hits = sum(mine in dict(parts) for parts in drawn)
        assert hits > 3 * sum(other in dict(parts) for parts in drawn)


def test_only_allowed_elements_are_drawn_and_others_are_problems(conditioned):
    request = FormulaRequest(allowed=frozenset({"Na", "K", "Cl", "O"}))
    drawn = conditioned.draw(2000, request, rng=np.random.default_rng(2))
    assert set(drawn.atomic_numbers.ravel().tolist()) <= {0, 11, 19, 17, 8}
    assert len(drawn) == 2000
    assert "elements; 2 to 8 were expected" in " ".join(drawn.problems.values())


def test_what_the_model_does_not_know_is_refused(conditioned):
    with pytest.raises(CapabilityError, match="without Kr"):
        conditioned.draw(1, FormulaRequest(require=frozenset({"Kr"})), rng=np.random.default_rng(0))
    with pytest.raises(CapabilityError, match="cannot aim at band_gap; it knows formation_energy"):
        conditioned.draw(1, FormulaRequest(targets=(("band_gap", 1.0),)), rng=np.random.default_rng(0))
    assert conditioned.extrapolations(FormulaRequest(targets=(("formation_energy", 4.0),)))


def test_a_saved_model_draws_the_same_bytes(conditioned, tmp_path):
    path = tmp_path / "gan.safetensors"
    conditioned.save(path)
    again = load_matgan(path)
    request = FormulaRequest(targets=(("formation_energy", -2.0),))
    a, b = (m.draw(300, request, rng=np.random.default_rng(3)) for m in (conditioned, again))
    assert formula_keys(a).tolist() == formula_keys(b).tolist()
    assert [dict(p) for p in again.curve] == [dict(p) for p in conditioned.curve]
    assert again.target_ranges == {"formation_energy": (-3.0, -1.0)}
    save_checkpoint(Checkpoint("ding", {}), path)
    with pytest.raises(CorruptDataError, match="'matgan'"):
        load_matgan(path)


def test_every_row_is_kept_or_set_aside_with_its_line():
    rows = (*CHLORIDES, "Na2Cl2", "Fe", "NaKr", "NaCl9", "Qx")
    data = prepare(table(rows), MatGanSettings().layout)
    assert len(data.counts) + len(data.set_aside) == len(rows)
    at = len(CHLORIDES) + 2
    assert data.set_aside[at] == "it is the same reduced formula as in line 6"
    assert "single element" in data.set_aside[at + 1]
    assert "Kr" in data.set_aside[at + 2]
    assert "9 times" in data.set_aside[at + 3]
    assert at + 4 in data.set_aside
    lacking = prepare(table(CHLORIDES, formation_energy=[np.nan, *[-1.0] * 47]), MatGanSettings().layout)
    assert lacking.set_aside == {2: "it lacks a number for one of formation_energy"}
    with pytest.raises(InputError, match="at least 10"):
        prepare(table(("NaCl", "KCl")), MatGanSettings().layout)


@pytest.mark.parametrize("options", [{}, {"objective": "clip", "decode": "threshold"}])
def test_training_from_a_file_gives_the_same_bytes_for_the_same_seed(tmp_path, options):
    data = tmp_path / "data.csv"
    data.write_text("\n".join(["formula", *CHLORIDES, "Xx"]))
    told = []
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path in paths:
        summary = train_from_file(TrainingOrder(data, path, size="tiny", epochs=2, options=options, watch=told.append))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert summary.n_rows == len(CHLORIDES)
    assert list(summary.set_aside) == [len(CHLORIDES) + 2]
    assert len(told) == 4
    assert {"training_balanced", "balanced", "pair_tv"} <= set(summary.figures)


def test_bad_orders_are_refused(tmp_path):
    out = tmp_path / "x"
    with pytest.raises(InputError, match="carry no band_gap"):
        train_from_file(TrainingOrder(None, out, targets=("band_gap",), size="tiny"))
    with pytest.raises(UnknownNameError, match="tiny"):
        train_from_file(TrainingOrder(None, out, size="small"))
    with pytest.raises(UnknownNameError, match="icsd"):
        train_from_file(TrainingOrder(None, out, size="tiny", options={"network": "icds"}))


@pytest.mark.parametrize("name", ["icsd", "oqmd"])
def test_the_published_networks_have_the_published_sizes(name):
    stack = PUBLISHED[name]
    generator, critic = ImageGenerator(stack, (85, 8)), ImageCritic(stack, (85, 8))
    assert generator.dense.out_features == {"icsd": 4 * 6 * 128, "oqmd": 6144}[name]
    seen = []
    for layer in generator.layers:
        layer.register_forward_hook(lambda _m, _i, y: seen.append(tuple(y.shape[2:])))
    cells = generator(torch.randn(2, 128), torch.empty(2, 0))
    assert list(dict.fromkeys(seen)) == [(6, 4), (11, 8), (22, 8), (43, 8), (85, 8)]
    assert cells.shape == (2, 85, 8)
    assert ((cells > 0) & (cells < 1)).all()
    assert critic(cells, torch.empty(2, 0)).shape == (2,)


@pytest.mark.parametrize("n_condition", [0, 2])
def test_no_row_of_a_critic_depends_on_the_others(n_condition):
    torch.manual_seed(0)
    cells, condition = torch.rand(5, 85, 9), torch.randn(5, n_condition)
    for critic in (ImageCritic(PUBLISHED["icsd"], (85, 9), n_condition), DenseCritic((32,), (85, 9), n_condition)):
        alone = torch.cat([critic(cells[i : i + 1], condition[i : i + 1]) for i in range(5)])
        assert torch.allclose(critic(cells, condition), alone, atol=1e-5)
    rows = DenseGenerator((16, 32), (85, 9), n_condition, "softmax")(torch.randn(5, 16), condition).sum(dim=2)
    assert torch.allclose(rows, torch.ones_like(rows))
    hard = DenseGenerator((16, 32), (85, 9), n_condition, "hard")
    width = noise_width(16, (85, 9), "hard")
    cells = hard(torch.randn(5, width), condition)
    assert set(cells.detach().unique().tolist()) == {0.0, 1.0}
    assert (cells.sum(dim=2) == 1).all()
    (cells * torch.rand(5, 85, 9)).sum().backward()
    assert hard.layers[-1].weight.grad.abs().sum() > 0
    with pytest.raises(UnknownNameError, match="softmax"):
        DenseGenerator((16, 32), (85, 9), output="tanh")


def test_hard_rows_are_drawn_with_the_probabilities_of_the_softmax():
    generator = DenseGenerator((4, 8), (1, 3), output="hard").eval()
    with torch.no_grad():
        generator.layers[-1].weight.zero_()
        generator.layers[-1].bias.copy_(torch.tensor([0.2, 0.3, 0.5]).log())
        noise = torch.randn(20_000, noise_width(4, (1, 3), "hard"), generator=torch.Generator().manual_seed(0))
        shares = generator(noise, torch.empty(20_000, 0)).mean(dim=(0, 1))
    assert torch.allclose(shares, torch.tensor([0.2, 0.3, 0.5]), atol=0.015)
