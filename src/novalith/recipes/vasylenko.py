"""The published ranking of phase fields, and what it turns out to be.

Vasylenko et al., Nat. Commun. 12, 5561 (2021): a variational autoencoder (encoder 74-37-18-9-4, two latent numbers,
mirrored decoder, sigmoid output) is trained on standardised vectors of 4 x 37 element features in all 24 orders; a
field's score is the distance between its vector x and the reconstruction x', mean over the orders; low
scores are explored first.

    score = ||x - x'||,   x = (features - mean) / deviation

**The published scores equal ||x||**, to the rounding of the authors' files: the decoder returns about zero for
every field. A sigmoid cannot give the negative half of standardised data, and the activity penalty with dropout does
the rest. The ranking therefore says how far a field lies from the average element, not what a network recognised.
`novalith bench fields --published` shows both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from novalith.data.reported_fields import li_candidates, published_scores, two_anion_rows
from novalith.generate.likelihoods import divergence_from_prior
from novalith.materials import PhaseField
from novalith.represent.phase_field import Floats, permuted_vectors, published_vectors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BIBTEX = """@article{vasylenko2021element,
  title = {Element selection for crystalline inorganic solid discovery guided by unsupervised machine learning of
           experimentally explored chemistry},
  author = {Vasylenko, Andrij and Gamon, Jacinthe and Duff, Benjamin B. and Gusev, Vladimir V. and others},
  journal = {Nature Communications}, volume = {12}, pages = {5561}, year = {2021}, doi = {10.1038/s41467-021-25343-7}
}"""

#: Widths of the published encoder (commit 87eee68 of lrcfmd/PhaseFieldRanking), and the defaults of PyOD 0.7.8.
ENCODER = (74, 37, 18, 9, 4)
N_LATENT, DROPOUT, ACTIVITY_PENALTY, BATCH_SIZE, N_EPOCHS = 2, 0.2, 0.1, 32, 15


@dataclass(frozen=True)
class Standardiser:
    """Mean and deviation of each feature over all elements of the training rows, repeats counted.

    Attributes:
        mean: (37,).
        deviation: (37,); a feature that never changes has 1, so that it counts for nothing.
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> Standardiser:
        """From rows of four symbols."""
        per_element = published_vectors(rows).reshape(-1, 37)
        deviation = per_element.std(axis=0)
        return cls(per_element.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def vectors(self, rows: Sequence[Sequence[str]]) -> Floats:
        """(n, 37 k) standardised vectors in the order written."""
        raw = published_vectors(rows)
        return ((raw.reshape(len(raw), -1, 37) - self.mean) / self.deviation).reshape(len(raw), -1)


def norm_scores(standardiser: Standardiser, rows: Sequence[Sequence[str]]) -> Floats:
    """Euclidean norm of each standardised vector: what the published scores are."""
    return np.linalg.norm(standardiser.vectors(rows), axis=1)


def normalised(scores: Floats) -> Floats:
    """(s - min) / (max - min), rounded to three decimals as in the authors' files."""
    return np.round((scores - scores.min()) / (scores.max() - scores.min()), 3)


def train_network(
    rows: Sequence[Sequence[str]], standardiser: Standardiser, n_epochs: int, rng: np.random.Generator
) -> PublishedNetwork:
    """Train the published network on all orders of the rows (24 times as many vectors as there are rows)."""
    import torch

    from novalith.training.loop import TrainingSettings, train

    vectors = standardiser.vectors(rows)
    x = torch.from_numpy(permuted_vectors(vectors, 4).reshape(-1, vectors.shape[1]).astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = PublishedNetwork(vectors.shape[1])

    def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return network.loss(x[batch], generator)

    train(network.module, loss, len(x), TrainingSettings(n_epochs, BATCH_SIZE, 1e-3, 0.0), rng=rng)
    return network


class PublishedNetwork:
    """The published variational autoencoder of (n, d) standardised vectors, in plain torch."""

    def __init__(self, n_inputs: int) -> None:
        from torch import nn

        def hidden(sizes: Sequence[int]) -> list[nn.Module]:
            return [nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(DROPOUT)) for a, b in pairwise(sizes)]

        widths = (n_inputs, *ENCODER)
        self.encoder = nn.ModuleList(hidden(widths))
        self.latent = nn.Linear(ENCODER[-1], 2 * N_LATENT)
        self.decoder = nn.ModuleList(hidden((N_LATENT, *reversed(ENCODER))))
        self.output = nn.Sequential(nn.Linear(ENCODER[0], n_inputs), nn.Sigmoid())
        self.module = nn.ModuleList([self.encoder, self.latent, self.decoder, self.output])

    def loss(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error + |KL| + 0.1 * squared activities of the layers, mean over the batch."""
        import torch

        penalty = torch.zeros(())
        h = x
        for layer in self.encoder:
            h = layer(h)
            penalty = penalty + (h**2).sum() / len(x)
        mean, log_variance = self.latent(h).chunk(2, dim=1)
        z = mean + torch.randn(mean.shape, generator=generator) * (log_variance / 2).exp()
        for layer in self.decoder:
            z = layer(z)
            penalty = penalty + (z**2).sum() / len(x)
        y = self.output(z)
        penalty = penalty + (y**2).sum() / len(x)
        kl = divergence_from_prior(mean, log_variance).sum(dim=1)
        return (((x - y) ** 2).sum(dim=1) + kl.abs()).mean() + ACTIVITY_PENALTY * penalty

    def reconstruct(self, x: Floats) -> Floats:
        """(n, d) -> (n, d), through the mean of the code."""
        import torch

        with torch.no_grad():
            h = torch.from_numpy(x.astype(np.float32))
            for layer in self.encoder:
                h = layer(h)
            z = self.latent(h)[:, :N_LATENT]
            for layer in self.decoder:
                z = layer(z)
            return self.output(z).numpy().astype(np.float64)

    def scores(self, vectors: Floats) -> Floats:
        """Distance to the reconstruction, mean over all orders of the four elements: (n, d) -> (n,)."""
        orders = permuted_vectors(vectors, 4)
        flat = orders.reshape(-1, orders.shape[-1])
        return np.linalg.norm(flat - self.reconstruct(flat), axis=1).reshape(len(vectors), -1).mean(axis=1)


@dataclass(frozen=True)
class PublishedFigures:
    """The published figures, computed anew.

    Attributes:
        training_below_half: share of training rows whose normalised score is below 0.5.
        folds_below: the same share on each of five validation folds, by the threshold of the training part.
        ranks: name -> rank among the 303 candidates, 1 for the lowest score.
        published_minus_norm: largest difference between the authors' scores and the norm, training rows and candidates.
        network_minus_norm: largest difference between a network trained here and the norm; None where none was trained.
        largest_output: largest number that network decodes; None likewise.
    """

    training_below_half: float
    folds_below: tuple[float, ...]
    ranks: dict[str, int]
    published_minus_norm: float
    network_minus_norm: float | None
    largest_output: float | None


def published_figures(n_epochs: int, rng: np.random.Generator) -> PublishedFigures:
    """Compute the published figures from the bundled lists; `n_epochs` 0 trains no network."""
    rows = two_anion_rows()
    standardiser = Standardiser.of(rows)
    training = norm_scores(standardiser, rows)
    candidates = li_candidates()
    scores = norm_scores(standardiser, [f.elements for f in candidates])
    order = [candidates[i] for i in np.argsort(scores, kind="stable")]
    ranks = {name: order.index(PhaseField.parse(name)) + 1 for name in ("Li-Sn-S-Cl", "Li-P-S-O")}
    difference = max(
        float(np.abs(norm_scores(standardiser, [row for row, _ in listed]) - [s for _, s in listed]).max())
        for listed in (published_scores("training"), published_scores("li"))
    )
    network_difference = largest = None
    if n_epochs:
        network = train_network(rows, standardiser, n_epochs, rng)
        vectors = standardiser.vectors(rows)
        network_difference = float(np.abs(network.scores(vectors) - training).max())
        largest = float(network.reconstruct(vectors).max())
    below = float((normalised(training) < 0.5).mean())
    return PublishedFigures(below, _validation(rows, rng), ranks, difference, network_difference, largest)


def _validation(rows: Sequence[Sequence[str]], rng: np.random.Generator) -> tuple[float, ...]:
    """Share of each fold below the middle of the training scores, statistics from the training part alone."""
    folds = rng.permutation(np.arange(len(rows)) % 5)
    shares = []
    for fold in range(5):
        fitted = [row for row, f in zip(rows, folds, strict=True) if f != fold]
        held = [row for row, f in zip(rows, folds, strict=True) if f == fold]
        standardiser = Standardiser.of(fitted)
        known = norm_scores(standardiser, fitted)
        shares.append(float((norm_scores(standardiser, held) < (known.min() + known.max()) / 2).mean()))
    return tuple(shares)
