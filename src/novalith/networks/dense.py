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


class Autoencoder(nn.Module):  # type: ignore[misc]
    """Encoder to a mean and a log-variance (n, latent each), decoder back to the input.

    A plain autoencoder reads the mean alone. The decoder is linear at its end unless told otherwise: standardised data
    have both signs, which a sigmoid cannot give.
    """

    def __init__(
        self, n_inputs: int, hidden: Sequence[int], n_latent: int, activation: str = "relu", output: str = "linear"
    ) -> None:
        super().__init__()
        self.encoder = Dense([n_inputs, *hidden], activation, activation)
        self.mean = nn.Linear(hidden[-1], n_latent)
        self.log_variance = nn.Linear(hidden[-1], n_latent)
        self.decoder = Dense([n_latent, *reversed(hidden), n_inputs], activation, output)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, inputs) -> mean and log-variance, (n, latent) each."""
        h = self.encoder(x)
        # exp of more than 10 would overflow float32 in the loss long before it meant anything.
        return self.mean(h), self.log_variance(h).clamp(-10.0, 10.0)

    def decode(self, z: Tensor) -> Tensor:
        """(n, latent) -> (n, inputs)."""
        x: Tensor = self.decoder(z)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct through the mean, without noise."""
        return self.decode(self.encode(x)[0])


def count_parameters(module: nn.Module) -> int:
    """Number of trainable numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def device_named(name: str) -> torch.device:
    """The device of a name: "cpu", "cuda", "cuda:1", "mps", or "auto" for an accelerator where there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
