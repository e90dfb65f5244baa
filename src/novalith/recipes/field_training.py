"""The learned scorer of fields: networks and trees on evidence that was gathered without the field they judge.

    s(field) = mean over members of (network_i(z) + trees_i(z)) / 2,   z = describe(evidence, field), standardised

Training data are reported fields of one arity and random background fields. Both are split into folds; a fold is
described by the evidence of the *other* folds and of the fields of other arities, exactly as an unexplored field is
described later. Each member has folds, background and starting weights of its own, so that the spread of the members
says how far the answer depends on chance. The halves differ by less than the spread over folds; see `docs/fields.md`.

Scores become probabilities by a calibration (`novalith.predict.calibration`) that one more member gives, which is
trained without a tenth of the reported fields and judges them against matched background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError
from novalith.predict.boosted_trees import BoostedTrees, fit_boosted_trees
from novalith.predict.calibration import Calibration, calibrate
from novalith.recipes.field_backgrounds import Background, field_keys
from novalith.represent.field_evidence import Features, describe_fields, gather_encoded
from novalith.represent.phase_field import Indices

Groups = dict[int, Indices]
Floats = NDArray[np.float64]

#: Fewer reported fields than this teach nothing that could be judged.
FEWEST_REPORTED = 50


@dataclass(frozen=True)
class FieldTraining:
    """How the scorer is trained; the defaults were chosen on random splits of the bundled lists.

    Attributes:
        n_members: size of the ensemble; each member is one network and one set of trees.
        n_folds: folds for out-of-fold evidence.
        n_background: background fields for each reported field.
        uniform_share: share of the background drawn uniformly, the rest matches the element frequencies.
        width: of the two hidden layers.
        dropout: in the hidden layers.
        n_steps: least number of steps of the network's training.
        n_trees: trees of each member.
        n_leaves: leaves of each tree.
        calibration_share: share of the reported fields that the calibrating member does not see.
    """

    n_members: int = 3
    n_folds: int = 8
    n_background: int = 4
    uniform_share: float = 0.2
    width: int = 96
    dropout: float = 0.3
    n_steps: int = 800
    n_trees: int = 120
    n_leaves: int = 15
    calibration_share: float = 0.1


#: For tests and demonstrations: seconds, and figures worth nothing.
TINY = FieldTraining(n_members=2, n_folds=3, n_background=2, width=16, n_steps=60, n_trees=10, n_leaves=7)


@dataclass(frozen=True)
class FieldModel:
    """A trained ensemble for fields of one arity.

    Attributes:
        arity: number of elements.
        mean: (features,) subtracted.
        deviation: (features,) divided by; then clipped to +-6.
        weights: of each layer of the networks, (members, outputs, inputs) and (members, outputs).
        trees: one set a member.
        calibration: of the mean score.
    """

    arity: int
    mean: Features
    deviation: Features
    weights: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    trees: tuple[BoostedTrees, ...]
    calibration: Calibration

    def scores(self, features: Features, block: int = 8192) -> Floats:
        """(n, features) -> (n, members) log-odds."""
        out = np.empty((len(features), len(self.trees)))
        for start in range(0, len(features), block):
            z = self.standardise(features[start : start + block])
            halves = [trees.scores(z) + self._network(z, i) for i, trees in enumerate(self.trees)]
            out[start : start + block] = np.stack(halves, axis=1) / 2
        return out

    def halves(self, features: Features) -> tuple[Floats, Floats]:
        """Log-odds of the networks and of the trees, mean over the members, (n,) each."""
        z = self.standardise(features)
        networks = np.mean([self._network(z, i) for i in range(len(self.trees))], axis=0)
        return networks, np.mean([trees.scores(z) for trees in self.trees], axis=0)

    def standardise(self, features: Features) -> Features:
        """Subtract, divide, clip."""
        return np.clip((features - self.mean) / self.deviation, -6.0, 6.0).astype(np.float32)

    def _network(self, z: Features, member: int) -> Floats:
        weight, bias = (array[member] for array in self.weights[-1])
        logits: Floats = (self._hidden(z, member) @ weight.T + bias)[:, 0].astype(np.float64)
        return logits

    def _hidden(self, z: Features, member: int) -> Features:
        # Plain numpy: three small products do not pay for importing torch.
        h = z
        for weight, bias in self.weights[:-1]:
            h = h @ weight[member].T + bias[member]
            h /= 1.0 + np.exp(-h)
        return h


def out_of_fold(
    groups: Groups, reported: Indices, background: Indices, settings: FieldTraining, rng: np.random.Generator
) -> tuple[Features, Indices]:
    """Describe reported and background fields, each by evidence that holds no reported field of its fold.

    Args:
        groups: arity -> all reported fields (rows ascending) that evidence may be gathered from.
        reported: (n, k) fields to describe; those that stand in `groups` are taken out fold by fold.
        background: (m, k) fields to describe.
        settings: number of folds.
        rng: deals the fields to folds.

    Returns:
        Features (n + m, d) and labels (n + m,), 1 for reported, in the order of the arguments.
    """
    rows = np.concatenate([reported, background])
    labels = np.repeat([1, 0], [len(reported), len(background)])
    n_folds = settings.n_folds
    folds = np.concatenate([_deal(len(reported), n_folds, rng), _deal(len(background), n_folds, rng)])
    features: Features | None = None
    for fold in range(n_folds):
        here = folds == fold
        others = without_fields(groups, rows[here & (labels == 1)])
        described = describe_fields(gather_encoded(others, rows.shape[1]), rows[here])
        features = np.empty((len(rows), described.shape[1]), np.float32) if features is None else features
        features[here] = described
    if features is None:
        raise ValueError("At least one fold is needed.")
    return features, labels


def _deal(n: int, n_folds: int, rng: np.random.Generator) -> Indices:
    return rng.permutation(np.arange(n) % n_folds)


def train_model(
    groups: Groups,
    reported: Indices,
    backgrounds: Sequence[tuple[float, Background]],
    settings: FieldTraining,
    rng: np.random.Generator,
    watch: Callable[[str], None] = lambda _: None,
) -> FieldModel:
    """Train the ensemble for the arity of `reported`.

    Args:
        groups: arity -> reported fields, the source of evidence; holds `reported`.
        reported: (n, k) the fields to tell from the background.
        backgrounds: (share, background) pairs; the shares add up to 1.
        settings: how.
        rng: seeds folds, background and members.
        watch: told a sentence before each long step.

    Raises:
        EmptyResultError: fewer than `FEWEST_REPORTED` reported fields of this arity.
    """
    arity = reported.shape[1]
    if len(reported) < FEWEST_REPORTED:
        raise EmptyResultError(
            f"Only {len(reported)} reported fields of {arity} elements to learn from; at least {FEWEST_REPORTED} are "
            "needed. Add lists, or score fields of another number of elements."
        )
    draw = Backgrounds(tuple(backgrounds), frozenset(field_keys(groups[arity])))
    held = np.zeros(len(reported), dtype=bool)
    held[rng.permutation(len(reported))[: max(20, round(settings.calibration_share * len(reported)))]] = True
    without = without_fields(groups, reported[held])
    watch(f"fields of {arity} elements: a member for calibration")
    judge = train_members(without, reported[~held], draw, replace(settings, n_members=1), rng)
    evidence = gather_encoded(without, arity)
    matching = draw.first(4 * int(held.sum()), rng)
    positive, negative = (
        judge.scores(describe_fields(evidence, rows)).mean(axis=1) for rows in (reported[held], matching)
    )
    watch(f"fields of {arity} elements: {settings.n_members} members on all reported fields")
    model = train_members(groups, reported, draw, settings, rng)
    return replace(model, calibration=calibrate(positive, negative))


@dataclass(frozen=True)
class Backgrounds:
    """Backgrounds with their shares, and the keys of fields that none may draw.

    Attributes:
        backgrounds: (share, background) pairs; the shares add up to 1. The first is the one to calibrate against.
        excluded: see `field_keys`.
    """

    backgrounds: tuple[tuple[float, Background], ...]
    excluded: frozenset[bytes]

    def mixed(self, n: int, rng: np.random.Generator) -> Indices:
        """About n fields, from each background its share."""
        parts = [self._draw(b, max(1, round(share * n)), rng) for share, b in self.backgrounds if share > 0]
        return np.concatenate(parts)

    def first(self, n: int, rng: np.random.Generator) -> Indices:
        """(n, k) fields of the first background."""
        return self._draw(self.backgrounds[0][1], n, rng)

    def _draw(self, background: Background, n: int, rng: np.random.Generator) -> Indices:
        # There are only some 1,700 unreported pairs of elements: where the background is small, half of it is drawn.
        return background.draw(min(n, (background.size - len(self.excluded)) // 2), self.excluded, rng)


def train_members(
    groups: Groups, reported: Indices, draw: Backgrounds, settings: FieldTraining, rng: np.random.Generator
) -> FieldModel:
    """Train the members alone, without calibration: the identity takes its place."""
    scale: tuple[Features, Features] | None = None
    networks, trees = [], []
    for _ in range(settings.n_members):
        background = draw.mixed(settings.n_background * len(reported), rng)
        X, y = out_of_fold(groups, reported, background, settings, rng)
        mean, deviation = scale = scale or (X.mean(axis=0), np.maximum(X.std(axis=0), 1e-3))
        z = np.clip((X - mean) / deviation, -6.0, 6.0).astype(np.float32)
        networks.append(_train_network(z, y, settings, rng))
        trees.append(fit_boosted_trees(z, y, settings.n_trees, settings.n_leaves, rng))
    weights = tuple((np.stack([n[j][0] for n in networks]), np.stack([n[j][1] for n in networks])) for j in range(3))
    return FieldModel(reported.shape[1], mean, deviation, weights, tuple(trees), Calibration(1.0, 0.0))


def without_fields(groups: Groups, rows: Indices) -> Groups:
    """Reported fields less those of `rows` (n, k)."""
    arity, removed = rows.shape[1], set(field_keys(rows))
    kept = np.array([key not in removed for key in field_keys(groups[arity])], dtype=bool)
    return groups | {arity: groups[arity][kept]}


def _train_network(
    z: Features, y: Indices, settings: FieldTraining, rng: np.random.Generator
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    import torch
    from torch import nn

    from novalith.networks.dense import Dense
    from novalith.training.loop import TrainingSettings, train

    inputs, targets = torch.from_numpy(z), torch.from_numpy(y.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = Dense([z.shape[1], settings.width, settings.width, 1], dropout=settings.dropout)

    def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        del generator
        value: torch.Tensor = nn.functional.binary_cross_entropy_with_logits(
            network(inputs[batch])[:, 0], targets[batch]
        )
        return value

    # Small lists need smaller batches and more passes to make as many steps.
    batch_size = int(np.clip(len(z) // 50, 32, 512))
    n_epochs = int(np.ceil(settings.n_steps * batch_size / len(z)))
    train(network, loss, len(z), TrainingSettings(n_epochs, batch_size, 3e-3, 1e-2, averaging=0.95), rng=rng)
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    return [(m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy()) for m in linear]
