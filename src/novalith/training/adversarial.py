"""Adversarial training: a critic and a generator in turn, with averaged weights, resume and a watch on divergence.

A critic D scores rows, a generator G turns noise z and a condition c into rows; they minimise in turn

    L_D = mean D(G(z, c), c) - mean D(x, c) + lambda * mean (|grad D(u, c)| - 1)^2,    u = e x + (1 - e) G(z, c)
    L_G = -mean D(G(z, c), c),                                                         e ~ U(0, 1), one a row

with Adam (Wasserstein GAN with gradient penalty, Gulrajani et al., NeurIPS 2017). With `clip` > 0 the penalty is
replaced by clipping the critic's weights to [-clip, clip] and both optimisers are RMSProp (Arjovsky et al., 2017).
A round is `critic_steps` steps of the critic, each on the next batch, then `generator_steps` steps of the generator;
an epoch ends when the rows are used up. The penalty is per row: a critic with batch normalisation couples rows and
makes it meaningless, so give it layer normalisation or none. Real and generated rows pass the critic as one batch.

A third network may train beside the critic and speak to the generator (`Auxiliary`; Odena et al., ICML 2017): it
minimises its loss on real rows, and its loss on generated rows is added to L_G.

The generator's exponential average (weights and running statistics) is what is judged after each epoch and what the
module holds at the end; the best average where a validation is given. Resumed training equals undisturbed training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from novalith.errors import CampaignError, InputError, UnknownNameError
from novalith.networks.dense import device_named
from novalith.store.checkpoint import Checkpoint, load_checkpoint, rebuilds, save_checkpoint
from novalith.training.loop import PRECISIONS, TrainingDivergedError, half_precision

#: Row numbers and a generator (for augmentation) -> rows and their conditions, the latter (n, 0) where there are none.
RealRows = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
#: Rows, their conditions and a generator -> scalar.
RowLoss = Callable[[Tensor, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class AdversarialSettings:
    """How to train.

    Attributes:
        n_epochs: passes over the rows.
        batch_size: rows a step.
        generator_rate: learning rate of the generator.
        critic_rate: learning rate of the critic.
        betas: of Adam; RMSProp ignores them.
        critic_steps: steps of the critic in a round.
        generator_steps: steps of the generator in a round.
        penalty: weight lambda of the gradient penalty.
        one_sided: whether only slopes above 1 are penalised (Petzka et al., ICLR 2018), so that the critic may be flat
            where rows do not differ; with one-hot rows the published two-sided penalty drowns what it has to tell.
        clip: bound on the critic's weights; 0 clips nothing and uses the penalty, more than 0 replaces it.
        decay: both rates are multiplied by this after each epoch.
        averaging: share of the old average of the generator kept at each of its steps; 0 averages nothing.
        device: "cpu", "cuda" or "auto".
        precision: "float32", or "bfloat16" to multiply in half the bits.
        penalty_precision: likewise for the penalty, whose second derivatives are the costliest part of a step.
    """

    n_epochs: int = 20
    batch_size: int = 64
    generator_rate: float = 1e-4
    critic_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.9)
    critic_steps: int = 1
    generator_steps: int = 1
    penalty: float = 10.0
    one_sided: bool = False
    clip: float = 0.0
    decay: float = 1.0
    averaging: float = 0.999
    device: str = "cpu"
    precision: str = "float32"
    penalty_precision: str = "float32"

    def __post_init__(self) -> None:
        counts = (self.n_epochs, self.batch_size, self.critic_steps, self.generator_steps)
        rates = (self.generator_rate, self.critic_rate, self.decay)
        if min(counts) < 1 or min(rates) <= 0 or min(self.penalty, self.clip) < 0 or not 0 <= self.averaging < 1:
            raise InputError(
                f"{self}: expected at least one epoch, row and step, positive rates and decay, no negative penalty "
                "or clip, and averaging from 0 up to, not including, 1."
            )
        for name in (self.precision, self.penalty_precision):
            if name not in PRECISIONS:
                raise UnknownNameError("precision", name, PRECISIONS)


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """A network that trains on real rows beside the critic and whose judgement of generated rows the generator heeds.

    Attributes:
        module: holds its weights.
        real_loss: what it minimises.
        fake_loss: what is added to the generator's loss, weights included.
        rate: its learning rate.
    """

    module: nn.Module
    real_loss: RowLoss
    fake_loss: RowLoss
    rate: float


@dataclass(frozen=True, eq=False)
class Adversaries:
    """What plays against what.

    Attributes:
        generator: (noise (n, n_noise), condition (n, c)) -> rows.
        critic: (rows, condition) -> (n,) scores.
        n_noise: width of the noise, N(0, 1).
        real: gives the rows of a batch.
        auxiliary: a third network, or None.
        extra_loss: of generated rows, added to L_G (a cycle, a constraint), or None.
    """

    generator: nn.Module
    critic: nn.Module
    n_noise: int
    real: RealRows
    auxiliary: Auxiliary | None = None
    extra_loss: RowLoss | None = None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Name -> network."""
        named = {"generator": self.generator, "critic": self.critic}
        return named | ({"auxiliary": self.auxiliary.module} if self.auxiliary else {})


@dataclass(frozen=True)
class AdversarialReport:
    """One point of the learning curve, means over the steps of an epoch.

    Attributes:
        epoch: counted from 1.
        distance: mean D(x) - mean D(G(z)), the critic's estimate of the distance between real and generated rows.
        generator_loss: L_G, the auxiliary's part included.
        gradient_norm: |grad D| at the points of the penalty; NaN with clipping.
        validation: what the validation says of the averaged generator, lower is better; NaN where it was not asked.
        figures: what else was measured of it.
    """

    epoch: int
    distance: float
    generator_loss: float
    gradient_norm: float
    validation: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AdversarialSupervision:
    """What accompanies a training.

    Attributes:
        validation: judges the generator, which holds its average in evaluation mode; lower is better; None keeps the
            last average.
        figures: measures more of the generator in the same state, right after the validation; kept in the curve.
        every: validation and checkpoint after each so many epochs, and after the last.
        resume_path: checkpoint of the training under way.
        watch: called after each epoch.
    """

    validation: Callable[[], float] | None = None
    figures: Callable[[], Mapping[str, float]] = dict
    every: int = 1
    resume_path: Path | None = None
    watch: Callable[[AdversarialReport], None] = lambda _: None


def train_adversaries(
    players: Adversaries,
    n_rows: int,
    settings: AdversarialSettings,
    supervision: AdversarialSupervision | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[AdversarialReport, ...]:
    """Train in place and return the learning curve; the generator ends with its average, in evaluation mode.

    Args:
        players: what to train; moved to the device of the settings.
        n_rows: rows 0 .. n_rows - 1 are trained on.
        settings: how.
        supervision: validation, resumption and progress; none of them by default.
        rng: seeds everything random in the loop.

    Raises:
        TrainingDivergedError: a loss is not finite; the generator keeps the average it had.
        CampaignError: the checkpoint to resume belongs to other settings.
    """
    supervision = supervision or AdversarialSupervision()
    seed, path = int(rng.integers(2**31)), supervision.resume_path
    run = _Run(players, settings, seed)
    if path is not None and path.exists():
        run.restore(load_checkpoint(path, "adversarial"), path)
    while len(run.curve) < settings.n_epochs:
        epoch = len(run.curve)
        # Dropout draws from the global generator; forked, so that the caller's stream is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + epoch)
            means = run.epoch(n_rows, torch.Generator().manual_seed(seed + epoch))
        due = (epoch + 1) % supervision.every == 0 or epoch + 1 == settings.n_epochs
        judged = run.judge(supervision) if due else (math.nan, {})
        run.curve.append(AdversarialReport(epoch + 1, *means, *judged))
        if path is not None and due:
            save_checkpoint(run.checkpoint(), path)
        supervision.watch(run.curve[-1])
    run.finish(use_best=supervision.validation is not None)
    return tuple(run.curve)


def gradient_norms(
    critic: nn.Module, real: Tensor, fake: Tensor, condition: Tensor, generator: torch.Generator
) -> Tensor:
    """(n,) |grad D(u, c)| at points u between real and generated rows, drawn anew; differentiable in D's weights."""
    share = torch.rand((len(real), *[1] * (real.ndim - 1)), generator=generator).to(real.device)
    points = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(points, condition).sum(), points, create_graph=True)
    # The square root has no slope at 0, where a critic that is flat starts.
    return (gradient.flatten(1).square().sum(dim=1) + 1e-12).sqrt()


def slope_penalty(norms: Tensor, one_sided: bool) -> Tensor:
    """Mean (|grad D| - 1)^2, over the slopes above 1 alone where it is one-sided."""
    excess = (norms - 1).clamp_min(0) if one_sided else norms - 1
    return (excess**2).mean()


class _Run:
    """The state of a training under way."""

    def __init__(self, players: Adversaries, settings: AdversarialSettings, seed: int) -> None:
        self.players, self.settings, self.seed = players, settings, seed
        self.device = device_named(settings.device)
        rates = {"generator": settings.generator_rate, "critic": settings.critic_rate}
        rates |= {"auxiliary": players.auxiliary.rate} if players.auxiliary else {}
        self.optimisers = {
            name: self._optimiser(module.to(self.device), rates[name]) for name, module in players.modules.items()
        }
        self.rates = rates
        self.average = self._weights()
        self.best, self.best_value = self._weights(), math.inf
        self.curve: list[AdversarialReport] = []

    def _optimiser(self, module: nn.Module, rate: float) -> torch.optim.Optimizer:
        if self.settings.clip:
            return torch.optim.RMSprop(module.parameters(), lr=rate)
        return torch.optim.Adam(module.parameters(), lr=rate, betas=self.settings.betas, fused=True)

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.players.generator.state_dict().items()}

    def epoch(self, n_rows: int, generator: torch.Generator) -> tuple[float, float, float]:
        """Distance, generator loss and norm of the gradient, means over the steps."""
        s = self.settings
        for name, module in self.players.modules.items():
            module.train()
            for group in self.optimisers[name].param_groups:
                group["lr"] = self.rates[name] * s.decay ** len(self.curve)
        distances, losses, norms = [], [], []
        batches = torch.randperm(n_rows, generator=generator).to(self.device).split(s.batch_size)
        for number, batch in enumerate(batches):
            x, condition = self.players.real(batch, generator)
            distance, norm = self._critic_step(x, condition, generator)
            distances.append(distance)
            norms.append(norm)
            # A last round that is cut short still ends with the generator, so that a tiny table trains it at all.
            if (number + 1) % s.critic_steps == 0 or number == len(batches) - 1:
                losses += [self._generator_step(condition, generator) for _ in range(s.generator_steps)]
        return float(np.mean(distances)), float(np.mean(losses)), float(np.mean(norms))

    def _fake(self, condition: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn((len(condition), self.players.n_noise), generator=generator).to(self.device)
        fake: Tensor = self.players.generator(noise, condition)
        return fake.float()

    def _critic_step(self, x: Tensor, condition: Tensor, generator: torch.Generator) -> tuple[float, float]:
        s, critic = self.settings, self.players.critic
        with half_precision(self.device, s.precision):
            with torch.no_grad():
                fake = self._fake(condition, generator)
            scores = critic(torch.cat([x, fake]), torch.cat([condition, condition])).float()
        distance = scores[: len(x)].mean() - scores[len(x) :].mean()
        loss, norm = -distance, math.nan
        if not s.clip:
            with half_precision(self.device, s.penalty_precision):
                norms = gradient_norms(critic, x, fake, condition, generator)
            loss, norm = loss + s.penalty * slope_penalty(norms, s.one_sided), float(norms.detach().mean())
        self._step("critic", loss)
        if s.clip:
            with torch.no_grad():
                for weight in critic.parameters():
                    weight.clamp_(-s.clip, s.clip)
        if self.players.auxiliary:
            with half_precision(self.device, s.precision):
                value = self.players.auxiliary.real_loss(x, condition, generator)
            self._step("auxiliary", value)
        return float(distance.detach()), norm

    def _generator_step(self, condition: Tensor, generator: torch.Generator) -> float:
        with half_precision(self.device, self.settings.precision):
            fake = self._fake(condition, generator)
            loss = -self.players.critic(fake, condition).float().mean()
            if self.players.auxiliary:
                loss = loss + self.players.auxiliary.fake_loss(fake, condition, generator)
            if self.players.extra_loss:
                loss = loss + self.players.extra_loss(fake, condition, generator)
        self._step("generator", loss)
        self._update_average()
        return float(loss.detach())

    def _update_average(self) -> None:
        state = self.players.generator.state_dict()
        moving = [n for n, t in state.items() if t.is_floating_point()] if self.settings.averaging else []
        for name in state.keys() - set(moving):
            self.average[name].copy_(state[name])
        if moving:
            old, new = ([which[n] for n in moving] for which in (self.average, state))
            torch._foreach_lerp_(old, new, 1 - self.settings.averaging)

    def _step(self, name: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            self.players.generator.load_state_dict(self.average)
            rate = self.rates[name]
            raise TrainingDivergedError(
                f"The loss of the {name} became {loss.item()} in epoch {len(self.curve) + 1}. Lower its learning rate "
                f"(now {rate:g}) or look for extreme values in the data."
            )
        self.optimisers[name].zero_grad(set_to_none=True)
        # Only this network's slopes are wanted: the generator's loss passes through the critic as well.
        loss.backward(inputs=list(self.players.modules[name].parameters()))
        self.optimisers[name].step()

    def judge(self, supervision: AdversarialSupervision) -> tuple[float, Mapping[str, float]]:
        """Judge the averaged generator and keep it if it is the best so far."""
        if supervision.validation is None:
            return math.nan, {}
        generator = self.players.generator
        current = self._weights()
        generator.load_state_dict(self.average)
        generator.eval()
        with torch.no_grad():
            value = float(supervision.validation())
            figures = dict(supervision.figures())
        generator.load_state_dict(current)
        if value < self.best_value:
            self.best_value, self.best = value, {n: t.clone() for n, t in self.average.items()}
        return value, figures

    def finish(self, use_best: bool) -> None:
        """Leave the best, or the last, average in the generator."""
        best = use_best and math.isfinite(self.best_value)
        self.players.generator.load_state_dict(self.best if best else self.average)
        for module in self.players.modules.values():
            module.eval()

    def _identity(self) -> dict[str, Any]:
        return {"settings": json.loads(json.dumps(asdict(self.settings))), "seed": self.seed}

    def checkpoint(self) -> Checkpoint:
        """Everything that the next epoch depends on."""
        tensors = {f"average.{n}": t for n, t in self.average.items()} | {f"best.{n}": t for n, t in self.best.items()}
        for name, module in self.players.modules.items():
            tensors |= {f"weights.{name}.{n}": t for n, t in module.state_dict().items()}
            state = self.optimisers[name].state_dict()["state"]
            tensors |= {f"optimiser.{name}.{i}.{k}": t for i, entry in state.items() for k, t in entry.items()}
        config = self._identity() | {
            "curve": json.dumps([asdict(report) for report in self.curve]),
            "best_value": repr(self.best_value),
        }
        return Checkpoint("adversarial", {n: t.detach().cpu().numpy() for n, t in tensors.items()}, config)

    @rebuilds
    def restore(self, stored: Checkpoint, path: Path) -> None:
        """Go on from a checkpoint that lies at a path."""
        same = {k: stored.config[k] for k in ("settings", "seed")} == self._identity()
        modules = self.players.modules.items()
        shapes = {f"weights.{name}.{n}": tuple(t.shape) for name, m in modules for n, t in m.state_dict().items()}
        kept = {name: t.shape for name, t in stored.tensors.items() if name.startswith("weights.")}
        if not same or shapes != kept:
            raise CampaignError(
                f"{path} was left by a training with other settings, other data or another seed. Use the same to go "
                "on with it, or remove it."
            )
        tensors = {name: torch.from_numpy(np.array(a)).to(self.device) for name, a in stored.tensors.items()}
        self.average, self.best = _below(tensors, "average."), _below(tensors, "best.")
        for name, module in self.players.modules.items():
            module.load_state_dict(_below(tensors, f"weights.{name}."))
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _below(tensors, f"optimiser.{name}.").items():
                number, _, entry = key.partition(".")
                state.setdefault(int(number), {})[entry] = tensor
            groups = self.optimisers[name].state_dict()["param_groups"]
            self.optimisers[name].load_state_dict({"state": state, "param_groups": groups})
        self.curve = [AdversarialReport(**report) for report in json.loads(stored.config["curve"])]
        self.best_value = float(stored.config["best_value"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
