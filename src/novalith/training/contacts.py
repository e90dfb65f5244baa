"""A loss for atoms that are too near, too lonely or in too small a cell: periodic, and differentiable throughout.

    loss = [ sum_{i<=j, m} relu(lo_ij - d_ijm)^2 + sum_i relu(min_{j,m} d_ijm - hi_i)^2 ] / atoms
           + relu(log(v_lo / v))^2 + relu(log(v / v_hi))^2

with the distances d_ijm of `novalith.networks.periodic` (Å), limits lo_ij from below for every pair, hi_i from above
for the nearest neighbour of an atom, and v the volume per atom (Å3). Inside the window the loss and its gradient are
zero: nothing is pulled to a preferred distance. The geometric loss of CrystalGAN (Nouira, Sokolovska, Crivello, 2018),
(d - d1)^2 + (d2 - d)^2, is a parabola about (d1 + d2) / 2 whose least value is (d2 - d1)^2 / 2, not a window, and as
published it read the distances back from files, so that no gradient came through.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from novalith.networks.periodic import SELF_A, nearest_images

#: Images looked at around each atom, the nearest ones: twice as many as touch in any close packing.
N_NEAREST = 24


@dataclass(frozen=True, eq=False)
class ContactLimits:
    """Limits of the atoms of a batch.

    Attributes:
        lowest: (n, N, N) Å, symmetric; 0 for pairs with an empty slot.
        highest: (n, N) Å, for the nearest neighbour of each atom; infinite for none.
        volume: (n, 2) Å3 per atom, lowest and highest.
    """

    lowest: Tensor
    highest: Tensor
    volume: Tensor


def contact_loss(cells: Tensor, positions: Tensor, occupied: Tensor, limits: ContactLimits) -> Tensor:
    """(n, 3, 3), (n, N, 3) fractional, (n, N) bool -> (n,) loss, Å2 per atom and squared logarithms of volume."""
    around = nearest_images(cells, positions, occupied, N_NEAREST)
    atoms = occupied.sum(dim=1).clamp_min(1)
    short = (limits.lowest.gather(2, around.index) - around.distances).clamp_min(0.0) ** 2
    # Each pair of two atoms is met from both sides, and each own image in two directions.
    crowded = short.sum(dim=(1, 2)) / 2
    nearest = around.distances.min(dim=2).values
    # An atom alone in a cell wider than its images reach has no neighbour and no limit from above.
    nearest = nearest.masked_fill(nearest >= SELF_A, 0.0)
    lonely = (((nearest - limits.highest).clamp_min(0.0) ** 2) * occupied).sum(dim=1)
    volume = torch.linalg.det(cells).clamp_min(1e-3) / atoms
    squeezed = (limits.volume[:, 0] / volume).log().clamp_min(0.0) ** 2
    swollen = (volume / limits.volume[:, 1]).log().clamp_min(0.0) ** 2
    loss: Tensor = (crowded + lonely) / atoms + squeezed + swollen
    return loss


@dataclass(frozen=True, eq=False)
class ContactTable:
    """Limits by element.

    Attributes:
        lowest: (elements, elements) Å, symmetric.
        highest: (elements,) Å, for the nearest neighbour.
        volume: (2,) Å3 per atom.
    """

    lowest: Tensor
    highest: Tensor
    volume: Tensor

    def of(self, kinds: Tensor) -> ContactLimits:
        """The limits of a batch of kinds (n, N)."""
        lowest = self.lowest[kinds[:, :, None], kinds[:, None, :]]
        return ContactLimits(lowest, self.highest[kinds], self.volume.expand(len(kinds), 2))
