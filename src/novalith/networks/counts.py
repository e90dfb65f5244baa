"""Dense networks on the counts of elements, written as one class an element.

    x[e, j] = 1  if the formula holds j atoms of element e, j = 0 .. C - 1;   y = MLP(x flattened)

With *fractions*, the inputs also hold each element's share of the atoms, which the network otherwise has to divide out.

Counts come as whole numbers, a byte each, and are expanded a batch at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class CountNetwork(nn.Module):  # type: ignore[misc]
    """(n, E) counts -> (n, outputs), ReLU between layers.

    Args:
        n_elements: E.
        n_classes: C, one more than the largest count.
        widths: of the hidden layers and the output.
        dropout: hidden layer (counted from 0) -> probability of dropping a unit in training.
        fractions: whether the inputs hold fractions as well.
    """

    def __init__(
        self,
        n_elements: int,
        n_classes: int,
        widths: Sequence[int],
        dropout: Mapping[int, float] | None = None,
        fractions: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("classes", torch.arange(n_classes, dtype=torch.uint8), persistent=False)
        sizes = [n_elements * (n_classes + fractions), *widths]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dropout = dict(dropout or {})
        self.fractions = fractions

    def forward(self, counts: Tensor) -> Tensor:
        """(n, E) uint8 -> (n, outputs)."""
        y = (counts[:, :, None] == self.classes).float().flatten(1)
        if self.fractions:
            share = counts.float()
            y = torch.cat([y, share / share.sum(dim=1, keepdim=True).clamp(min=1)], dim=1)
        for i, layer in enumerate(self.layers):
            y = layer(y)
            if i < len(self.layers) - 1:
                y = torch.relu(y)
                if self.dropout.get(i):
                    y = nn.functional.dropout(y, self.dropout[i], self.training)
        return y
