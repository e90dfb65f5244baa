r"""Gated convolutions on graphs of crystals, and the pooling of atoms to one vector a crystal.

The published convolution (Xie and Grossman, 2018) of node vectors :math:`v_i` (N, w) and edge vectors
:math:`e_{ij}` (E, 41):

.. math:: v_i' = g(v_i + \mathrm{BN}(\sum_j \sigma(z^{gate}_{ij}) \odot g(z^{core}_{ij}))), \qquad
          z_{ij} = \mathrm{BN}(W [v_i, v_j, e_{ij}] + b)

with :math:`g` the softplus. The matrix is split, :math:`W [v_i, v_j, e_{ij}] = W_1 v_i + W_2 v_j + W_3 e_{ij}`: the
first two act on the nodes, of which there are a tenth as many as edges, and are then gathered.

`LayerConvolution` keeps the gate and the split, and puts the layer norm in the place of both batch norms, with a
feed-forward part on the nodes after it. It treats every edge alike whatever else is in the batch, so that an edge which
stands for c equal neighbours may be weighted by c, and graphs of merged atoms give the answer of the full ones.

`CrystalGraphNetwork` stacks them. Pooled vector of a crystal: the mean over its atoms and an attention-weighted mean,
both weighted by the share of the atoms that a node stands for, (n, 2 w). Heads for each target act on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from novalith.networks.dense import Dense
from novalith.networks.gated_sum import gated_sum


@dataclass(frozen=True, eq=False)
class GraphTensors:
    """Graphs of n crystals, one after the other.

    Attributes:
        elements: (N,) atomic numbers.
        shares: (N,) share of the crystal's atoms.
        surroundings: (N, s) description of each atom's neighbourhood, in its own units.
        crystals: (N,) crystal of each node, not decreasing.
        centres: (E,) node at which an edge begins.
        neighbours: (E,) node at which it ends.
        distances: (E,) Å.
        counts: (E,) neighbours that it stands for.
        n_crystals: n.
    """

    elements: Tensor
    shares: Tensor
    surroundings: Tensor
    crystals: Tensor
    centres: Tensor
    neighbours: Tensor
    distances: Tensor
    counts: Tensor
    n_crystals: int


@dataclass(frozen=True)
class GraphSizes:
    """Sizes of the network.

    Attributes:
        width: of node vectors.
        n_convolutions: one after the other.
        n_embedding: learned numbers an element, beside its properties.
        n_hidden: width of the heads.
        convolution: "layer", or "published" for the batch norms and softplus of the paper and its mean pooling.
        dropout: of the pooled vector, in training.
    """

    width: int = 96
    n_convolutions: int = 3
    n_embedding: int = 24
    n_hidden: int = 96
    convolution: str = "layer"
    dropout: float = 0.0


class DistanceBasis(nn.Module):  # type: ignore[misc]
    """Gaussians of a number: exp(-((x - m) / step)^2) at m = low, low + step, ... up to high."""

    centres: Tensor

    def __init__(self, low: float, high: float, step: float) -> None:
        super().__init__()
        n = round((high - low) / step) + 1
        self.step = step
        self.register_buffer("centres", torch.linspace(low, high, n), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(E,) -> (E, g)."""
        # Not smaller than 1e-7: products of denormal numbers take processors a hundred times as long.
        return torch.exp(-(((x[:, None] - self.centres) / self.step) ** 2).clamp(max=16.0))


class PublishedConvolution(nn.Module):  # type: ignore[misc]
    """The convolution as published, its matrix split."""

    def __init__(self, width: int, n_edge: int) -> None:
        super().__init__()
        self.centre = nn.Linear(width, 2 * width)
        self.neighbour = nn.Linear(width, 2 * width, bias=False)
        self.edge = nn.Linear(n_edge, 2 * width, bias=False)
        self.norm_edges = nn.BatchNorm1d(2 * width)
        self.norm_nodes = nn.BatchNorm1d(width)

    def forward(self, v: Tensor, edges: Tensor, graph: GraphTensors) -> Tensor:
        """(N, w) and (E, g) -> (N, w)."""
        z = self.edge(edges)
        z = z + self.centre(v).index_select(0, graph.centres) + self.neighbour(v).index_select(0, graph.neighbours)
        gate, core = self.norm_edges(z).chunk(2, dim=1)
        message = torch.sigmoid(gate) * functional.softplus(core) * graph.counts[:, None]
        summed = torch.zeros_like(v).index_add_(0, graph.centres, message)
        out: Tensor = functional.softplus(v + self.norm_nodes(summed))
        return out


class LayerConvolution(nn.Module):  # type: ignore[misc]
    """Gated sum over neighbours, then a feed-forward part; both are added to the node vectors."""

    def __init__(self, width: int, n_edge: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.ends = nn.Linear(width, 4 * width)
        self.edge = nn.Linear(n_edge, 2 * width, bias=False)
        self.norm_message = nn.LayerNorm(width)
        self.feedforward = Dense([2 * width, 2 * width, width])

    def forward(self, v: Tensor, edges: Tensor, graph: GraphTensors) -> Tensor:
        """(N, w) and (E, g) -> (N, w)."""
        normal = self.norm(v)
        centre, neighbour = self.ends(normal).chunk(2, dim=1)
        summed = gated_sum(
            centre, neighbour, self.edge.weight, edges, graph.counts, graph.centres, graph.neighbours
        )  # fmt: skip
        out: Tensor = v + self.feedforward(torch.cat([normal, self.norm_message(summed)], dim=1))
        return out


class CrystalGraphNetwork(nn.Module):  # type: ignore[misc]
    """Values and log-scales of crystals.

    Args:
        properties: (elements + 1, p) standardised, by atomic number.
        radii: (elements + 1,) covalent radius, Å: distances are also read in units of the sum of two radii.
        n_surroundings: s.
        n_outputs: o: targets and a logit for the gap.
        sizes: of the network.
    """

    properties: Tensor
    radii: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(
        self, properties: Tensor, radii: Tensor, n_surroundings: int, n_outputs: int, sizes: GraphSizes
    ) -> None:
        super().__init__()
        width = sizes.width
        self.sizes, self.n_outputs = sizes, n_outputs
        self.published = sizes.convolution == "published"
        self.register_buffer("properties", properties, persistent=False)
        self.register_buffer("radii", radii, persistent=False)
        self.register_buffer("shift", torch.zeros(n_surroundings))
        self.register_buffer("scale", torch.ones(n_surroundings))
        self.distances = DistanceBasis(0.0, 8.0, 0.2)
        self.relative = DistanceBasis(0.6, 2.6, 0.1)
        n_edge = 41 if self.published else 62
        n_node = properties.shape[1] + sizes.n_embedding + (0 if self.published else n_surroundings)
        self.embedding = nn.Embedding(len(properties), sizes.n_embedding)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.enter = nn.Linear(n_node, width) if self.published else Dense([n_node, width, width])
        kind = PublishedConvolution if self.published else LayerConvolution
        self.convolutions = nn.ModuleList(kind(width, n_edge) for _ in range(sizes.n_convolutions))
        self.attention = nn.Linear(width, 1)
        pooled = self.n_pooled
        self.norm = nn.Identity() if self.published else nn.LayerNorm(pooled)
        self.dropout = nn.Dropout(sizes.dropout)
        self.trunk = Dense([pooled, sizes.n_hidden])
        self.values = nn.ModuleList(Dense([sizes.n_hidden, sizes.n_hidden // 2, 1]) for _ in range(n_outputs))
        self.scales = Dense([pooled, sizes.n_hidden // 2, n_outputs])

    @property
    def n_pooled(self) -> int:
        """Length of the pooled vector."""
        return self.sizes.width * (1 if self.published else 2)

    def standardise(self, shift: Tensor, scale: Tensor) -> None:
        """Set the mean and the deviation of the surroundings of the training."""
        self.shift.copy_(shift)
        self.scale.copy_(scale)

    def pooled(self, graph: GraphTensors) -> Tensor:
        """(n, `n_pooled`) vectors of crystals."""
        z = graph.elements
        parts = [self.embedding(z), self.properties[z]]
        edges = self.distances(graph.distances.clamp(max=8.0))
        if not self.published:
            parts.append(((graph.surroundings - self.shift) / self.scale).clamp(-5, 5))
            sums = self.radii[z][graph.centres] + self.radii[z][graph.neighbours]
            edges = torch.cat([edges, self.relative((graph.distances / sums).clamp(max=2.6))], dim=1)
        v = self.enter(torch.cat(parts, dim=1)).float()
        for convolution in self.convolutions:
            v = convolution(v, edges, graph).float()
        mean = _sums(v * graph.shares[:, None], graph)
        if self.published:
            return functional.softplus(mean)
        score = self.attention(v)[:, 0].float()
        weight = score.clamp(-15, 15).exp() * graph.shares
        total = torch.zeros(graph.n_crystals).to(weight).index_add_(0, graph.crystals, weight)
        attended = _sums(v * (weight / total[graph.crystals])[:, None], graph)
        out: Tensor = self.norm(torch.cat([mean, attended], dim=1))
        return out

    def heads(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(n, `n_pooled`) -> (n, o) values and log-scales; the latter do not change the former in training."""
        trunk = functional.silu(self.trunk(self.dropout(pooled)))
        values = torch.cat([head(trunk) for head in self.values], dim=1)
        return values.float(), self.scales(pooled.detach()).float()

    def forward(self, graph: GraphTensors) -> tuple[Tensor, Tensor]:
        """(n, o) values and log-scales."""
        return self.heads(self.pooled(graph))


def _sums(v: Tensor, graph: GraphTensors) -> Tensor:
    return torch.zeros(graph.n_crystals, v.shape[1]).to(v).index_add_(0, graph.crystals, v)
