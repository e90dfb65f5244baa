"""The training loop finds known answers, repeats itself, stops early, resumes exactly and refuses to diverge."""

import numpy as np
import pytest
import torch
from torch import nn

from novalith.errors import CampaignError, UnknownNameError
from novalith.training.loop import Supervision, TrainingDivergedError, TrainingSettings, train

X = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
TRUTH = torch.tensor([1.0, -2.0, 0.5])
SETTINGS = TrainingSettings(30, 40, 5e-2, 0.0, averaging=0.5)


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout(0.05), nn.Linear(3, 1))


def squared_error(network):
    return lambda batch, _: ((network(X[batch])[:, 0] - X[batch] @ TRUTH) ** 2).mean()


def weights(network):
    return network[1].weight.detach().numpy()[0]


def test_a_line_is_found():
    network = module()
    network[0].p = 0.0
    curve = train(network, squared_error(network), len(X), SETTINGS, rng=np.random.default_rng(0))
    assert np.allclose(weights(network), TRUTH, atol=0.02)
    assert curve[-1].training_loss < curve[0].training_loss


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    results = []
    for seed in (1, 1, 2):
        network = module()
        train(network, squared_error(network), len(X), SETTINGS, rng=np.random.default_rng(seed))
        results.append(weights(network).tobytes())
    assert results[0] == results[1] != results[2]


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best():
    network = module()
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    kept = []

    def validation():
        kept.append(weights(network).copy())
        return next(values)

    settings = TrainingSettings(30, 40, 5e-2, patience=2)
    supervision = Supervision(validation)
    curve = train(network, squared_error(network), len(X), settings, supervision, rng=np.random.default_rng(0))
    assert len(curve) == 4
    assert np.array_equal(weights(network), kept[1])


def test_resumed_training_equals_undisturbed_training(tmp_path):
    whole = module()
    train(whole, squared_error(whole), len(X), SETTINGS, rng=np.random.default_rng(3))
    path = tmp_path / "training.safetensors"

    def stop(report):
        if report.epoch == 11:
            raise KeyboardInterrupt

    broken, resumed = module(), module()
    with pytest.raises(KeyboardInterrupt):
        watched = Supervision(resume_path=path, watch=stop)
        train(broken, squared_error(broken), len(X), SETTINGS, watched, rng=np.random.default_rng(3))
    again = Supervision(resume_path=path)
    curve = train(resumed, squared_error(resumed), len(X), SETTINGS, again, rng=np.random.default_rng(3))
    assert len(curve) == SETTINGS.n_epochs
    assert weights(resumed).tobytes() == weights(whole).tobytes()


def test_resuming_with_another_seed_is_refused(tmp_path):
    path = tmp_path / "training.safetensors"
    network = module()
    train(network, squared_error(network), 40, SETTINGS, Supervision(resume_path=path), rng=np.random.default_rng(3))
    with pytest.raises(CampaignError, match="another seed"):
        train(
            network, squared_error(network), 40, SETTINGS, Supervision(resume_path=path), rng=np.random.default_rng(4)
        )


def test_resuming_with_other_data_is_refused(tmp_path):
    path = tmp_path / "training.safetensors"
    network = module()
    train(network, squared_error(network), 40, SETTINGS, Supervision(resume_path=path), rng=np.random.default_rng(3))
    wider = torch.nn.Sequential(torch.nn.Linear(3, 9), torch.nn.Linear(9, 1))
    for other, rows in ((network, 40 + SETTINGS.batch_size), (wider, 40)):
        with pytest.raises(CampaignError, match="other data"):
            train(
                other, squared_error(other), rows, SETTINGS, Supervision(resume_path=path), rng=np.random.default_rng(3)
            )


def test_a_loss_that_is_not_finite_stops_the_training():
    network = module()
    with pytest.raises(TrainingDivergedError, match="learning rate"):
        train(network, lambda *_: network[1].weight.sum() * torch.inf, 40, SETTINGS, rng=np.random.default_rng(0))
    assert np.isfinite(weights(network)).all()


def test_half_precision_finds_the_line_and_another_precision_is_refused():
    network = module()
    network[0].p = 0.0
    settings = TrainingSettings(30, 40, 5e-2, 0.0, averaging=0.5, precision="bfloat16")
    train(network, squared_error(network), len(X), settings, rng=np.random.default_rng(0))
    assert np.allclose(weights(network), TRUTH, atol=0.05)
    assert not np.allclose(weights(network), TRUTH, atol=1e-6)
    with pytest.raises(UnknownNameError, match="bfloat16"):
        TrainingSettings(precision="float16")
