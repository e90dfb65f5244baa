r"""What the graph network of recipe `cgcnn` learns, and its training.

    z = T(y);   z = m + sum over elements x_i w_i + scale * network(graph);   loss: weighted |error| / scale

T is the decimal logarithm for moduli, dielectric constants and refractive indices and the identity for the rest. Of the
band gap two things are learned: whether there is one (a logit, cross entropy) and how large it is where there is one. A
target of n rows weighs :math:`(n_{max} / n)^{0.4}` a row, so that a thousand rows are heard beside twenty thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from novalith.materials import ELEMENTS
from novalith.networks.crystal_graph import CrystalGraphNetwork, GraphSizes, GraphTensors
from novalith.networks.dense import device_named
from novalith.predict.element_baseline import ElementBaseline, fit_to_fractions
from novalith.represent.composition_features import imputed_properties, magpie_properties
from novalith.represent.crystal_graph import SURROUNDINGS, GraphTable
from novalith.training.loop import EpochReport, Supervision, TrainingSettings, train

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: What is learned, in this order, as far as the data have it.
LEARNED = (
    "formation_energy", "energy_per_atom", "band_gap", "bulk_modulus", "shear_modulus", "poisson_ratio",
    "dielectric_constant", "refractive_index",
)  # fmt: skip
#: Targets whose decimal logarithm is learned.
LOGARITHMIC = frozenset({"bulk_modulus", "shear_modulus", "dielectric_constant", "refractive_index"})
#: Gaps up to this (eV) are none.
NO_GAP_EV = 1e-3
#: Graphs evaluated at a time; bounds the memory.
_BLOCK = 512
#: Log-scales are kept within this (in units of the target's scale).
_LOG_SCALE_LIMIT = 5.0
#: Exponent of the weight of small sets; see the docstring.
_RARE = 0.4


@dataclass(frozen=True)
class CgcnnSettings:
    """Size and training.

    Attributes:
        sizes: of the network.
        training: rates, passes, batches.
        n_members: networks that are averaged.
        merge_tolerance_a: distances that agree to this are equal when training graphs are merged, Å; 0 merges none.
    """

    sizes: GraphSizes
    training: TrainingSettings
    n_members: int = 1
    merge_tolerance_a: float = 1e-3


#: "default" ships; "paper" is the published architecture (batch norms, full graphs, no angles, one network).
SIZES = {
    "tiny": CgcnnSettings(
        GraphSizes(width=24, n_convolutions=2, n_embedding=8, n_hidden=24),
        TrainingSettings(n_epochs=3, batch_size=32, learning_rate=5e-3, averaging=0.9),
    ),
    "default": CgcnnSettings(
        GraphSizes(),
        TrainingSettings(n_epochs=40, batch_size=128, learning_rate=2e-3, weight_decay=2e-2, averaging=0.998),
        n_members=3,
    ),
    "paper": CgcnnSettings(
        GraphSizes(width=64, n_convolutions=4, n_embedding=70, n_hidden=32, convolution="published"),
        TrainingSettings(n_epochs=200, batch_size=256, learning_rate=2e-3, averaging=0.998),
        merge_tolerance_a=0.0,
    ),
}


def tensors_of(table: GraphTable, device: torch.device | str = "cpu") -> GraphTensors:
    """A table of graphs as what the network reads."""

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return GraphTensors(
        tensor(table.atomic_numbers), tensor(table.shares), tensor(table.surroundings), tensor(table.crystals),
        tensor(table.centres), tensor(table.neighbours), tensor(table.distances), tensor(table.counts), len(table),
    )  # fmt: skip


def new_network(sizes: GraphSizes, n_outputs: int, seed: int) -> CrystalGraphNetwork:
    """A new network whose weights follow from a seed."""
    names, _ = magpie_properties()
    values = imputed_properties()
    known = values[1:104]
    properties = torch.from_numpy(((values - known.mean(axis=0)) / known.std(axis=0)).astype(np.float32))
    radii = torch.from_numpy(np.maximum(values[:, names.index("CovalentRadius")] / 100, 0.2).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CrystalGraphNetwork(properties, radii, len(SURROUNDINGS), n_outputs, sizes)


@dataclass(frozen=True, eq=False)
class Answers:
    """What one network says of n crystals, in units of the scales: (n, o) values, (n, o) log-scales, (n, p) vectors."""

    values: Floats
    log_scales: Floats
    pooled: NDArray[np.float32]


def answers(network: CrystalGraphNetwork, table: GraphTable) -> Answers:
    """Evaluate a network, a block of graphs at a time."""
    device = network.properties.device
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.no_grad():
        for start in range(0, len(table), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(table)))
            pooled = network.pooled(tensors_of(table.select(rows), device))
            parts.append((*network.heads(pooled), pooled))
    if not parts:
        n = network.n_outputs
        return Answers(np.zeros((0, n)), np.zeros((0, n)), np.zeros((0, network.n_pooled), np.float32))
    values, scales, vectors = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    scales = scales.clamp(-_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)
    return Answers(values.double().numpy(), scales.double().numpy(), vectors.float().numpy())


def element_shares(table: GraphTable) -> Floats:
    """(n, 118) fractions of elements, by atomic number less one."""
    out = np.zeros((len(table), len(ELEMENTS)))
    np.add.at(out, (table.crystals, table.atomic_numbers - 1), table.shares)
    return out


def learned(values: Floats, targets: Sequence[str]) -> Floats:
    """(n, t) values in the units of the targets -> (n, t) what is learned; NaN where there is nothing to learn."""
    out = np.array(values, dtype=np.float64)
    for i, name in enumerate(targets):
        if name in LOGARITHMIC:
            out[:, i] = np.log10(np.where(out[:, i] > 0, out[:, i], np.nan))
        elif name == "band_gap":
            out[:, i] = np.where(out[:, i] > NO_GAP_EV, out[:, i], np.nan)
    return out


def gap_labels(values: Floats, targets: Sequence[str]) -> NDArray[np.float32]:
    """(n,) 1 with a gap, 0 without, NaN where unknown."""
    gaps = values[:, list(targets).index("band_gap")] if "band_gap" in targets else np.full(len(values), np.nan)
    return np.where(np.isnan(gaps), np.nan, gaps > NO_GAP_EV).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What all members learn: graphs, (n, t) rest after the sum over elements in units of its scale, (n,) gap labels.

    Attributes:
        table: n graphs, merged.
        rest: (n, t) NaN where missing.
        gaps: (n,) 1, 0 or NaN.
        baseline: the sum over elements.
        training: rows to learn from.
        held: rows that decide which epoch is kept.
    """

    table: GraphTable
    rest: NDArray[np.float32]
    gaps: NDArray[np.float32]
    baseline: ElementBaseline
    training: Integers
    held: Integers


def lesson_of(table: GraphTable, values: Floats, targets: Sequence[str], split: tuple[Integers, Integers]) -> Lesson:
    """Take the sum over elements, fitted to the rows trained on, off the values."""
    training, held = split
    wanted, shares = learned(values, targets), element_shares(table)
    baseline = fit_to_fractions(shares[training], wanted[training])
    rest = ((wanted - baseline.of_fractions(shares)) / baseline.scale).astype(np.float32)
    return Lesson(table, rest, gap_labels(values, targets), baseline, training, held)


def train_member(
    lesson: Lesson, settings: CgcnnSettings, supervision: Supervision, *, rng: np.random.Generator
) -> tuple[CrystalGraphNetwork, tuple[EpochReport, ...]]:
    """Train one network on the rows of a lesson."""
    n_targets = lesson.rest.shape[1]
    network = new_network(settings.sizes, n_targets + 1, int(rng.integers(2**31)))
    device = device_named(settings.training.device)
    table = lesson.table.select(lesson.training)
    network.standardise(*_moments(table))
    rest, gaps = (torch.from_numpy(a[lesson.training]).to(device) for a in (lesson.rest, lesson.gaps))
    counts = np.isfinite(lesson.rest[lesson.training]).sum(axis=0)
    weights = torch.from_numpy(((counts.max() / np.maximum(counts, 1)) ** _RARE).astype(np.float32)).to(device)

    def loss(batch: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        graphs = tensors_of(table.select(batch.cpu().numpy()), device)
        values, scales = network(graphs)
        return _loss(values, scales, rest[batch], gaps[batch], weights)

    held = lesson.table.select(lesson.held)
    truth, labels = lesson.rest[lesson.held], lesson.gaps[lesson.held]

    def validation() -> float:
        said = answers(network, held).values
        return _mean_error(said, truth, labels)

    told = replace(supervision, validation=validation if len(lesson.held) else None)
    curve = train(network, loss, len(lesson.training), settings.training, told, rng=rng)
    _forget_unseen(network, table)
    return network.cpu(), curve


def _moments(table: GraphTable) -> tuple[Tensor, Tensor]:
    mean, deviation = table.surroundings.mean(axis=0), table.surroundings.std(axis=0)
    return torch.from_numpy(mean), torch.from_numpy(np.maximum(deviation, 1e-3))


def _loss(values: Tensor, log_scales: Tensor, truth: Tensor, gaps: Tensor, weights: Tensor) -> Tensor:
    """Absolute errors, a tenth of the Laplace likelihood of the widths, and the cross entropy of the gap."""
    n = truth.shape[1]
    present = ~torch.isnan(truth)
    error = (values[:, :n] - torch.nan_to_num(truth)).abs() * present
    s = log_scales[:, :n].clamp(-_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)
    width = (error.detach() * (-s).exp() + s) * present
    total = ((error + 0.1 * width) * weights).sum() / len(truth)
    known = ~torch.isnan(gaps)
    entropy = functional.binary_cross_entropy_with_logits(values[:, n], torch.nan_to_num(gaps), reduction="none")
    return total + 0.5 * (entropy * known).sum() / len(truth)


def _mean_error(said: Floats, truth: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """Mean over the targets of the mean absolute error in units of the scale."""
    error = np.abs(said[:, : truth.shape[1]] - truth)
    held = np.isfinite(error).any(axis=0)
    figures = [float(np.nanmean(error[:, i])) for i in np.flatnonzero(held)]
    known = np.isfinite(labels)
    if known.any():
        figures.append(float(((said[known, -1] > 0) != (labels[known] > 0)).mean()))
    return float(np.mean(figures)) if figures else float("nan")


def _forget_unseen(network: CrystalGraphNetwork, table: GraphTable) -> None:
    """Give elements that no training crystal holds the mean learned vector, so that their properties decide."""
    weight = network.embedding.weight.data
    unseen = torch.ones(len(weight), dtype=torch.bool)
    unseen[torch.from_numpy(np.unique(table.atomic_numbers))] = False
    weight[unseen] = weight[~unseen].mean(dim=0)
