"""Generator, critic and classifier of point clouds in slots (see `novalith.represent.point_cloud` for the array).

    generator    (z, c) -> rows (n, 2 + slots, 3): cell, then o_s (10 f_s + 2.5) / 15 in each slot s
                 o_s = [sigmoid(occupancy of the slot given its element's count) > 1/2], its slope that of the sigmoid;
                 f_s from attention over the occupied slots, then moved by what the atoms see of each other
    critic       rows -> one number, through `SetCritic`: atoms pooled per element, the order of slots unseen
    classifier   rows -> for every element the distribution of its count, for every slot whether it is occupied

c is the one-hot count of each element (0 to its slots), then any properties. Kim et al. (ACS Cent. Sci. 6, 1412, 2020)
have transposed convolutions over slots and an occupancy that is wherever the output is near zero; here every slot says
whether it is there, so that "as many atoms as asked" is learned and read off before anything is masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from novalith.networks.dense import Dense
from novalith.networks.periodic import RadialBasis, cell_vectors, nearest_images
from novalith.networks.point_sets import (
    N_CENTRES,
    N_NEIGHBOURS,
    Displacer,
    Encoder,
    PointSet,
    SetCritic,
)

#: The array of `novalith.represent.point_cloud`, which no network may import: lengths over 30 Å, angles over 180
#: degrees, positions (10 f + 2.5) / 15, empty below a row sum of 0.4.
LENGTH_A, INNER, BORDER, OUTER, EMPTY_BELOW = 30.0, 10.0, 2.5, 15.0, 0.4
#: Angles of generated cells stay within 90 +- this many degrees; Niggli cells need 30.
ANGLE_RANGE_DEG = 45.0
#: Blocks of attention of the generator, and rounds in which its atoms move by what they see of each other.
N_BLOCKS, N_ROUNDS = 2, 2


def slot_kinds(slots: Sequence[int]) -> Tensor:
    """Slots of each element -> (slots,) index of the element."""
    return torch.repeat_interleave(torch.arange(len(slots)), torch.tensor(list(slots)))


def count_condition(counts: Tensor, slots: Sequence[int]) -> Tensor:
    """Counts (n, elements) -> one-hot (n, sum of slots + 1)."""
    parts = [nn.functional.one_hot(counts[:, e], n + 1) for e, n in enumerate(slots)]
    return torch.cat(parts, dim=1).float()


def rows_to_points(rows: Tensor, kinds: Tensor) -> PointSet:
    """Rows (n, 2 + slots, 3) as crystals, the occupied slots moved together so that little is computed for nothing."""
    occupied = rows[:, 2:].detach().sum(dim=2) >= EMPTY_BELOW
    most = max(int(occupied.sum(dim=1).max()), 1)
    order = torch.sort(occupied.to(torch.uint8), dim=1, descending=True, stable=True).indices[:, :most]
    positions = ((rows[:, 2:] * OUTER - BORDER) / INNER).gather(1, order[..., None].expand(-1, -1, 3))
    cells = cell_vectors(rows[:, 0] * LENGTH_A, torch.cos(math.pi * rows[:, 1]))
    return PointSet(cells, positions, kinds[order], occupied.gather(1, order))


class SlotGenerator(nn.Module):  # type: ignore[misc]
    """Noise and condition to rows.

    Args:
        slots: of each element.
        n_noise: width of z.
        n_properties: numbers of the condition after the counts.
        volume_a3_per_atom: typical volume of an atom, Å3.
        width: of the states.
    """

    kinds: Tensor

    def __init__(
        self, slots: Sequence[int], n_noise: int, n_properties: int, volume_a3_per_atom: float, width: int = 64
    ) -> None:
        super().__init__()
        self.slots = tuple(slots)
        self.register_buffer("kinds", slot_kinds(slots))
        self.volume = volume_a3_per_atom
        n_condition = sum(slots) + len(slots) + n_properties
        self.slot = nn.Parameter(torch.randn(sum(slots), width) * 0.5)
        self.count = nn.ModuleList(Dense([n + 1, 32, n]) for n in slots)
        self.context = Dense([n_noise + n_condition, 2 * width, width])
        self.attention = nn.ModuleList(nn.MultiheadAttention(width, 4, batch_first=True) for _ in range(N_BLOCKS))
        self.feedforward = nn.ModuleList(Dense([width, 2 * width, width]) for _ in range(N_BLOCKS))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * N_BLOCKS))
        self.place = Dense([width, width, 3])
        self.base = nn.Parameter(torch.rand(sum(slots), 3))
        self.cell = Dense([2 * width, width, 6])
        self.basis = RadialBasis(N_CENTRES)
        self.encoders = nn.ModuleList(Encoder(len(slots), 32, 1, width) for _ in range(N_ROUNDS))
        self.displacers = nn.ModuleList(Displacer(32) for _ in range(N_ROUNDS))

    def occupancy(self, condition: Tensor) -> Tensor:
        """Log-odds (n, slots) that a slot is occupied; each element's slots look at its own count."""
        parts, start = [], 0
        for n, network in zip(self.slots, self.count, strict=True):
            parts.append(network(condition[:, start : start + n + 1]))
            start += n + 1
        return torch.cat(parts, dim=1)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """(n, n_noise) and (n, c) -> rows (n, 2 + slots, 3)."""
        soft = torch.sigmoid(self.occupancy(condition))
        occupied = soft > 0.5
        there = soft + (occupied.to(soft.dtype) - soft).detach()
        context = self.context(torch.cat([noise, condition], dim=1))
        h = self.slot + context[:, None]
        # A cell without any atom still needs something to attend to.
        absent = ~occupied & occupied.any(dim=1, keepdim=True)
        for block, (attend, feed) in enumerate(zip(self.attention, self.feedforward, strict=True)):
            y = self.norms[2 * block](h)
            h = h + attend(y, y, y, key_padding_mask=absent, need_weights=False)[0]
            h = h + feed(self.norms[2 * block + 1](h))
        atoms = occupied.sum(dim=1).clamp_min(1).to(h.dtype)
        pooled = (h * occupied[..., None]).sum(dim=1) / atoms[:, None]
        shape = self.cell(torch.cat([context, pooled], dim=1))
        lengths = (atoms * self.volume)[:, None] ** (1 / 3) * torch.exp(torch.tanh(shape[:, :3] / 2))
        angles = (90.0 + ANGLE_RANGE_DEG * torch.tanh(shape[:, 3:] / 4)) / 180.0
        positions = self.base + self.place(h)
        kinds = self.kinds.expand(len(noise), -1)
        points = PointSet(cell_vectors(lengths, torch.cos(math.pi * angles)), positions, kinds, occupied)
        for encoder, displacer in zip(self.encoders, self.displacers, strict=True):
            around = nearest_images(points.cells, points.positions, points.occupied, N_NEIGHBOURS)
            basis = self.basis(around.distances)
            points = displacer(points, encoder(points, around, basis, h), around, basis)
        return _rows(points, there)


def _rows(points: PointSet, there: Tensor) -> Tensor:
    """Crystals in slots as rows; the cell turned back to lengths and angles."""
    lengths = (points.cells**2).sum(dim=2).add(1e-12).sqrt()
    unit = points.cells / lengths[..., None]
    cosines = torch.stack([(unit[:, i] * unit[:, j]).sum(dim=1) for i, j in ((1, 2), (0, 2), (0, 1))], dim=1)
    angles = torch.acos(cosines.clamp(-0.95, 0.95)) / math.pi
    inside = points.positions - points.positions.detach().floor()
    slots = (INNER * inside + BORDER) / OUTER * there[..., None]
    return torch.cat([(lengths / LENGTH_A)[:, None], angles[:, None], slots], dim=1)


class SlotCritic(nn.Module):  # type: ignore[misc]
    """How real rows look under a condition.

    Args:
        slots: of each element.
        n_condition: width of the condition.
        width: of the states.
    """

    kinds: Tensor

    def __init__(self, slots: Sequence[int], n_condition: int, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("kinds", slot_kinds(slots))
        self.critic = SetCritic(len(slots), width, n_condition)

    def forward(self, rows: Tensor, condition: Tensor) -> Tensor:
        """(n,) scores."""
        score: Tensor = self.critic(rows_to_points(rows, self.kinds), condition)
        return score


class CountClassifier(nn.Module):  # type: ignore[misc]
    """Kim's Q: reads the count of every element, and the occupancy of every slot, off the rows alone.

    Args:
        slots: of each element.
        width: of the state of a slot.
    """

    def __init__(self, slots: Sequence[int], width: int = 32) -> None:
        super().__init__()
        self.slots = tuple(slots)
        self.point = nn.ModuleList(Dense([3, width, width]) for _ in slots)
        self.occupied = nn.ModuleList(nn.Linear(width, 1) for _ in slots)
        self.number = nn.ModuleList(Dense([width, width, n + 1]) for n in slots)

    def forward(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Rows -> log-odds of occupancy (n, slots) and log-odds of the counts, (n, slots of the element + 1) each."""
        occupancy, counts, start = [], [], 2
        for n, point, occupied, number in zip(self.slots, self.point, self.occupied, self.number, strict=True):
            states = point(rows[:, start : start + n])
            occupancy.append(occupied(states)[..., 0])
            counts.append(number(states.sum(dim=1)))
            start += n
        return torch.cat(occupancy, dim=1), counts
