r"""A network that reads a formula as a set of elements with fractions: attention between elements, then pooling.

For elements :math:`i` of a formula with fractions :math:`x_i`, properties :math:`p_i` and a learned vector :math:`e_i`,

.. math::
    h_i &= \phi([e_i, p_i, f(x_i)]),\quad f(x) = (x, \ln x, \sqrt x, \sin m\pi x, \cos m\pi x)_{m = 1..M} \\
    h &\leftarrow h + \mathrm{MHA}(\mathrm{LN}(h)),\quad h \leftarrow h + \mathrm{mlp}(\mathrm{LN}(h))
    \quad\text{(blocks times)} \\
    g &= [\textstyle\sum_i x_i h_i,\ \sum_i a_i h_i],\quad a_i \propto x_i \exp(w \cdot h_i) \\
    y &= \rho(g),\quad s = \sigma(g)

with one value :math:`y` and one log-scale :math:`s` a target. The gradient of :math:`s` stops at :math:`g`, so that
learning the uncertainty leaves the values as they are. The order of the elements cannot matter, and elements that
differ only in their learned vector are still told apart by their properties.

Formulas of equal length are treated together, so no work is spent on padding: three elements in four places would cost
a third more. The places of a whole batch are filled up to a multiple of `_STEP`: processors compile a kernel for each
new shape of a half-precision product, and with a new number of places in every batch that took most of the time.

After Goodall and Lee (Roost), Nat. Commun. 11, 6280 (2020), for the weighted pooling, and Wang et al. (CrabNet), npj
Comput. Mater. 7, 77 (2021), for attention and fractional encodings; neither is copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from novalith.networks.dense import Dense

#: Places of a batch are filled up to a multiple of this.
_STEP = 256


@dataclass(frozen=True)
class SetSizes:
    """Sizes of the network.

    Attributes:
        width: of every element's vector; a multiple of `n_heads`.
        n_blocks: of attention and feed-forward.
        n_heads: of the attention.
        feedforward: width inside the feed-forward part, as a multiple of `width`.
        n_waves: M of the fractional encoding.
        n_embedding: of the learned vector of an element.
    """

    width: int = 256
    n_blocks: int = 4
    n_heads: int = 8
    feedforward: int = 2
    n_waves: int = 12
    n_embedding: int = 32


class CompositionSet(nn.Module):  # type: ignore[misc]
    """Values and log-scales of formulas.

    Args:
        properties: (elements + 1, p) standardised, by atomic number; row 0 is never read.
        n_targets: t.
        sizes: of the network.
    """

    properties: Tensor

    def __init__(self, properties: Tensor, n_targets: int, sizes: SetSizes) -> None:
        super().__init__()
        width = sizes.width
        self.sizes, self.n_targets = sizes, n_targets
        self.register_buffer("properties", properties)
        self.embedding = nn.Embedding(len(properties), sizes.n_embedding)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.enter = Dense([sizes.n_embedding + properties.shape[1] + 3 + 2 * sizes.n_waves, width, width])
        self.blocks = nn.ModuleList(_Block(sizes) for _ in range(sizes.n_blocks))
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 1)
        self.values = Dense([2 * width, width, n_targets])
        self.scales = Dense([2 * width, width // 4, n_targets])

    def forward(self, elements: Tensor, fractions: Tensor) -> tuple[Tensor, Tensor]:
        """(n, k) atomic numbers, zero where there is none, and (n, k) fractions -> (n, t) values and log-scales."""
        mask = elements > 0
        lengths, order = mask.sum(dim=1).sort(stable=True)
        counts = torch.bincount(lengths).tolist()
        groups = [(length, n) for length, n in enumerate(counts) if n and length]
        mask = mask[order]
        z, x = elements[order][mask], fractions[order][mask]  # (T,): row after row, shorter rows first
        n_filled = -len(z) % _STEP
        z, x = nn.functional.pad(z, (0, n_filled)), nn.functional.pad(x, (0, n_filled), value=1.0)
        filled = [*groups, (1, n_filled)]
        h = self.enter(torch.cat([self.embedding(z), self.properties[z], self._encoded(x)], dim=-1))
        for block in self.blocks:
            h = block(h, filled)
        h = self.norm(h)
        scores = self.gate(h)[:, 0].float() + x.log()
        parts = []
        for _, n, held, weight, score in _grouped(filled, h, x, scores):
            weights = torch.stack([weight, score.softmax(dim=1)], dim=1)  # (n, 2, length)
            parts.append(_product(weights, held).reshape(n, 2 * h.shape[1]))
        g = torch.cat(parts[: len(groups)]) if groups else h.new_zeros(0, 2 * h.shape[1])
        if counts and counts[0]:  # rows without elements
            g = torch.cat([g.new_zeros(counts[0], g.shape[1]), g])
        g = g.index_select(0, order.argsort())
        return self.values(g).float(), self.scales(g.detach()).float()

    def _encoded(self, x: Tensor) -> Tensor:
        waves = math.pi * x[:, None] * torch.arange(1, self.sizes.n_waves + 1, device=x.device)
        plain = torch.stack([x, x.log() / 4, x.sqrt()], dim=-1)
        return torch.cat([plain, waves.sin(), waves.cos()], dim=-1)


def _grouped(groups: list[tuple[int, int]], *arrays: Tensor) -> Iterator[tuple[Any, ...]]:
    """For each group its length, its number of formulas, and every (T, ...) array as (n, length, ...).

    Split, not sliced: the gradient of a slice is as large as the whole.
    """
    places = [length * n for length, n in groups]
    for (length, n), *parts in zip(groups, *(a.split(places) for a in arrays), strict=True):
        yield length, n, *(part.view(n, length, *part.shape[1:]) for part in parts)


class _Block(nn.Module):  # type: ignore[misc]
    """Attention among the elements of each formula, then a feed-forward part; both added to their input."""

    def __init__(self, sizes: SetSizes) -> None:
        super().__init__()
        width = sizes.width
        self.n_heads = sizes.n_heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.project = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.feedforward = Dense([width, sizes.feedforward * width, width])

    def forward(self, h: Tensor, groups: list[tuple[int, int]]) -> Tensor:
        """(T, width) -> (T, width); `groups` are (elements, formulas) of equal length, one after the other."""
        qkv = self.project(self.norms[0](h))
        parts = []
        for length, n, part in _grouped(groups, qkv):
            width = part.shape[-1] // 3
            q, k, v = part.view(n, length, 3, self.n_heads, width // self.n_heads).unbind(dim=2)
            parts.append(_attend(q, k, v).reshape(n * length, width).to(part.dtype))
        h = h + self.merge(torch.cat(parts))
        out: Tensor = h + self.feedforward(self.norms[1](h))
        return out


def _product(a: Tensor, b: Tensor) -> Tensor:
    """(n, i, j) times (n, j, k) in single precision: in half precision each new n would be compiled."""
    with torch.autocast(a.device.type, enabled=False):
        c: Tensor = a.float() @ b.float()
    return c


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention; all (n, length, heads, d)."""
    if q.shape[1] == 1:
        return v
    n, length, n_heads, d = q.shape
    q, k, v = (t.transpose(1, 2).reshape(n * n_heads, length, d) for t in (q, k, v))
    weights = (_product(q, k.transpose(1, 2)) * d**-0.5).softmax(dim=2)
    return _product(weights, v).view(n, n_heads, length, d).transpose(1, 2)
