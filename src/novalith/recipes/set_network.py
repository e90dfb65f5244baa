r"""Recipe `set-network`: attention over the elements of a formula, several targets at once, with an uncertainty.

    y = sum over elements (ridge) + scale * network(elements, fractions),   loss: |error| / scale of what a row has

Each member also learns the width :math:`b` of a Laplace distribution of its errors (negative log-likelihood
:math:`|r|/b + \ln 2b`, without touching the values). The uncertainty of a prediction joins it with the spread of the
members,

.. math:: u = c \sqrt{\overline{2 b^2} + \mathrm{var}(y)},

where the factor :math:`c` of each target is such that 68.3 % of the errors on the part held out of the training are
smaller than :math:`u`. The same part decides which epoch is kept; no test row is ever seen.

The network is `novalith.networks.composition_set`, after Roost and CrabNet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from novalith.data.targets import TARGETS
from novalith.data.training_table import TrainingTable
from novalith.errors import UnknownNameError
from novalith.networks.composition_set import CompositionSet, SetSizes
from novalith.networks.dense import device_named
from novalith.predict.base import Prediction
from novalith.predict.composition import CompositionPredictor, TrainingDomain
from novalith.predict.element_baseline import ElementBaseline, fit_element_baseline
from novalith.recipes.composition_rows import HELD_OUT, CompositionRows, error_figures, hold_out, read_rows, rows_of
from novalith.recipes.training import TrainingOrder, TrainingSummary
from novalith.represent.composition_features import imputed_properties, set_form
from novalith.represent.formula_table import FormulaTable
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from novalith.training.loop import EpochReport, Supervision, TrainingSettings, train

BIBTEX = """@article{goodall2020predicting,
  title = {Predicting materials properties without crystal structure: deep representation learning from stoichiometry},
  author = {Goodall, Rhys E. A. and Lee, Alpha A.},
  journal = {Nature Communications}, volume = {11}, pages = {6280}, year = {2020}, doi = {10.1038/s41467-020-19964-7}
}
@article{wang2021crabnet,
  title = {Compositionally restricted attention-based network for materials property predictions},
  author = {Wang, Anthony Yu-Tung and Kauwe, Steven K. and Murdock, Ryan J. and Sparks, Taylor D.},
  journal = {npj Computational Materials}, volume = {7}, pages = {77}, year = {2021}, doi = {10.1038/s41524-021-00545-1}
}"""
KIND = "set-network"
#: Rows predicted at a time; bounds the memory.
_BLOCK = 4096
#: Share of the errors that one standard deviation holds, for a normal distribution.
_ONE_DEVIATION = 0.6827
#: Log-scales are kept within this (in units of the target's scale): a single odd row must not blow up the loss.
_LOG_SCALE_LIMIT = 6.0


@dataclass(frozen=True)
class SetNetworkSettings:
    """Size and training.

    Attributes:
        sizes: of the network.
        training: rates, passes, batches.
        n_members: networks that are averaged, each trained from another start on the same rows.
    """

    sizes: SetSizes
    training: TrainingSettings
    n_members: int = 1


#: "default" (a quarter of a million parameters) is what ships; "paper" (2.4 million) is the most accurate.
SIZES = {
    "tiny": SetNetworkSettings(
        SetSizes(width=32, n_blocks=1, n_heads=2, n_waves=4, n_embedding=8),
        TrainingSettings(n_epochs=5, batch_size=64, learning_rate=3e-3, averaging=0.9),
    ),
    "default": SetNetworkSettings(
        SetSizes(width=112, n_blocks=2, n_heads=4, n_waves=8, n_embedding=16),
        TrainingSettings(
            n_epochs=40, batch_size=1024, learning_rate=3e-3, weight_decay=1e-2, averaging=0.998, precision="bfloat16"
        ),
    ),
    "paper": SetNetworkSettings(
        SetSizes(),
        TrainingSettings(
            n_epochs=50, batch_size=512, learning_rate=1e-3, weight_decay=2e-2, averaging=0.999, precision="bfloat16"
        ),
    ),
}


@dataclass(frozen=True, eq=False)
class SetNetworkPredictor(CompositionPredictor):
    """Trained networks and what turns their answers into values.

    Attributes:
        members: on the CPU, in evaluation mode.
        baseline: sums over elements.
        widening: (t,) the factors c of the uncertainty.
        training_domain: what they were fitted to; its targets are in the order of the networks' outputs.
    """

    members: tuple[CompositionSet, ...]
    baseline: ElementBaseline
    widening: NDArray[np.float64]
    training_domain: TrainingDomain

    @property
    def domain(self) -> TrainingDomain:
        """What it was fitted to."""
        return self.training_domain

    def values(self, table: FormulaTable, target: str) -> Prediction:
        """Values and uncertainties."""
        column = list(self.training_domain.values).index(target)
        value, uncertainty = self.every_value(table)
        return Prediction(value[:, column], uncertainty[:, column])

    def every_value(self, table: FormulaTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, t) values and uncertainties of all targets in one pass."""
        answers = [_answers(member, table) for member in self.members]
        means = np.stack([mean for mean, _ in answers])  # (members, n, t), in units of the scale
        widths = np.stack([np.exp(log_scale) for _, log_scale in answers])
        spread = np.sqrt((2 * widths**2).mean(axis=0) + means.var(axis=0))
        value = self.baseline.values(table) + self.baseline.scale * means.mean(axis=0)
        return value, self.widening * self.baseline.scale * spread


def _answers(network: CompositionSet, table: FormulaTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, t) values and log-scales, in units of the baseline's scale."""
    form = set_form(table)
    z, x = torch.from_numpy(form.elements), torch.from_numpy(form.fractions)
    device = network.properties.device
    n_targets = network.n_targets
    # Rows of a length together: a block then holds one or two groups.
    order = torch.from_numpy(np.argsort(form.mask.sum(axis=1), kind="stable"))
    means, scales = torch.zeros(len(form), n_targets), torch.zeros(len(form), n_targets)
    with torch.no_grad():
        for rows in order.split(_BLOCK):
            mean, log_scale = network(z[rows].to(device), x[rows].to(device))
            means[rows], scales[rows] = mean.cpu(), log_scale.clamp(-_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT).cpu()
    return means.double().numpy(), scales.double().numpy()


def train_set_network(
    table: TrainingTable, settings: SetNetworkSettings = SIZES["default"], *, rng: np.random.Generator
) -> SetNetworkPredictor:
    """Train on a table of formulas and properties: the short way to an independent judge.

    Rows whose formula cannot be read are left out, NaN targets are masked. The same table, settings and `rng` give the
    same predictor.

    Raises:
        InputError: too few rows can be used.
    """
    return train_on_rows(rows_of(table), settings, rng=rng)[0]


def train_on_rows(
    rows: CompositionRows,
    settings: SetNetworkSettings,
    supervision: Supervision | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[SetNetworkPredictor, tuple[EpochReport, ...], NDArray[np.int64]]:
    """Train every member; returns the predictor, the curves one after the other, and the rows that were held out.

    With a path to resume from, each member keeps its state beside it.
    """
    supervision = supervision or Supervision()
    kept, held = hold_out(rows.table, HELD_OUT, rng)
    baseline = fit_element_baseline(rows.table.select(kept), rows.values[kept])
    rest = ((rows.values - baseline.values(rows.table)) / baseline.scale).astype(np.float32)
    members: list[CompositionSet] = []
    curve: list[EpochReport] = []
    for number in range(settings.n_members):
        path = supervision.resume_path
        if path is not None and number:
            path = path.with_name(f"{path.name}.{number}")
        told = replace(supervision, resume_path=path)
        network, reports = _train_member(rows.table, rest, (kept, held), settings, told, rng)
        members.append(network)
        curve += reports
    _forget_unseen(members, rows.table.select(kept))
    domain = TrainingDomain.of(rows.table, rows.by_target())
    predictor = SetNetworkPredictor(tuple(members), baseline, np.ones(rest.shape[1]), domain)
    value, uncertainty = predictor.every_value(rows.table.select(held))
    widening = np.array(
        [_widening(np.abs(value[:, t] - rows.values[held, t]), uncertainty[:, t]) for t in range(rest.shape[1])]
    )
    return replace(predictor, widening=widening), tuple(curve), held


def _train_member(
    table: FormulaTable,
    rest: NDArray[np.float32],
    split: tuple[NDArray[np.int64], NDArray[np.int64]],
    settings: SetNetworkSettings,
    supervision: Supervision,
    rng: np.random.Generator,
) -> tuple[CompositionSet, tuple[EpochReport, ...]]:
    kept, held = split
    network = new_network(settings.sizes, rest.shape[1], int(rng.integers(2**31)))
    device = device_named(settings.training.device)
    form = set_form(table.select(kept))
    z, x, y = (torch.from_numpy(a).to(device) for a in (form.elements, form.fractions, rest[kept]))
    held_table, held_rest = table.select(held), rest[held]

    def loss(batch: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        mean, log_scale = network(z[batch], x[batch])
        return _loss(mean, log_scale, y[batch])

    def validation() -> float:
        error = np.abs(_answers(network, held_table)[0] - held_rest)
        return float(np.nanmean(error))

    told = replace(supervision, validation=validation)
    curve = train(network, loss, len(kept), settings.training, told, rng=rng)
    return network.cpu(), curve


def _loss(mean: Tensor, log_scale: Tensor, truth: Tensor) -> Tensor:
    """Absolute error, plus the Laplace likelihood of the width alone; mean over the entries that have a truth."""
    present = ~torch.isnan(truth)
    error = (mean - torch.nan_to_num(truth)).abs() * present
    s = log_scale.clamp(-_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)
    width = (error.detach() * (-s).exp() + s) * present
    return (error.sum() + 0.1 * width.sum()) / present.sum().clamp(min=1)


def _widening(error: NDArray[np.float64], uncertainty: NDArray[np.float64]) -> float:
    """The factor that makes 68.3 % of the errors smaller than the uncertainty; 1 where nothing was held out."""
    ratio = error / uncertainty
    ratio = ratio[np.isfinite(ratio)]
    return max(float(np.quantile(ratio, _ONE_DEVIATION)), 1e-6) if len(ratio) else 1.0


def _forget_unseen(members: list[CompositionSet], table: FormulaTable) -> None:
    """Give elements that no training formula holds the mean learned vector, so that their properties decide."""
    seen = np.unique(table.atomic_numbers)
    seen = seen[seen > 0]
    for member in members:
        weight = member.embedding.weight.data
        unseen = torch.ones(len(weight), dtype=torch.bool)
        unseen[torch.from_numpy(seen)] = False
        weight[unseen] = weight[~unseen].mean(dim=0)


def new_network(sizes: SetSizes, n_targets: int, seed: int) -> CompositionSet:
    """A new network whose weights follow from a seed."""
    values = imputed_properties()
    known = values[1:104]  # the elements that occur in compounds
    properties = torch.from_numpy(((values - known.mean(axis=0)) / known.std(axis=0)).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CompositionSet(properties, n_targets, sizes)


def save_set_network(predictor: SetNetworkPredictor, path: Path, precision: str = "float32") -> None:
    """Write a predictor as a checkpoint.

    Args:
        predictor: what to write.
        path: the file.
        precision: "float32" or "float16", which halves the file and changes values by about 1e-3 of their scale.
    """
    kind = np.float16 if precision == "float16" else np.float32
    tensors: dict[str, NDArray[Any]] = {}
    for number, member in enumerate(predictor.members):
        tensors |= {f"member{number}.{n}": t.numpy().astype(kind) for n, t in member.state_dict().items()}
    baseline = predictor.baseline
    tensors |= {
        "baseline.mean": baseline.mean, "baseline.weights": baseline.weights.astype(np.float32),
        "baseline.scale": baseline.scale, "widening": predictor.widening,
    }  # fmt: skip
    sizes = predictor.members[0].sizes
    config = {
        "sizes": vars(sizes),
        "members": len(predictor.members),
        "domain": predictor.training_domain.to_config(),
    }
    targets = list(predictor.training_domain.values)
    vocabulary = {"targets": targets, "units": [TARGETS[name].unit for name in targets]}
    save_checkpoint(Checkpoint(KIND, tensors, config, vocabulary), path)


def load_set_network(path: Path) -> SetNetworkPredictor:
    """Read what `save_set_network` wrote."""
    stored = load_checkpoint(path, KIND)
    targets = stored.vocabulary["targets"]
    members = []
    for number in range(int(stored.config["members"])):
        network = new_network(SetSizes(**stored.config["sizes"]), len(targets), 0)
        start = f"member{number}."
        network.load_state_dict(
            {
                n[len(start) :]: torch.from_numpy(a.astype(np.float32))
                for n, a in stored.tensors.items()
                if n.startswith(start)
            }
        )
        network.eval()
        members.append(network)
    parts = stored.tensors
    baseline = ElementBaseline(
        parts["baseline.mean"], parts["baseline.weights"].astype(np.float64), parts["baseline.scale"]
    )
    domain = TrainingDomain.from_config(stored.config["domain"])
    # JSON keeps names sorted; the outputs of the network are in the order of the vocabulary.
    ordered = replace(domain, values={name: domain.values[name] for name in targets})
    return SetNetworkPredictor(tuple(members), baseline, parts["widening"], ordered)


def settings_of(order: TrainingOrder) -> SetNetworkSettings:
    """The settings that an order names; the option `members` gives the number of networks.

    Raises:
        UnknownNameError: it names an unknown size or another number of members than 1 to 5.
    """
    if order.size not in SIZES:
        raise UnknownNameError("size", order.size, SIZES)
    settings = SIZES[order.size]
    training = replace(settings.training, device=order.device, n_epochs=order.epochs or settings.training.n_epochs)
    members = int(order.option("members", ("1", "2", "3", "4", "5")))
    return replace(settings, training=training, n_members=members)


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """`novalith train set-network`; `--option precision=float16` halves the file."""
    rows = read_rows(order)
    settings = settings_of(order)
    precision = order.option("precision", ("float32", "float16"))
    supervision = Supervision(resume_path=order.resume_path, watch=order.watch)
    predictor, curve, held = train_on_rows(rows, settings, supervision, rng=np.random.default_rng(order.seed))
    save_set_network(predictor, order.out, precision)
    for number in range(1, settings.n_members):
        order.resume_path.with_name(f"{order.resume_path.name}.{number}").unlink(missing_ok=True)
    figures: dict[str, float] = {}
    checked = rows.select(held)
    for name, truth in checked.by_target().items():
        figures |= error_figures(predictor.predict(checked.table, name), truth, name, TARGETS[name].unit)
    return TrainingSummary("set-network", order.out, len(rows) - len(held), rows.set_aside, figures, curve)
