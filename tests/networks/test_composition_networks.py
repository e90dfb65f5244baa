"""The networks of composition predictors: published sizes, and answers that know no order."""

import numpy as np
import pytest
import torch
from torch import nn

from novalith.networks.composition_set import CompositionSet, SetSizes
from novalith.networks.elemnet import n_layers, seeded

SMALL = SetSizes(width=16, n_blocks=2, n_heads=2, n_waves=3, n_embedding=4)


def _network():
    torch.manual_seed(0)
    return CompositionSet(torch.randn(119, 5), 3, SMALL).eval()


def test_elemnet_has_the_published_layers():
    network = seeded(0, 86, 1)
    widths = [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]
    assert widths == [1024] * 4 + [512] * 3 + [256] * 3 + [128] * 3 + [64] * 2 + [32, 1]
    assert n_layers(network) == 17
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.2, 0.1, 0.3, 0.2]


def test_elemnet_keeps_the_signal_alive_at_the_start():
    with torch.no_grad():
        y = seeded(0, 86, 1).eval()(torch.rand(64, 86))
    assert 1e-2 < float(y.std()) < 1e2


def test_the_order_of_elements_and_of_rows_cannot_matter():
    network = _network()
    z = torch.tensor([[26, 8, 0, 0], [3, 26, 15, 8], [11, 0, 0, 0], [17, 11, 0, 0]])
    x = torch.tensor([[0.4, 0.6, 0, 0], [1 / 7, 1 / 7, 1 / 7, 4 / 7], [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    with torch.no_grad():
        value, scale = network(z, x)
        turned = network(z.flip(1), x.flip(1))
        mixed = network(z[[3, 1, 0, 2]], x[[3, 1, 0, 2]])
        alone = [network(z[i : i + 1], x[i : i + 1])[0] for i in range(4)]
    torch.testing.assert_close(turned, (value, scale), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mixed[0], value[[3, 1, 0, 2]], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat(alone), value, rtol=1e-4, atol=1e-5)


def test_fractions_and_elements_matter_and_an_empty_row_stays_in_its_place():
    network = _network()
    z = torch.tensor([[0, 0], [26, 8], [26, 8], [25, 8]])
    x = torch.tensor([[0.0, 0.0], [0.4, 0.6], [0.5, 0.5], [0.4, 0.6]])
    with torch.no_grad():
        value, _ = network(z, x)
    assert torch.isfinite(value).all()
    assert len(np.unique(value[:, 0].numpy().round(5))) == 4


@pytest.mark.parametrize("n", [0, 1, 128, 200])
def test_any_number_of_places_comes_out(n):
    # 128 formulas of two elements fill the places of a batch exactly.
    z = torch.tensor([[26, 8]]).repeat(n, 1)
    x = torch.tensor([[0.4, 0.6]]).repeat(n, 1)
    with torch.no_grad():
        value, scale = _network()(z, x)
    assert value.shape == scale.shape == (n, 3)
    assert torch.allclose(value, value[:1].expand_as(value), atol=1e-5)


def test_the_uncertainty_teaches_the_values_nothing():
    network = _network()
    _, scale = network(torch.tensor([[26, 8]]), torch.tensor([[0.4, 0.6]]))
    scale.sum().backward()
    assert network.embedding.weight.grad is None
    assert network.scales.layers[0].weight.grad.abs().sum() > 0


def test_the_large_size_has_fewer_than_three_million_parameters():
    network = CompositionSet(torch.zeros(119, 22), 5, SetSizes())
    assert 2e6 < sum(p.numel() for p in network.parameters()) < 3e6
    assert network.sizes.width % network.sizes.n_heads == pytest.approx(0)
