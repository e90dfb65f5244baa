"""Networks of crystals as sets of atoms: what they say depends on distances, not on origin, axes or order.

With b_k radial functions of the distance d_ij to each of the nearest images j around atom i and u_ij the unit vector to
it (`novalith.networks.periodic`),

    encoder    h_i <- h_i + mlp([h_i, sum_j (W b(d_ij)) * (U h_j)])                        (atoms, width), invariant
    displacer  dr_i = sum_j c(h_i, h_j) b(d_ij) u_ij,  e = sum_ij c'(h_i, h_j) b(d_ij) u_ij u_ij^T / N
    critic     D = mlp([mean of h_i per element, cell])                                          one number a crystal

dr and e turn with the crystal. The interactions are those of SchNet (Schütt et al., J. Chem. Phys. 148, 241722, 2018),
the displacements those of equivariant graph networks (Satorras, Hoogeboom, Welling, ICML 2021). They take the place of
the 1 x 3 convolutions over slots of Kim et al. (2020) and of the dense layers on single points of Nouira et al. (2018),
neither of which sees how far two atoms are apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from novalith.networks.dense import Dense
from novalith.networks.periodic import Neighbours, RadialBasis, nearest_images

#: Radial functions, and images seen around each atom.
N_CENTRES, N_NEIGHBOURS = 10, 12


@dataclass(frozen=True, eq=False)
class PointSet:
    """A batch of crystals.

    Attributes:
        cells: (n, 3, 3) rows in Å.
        positions: (n, N, 3) fractional, any branch.
        kinds: (n, N) index of the element.
        occupied: (n, N) bool.
    """

    cells: Tensor
    positions: Tensor
    kinds: Tensor
    occupied: Tensor

    @property
    def n_atoms(self) -> Tensor:
        """(n,) atoms of each crystal."""
        return self.occupied.sum(dim=1)


class Encoder(nn.Module):  # type: ignore[misc]
    """Invariant states of atoms.

    Args:
        n_kinds: elements.
        width: of a state.
        n_layers: rounds of messages.
        n_extra: further numbers of each atom that come in beside its element.
    """

    def __init__(self, n_kinds: int, width: int, n_layers: int = 2, n_extra: int = 0) -> None:
        super().__init__()
        self.n_kinds = n_kinds
        self.start = nn.Linear(n_kinds + n_extra, width)
        self.filters = nn.ModuleList(nn.Linear(N_CENTRES, width, bias=False) for _ in range(n_layers))
        self.sources = nn.ModuleList(nn.Linear(width, width) for _ in range(n_layers))
        self.updates = nn.ModuleList(Dense([2 * width, width, width]) for _ in range(n_layers))

    def forward(self, points: PointSet, around: Neighbours, basis: Tensor, extra: Tensor | None = None) -> Tensor:
        """Basis (n, N, k, centres) and extra (n, N, e) -> states (n, N, width), zero at empty slots."""
        kinds = nn.functional.one_hot(points.kinds, self.n_kinds).to(basis.dtype)
        seen = points.occupied[..., None].to(basis.dtype)
        h = self.start(kinds if extra is None else torch.cat([kinds, extra], dim=-1)) * seen
        for make_filter, source, update in zip(self.filters, self.sources, self.updates, strict=True):
            # Without bias, a neighbour that is not there says nothing.
            message = (make_filter(basis) * around.gather(source(h))).sum(dim=2) / 4.0
            h = (h + update(torch.cat([h, message], dim=-1))) * seen
        return h


class Displacer(nn.Module):  # type: ignore[misc]
    """Moves atoms along the vectors to their neighbours and strains the cell.

    Args:
        width: of the states.
        reach: displacements saturate smoothly at this many Å, strains at a tenth of that.
    """

    def __init__(self, width: int, reach: float = 2.0) -> None:
        super().__init__()
        self.receiver, self.sender = nn.Linear(width, width), nn.Linear(width, width)
        self.move, self.strain = nn.Linear(width, N_CENTRES), nn.Linear(width, N_CENTRES)
        self.reach = reach

    def forward(self, points: PointSet, h: Tensor, around: Neighbours, basis: Tensor) -> PointSet:
        """The batch with its atoms moved and its cells strained."""
        pair = nn.functional.silu(self.receiver(h)[:, :, None] + around.gather(self.sender(h)))
        u = around.vectors / around.distances[..., None]
        moves = ((self.move(pair) * basis).sum(dim=-1, keepdim=True) * u).sum(dim=2)
        size = (moves**2).sum(dim=-1, keepdim=True).add(1e-8).sqrt()
        moves = moves * (self.reach * torch.tanh(size / self.reach) / size)
        atoms = points.n_atoms.clamp_min(1).to(moves.dtype)
        pull = (self.strain(pair) * basis).sum(dim=-1)
        strain = torch.einsum("nij,nijx,nijy->nxy", pull, u, u) / (4.0 * atoms[:, None, None])
        size = (strain**2).sum(dim=(1, 2), keepdim=True).add(1e-8).sqrt()
        strain = strain * (0.1 * self.reach * torch.tanh(size / (0.1 * self.reach)) / size)
        fractional = torch.linalg.solve(points.cells.transpose(1, 2), moves.transpose(1, 2)).transpose(1, 2)
        seen = points.occupied[..., None].to(moves.dtype)
        cells = points.cells @ torch.linalg.matrix_exp(strain)
        return PointSet(cells, points.positions + fractional * seen, points.kinds, points.occupied)


class Translator(nn.Module):  # type: ignore[misc]
    """A crystal to a crystal with the same atoms, moved: rounds of encoder and displacer.

    Args:
        n_kinds: elements.
        width: of the states.
        n_rounds: rounds.
        n_noise: numbers drawn for each atom, so that atoms alike by symmetry may part.
    """

    def __init__(self, n_kinds: int, width: int, n_rounds: int = 2, n_noise: int = 0) -> None:
        super().__init__()
        self.basis = RadialBasis(N_CENTRES)
        self.n_noise = n_noise
        self.encoders = nn.ModuleList(Encoder(n_kinds, width, 1, n_noise) for _ in range(n_rounds))
        self.displacers = nn.ModuleList(Displacer(width) for _ in range(n_rounds))

    def forward(self, points: PointSet, noise: Tensor | None = None) -> PointSet:
        """Noise (n, N, n_noise) where the translator takes any."""
        for encoder, displacer in zip(self.encoders, self.displacers, strict=True):
            around = nearest_images(points.cells, points.positions, points.occupied, N_NEIGHBOURS)
            basis = self.basis(around.distances)
            points = displacer(points, encoder(points, around, basis, noise), around, basis)
        return points


def per_element_means(h: Tensor, points: PointSet, n_kinds: int) -> Tensor:
    """States (n, N, w) -> their means over the atoms of each element (n, n_kinds * w); the order of slots is lost."""
    kinds = nn.functional.one_hot(points.kinds, n_kinds).to(h.dtype) * points.occupied[..., None]
    means = torch.einsum("nie,niw->new", kinds, h) / kinds.sum(dim=1).clamp_min(1.0)[..., None]
    return means.flatten(1)


def cell_features(cells: Tensor, n_atoms: Tensor) -> Tensor:
    """Cells as (n, 7): logarithms of the lengths, cosines of the angles, logarithm of the volume per atom."""
    lengths = (cells**2).sum(dim=2).add(1e-12).sqrt()
    unit = cells / lengths[..., None]
    cosines = torch.stack([(unit[:, i] * unit[:, j]).sum(dim=1) for i, j in ((1, 2), (0, 2), (0, 1))], dim=1)
    volume = torch.linalg.det(cells).clamp_min(1e-3) / n_atoms.clamp_min(1)
    return torch.cat([lengths.log(), cosines, volume.log()[:, None]], dim=1)


class SetCritic(nn.Module):  # type: ignore[misc]
    """How real a crystal looks: states pooled per element, with the cell and the condition.

    Args:
        n_kinds: elements.
        width: of the states.
        n_condition: width of the condition.
        n_layers: rounds of messages.
    """

    def __init__(self, n_kinds: int, width: int, n_condition: int = 0, n_layers: int = 2) -> None:
        super().__init__()
        self.n_kinds = n_kinds
        self.basis = RadialBasis(N_CENTRES)
        self.encoder = Encoder(n_kinds, width, n_layers)
        self.head = Dense([n_kinds * width + 7 + n_condition, 2 * width, width, 1])

    def forward(self, points: PointSet, condition: Tensor | None = None) -> Tensor:
        """(n,) scores."""
        around = nearest_images(points.cells, points.positions, points.occupied, N_NEIGHBOURS)
        h = self.encoder(points, around, self.basis(around.distances))
        features = [per_element_means(h, points, self.n_kinds), cell_features(points.cells, points.n_atoms)]
        score: Tensor = self.head(torch.cat(features if condition is None else [*features, condition], dim=1))
        return score[:, 0]
