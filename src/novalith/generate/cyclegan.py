"""Cycle-consistent translation between two domains of crystals given as cells and slots.

Two translators G: A -> B and F: B -> A, two critics D_A and D_B; with a from A and b from B,

    critics       E D_A(F(b)) - E D_A(a) + E D_B(G(a)) - E D_B(b) + gradient penalty
    translators   -E D_A(F(b)) - E D_B(G(a)) + lambda (|F(G(a)) - a|^2 + |G(F(b)) - b|^2) + constraint(F(b), G(a))

Zhu, Park, Isola, Efros, ICCV 2017, with the Wasserstein loss of `novalith.training.adversarial` in place of least
squares. A translator moves atoms and strains the cell, and keeps which atoms there are, so that a cycle is measured
atom by atom, over the nearest image: |.|^2 is the mean squared displacement (Å2) plus the mean squared change of the
cell (Å2). The constraint is whatever the caller gives, with gradients: distances, volumes. A domain is an array
(n, 3 + slots, 4) as `novalith.networks.crystal_pairs` defines it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.errors import InputError
from novalith.generate.base import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.networks.crystal_pairs import TranslatorPair
    from novalith.networks.point_sets import PointSet
    from novalith.training.adversarial import AdversarialReport, AdversarialSettings, AdversarialSupervision

#: A loss (n,) of a batch of translated crystals, with gradients.
Constraint = Callable[["PointSet"], "Tensor"]


@dataclass(frozen=True)
class CycleSettings:
    """Sizes and training.

    Attributes:
        width: of the states of atoms.
        n_rounds: rounds in which a translator lets atoms see each other and move.
        n_noise: numbers drawn for each atom, so that atoms alike by symmetry may part.
        cycle_weight: lambda.
        constraint_weight: of the constraint; 0 leaves it out.
        n_epochs: passes over the larger domain.
        batch_size: crystals of each domain a step.
        rate: learning rate of the translators; the critics' is twice that.
        critic_steps: steps of the critics to one of the translators.
    """

    width: int = 32
    n_rounds: int = 2
    n_noise: int = 4
    cycle_weight: float = 1.0
    constraint_weight: float = 0.0
    n_epochs: int = 60
    batch_size: int = 16
    rate: float = 5e-4
    critic_steps: int = 1


class CycleGan:
    """Two translators between two domains of the same slots.

    Args:
        kinds: index of the element of every slot.
        settings: sizes and training.

    Attributes:
        curve: the learning curve of the last fit.
    """

    def __init__(self, kinds: Sequence[int], settings: CycleSettings | None = None) -> None:
        self.kinds = tuple(kinds)
        self.settings = settings or CycleSettings()
        self.curve: tuple[AdversarialReport, ...] = ()

    def fit(
        self,
        first: Floats,
        second: Floats,
        constraint: Constraint | None = None,
        supervision: AdversarialSupervision | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        """Learn to translate between two arrays (n, 3 + slots, 4) and (m, 3 + slots, 4).

        Args:
            first: domain A.
            second: domain B.
            constraint: loss (n,) of a batch of translated crystals, heeded with the weight of the settings.
            supervision: resumption and progress.
            rng: seeds networks and training.

        Raises:
            InputError: the domains have other shapes than the slots say.
        """
        import torch

        from novalith.networks.crystal_pairs import CriticPair, rows_to_points
        from novalith.training.adversarial import Adversaries, train_adversaries

        shape = (3 + len(self.kinds), 4)
        if first.shape[1:] != shape or second.shape[1:] != shape:
            raise InputError(
                f"Domains of shape {first.shape} and {second.shape} came; (n, {shape[0]}, 4) was expected."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._pair = self._make_pair()
            critics = CriticPair(self.kinds, self.settings.width)
        a, b = torch.from_numpy(first.astype(np.float32)), torch.from_numpy(second.astype(np.float32))

        def real(batch: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            def draw(rows: Tensor) -> Tensor:
                return rows[torch.randint(len(rows), (len(batch),), generator=generator)]

            inputs = torch.stack([draw(a), draw(b)], dim=1)
            return torch.stack([draw(a), draw(b)], dim=1), inputs.flatten(1)

        def extra(rows: Tensor, condition: Tensor, generator: torch.Generator) -> Tensor:
            s = self.settings
            loss = s.cycle_weight * self._pair.cycle(rows, condition, generator).mean()
            if constraint is not None and s.constraint_weight:
                for side in (0, 1):
                    made = rows_to_points(rows[:, side], self._pair.kinds)
                    loss = loss + s.constraint_weight * constraint(made).mean()
            return loss

        players = Adversaries(self._pair, critics, self._pair.n_noise, real, extra_loss=extra)
        how = adversarial_settings(self.settings)
        self.curve = train_adversaries(players, max(len(a), len(b)), how, supervision, rng=rng)

    def translate(self, rows: Floats, backward: bool, *, rng: np.random.Generator) -> Floats:
        """Translate crystals of A to B, or of B to A where `backward`: (n, 3 + slots, 4) in and out."""
        import torch

        noise = rng.standard_normal((len(rows), self._pair.n_noise // 2), dtype=np.float32)
        with torch.no_grad():
            made = self._pair.one(torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(noise), int(not backward))
        return made.numpy()

    def cycle_error_a(self, rows: Floats, backward: bool, *, rng: np.random.Generator) -> float:
        """Root-mean-square displacement of atoms (Å) after A -> B -> A, or B -> A -> B where `backward`."""
        import torch

        from novalith.networks.crystal_pairs import rows_to_points, squared_error

        there = self.translate(rows, backward, rng=rng)
        back = self.translate(there, not backward, rng=rng)
        kinds = self._pair.kinds
        errors = squared_error(
            rows_to_points(torch.from_numpy(back), kinds),
            rows_to_points(torch.from_numpy(rows.astype(np.float32)), kinds),
        )
        return float(errors[0].mean().sqrt())

    def tensors(self) -> dict[str, Any]:
        """The translators' weights by name, for a checkpoint."""
        return {name: t.detach().numpy() for name, t in self._pair.state_dict().items()}

    def restore(self, tensors: dict[str, Any]) -> None:
        """Take the weights of `tensors` again."""
        import torch

        with torch.random.fork_rng(devices=[]):
            self._pair = self._make_pair()
        self._pair.load_state_dict({name: torch.from_numpy(np.array(t)) for name, t in tensors.items()})
        self._pair.eval()

    def _make_pair(self) -> TranslatorPair:
        from novalith.networks.crystal_pairs import TranslatorPair

        s = self.settings
        return TranslatorPair(self.kinds, s.width, s.n_rounds, s.n_noise)


def adversarial_settings(settings: CycleSettings) -> AdversarialSettings:
    """The settings of the loop."""
    from novalith.training.adversarial import AdversarialSettings

    return AdversarialSettings(
        n_epochs=settings.n_epochs,
        batch_size=settings.batch_size,
        generator_rate=settings.rate,
        critic_rate=2.0 * settings.rate,
        betas=(0.5, 0.9),
        critic_steps=settings.critic_steps,
        averaging=0.95,
    )
