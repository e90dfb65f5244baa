"""A conditional variational autoencoder of long vectors that starts from their principal components.

    x = m + S w V                    V (k, d) orthonormal rows, S the deviations along them, w (k,) of variance 1
    z ~ N(mu, sigma^2),              mu = w - c M + f(w, c),   log sigma^2 = log(beta / (S^2 + beta)) + h(w, c)
    w' = z + c M + g(z, c),          x' = m + S w' V
    loss = |S (w - w')|^2 / 2 + beta KL + extra(x, x'),   KL = sum_j (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1) / 2

M (conditions, k) holds the mean of w under each condition, so that z knows nothing of c to first order. f, g and h are
perceptrons whose last layers start at zero: before training this is the linear autoencoder, which is optimal among
linear ones (Tipping and Bishop, 1999), and training can only add to it. As V is orthonormal, the first term of the loss
is the squared error of x less what the k components leave out. A caller may add a loss of its own on (x, x'), such as
the distance of features of another network (Hou et al., WACV 2017).

Where vectors are images of things that always lie in the same places, k components hold them to a few parts in a
thousand, and convolutions have to learn the same from scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, InputError
from novalith.generate.base import Floats, Generator
from novalith.generate.likelihoods import divergence_from_prior
from novalith.store.checkpoint import check_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.training.loop import EpochReport

#: Components along which the data vary by less than this share of the largest deviation are left out.
LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class PrincipalVaeSettings:
    """Sizes and training.

    Attributes:
        n_components: k, and the width of the code.
        hidden: widths of f, g and h.
        beta: weight of the KL term, in units of the squared error.
        n_epochs: passes over the data.
        batch_size: rows a step.
        learning_rate: peak of the cycle.
    """

    n_components: int = 96
    hidden: tuple[int, ...] = (256, 256)
    beta: float = 3e-3
    n_epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 5e-4

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.n_components < 1 or not self.beta > 0:
            raise InputError(f"{self}: expected at least one component and a positive beta.")


class PrincipalVae(Generator):
    """See the module.

    Args:
        settings: sizes and training.
    """

    def __init__(self, settings: PrincipalVaeSettings | None = None) -> None:
        self.settings = settings or PrincipalVaeSettings()
        self._n_condition = 0
        self.curve: tuple[EpochReport, ...] = ()

    @property
    def n_latent(self) -> int:
        """Width of the code: fewer than asked for where the data have fewer components."""
        return len(self._deviations)

    def fit(self, data: Floats, condition: Floats | None = None, *, rng: np.random.Generator) -> None:
        """Learn (n, d) data with an optional (n, c) condition; equal input and `rng` give an equal model."""
        self.fit_watched(data, condition, rng=rng)

    def fit_watched(
        self,
        data: Floats,
        condition: Floats | None = None,
        resume_path: Path | None = None,
        watch: Callable[[EpochReport], None] = lambda _: None,
        extra_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        *,
        rng: np.random.Generator,
    ) -> None:
        """Learn as `fit` does, telling of every epoch and going on from a checkpoint where there is one.

        Args:
            data: (n, d), or arrays of any other shape (n, ...), which are strung out to d numbers and come back whole.
            condition: (n, c).
            resume_path: state of the training under way.
            watch: told of every epoch.
            extra_loss: of vectors and their reconstructions, (b, d) each; its scalar is added.
            rng: seeds everything random.
        """
        import torch

        from novalith.training.loop import Supervision, TrainingSettings, train

        s = self.settings
        rows = np.asarray(data, dtype=np.float32).reshape(len(data), -1)
        self._mean, self._basis, self._deviations, w_all = _components(rows, s.n_components)
        self._shape = np.shape(data)[1:]
        given = self._given(condition, len(data), 0 if condition is None else condition.shape[1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            self._build(given.shape[1])
        self._shift = torch.from_numpy(_condition_means(w_all, given.numpy()))
        w, scale, basis = torch.from_numpy(w_all), torch.from_numpy(self._deviations), torch.from_numpy(self._basis)
        middle = torch.from_numpy(self._mean)

        def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            mean, log_variance = self._encode(w[batch], given[batch])
            z = mean + torch.randn(mean.shape, generator=generator) * (log_variance / 2).exp()
            came = self._decode(z, given[batch])
            error = ((scale * (w[batch] - came)) ** 2).sum(dim=1) / 2
            total = (error + s.beta * divergence_from_prior(mean, log_variance).sum(dim=1)).mean()
            if extra_loss is None:
                return total
            return total + extra_loss(middle + (scale * w[batch]) @ basis, middle + (scale * came) @ basis)

        how = TrainingSettings(s.n_epochs, s.batch_size, s.learning_rate, 1e-4, averaging=0.99)
        self.curve = train(
            self._parts, loss, len(data), how, Supervision(resume_path=resume_path, watch=watch), rng=rng
        )

    def encode(self, data: Floats, condition: Floats | None = None) -> Floats:
        """(n, d) -> means of the codes (n, k)."""
        return self.encode_spread(data, condition)[0]

    def encode_spread(self, data: Floats, condition: Floats | None = None) -> tuple[Floats, Floats]:
        """(n, d) or (n, ...) as learned -> means and standard deviations of the codes, (n, k) each.

        Raises:
            InputError: the arrays have another shape than those that were learned.
        """
        import torch

        if np.shape(data)[1:] != self._shape:
            raise InputError(f"Arrays of shape {np.shape(data)[1:]} came; expected {self._shape}, as learned.")
        rows = np.asarray(data, dtype=np.float32).reshape(len(data), -1)
        w = ((rows - self._mean) @ self._basis.T) / self._deviations
        with torch.no_grad():
            mean, log_variance = self._encode(torch.from_numpy(w), self._given(condition, len(data)))
        return mean.numpy(), (log_variance / 2).exp().numpy()

    def decode(self, codes: NDArray[np.floating[Any]], condition: Floats | None = None) -> Floats:
        """(n, k) codes -> (n, d), or (n, ...) as learned."""
        scaled = (self.coefficients(codes, condition) * self._deviations).astype(np.float32)
        return np.asarray(self._mean + scaled @ self._basis, dtype=np.float32).reshape(-1, *self._shape)

    def reconstruct(self, data: Floats, condition: Floats | None = None) -> Floats:
        """Decode the mean of the code, without noise."""
        return self.decode(self.encode(data, condition), condition)

    def coefficients(self, codes: NDArray[np.floating[Any]], condition: Floats | None = None) -> Floats:
        """(n, k) codes -> the principal coefficients w' that they decode to, of variance 1 over the training data."""
        import torch

        with torch.no_grad():
            z = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.float32))
            w: Floats = self._decode(z, self._given(condition, len(codes))).numpy()
        return w

    @property
    def deviations(self) -> Floats:
        """(k,) standard deviation of the training data along each component."""
        return self._deviations

    def sample(self, n: int, condition: Floats | None = None, *, rng: np.random.Generator) -> Floats:
        """Decode (n, k) draws from the prior."""
        return self.decode(rng.standard_normal((n, self.n_latent)), condition)

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Components and weights by name, for a checkpoint."""
        weights = {name: t.detach().cpu().numpy() for name, t in self._parts.state_dict().items()}
        principal = {"mean": self._mean.reshape(self._shape), "basis": self._basis, "deviations": self._deviations}
        return weights | principal | {"shift": self._shift.numpy()}

    @property
    def sizes(self) -> tuple[int]:
        """(c,): the width of the condition."""
        return (self._n_condition,)

    @classmethod
    def of_tensors(
        cls, settings: PrincipalVaeSettings, sizes: tuple[int], tensors: Mapping[str, NDArray[Any]]
    ) -> PrincipalVae:
        """The autoencoder of `tensors` and `sizes`; numbers in half precision are read too."""
        import torch

        arrays = {name: np.array(t, dtype=np.float32) for name, t in tensors.items()}
        model = cls(settings)
        mean, model._basis, model._deviations = (arrays.pop(k) for k in ("mean", "basis", "deviations"))
        model._mean, model._shape = mean.reshape(-1), mean.shape
        k = len(model._deviations)
        check_shapes(
            {"basis": model._basis, "deviations": model._deviations, **arrays},
            {"basis": (k, model._mean.size), "deviations": (k,), "shift": (sizes[0], k)},
        )
        model._shift = torch.from_numpy(arrays.pop("shift"))
        model._build(sizes[0])
        model._parts.load_state_dict({name: torch.from_numpy(t) for name, t in arrays.items()})
        model._parts.eval()
        return model

    def _build(self, n_condition: int) -> None:
        import torch

        from novalith.networks.dense import Dense

        k, self._n_condition = self.n_latent, n_condition
        wide = [k + n_condition, *self.settings.hidden]
        f, g, h = (Dense([*wide, k], "silu") for _ in range(3))
        for net in (f, g, h):
            last = [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]
            torch.nn.init.zeros_(last.weight)
            torch.nn.init.zeros_(last.bias)
        self._parts = torch.nn.ModuleDict({"f": f, "g": g, "h": h})

    def _given(self, condition: Floats | None, n: int, width: int | None = None) -> Tensor:
        import torch

        wanted, came = self._n_condition if width is None else width, 0 if condition is None else condition.shape[1]
        if wanted != came:
            raise CapabilityError(f"The model was fitted with a condition of width {wanted}; {came} came.")
        return torch.from_numpy(np.ascontiguousarray(np.empty((n, 0)) if condition is None else condition, np.float32))

    def _encode(self, w: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        seen = torch.cat([w, given], dim=1)
        beta = self.settings.beta
        start = torch.from_numpy(np.log(beta / (self._deviations**2 + beta)))
        mean = w - given @ self._shift + self._parts["f"](seen)
        return mean, (start + self._parts["h"](seen)).clamp(-20.0, 5.0)

    def _decode(self, z: Tensor, given: Tensor) -> Tensor:
        import torch

        out: Tensor = z + given @ self._shift + self._parts["g"](torch.cat([z, given], dim=1))
        return out


def _components(data: Floats, k: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean (d,), basis (k, d), deviations (k,) and coefficients of variance 1 (n, k) of the largest components."""
    mean = data.mean(axis=0)
    centred = data - mean
    # Rows are fewer than columns: the small eigenproblem.
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    order = np.argsort(-values)[: min(k, len(data) - 1)]
    kept = order[np.sqrt(np.maximum(values[order], 0)) > LEAST_DEVIATION * np.sqrt(values[order[0]])]
    root = np.sqrt(values[kept])
    basis = (vectors[:, kept] / root).T.astype(np.float32) @ centred
    deviations = (root / np.sqrt(len(data))).astype(np.float32)
    return mean, basis, deviations, ((centred @ basis.T) / deviations).astype(np.float32)


def _condition_means(w: Floats, given: Floats) -> Floats:
    """M (c, k): least-squares slopes of the coefficients on the condition; of one-hot classes their means."""
    if not given.shape[1]:
        return np.zeros((0, w.shape[1]), np.float32)
    return np.asarray(np.linalg.lstsq(given, w, rcond=None)[0], dtype=np.float32)
