"""Fully connected networks.

h_0 = x;  h_{i+1} = dropout(a(W_i h_i + b_i));  y = out(W h + b)
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "sigmoid": nn.Sigmoid, "linear": nn.Identity}


class Dense(nn.Module):  # type: ignore[misc]
    """A multilayer perceptron (n, sizes[0]) -> (n, sizes[-1]).

    Args:
        sizes: widths from the input to the output.
        activation: between layers.
        output: after the last layer; "linear" for values of either sign.
        dropout: probability of dropping a hidden unit in training.
    """

    def __init__(
        self, sizes: Sequence[int], activation: str = "silu", output: str = "linear", dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (width, following) in enumerate(pairwise(sizes)):
            last = i == len(sizes) - 2
            layers += [nn.Linear(width, following), ACTIVATIONS[output if last else activation]()]
            if dropout and not last:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, sizes[0]) -> (n, sizes[-1])."""
        y: Tensor = self.layers(x)
        return y


def device_named(name: str) -> torch.device:
    """The device of a name: "cpu", "cuda", "cuda:1", "mps", or "auto" for an accelerator where there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
