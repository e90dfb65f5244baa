"""Distances in periodic cells as differentiable functions of the cell and the positions.

    d_ijm = |(f_j - f_i - round(f_j - f_i) + m) A|,   m in {-1, 0, 1}^3

with fractional positions f (n, N, 3), cells A (n, 3, 3) with vectors as rows and image vectors m. In a Niggli-reduced
cell these 27 images hold the nearest copy of every pair, an atom's own copies included; in a skewed cell they may not,
which is why products are judged by `novalith.screen`, not by this.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Added to squared distances (Å2), so that the gradient of the root stays finite where two atoms coincide.
_TINY = 1e-12
#: An atom is at this distance (Å) from itself: beyond every cutoff.
SELF_A = 1e3


def cell_vectors(lengths: Tensor, cosines: Tensor) -> Tensor:
    """Lengths (n, 3) in Å and cosines of alpha, beta, gamma (n, 3) -> cells (n, 3, 3), a along x, b in the xy plane.

    Cosines that make no cell give a flat one with a volume of next to nothing, not NaN.
    """
    ca, cb, cg = cosines.unbind(dim=1)
    sg = (1.0 - cg**2).clamp_min(1e-6).sqrt()
    along = (ca - cb * cg) / sg
    height = (1.0 - cb**2 - along**2).clamp_min(1e-6).sqrt()
    zero, one = torch.zeros_like(ca), torch.ones_like(ca)
    rows = [torch.stack([one, zero, zero], 1), torch.stack([cg, sg, zero], 1), torch.stack([cb, along, height], 1)]
    return torch.stack(rows, dim=1) * lengths[:, :, None]


def images(device: torch.device | None = None) -> Tensor:
    """The 27 image vectors (27, 3); the zero vector is number 13."""
    return torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)), device=device)


def pair_vectors(cells: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (n, N, N, 27, 3) and distances (n, N, N, 27) in Å from atom i to the images of atom j.

    Args:
        cells: (n, 3, 3) rows in Å.
        positions: (n, N, 3) fractional, any branch.
    """
    delta = positions[:, None, :, :] - positions[:, :, None, :]
    delta = delta - delta.detach().round()
    shifts = images(cells.device).to(cells.dtype)
    vectors = (delta[:, :, :, None, :] + shifts) @ cells[:, None, None]
    distances = ((vectors**2).sum(dim=-1) + _TINY).sqrt()
    n_atoms = positions.shape[1]
    own = torch.zeros(n_atoms, n_atoms, 27, dtype=torch.bool, device=cells.device)
    own[torch.arange(n_atoms), torch.arange(n_atoms), 13] = True
    return vectors, distances.masked_fill(own, SELF_A)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest images around every atom.

    Attributes:
        index: (n, N, k) atom j.
        vectors: (n, N, k, 3) Å from atom i to that image of atom j; carries gradients.
        distances: (n, N, k) Å, `SELF_A` where there is no neighbour; carries gradients.
    """

    index: Tensor
    vectors: Tensor
    distances: Tensor

    def gather(self, states: Tensor) -> Tensor:
        """States (n, N, w) of the neighbours, (n, N, k, w)."""
        n, n_atoms, k = self.index.shape
        flat = self.index.reshape(n, n_atoms * k, 1).expand(-1, -1, states.shape[2])
        return states.gather(1, flat).reshape(n, n_atoms, k, states.shape[2])


def nearest_images(cells: Tensor, positions: Tensor, occupied: Tensor, k: int) -> Neighbours:
    """The `k` nearest images of each atom, own images included; fewer where the cell has fewer.

    Which they are is decided without gradients, on all pairs; vectors and distances are then computed for them alone,
    which costs a thirtieth of all pairs.

    Args:
        cells: (n, 3, 3) rows in Å.
        positions: (n, N, 3) fractional, any branch.
        occupied: (n, N) bool; empty slots have no neighbours and are none.
        k: number of neighbours.
    """
    n, n_atoms, _ = positions.shape
    with torch.no_grad():
        squares = _squared_distances(cells, positions)
        both = occupied[:, :, None] & occupied[:, None, :]
        flat = squares.masked_fill(~both[..., None], SELF_A**2).reshape(n, n_atoms, n_atoms * 27)
        near, chosen = flat.topk(min(k, n_atoms * 27), dim=2, largest=False)
        index, image = chosen // 27, chosen % 27
        absent = near >= SELF_A**2
        shifts = images(cells.device).to(cells.dtype)[image]
    empty = Neighbours(index, shifts, near)
    delta = empty.gather(positions) - positions[:, :, None, :]
    delta = delta - delta.detach().round() + shifts
    vectors = (delta.reshape(n, -1, 3) @ cells).reshape(delta.shape)
    lengths = ((vectors**2).sum(dim=-1) + _TINY).sqrt()
    return Neighbours(index, vectors, lengths.masked_fill(absent, SELF_A))


def _squared_distances(cells: Tensor, positions: Tensor) -> Tensor:
    """(n, N, N, 27) Å2, by |p + v|^2 = |p|^2 + 2 p.v + |v|^2: one product instead of an array of vectors."""
    n, n_atoms, _ = positions.shape
    delta = positions[:, None, :, :] - positions[:, :, None, :]
    pairs = (delta - delta.round()).reshape(n, n_atoms**2, 3) @ cells
    shifts = images(cells.device).to(cells.dtype) @ cells
    constant = (pairs**2).sum(dim=2)[..., None] + (shifts**2).sum(dim=2)[:, None]
    squares = torch.baddbmm(constant, pairs, shifts.transpose(1, 2), alpha=2.0).clamp_min(0.0)
    squares = squares.reshape(n, n_atoms, n_atoms, 27)
    squares.diagonal(dim1=1, dim2=2)[:, 13] = SELF_A**2
    return squares


class RadialBasis(nn.Module):  # type: ignore[misc]
    """Distances as smooth numbers: Gaussians from `low` to `high`, faded out by (1 + cos(pi d / high)) / 2.

    Args:
        n_centres: number of Gaussians.
        low: first centre, Å.
        high: last centre and cutoff, Å.
    """

    centres: Tensor

    def __init__(self, n_centres: int = 12, low: float = 0.8, high: float = 4.8) -> None:
        super().__init__()
        self.high = high
        self.width = (high - low) / n_centres
        self.register_buffer("centres", torch.linspace(low, high - self.width, n_centres))

    def forward(self, distances: Tensor) -> Tensor:
        """(...,) Å -> (..., centres), zero beyond the cutoff."""
        capped = distances.clamp(max=self.high)
        fade = 0.5 * (1.0 + torch.cos(math.pi * capped / self.high))
        bumps = torch.exp(-(((capped[..., None] - self.centres) / self.width) ** 2))
        basis: Tensor = bumps * fade[..., None]
        return basis
