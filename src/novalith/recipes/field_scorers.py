"""Every way to score a field, under one contract, for comparison.

============================  ================================================================================
scorer                        score, higher is likelier
============================  ================================================================================
norm                          -||x||, the published score; x standardised features of the elements, laid end to end
pca-16                        -||x - x'||, x' from 16 principal components of the reported fields
autoencoder, vae              likewise, x' from an autoencoder with a linear output
knn-3                         -mean distance of x to the three nearest reported fields
popularity                    sum of log((c + 0.5) / N) over the elements, c reported fields that hold it
pairs                         sum of log((c + 0.3) / N) over the pairs
pairs+triples                 pairs + 2 * sum of log(1 + c) over the triples
deep-sets, attention          a network on the set of elements, told reported from background fields
networks, trees               the two halves of the default, on out-of-fold evidence
default                       their half sum
============================  ================================================================================

Vectors lay the elements in Mendeleev order (nearly Pettifor's). Counts and vectors are of reported fields of the same
arity.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from novalith.generate.vae import CollapseReport, VaeSettings, VariationalAutoencoder
from novalith.recipes.field_backgrounds import frequencies
from novalith.recipes.field_training import Backgrounds, FieldTraining, Floats, Groups, train_members
from novalith.represent.field_evidence import N_ELEMENTS, Features, describe_fields, gather_encoded
from novalith.represent.phase_field import CHEMISTRY, Indices, chemistry_features, published_features

#: Scores (n, k) fields.
Score = Callable[[Indices], Floats]


def count_scorers(reported: Indices) -> dict[str, Score]:
    """popularity, pairs and pairs+triples, counted in `reported` (n, k)."""
    rows = np.sort(reported, axis=1)
    n, arity = len(rows), rows.shape[1]
    single = frequencies(rows)
    pair, triple = np.zeros(N_ELEMENTS**2), np.zeros(N_ELEMENTS**3)
    for i, j in combinations(range(arity), 2):
        np.add.at(pair, rows[:, i] * N_ELEMENTS + rows[:, j], 1)
    for i, j, k in combinations(range(arity), 3):
        np.add.at(triple, (rows[:, i] * N_ELEMENTS + rows[:, j]) * N_ELEMENTS + rows[:, k], 1)

    def popularity(fields: Indices) -> Floats:
        return np.log((single[fields] + 0.5) / n).sum(axis=1)

    def pairs(fields: Indices) -> Floats:
        f = np.sort(fields, axis=1)
        counts = [pair[f[:, i] * N_ELEMENTS + f[:, j]] for i, j in combinations(range(arity), 2)]
        return np.log((np.stack(counts, axis=1) + 0.3) / n).sum(axis=1)

    def pairs_and_triples(fields: Indices) -> Floats:
        f = np.sort(fields, axis=1)
        keys = ((f[:, i] * N_ELEMENTS + f[:, j]) * N_ELEMENTS + f[:, k] for i, j, k in combinations(range(arity), 3))
        return pairs(fields) + 2 * sum((np.log1p(triple[key]) for key in keys), np.zeros(len(f)))

    return {"popularity": popularity, "pairs": pairs, "pairs+triples": pairs_and_triples}


def _vectoriser(reported: Indices) -> Score:
    """Fields -> standardised feature vectors, elements in Mendeleev order, unknown features at the mean."""
    values = published_features().values
    seen = values[reported.ravel()]
    mean, deviation = np.nanmean(seen, axis=0), np.nanstd(seen, axis=0)
    z = np.nan_to_num((values - mean) / np.where(deviation > 0, deviation, 1.0))
    order = chemistry_features().values[:, CHEMISTRY.index("mendeleev_number")]

    def vectors(fields: Indices) -> Floats:
        ordered = np.take_along_axis(fields, np.argsort(order[fields], axis=1, kind="stable"), axis=1)
        return z[ordered].reshape(len(fields), -1)

    return vectors


def vector_scorers(reported: Indices) -> dict[str, Score]:
    """norm, pca-16 and knn-3 on the published features."""
    vectors = _vectoriser(reported)
    x = vectors(reported)
    centre = x.mean(axis=0)
    axes = np.linalg.svd(x - centre, full_matrices=False)[2][:16]
    points = x.astype(np.float32)

    def norm(fields: Indices) -> Floats:
        return -np.linalg.norm(vectors(fields), axis=1)

    def pca(fields: Indices) -> Floats:
        y = vectors(fields) - centre
        return -np.linalg.norm(y - y @ axes.T @ axes, axis=1)

    def knn(fields: Indices) -> Floats:
        y = vectors(fields).astype(np.float32)
        blocks = [_mean_distance(y[i : i + 2000], points) for i in range(0, len(y), 2000)]
        return -np.concatenate(blocks)

    return {"norm": norm, "pca-16": pca, "knn-3": knn}


def _mean_distance(y: Features, points: Features) -> Floats:
    """Mean distance of (n, d) vectors to their three nearest (m, d) points."""
    squared = (y**2).sum(axis=1)[:, None] - 2 * y @ points.T + (points**2).sum(axis=1)
    nearest = np.partition(squared, 2, axis=1)[:, :3]
    mean: Floats = np.sqrt(np.maximum(nearest, 0.0)).mean(axis=1).astype(np.float64)
    return mean


def autoencoder_scorer(
    reported: Indices, settings: VaeSettings, rng: np.random.Generator
) -> tuple[Score, CollapseReport]:
    """Reconstruction error of an autoencoder, and whether it collapsed, judged on a tenth kept out."""
    vectors = _vectoriser(reported)
    x = vectors(reported).astype(np.float32)
    held = rng.permutation(len(x)) < len(x) // 10
    model = VariationalAutoencoder(settings)
    model.fit(x[~held], rng=rng)

    def score(fields: Indices) -> Floats:
        y = vectors(fields).astype(np.float32)
        return -np.linalg.norm(y - model.reconstruct(y), axis=1).astype(np.float64)

    return score, model.inspect(x[held])


def set_scorer(
    kind: str, reported: Indices, backgrounds: Backgrounds, rng: np.random.Generator, n_steps: int = 500
) -> Score:
    """A network on the set of elements, "deep-sets" or "attention", told reported fields from background."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from novalith.networks.field_set import DeepSets, SetAttention
    from novalith.training.loop import TrainingSettings, train

    background = backgrounds.mixed(8 * len(reported), rng)
    rows = torch.from_numpy(np.concatenate([reported, background]))
    labels = torch.from_numpy(np.repeat([1.0, 0.0], [len(reported), len(background)]).astype(np.float32))
    properties = torch.from_numpy(chemistry_features().values.astype(np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = {"deep-sets": DeepSets, "attention": SetAttention}[kind](properties)

    def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        del generator
        value: torch.Tensor = binary_cross_entropy_with_logits(network(rows[batch]), labels[batch])
        return value

    batch_size = int(np.clip(len(rows) // 100, 64, 512))
    n_epochs = int(np.ceil(n_steps * batch_size / len(rows)))
    train(network, loss, len(rows), TrainingSettings(n_epochs, batch_size, 3e-3, 1e-2, averaging=0.95), rng=rng)

    def score(fields: Indices) -> Floats:
        with torch.no_grad():
            blocks = [network(torch.from_numpy(fields[i : i + 20_000])) for i in range(0, len(fields), 20_000)]
        return torch.cat(blocks).numpy().astype(np.float64)

    return score


def learned_scorers(
    groups: Groups, reported: Indices, backgrounds: Backgrounds, settings: FieldTraining, rng: np.random.Generator
) -> dict[str, Score]:
    """networks, trees and default, from one training on out-of-fold evidence."""
    model = train_members(groups, reported, backgrounds, settings, rng)
    evidence = gather_encoded(groups, reported.shape[1])
    halves: dict[bytes, tuple[Floats, Floats]] = {}

    def both(fields: Indices) -> tuple[Floats, Floats]:
        key = fields.tobytes()
        if key not in halves:
            halves[key] = model.halves(describe_fields(evidence, fields))
        return halves[key]

    return {
        "networks": lambda fields: both(fields)[0],
        "trees": lambda fields: both(fields)[1],
        "default": lambda fields: (both(fields)[0] + both(fields)[1]) / 2,
    }
