"""Networks that read a set of elements: the order of the elements cannot matter by construction.

x_e = phi([embedding_e, properties_e])
deep sets    y = rho([mean_e x_e, mean_{e<f} psi(x_e x_f, x_e + x_f)])    Zaheer et al., NeurIPS 2017, with a pair term
attention    x <- x + MHA(x), x <- x + mlp(x) (twice), y = rho(mean_e x)   Lee et al. (Set Transformer), ICML 2019
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from novalith.networks.dense import Dense


class ElementEncoder(nn.Module):  # type: ignore[misc]
    """Embeds elements: a learned vector beside given properties, mixed by a small network.

    Args:
        properties: (elements, p) standardised.
        width: of the output.
        n_embedding: of the learned vector.
    """

    properties: Tensor

    def __init__(self, properties: Tensor, width: int, n_embedding: int = 24) -> None:
        super().__init__()
        self.register_buffer("properties", properties)
        self.embedding = nn.Embedding(len(properties), n_embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.mix = Dense([n_embedding + properties.shape[1], width, width])

    def forward(self, indices: Tensor) -> Tensor:
        """(n, k) element indices -> (n, k, width)."""
        x: Tensor = self.mix(torch.cat([self.embedding(indices), self.properties[indices]], dim=-1))
        return x


class DeepSets(nn.Module):  # type: ignore[misc]
    """Deep sets with a pair term: (n, k) -> (n,)."""

    def __init__(self, properties: Tensor, width: int = 48, dropout: float = 0.1) -> None:
        super().__init__()
        self.elements = ElementEncoder(properties, width)
        self.pairs = Dense([2 * width, width, width])
        self.head = Dense([2 * width, width, 1], dropout=dropout)

    def forward(self, indices: Tensor) -> Tensor:
        """(n, k) element indices -> (n,) log-odds; k of at least 2."""
        x = self.elements(indices)
        i, j = torch.triu_indices(indices.shape[1], indices.shape[1], 1)
        pairs = self.pairs(torch.cat([x[:, i] * x[:, j], x[:, i] + x[:, j]], dim=-1))
        y: Tensor = self.head(torch.cat([x.mean(dim=1), pairs.mean(dim=1)], dim=-1))
        return y[:, 0]


class SetAttention(nn.Module):  # type: ignore[misc]
    """Two blocks of self-attention over the elements: (n, k) -> (n,)."""

    def __init__(self, properties: Tensor, width: int = 48, n_heads: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.elements = ElementEncoder(properties, width)
        self.attention = nn.ModuleList(nn.MultiheadAttention(width, n_heads, batch_first=True) for _ in range(2))
        self.feedforward = nn.ModuleList(Dense([width, 2 * width, width]) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.head = Dense([width, width, 1], dropout=dropout)

    def forward(self, indices: Tensor) -> Tensor:
        """(n, k) element indices -> (n,) log-odds."""
        x = self.elements(indices)
        for block in range(2):
            y = self.norms[2 * block](x)
            x = x + self.attention[block](y, y, y, need_weights=False)[0]
            x = x + self.feedforward[block](self.norms[2 * block + 1](x))
        out: Tensor = self.head(x.mean(dim=1))
        return out[:, 0]
