"""ElemNet: seventeen fully connected layers from element fractions to a property.

    1024 x 4, 512 x 3, 256 x 3, 128 x 3, 64 x 2, 32 x 1, outputs x 1;  ReLU between them

with dropout after the first four blocks. The published configuration gives 0.8, 0.9, 0.7 and 0.8, which are the shares
that are *kept*: the rates of dropping are 0.2, 0.1, 0.3 and 0.2.

Jha et al., Sci. Rep. 8, 17593 (2018).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: (width, layers, dropout after the block) as published (NU-CUCIS/ElemNet, commit 45b801e).
BLOCKS = ((1024, 4, 0.2), (512, 3, 0.1), (256, 3, 0.3), (128, 3, 0.2), (64, 2, 0.0), (32, 1, 0.0))


class ElemNet(nn.Module):  # type: ignore[misc]
    """(n, inputs) fractions -> (n, outputs).

    Args:
        n_inputs: elements.
        n_outputs: properties.
        divisor: every width is divided by it; 1 is the published network.
    """

    def __init__(self, n_inputs: int, n_outputs: int, divisor: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = n_inputs
        for published, n_layers, dropout in BLOCKS:
            following = max(8, published // divisor)
            for _ in range(n_layers):
                linear = nn.Linear(width, following)
                # He's initialisation: with the default one the signal dies out over seventeen layers.
                nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
                nn.init.zeros_(linear.bias)
                layers += [linear, nn.ReLU()]
                width = following
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(width, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        y: Tensor = self.layers(x)
        return y


def n_layers(network: ElemNet) -> int:
    """Fully connected layers of a network."""
    return sum(isinstance(m, nn.Linear) for m in network.modules())


def seeded(seed: int, n_inputs: int, n_outputs: int, divisor: int = 1) -> ElemNet:
    """A new network whose weights follow from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ElemNet(n_inputs, n_outputs, divisor)
