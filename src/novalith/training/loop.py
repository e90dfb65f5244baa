"""The one training loop: minibatches, AdamW on one cycle, early stopping, averaged weights, resume.

The loop minimises the mean over minibatches of a loss that the caller computes from a batch of row numbers,

    theta <- AdamW(theta, gradient of loss(batch, generator)),    batch drawn without repetition within an epoch,

with the learning rate rising to its peak over the first 30 % of all steps and falling after (Smith and Topin, 2019).
After each epoch the exponential moving average of the weights is judged on the validation rows; the best average is
what the module holds at the end. Every random number comes from one generator, so the same seed gives the same weights
on the same machine. With a path, an atomic checkpoint is written after every epoch, and training that was killed goes
on from there with the same result as if it had not been.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from novalith.errors import CampaignError, InputError, NovalithError, UnknownNameError
from novalith.networks.dense import device_named
from novalith.store.checkpoint import Checkpoint, load_checkpoint, rebuilds, save_checkpoint

#: Loss of a batch: row numbers (on the device) and a generator for dropout-free noise -> scalar.
BatchLoss = Callable[[Tensor, torch.Generator], Tensor]


PRECISIONS = ("float32", "bfloat16")


class TrainingDivergedError(NovalithError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Attributes:
        n_epochs: largest number of passes over the rows.
        batch_size: rows a step.
        learning_rate: peak of the cycle.
        weight_decay: of AdamW.
        patience: epochs without improvement on the validation rows before stopping; 0 never stops early.
        averaging: share of the old average kept at each step; 0 averages nothing.
        device: "cpu", "cuda" or "auto".
        precision: "float32", or "bfloat16" to multiply matrices in half the bits (weights and sums stay float32):
            about three times faster on processors with AMX and on accelerators.
        longest_gradient: gradients longer than this are shortened to it; 0 shortens none.
    """

    n_epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    patience: int = 0
    averaging: float = 0.0
    device: str = "cpu"
    precision: str = "float32"
    longest_gradient: float = 0.0

    def __post_init__(self) -> None:
        if self.n_epochs < 1 or self.batch_size < 1 or self.learning_rate <= 0 or not 0 <= self.averaging < 1:
            raise InputError(
                f"{self}: expected at least one epoch and one row a batch, a positive learning rate and averaging "
                "from 0 up to, not including, 1."
            )
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)


def half_precision(device: torch.device, precision: str) -> torch.autocast:
    """The context in which matrices are multiplied in the given precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@dataclass(frozen=True)
class EpochReport:
    """One point of the loss curve.

    Attributes:
        epoch: counted from 1.
        training_loss: mean over the steps of the epoch.
        validation_loss: of the averaged weights on the validation rows; NaN without such rows.
    """

    epoch: int
    training_loss: float
    validation_loss: float


@dataclass(frozen=True)
class Supervision:
    """What accompanies a training.

    Attributes:
        validation: judges the module in evaluation mode, lower is better; None trains to the end.
        resume_path: checkpoint of the training under way, written after each epoch.
        watch: called after each epoch (a progress bar, a log).
    """

    validation: Callable[[], float] | None = None
    resume_path: Path | None = None
    watch: Callable[[EpochReport], None] = lambda _: None


def train(
    module: nn.Module,
    loss: BatchLoss,
    n_rows: int,
    settings: TrainingSettings,
    supervision: Supervision | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[EpochReport, ...]:
    """Train a module in place and return its loss curve; the module ends with its best weights, in evaluation mode.

    Args:
        module: what to train; moved to the device of the settings.
        loss: of a batch of row numbers.
        n_rows: rows 0 .. n_rows - 1 are trained on.
        settings: how.
        supervision: validation, resumption and progress; none of them by default.
        rng: seeds everything random in the loop.

    Raises:
        TrainingDivergedError: the loss is not finite; the module keeps the weights it had.
        CampaignError: the checkpoint to resume belongs to other settings or data.
    """
    supervision = supervision or Supervision()
    validation, resume_path = supervision.validation, supervision.resume_path
    seed = int(rng.integers(2**31))
    run = _Run(
        module.to(device_named(settings.device)), settings, max(1, math.ceil(n_rows / settings.batch_size)), seed
    )
    if resume_path is not None and resume_path.exists():
        run.restore(load_checkpoint(resume_path, "training"), resume_path)
    while len(run.curve) < settings.n_epochs and not run.exhausted:
        epoch = len(run.curve)
        # Dropout draws from the global generator; forked, so that the caller's stream is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + epoch)
            generator = torch.Generator().manual_seed(seed + epoch)
            training_loss = run.epoch(loss, n_rows, generator)
        value = run.judge(validation)
        run.curve.append(EpochReport(epoch + 1, training_loss, value))
        if resume_path is not None:
            save_checkpoint(run.checkpoint(), resume_path)
        supervision.watch(run.curve[-1])
    run.finish(use_best=validation is not None)
    return tuple(run.curve)


class _Run:
    """The state of a training under way."""

    def __init__(self, module: nn.Module, settings: TrainingSettings, steps_per_epoch: int, seed: int) -> None:
        self.module, self.settings, self.seed = module, settings, seed
        self.device = device_named(settings.device)
        self.optimiser = torch.optim.AdamW(
            module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.learning_rate, total_steps=settings.n_epochs * steps_per_epoch + 1
        )
        self.average = self._weights()
        self.best, self.best_value = self._weights(), math.inf
        self.curve: list[EpochReport] = []

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self.module.state_dict().items()}

    @property
    def exhausted(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        values = [report.validation_loss for report in self.curve]
        if not self.settings.patience or not values or math.isnan(values[-1]):
            return False
        return len(values) - 1 - int(np.argmin(values)) >= self.settings.patience

    def epoch(self, loss: BatchLoss, n_rows: int, generator: torch.Generator) -> float:
        self.module.train()
        order = torch.randperm(n_rows, generator=generator).to(self.device)
        total, batches = 0.0, order.split(self.settings.batch_size)
        for batch in batches:
            with half_precision(self.device, self.settings.precision):
                value = loss(batch, generator)
            if not torch.isfinite(value):
                self.module.load_state_dict(self.average)
                raise TrainingDivergedError(
                    f"The training loss became {value.item()} in epoch {len(self.curve) + 1}. Lower the learning rate "
                    f"(now {self.settings.learning_rate:g}) or look for extreme values in the data."
                )
            self.optimiser.zero_grad()
            value.backward()
            if self.settings.longest_gradient:
                nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.longest_gradient)
            self.optimiser.step()
            self.schedule.step()
            total += value.item()
            if self.settings.averaging:
                self._update_average(self.settings.averaging)
        if not self.settings.averaging:
            self._update_average(0.0)
        return total / len(batches)

    def _update_average(self, keep: float) -> None:
        for name, tensor in self.module.state_dict().items():
            if keep and tensor.is_floating_point():
                self.average[name].mul_(keep).add_(tensor.detach(), alpha=1 - keep)
            else:
                self.average[name].copy_(tensor)

    def judge(self, validation: Callable[[], float] | None) -> float:
        if validation is None:
            return math.nan
        current = self._weights()
        self.module.load_state_dict(self.average)
        self.module.eval()
        with torch.no_grad():
            value = float(validation())
        self.module.load_state_dict(current)
        if value < self.best_value:
            self.best_value, self.best = value, {n: t.clone() for n, t in self.average.items()}
        return value

    def finish(self, use_best: bool) -> None:
        self.module.load_state_dict(self.best if use_best and math.isfinite(self.best_value) else self.average)
        self.module.eval()

    def _identity(self) -> dict[str, Any]:
        return {"settings": asdict(self.settings), "seed": self.seed}

    def checkpoint(self) -> Checkpoint:
        state = self.optimiser.state_dict()["state"]
        tensors = {f"weights.{n}": t for n, t in self.module.state_dict().items()}
        tensors |= {f"average.{n}": t for n, t in self.average.items()} | {f"best.{n}": t for n, t in self.best.items()}
        tensors |= {f"optimiser.{i}.{n}": t for i, entry in state.items() for n, t in entry.items()}
        schedule = {k: v for k, v in self.schedule.state_dict().items() if isinstance(v, int | float)}
        config = self._identity() | {
            "curve": json.dumps([asdict(report) for report in self.curve]),
            "best_value": repr(self.best_value),
            "schedule": schedule,
            "rates": [{k: g[k] for k in ("lr", "betas")} for g in self.optimiser.param_groups],
        }
        return Checkpoint("training", {n: t.detach().cpu().numpy() for n, t in tensors.items()}, config)

    @rebuilds
    def restore(self, stored: Checkpoint, path: Path) -> None:
        same = {k: stored.config[k] for k in ("settings", "seed")} == self._identity()
        shapes = {f"weights.{name}": tuple(t.shape) for name, t in self.module.state_dict().items()}
        kept = {name: t.shape for name, t in stored.tensors.items() if name.startswith("weights.")}
        # More or fewer batches an epoch make a longer or shorter cycle: those are other data.
        steps = int(stored.config["schedule"]["total_steps"])
        if not same or shapes != kept or steps != self.schedule.total_steps:
            raise CampaignError(
                f"{path} was left by a training with other settings, other data or another seed. Use the same to go "
                "on with it, or remove it."
            )
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "best": {}}
        state: dict[int, dict[str, Tensor]] = {}
        for name, array in stored.tensors.items():
            kind, rest = name.split(".", 1)
            tensor = torch.from_numpy(np.array(array)).to(self.device)
            if kind == "optimiser":
                number, key = rest.split(".", 1)
                state.setdefault(int(number), {})[key] = tensor
            else:
                groups[kind][rest] = tensor
        self.module.load_state_dict(groups["weights"])
        self.average, self.best = groups["average"], groups["best"]
        optimiser = self.optimiser.state_dict()
        for group, rates in zip(optimiser["param_groups"], stored.config["rates"], strict=True):
            group["lr"], group["betas"] = rates["lr"], tuple(rates["betas"])
        self.optimiser.load_state_dict({"state": state, "param_groups": optimiser["param_groups"]})
        self.schedule.load_state_dict(dict(stored.config["schedule"]))
        self.curve = [EpochReport(**report) for report in json.loads(stored.config["curve"])]
        self.best_value = float(stored.config["best_value"])
