"""Pairs of translators and pairs of critics between two domains of crystals given as rows.

A row array (n, 3 + slots, 4) holds three cell vectors (Å, last column 0), then fractional positions times `POSITION_A`
and, in the last column, 1 for an occupied slot. Two domains share their slots and are handled as one array
(n, 2, 3 + slots, 4), so that the loop of `novalith.training.adversarial` trains both directions at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from novalith.networks.point_sets import PointSet, SetCritic, Translator

#: A fractional position is written times this, the length of a usual cell vector, so that a unit of a row is about 1 Å.
POSITION_A = 5.0


def rows_to_points(rows: Tensor, kinds: Tensor) -> PointSet:
    """Rows (n, 3 + slots, 4) as crystals."""
    occupied = rows[:, 3:, 3].detach() > 0.5
    # An empty cell in a mixture of two crystals would have no inverse; every mixture of real ones has.
    return PointSet(rows[:, :3, :3], rows[:, 3:, :3] / POSITION_A, kinds.expand(len(rows), -1), occupied)


def points_to_rows(points: PointSet) -> Tensor:
    """The inverse of `rows_to_points`; positions keep their branch."""
    cells = nn.functional.pad(points.cells, (0, 1))
    there = points.occupied[..., None].to(points.positions.dtype)
    return torch.cat([cells, torch.cat([points.positions * POSITION_A * there, there], dim=2)], dim=1)


def squared_error(made: PointSet, wanted: PointSet) -> tuple[Tensor, Tensor]:
    """Mean squared displacement of atoms over the nearest image, and of cell vectors, (n,) each, Å2.

    Displacements are measured in the wanted cell, less the common one of all atoms: an origin is nobody's error.
    """
    there = wanted.occupied[..., None].to(made.positions.dtype)
    atoms = there.sum(dim=1).clamp_min(1.0)
    delta = made.positions - wanted.positions
    delta = (delta - delta.detach().round()) * there
    delta = (delta - (delta.sum(dim=1) / atoms)[:, None]) * there
    moved = delta @ wanted.cells
    return (moved**2).sum(dim=(1, 2)) / atoms[:, 0], ((made.cells - wanted.cells) ** 2).sum(dim=2).mean(dim=1)


class TranslatorPair(nn.Module):  # type: ignore[misc]
    """Both translators; the condition holds the crystals to translate, A then B.

    Args:
        kinds: index of the element of every slot.
        width: of the states of atoms.
        n_rounds: rounds of each translator.
        n_noise: numbers drawn for each atom.
    """

    kinds: Tensor

    def __init__(self, kinds: Sequence[int], width: int, n_rounds: int, n_noise: int) -> None:
        super().__init__()
        self.register_buffer("kinds", torch.tensor(kinds))
        # The first makes A of B, the second B of A.
        self.translators = nn.ModuleList(Translator(max(kinds) + 1, width, n_rounds, n_noise) for _ in range(2))
        self.n_noise = 2 * n_noise * len(kinds)

    def one(self, rows: Tensor, noise: Tensor, to: int) -> Tensor:
        """Rows to rows of domain A (`to` 0) or B (1), noise (n, slots * n_noise)."""
        shaped = noise.reshape(len(rows), len(self.kinds), -1)
        return points_to_rows(self.translators[to](rows_to_points(rows, self.kinds), shaped))

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """(n, 2, 3 + slots, 4): A made of b, B made of a."""
        inputs = condition.reshape(len(noise), 2, 3 + len(self.kinds), 4)
        first, second = noise.chunk(2, dim=1)
        return torch.stack([self.one(inputs[:, 1], first, 0), self.one(inputs[:, 0], second, 1)], dim=1)

    def cycle(self, made: Tensor, condition: Tensor, generator: torch.Generator) -> Tensor:
        """(n,) squared errors of both cycles, Å2."""
        inputs = condition.reshape(made.shape)
        total = torch.zeros(len(made), device=made.device)
        for side in (0, 1):
            noise = torch.randn((len(made), self.n_noise // 2), generator=generator).to(made.device)
            back = rows_to_points(self.one(made[:, side], noise, 1 - side), self.kinds)
            moved, strained = squared_error(back, rows_to_points(inputs[:, 1 - side], self.kinds))
            total = total + moved + strained
        return total


class CriticPair(nn.Module):  # type: ignore[misc]
    """One critic a domain; the score of a pair is their sum."""

    kinds: Tensor

    def __init__(self, kinds: Sequence[int], width: int) -> None:
        super().__init__()
        self.register_buffer("kinds", torch.tensor(kinds))
        self.critics = nn.ModuleList(SetCritic(max(kinds) + 1, width) for _ in range(2))

    def forward(self, rows: Tensor, condition: Tensor) -> Tensor:
        """(n, 2, 3 + slots, 4) -> (n,)."""
        del condition
        scores = [critic(rows_to_points(rows[:, i], self.kinds)) for i, critic in enumerate(self.critics)]
        return torch.stack(scores).sum(dim=0)
