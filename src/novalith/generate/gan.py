"""Wasserstein GANs of arrays, plain or with a condition.

    x' = G(z, c),   z ~ N(0, I),   trained as in `novalith.training.adversarial`

Without a condition c has width 0 and this is the plain WGAN-GP (Gulrajani et al., 2017); with one it is the conditional
GAN (Mirza and Osindero, 2014) with a Wasserstein loss: generator and critic both see c. The networks are given by a
function, so that one class serves images of compositions, point clouds and vectors. What is stored of a row may be
smaller than what the networks see: `expand` turns stored rows into network rows, a batch at a time (a count vector
into a one-hot matrix).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError
from novalith.generate.base import Floats, Generator

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from novalith.training.adversarial import (
        AdversarialReport,
        AdversarialSettings,
        AdversarialSupervision,
        Auxiliary,
    )

#: Width of the condition -> (generator, critic): (noise, condition) -> rows, and (rows, condition) -> (n,) scores.
BuildNetworks = Callable[[int], "tuple[nn.Module, nn.Module]"]

#: Rows drawn through the network at once.
CHUNK = 4096


class WassersteinGan(Generator):
    """A generator trained against a critic.

    Args:
        build: makes the two networks for a width of the condition; called under a seed drawn from `rng`.
        n_noise: width of z.
        settings: of the training; the defaults of `AdversarialSettings` without.
        expand: stored rows -> rows of the networks; none where they are the same.

    Attributes:
        curve: the learning curve of the last fit.
    """

    def __init__(
        self,
        build: BuildNetworks,
        n_noise: int,
        settings: AdversarialSettings | None = None,
        *,
        expand: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        from novalith.training.adversarial import AdversarialSettings

        self.build, self.n_noise, self.expand = build, n_noise, expand
        self.settings = settings or AdversarialSettings()
        self.curve: tuple[AdversarialReport, ...] = ()
        self._n_condition = 0

    def fit(self, data: Floats, condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn from (n, ...) rows, as stored, with an optional (n, c) condition, best standardised."""
        self.fit_watched(data, condition, rng=rng)

    def fit_watched(
        self,
        data: NDArray[Any],
        condition: Floats | None = None,
        *,
        supervision: AdversarialSupervision | None = None,
        auxiliary: Callable[[], Auxiliary] | None = None,
        rng: np.random.Generator,
    ) -> None:
        """Learn as `fit` does, with validation, resumption, progress or a third network.

        Args:
            data: (n, ...) rows as stored, of any number type that `expand` takes.
            condition: (n, c).
            supervision: `novalith.training.adversarial.AdversarialSupervision`; its validation may call `sample`.
            auxiliary: makes the third network, under the same seed as the others.
            rng: seeds the networks and the training.
        """
        import torch

        from novalith.networks.dense import device_named
        from novalith.training.adversarial import Adversaries, train_adversaries

        self._n_condition = 0 if condition is None else condition.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._generator, critic = self.build(self._n_condition)
            third = auxiliary() if auxiliary else None
        device = device_named(self.settings.device)
        rows = torch.from_numpy(np.ascontiguousarray(data)).to(device)
        given = self._condition(condition, len(data)).to(device)
        expand = self.expand or (lambda x: x)

        def real(batch: torch.Tensor, _: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            return expand(rows[batch]).float(), given[batch]

        players = Adversaries(self._generator, critic, self.n_noise, real, third)
        self.curve = train_adversaries(players, len(data), self.settings, supervision, rng=rng)
        self._generator.cpu()

    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Draw (n, ...) rows of the networks."""
        import torch

        from novalith.training.loop import half_precision

        given = self._condition(condition, n)
        device = next(self._generator.parameters()).device
        rows: list[NDArray[np.float32]] = []
        with torch.no_grad(), half_precision(device, self.settings.precision):
            for start in range(0, max(n, 1), CHUNK):
                part = given[start : start + CHUNK]
                noise = rng.standard_normal((len(part), self.n_noise), dtype=np.float32)
                rows.append(self._generator(torch.from_numpy(noise).to(device), part.to(device)).float().cpu().numpy())
        return np.concatenate(rows)

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """The generator's weights by name, for a checkpoint."""
        return {name: t.detach().cpu().numpy() for name, t in self._generator.state_dict().items()}

    def restore(self, tensors: Mapping[str, NDArray[np.generic]], n_condition: int) -> None:
        """Take the weights of `tensors` again, for a condition of this width."""
        import torch

        self._n_condition = n_condition
        with torch.random.fork_rng(devices=[]):
            self._generator, _ = self.build(n_condition)
        self._generator.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in tensors.items()})
        self._generator.eval()

    def _condition(self, condition: Floats | None, n: int) -> Tensor:
        import torch

        width = 0 if condition is None else condition.shape[1]
        if width != self._n_condition:
            raise CapabilityError(f"The model was fitted with a condition of width {self._n_condition}; {width} came.")
        given = np.empty((n, 0)) if condition is None else condition
        return torch.from_numpy(np.ascontiguousarray(given, dtype=np.float32))
