"""Networks that read sets cannot tell one order from another."""

import pytest
import torch

from novalith.networks.dense import Dense
from novalith.networks.field_set import DeepSets, SetAttention


@pytest.mark.parametrize("kind", [DeepSets, SetAttention])
@pytest.mark.parametrize("arity", [2, 3, 5])
def test_sets_have_no_order(kind, arity):
    torch.manual_seed(0)
    network = kind(torch.randn(30, 4), width=16).eval()
    rows = torch.argsort(torch.rand(8, 30), dim=1)[:, :arity]
    torch.testing.assert_close(network(rows), network(rows.flip(1)), atol=1e-5, rtol=1e-5)
    assert network(rows).std() > 0


def test_a_linear_output_gives_both_signs_and_a_sigmoid_does_not():
    torch.manual_seed(0)
    x = torch.randn(200, 3)
    assert (Dense([3, 8, 2])(x) < 0).any()
    assert (Dense([3, 8, 2], output="sigmoid")(x) > 0).all()
