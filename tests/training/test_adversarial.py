"""The adversarial loop computes the published penalty, clips where told to, resumes exactly and refuses to diverge."""

import numpy as np
import pytest
import torch
from torch import nn

from novalith.errors import CampaignError, InputError, UnknownNameError
from novalith.training.adversarial import (
    AdversarialSettings,
    AdversarialSupervision,
    Adversaries,
    Auxiliary,
    gradient_norms,
    slope_penalty,
    train_adversaries,
)
from novalith.training.loop import TrainingDivergedError

X = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.3, 1.0]) + 2.0
SMALL = AdversarialSettings(4, 50, 1e-3, 1e-3, averaging=0.9)


class Player(nn.Module):
    """A network of rows that ignores an empty condition."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_in, 16), nn.Dropout(0.02), nn.SiLU(), nn.Linear(16, n_out))

    def forward(self, x, condition):
        y = self.layers(torch.cat([x, condition], dim=1))
        return y[:, 0] if y.shape[1] == 1 else y


def players(auxiliary=None):
    torch.manual_seed(0)
    return Adversaries(
        Player(3, 2), Player(2, 1), 3, lambda batch, _: (X[batch], torch.empty(len(batch), 0)), auxiliary
    )


def trained(settings=SMALL, seed=0, auxiliary=None, **watching):
    who = players(auxiliary)
    rng = np.random.default_rng(seed)
    curve = train_adversaries(who, len(X), settings, AdversarialSupervision(**watching), rng=rng)
    return who, curve


def weights(module):
    return b"".join(t.detach().numpy().tobytes() for t in module.state_dict().values())


def test_the_norm_of_the_gradient_is_that_of_critics_whose_gradient_is_known():
    generator = torch.Generator().manual_seed(1)
    w, empty = torch.tensor([3.0, -4.0]), torch.empty(6, 0)
    real, fake = torch.zeros(6, 2), torch.ones(6, 2)
    norms = gradient_norms(lambda x, _: x @ w, real, fake, empty, generator)
    assert torch.allclose(norms, torch.full((6,), 5.0))
    # grad |x|^2 / 2 = x: the points lie between 0 and (1, 1), one share a row, not one a coordinate or a batch.
    points = gradient_norms(lambda x, _: (x**2).sum(dim=1) / 2, real, fake, empty, generator)
    assert ((points > 0) & (points < 2**0.5)).all()
    assert len(points.unique()) == 6
    ray = gradient_norms(lambda x, _: (x[:, 0] - x[:, 1]) ** 2, real, fake, empty, generator)
    assert torch.allclose(ray, torch.zeros(6), atol=1e-5)


def test_the_penalty_counts_slopes_off_one_or_only_those_above():
    norms = torch.tensor([0.5, 1.0, 3.0, 0.0])
    assert float(slope_penalty(norms, one_sided=False)) == pytest.approx((0.25 + 0 + 4 + 1) / 4)
    assert float(slope_penalty(norms, one_sided=True)) == pytest.approx(1.0)


def test_the_penalty_holds_the_gradient_at_one_and_without_it_the_gradient_runs_away():
    one = trained(AdversarialSettings(40, 50, 1e-9, 5e-3, averaging=0.0))[1][-1]
    free = trained(AdversarialSettings(40, 50, 1e-9, 5e-3, penalty=0.0, averaging=0.0))[1][-1]
    assert one.gradient_norm == pytest.approx(1.0, abs=0.15)
    assert free.gradient_norm > 3


def test_clipping_bounds_every_weight_of_the_critic_and_takes_no_penalty():
    who, curve = trained(AdversarialSettings(3, 50, 1e-4, 1e-3, clip=0.01))
    assert max(p.abs().max() for p in who.critic.parameters()) <= 0.01
    assert all(np.isnan(report.gradient_norm) for report in curve)


def test_the_critic_takes_its_steps_before_the_generator_takes_one():
    counts = {"critic": 0, "generator": 0}
    who = players()
    for name in counts:
        module = who.modules[name]
        module.layers[0].weight.register_post_accumulate_grad_hook(
            lambda _, name=name: counts.__setitem__(name, counts[name] + 1)
        )
    settings = AdversarialSettings(1, 20, critic_steps=4, generator_steps=2)
    train_adversaries(who, len(X), settings, rng=np.random.default_rng(0))
    assert counts == {"critic": 10, "generator": 6}  # 10 batches: 4, 4 and 2, each followed by two


def test_resumed_training_equals_undisturbed_training(tmp_path):
    path = tmp_path / "adversarial.safetensors"

    def stop(report):
        if report.epoch == 2:
            raise KeyboardInterrupt

    whole, curve = trained(seed=3)
    with pytest.raises(KeyboardInterrupt):
        trained(seed=3, resume_path=path, watch=stop)
    resumed, again = trained(seed=3, resume_path=path)
    assert [r.distance for r in again] == [r.distance for r in curve]
    for name, module in resumed.modules.items():
        assert weights(module) == weights(whole.modules[name])
    with pytest.raises(CampaignError, match="another seed"):
        trained(seed=4, resume_path=path)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    results = [weights(trained(seed=seed)[0].generator) for seed in (1, 1, 2)]
    assert results[0] == results[1] != results[2]


def test_the_best_average_is_kept():
    values, seen, who = iter([3.0, 1.0, 2.0, 2.0]), [], players()

    def validation():
        assert not who.generator.training
        seen.append(weights(who.generator))
        return next(values)

    curve = train_adversaries(who, len(X), SMALL, AdversarialSupervision(validation), rng=np.random.default_rng(0))
    assert [r.validation for r in curve] == [3.0, 1.0, 2.0, 2.0]
    assert weights(who.generator) == seen[1] != seen[3]


def test_figures_are_kept_in_the_curve_and_validation_is_asked_as_often_as_told(tmp_path):
    path = tmp_path / "adversarial.safetensors"
    watching = {"validation": lambda: 1.0, "figures": lambda: {"width": 2.0}, "every": 3, "resume_path": path}
    curve = trained(**watching)[1]
    assert [r.figures for r in curve] == [{}, {}, {"width": 2.0}, {"width": 2.0}]
    assert np.isnan([r.validation for r in curve]).tolist() == [True, True, False, False]
    assert str(trained(**watching)[1]) == str(curve)  # read back from the finished checkpoint


def test_the_auxiliary_learns_from_real_rows_and_leads_the_generator():
    third = nn.Linear(1, 1)

    def real(x, *_):
        return ((third.bias - x[:, :1]) ** 2).mean()

    def fake(x, *_):
        return 50 * ((x[:, :1] - third.bias) ** 2).mean()

    # With a critic that hardly moves, only the auxiliary tells the generator where the first column lies.
    settings = AdversarialSettings(60, 50, 1e-2, 1e-9, averaging=0.0)
    who, _ = trained(settings, auxiliary=Auxiliary(third, real, fake, 5e-2))
    assert float(third.bias.detach()) == pytest.approx(2.0, abs=0.2)
    with torch.no_grad():
        rows = who.generator(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), torch.empty(500, 0))
    assert float(rows[:, 0].mean()) == pytest.approx(2.0, abs=0.3)


def test_a_loss_that_is_not_finite_stops_the_training():
    who = players()
    broken = Adversaries(who.generator, who.critic, 3, lambda b, _: (X[b] * torch.inf, torch.empty(len(b), 0)))
    before = weights(who.generator)
    with pytest.raises(TrainingDivergedError, match=r"loss of the critic .* learning rate"):
        train_adversaries(broken, len(X), SMALL, rng=np.random.default_rng(0))
    assert weights(who.generator) == before


def test_rates_fall_and_settings_without_sense_are_refused():
    falling = AdversarialSettings(12, 50, 1e-2, 1e-2, averaging=0.0, decay=0.2)
    seen = []
    who = players()
    watch = AdversarialSupervision(watch=lambda _: seen.append(weights(who.generator)))
    train_adversaries(who, len(X), falling, watch, rng=np.random.default_rng(0))
    a, b, c = (np.frombuffer(seen[i], np.float32) for i in (0, 10, 11))
    assert np.abs(c - b).max() < 1e-6 < np.abs(b - a).max()
    for wrong in ({"n_epochs": 0}, {"critic_rate": 0.0}, {"penalty": -1.0}, {"averaging": 1.0}, {"critic_steps": 0}):
        with pytest.raises(InputError, match="expected"):
            AdversarialSettings(**wrong)
    with pytest.raises(UnknownNameError, match="bfloat16"):
        AdversarialSettings(precision="float16")
