"""Generator, critic and classifier of point clouds in slots (see `novalith.represent.point_cloud` for the array).

    generator    (z, c) -> rows (n, 2 + slots, 3), ten times: cell, then o_s (10 f_s + 2.5) / 15 in each slot s
                 o_s = [sigmoid(occupancy of the slot given its element's count) > 1/2], its slope that of the sigmoid;
                 f_s uniform in the cell at first, then moved in rounds by what the atoms see of each other
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
#: Rows are the array times this: a unit is then about one Å of a position, and a critic of slope 1, which is
#: what the gradient penalty asks for, tells crystals apart that differ by an Å.
ROW_SCALE = 10.0
#: Angles of generated cells stay within 90 +- this many degrees; Niggli cells need 30.
ANGLE_RANGE_DEG = 45.0
#: Rounds in which the generator's atoms move by what they see of each other, how far at most in one (Å), and numbers
#: drawn for each atom beside its first position.
N_ROUNDS, REACH_A, N_OWN = 5, 1.5, 4


def slot_kinds(slots: Sequence[int]) -> Tensor:
    """Slots of each element -> (slots,) index of the element."""
    return torch.repeat_interleave(torch.arange(len(slots)), torch.tensor(list(slots)))


def count_condition(counts: Tensor, slots: Sequence[int]) -> Tensor:
    """Counts (n, elements) -> one-hot (n, sum of slots + 1)."""
    parts = [nn.functional.one_hot(counts[:, e], n + 1) for e, n in enumerate(slots)]
    return torch.cat(parts, dim=1).float()


def rows_to_points(rows: Tensor, kinds: Tensor) -> PointSet:
    """Rows (n, 2 + slots, 3) as crystals, the occupied slots moved together so that little is computed for nothing."""
    rows = rows / ROW_SCALE
    occupied = rows[:, 2:].detach().sum(dim=2) >= EMPTY_BELOW
    order = _occupied_first(occupied)
    positions = ((rows[:, 2:] * OUTER - BORDER) / INNER).gather(1, order[..., None].expand(-1, -1, 3))
    cells = cell_vectors(rows[:, 0] * LENGTH_A, torch.cos(math.pi * rows[:, 1]))
    return PointSet(cells, positions, kinds[order], occupied.gather(1, order))


class SlotGenerator(nn.Module):  # type: ignore[misc]
    """Noise and condition to rows.

    Args:
        slots: of each element.
        n_noise: numbers of z that the whole crystal shares; `noise_width` says how many there are in all.
        n_properties: numbers of the condition after the counts.
        volume_a3_per_atom: typical volume of an atom, Å3.
        width: of the states.
    """

    kinds: Tensor

    def __init__(
        self, slots: Sequence[int], n_noise: int, n_properties: int, volume_a3_per_atom: float, width: int = 32
    ) -> None:
        super().__init__()
        self.slots, self.n_noise = tuple(slots), n_noise
        self.register_buffer("kinds", slot_kinds(slots))
        self.volume = volume_a3_per_atom
        n_condition = sum(slots) + len(slots) + n_properties
        self.count = nn.ModuleList(Dense([n + 1, 32, n]) for n in slots)
        self.context = Dense([n_noise + n_condition, 2 * width, width])
        self.cell = Dense([width, width, 6])
        self.basis = RadialBasis(N_CENTRES)
        self.start = nn.Linear(width + N_OWN, width)
        self.encoders = nn.ModuleList(Encoder(len(slots), width, 1, width) for _ in range(N_ROUNDS))
        self.displacers = nn.ModuleList(Displacer(width, REACH_A) for _ in range(N_ROUNDS))

    @staticmethod
    def noise_width(slots: Sequence[int], n_noise: int) -> int:
        """Numbers of z: the shared ones, and for every slot its first position and `N_OWN` more."""
        return n_noise + sum(slots) * (3 + N_OWN)

    def occupancy(self, condition: Tensor) -> Tensor:
        """Log-odds (n, slots) that a slot is occupied; each element's slots look at its own count."""
        parts, start = [], 0
        for n, network in zip(self.slots, self.count, strict=True):
            parts.append(network(condition[:, start : start + n + 1]))
            start += n + 1
        return torch.cat(parts, dim=1)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """(n, `noise_width`) and (n, c) -> rows (n, 2 + slots, 3)."""
        n, n_slots = len(noise), len(self.kinds)
        soft = torch.sigmoid(self.occupancy(condition))
        occupied = soft > 0.5
        there = soft + (occupied.to(soft.dtype) - soft).detach()
        context = self.context(torch.cat([noise[:, : self.n_noise], condition], dim=1))
        own = noise[:, self.n_noise :].reshape(n, n_slots, 3 + N_OWN)
        atoms = occupied.sum(dim=1).clamp_min(1).to(noise.dtype)
        shape = self.cell(context)
        lengths = (atoms * self.volume)[:, None] ** (1 / 3) * torch.exp(torch.tanh(shape[:, :3] / 2))
        cosines = torch.cos((90.0 + ANGLE_RANGE_DEG * torch.tanh(shape[:, 3:] / 4)) * math.pi / 180.0)
        # Occupied slots are moved together while atoms see each other, and put back where they were.
        order = _occupied_first(occupied)
        own = own.gather(1, order[..., None].expand(-1, -1, 3 + N_OWN))
        # The normal distribution function makes normal numbers uniform: no place of the cell is preferred.
        places = torch.special.ndtr(own[..., :3])
        points = PointSet(cell_vectors(lengths, cosines), places, self.kinds[order], occupied.gather(1, order))
        h = self.start(torch.cat([context[:, None].expand(-1, order.shape[1], -1), own[..., 3:]], dim=2))
        for encoder, displacer in zip(self.encoders, self.displacers, strict=True):
            around = nearest_images(points.cells, points.positions, points.occupied, N_NEIGHBOURS)
            basis = self.basis(around.distances)
            h = encoder(points, around, basis, h)
            points = displacer(points, h, around, basis)
        positions = torch.zeros(n, n_slots, 3, dtype=places.dtype, device=places.device)
        positions = positions.scatter(1, order[..., None].expand(-1, -1, 3), points.positions)
        return _rows(points.cells, positions, there)


def _occupied_first(occupied: Tensor) -> Tensor:
    """(n, slots) bool -> slot numbers (n, most), the occupied ones first and in their order."""
    most = max(int(occupied.sum(dim=1).max()), 1)
    return torch.sort(occupied.to(torch.uint8), dim=1, descending=True, stable=True).indices[:, :most]


def _rows(cells: Tensor, positions: Tensor, there: Tensor) -> Tensor:
    """Cells and positions in slots as rows; the cell turned back to lengths and angles."""
    lengths = (cells**2).sum(dim=2).add(1e-12).sqrt()
    unit = cells / lengths[..., None]
    cosines = torch.stack([(unit[:, i] * unit[:, j]).sum(dim=1) for i, j in ((1, 2), (0, 2), (0, 1))], dim=1)
    angles = torch.acos(cosines.clamp(-0.95, 0.95)) / math.pi
    inside = positions - positions.detach().floor()
    slots = (INNER * inside + BORDER) / OUTER * there[..., None]
    return ROW_SCALE * torch.cat([(lengths / LENGTH_A)[:, None], angles[:, None], slots], dim=1)


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
