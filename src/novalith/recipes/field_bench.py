"""How well each scorer tells reported fields that it has not seen from random ones.

Reported fields of one arity are dealt to folds; a fold is held out, everything is learned from the rest, and the held
fields are compared with random fields that no list reports (`novalith.recipes.field_backgrounds`). Printed are the area
under the ROC curve (the chance that a held field scores above a random one) and the share of held fields among the
best-scoring 1, 5 and 10 % of the random ones. The random fields are unlabelled, not impossible: no figure
here can reach 1.

==================  ===========================================================================================
protocol            reported fields held out; what may be learned from
==================  ===========================================================================================
two-anion           1,927 published two-anion fields; the other folds of them, nothing else
two-anion, all      the same; every list less the held fields
quaternary          all quaternary fields of the lists; every list less the held fields
ternary, quinary    likewise
no sub-fields       quaternary; every field of four or more elements less the held ones, so that nothing is known of
                    any sub-field: what is left is chemistry and neighbours
==================  ===========================================================================================

To take out the sub-fields of the held-out fields *only* would give them away: they would be the fields without any
reported part. A model that is trained under that rule learns just this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from novalith.data.reported_fields import reported_fields, two_anion_rows
from novalith.errors import UnknownNameError
from novalith.generate.vae import CollapseReport, VaeSettings
from novalith.materials import PhaseField
from novalith.predict.calibration import calibration_error
from novalith.recipes.field_backgrounds import (
    Background,
    field_keys,
    independent,
    matched,
    two_anion_matched,
    two_anion_uniform,
    uniform,
)
from novalith.recipes.field_scorers import (
    Score,
    autoencoder_scorer,
    count_scorers,
    learned_scorers,
    set_scorer,
    vector_scorers,
)
from novalith.recipes.field_training import Backgrounds, FieldTraining, Floats, Groups, without_fields
from novalith.recipes.fields import group_reported, train_scorer
from novalith.represent.phase_field import Indices, canonical, decode_fields, encode_fields

#: Protocol -> (arity, whether the two-anion fields, whether to learn from all lists, whether smaller fields go).
PROTOCOLS = {
    "two-anion": (4, True, False, False),
    "two-anion, all": (4, True, True, False),
    "quaternary": (4, False, True, False),
    "no sub-fields": (4, False, True, True),
    "ternary": (3, False, True, False),
    "quinary": (5, False, True, False),
}
#: Scorers that take minutes and are compared on these protocols only.
_SLOW_ON = ("two-anion", "quaternary")

N_BACKGROUND = 10_000
#: The published autoencoders with a linear output, and with the sigmoid for comparison.
AUTOENCODERS = {"autoencoder": VaeSettings(beta=0.0, n_epochs=6), "vae": VaeSettings(beta=0.1, n_epochs=6)}


@dataclass(frozen=True)
class Discrimination:
    """One line of the table: a scorer against a background, mean over folds.

    Attributes:
        protocol: key of `PROTOCOLS`.
        background: name of the background.
        scorer: name of the scorer.
        auc: area under the ROC curve.
        spread: standard deviation of it over the folds.
        recall: share of held fields above the best 1, 5 and 10 % of the background.
    """

    protocol: str
    background: str
    scorer: str
    auc: float
    spread: float
    recall: tuple[float, float, float]


@dataclass(frozen=True)
class Collapse:
    """Whether an autoencoder learned, on one fold of a protocol."""

    protocol: str
    scorer: str
    report: CollapseReport


def roc_auc(positive: Floats, background: Floats) -> float:
    """Chance that a positive scores above a background field, ties counting one half."""
    from scipy.stats import rankdata

    n, m = len(positive), len(background)
    return float((rankdata(np.concatenate([positive, background]))[:n].sum() - n * (n + 1) / 2) / (n * m))


def dealt_folds(protocol: str) -> int:
    """Number of folds: a fifth of the two-anion fields is held out, a tenth of the others."""
    return 5 if PROTOCOLS[protocol][1] else 10


def discriminate(
    protocol: str, n_folds: int, settings: FieldTraining, rng: np.random.Generator, watch: Callable[[str], None]
) -> tuple[list[Discrimination], list[Collapse]]:
    """Run one protocol over its first `n_folds` folds, for every scorer.

    Raises:
        UnknownNameError: no such protocol.
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", protocol, PROTOCOLS)
    arity, two_anion, _, _ = PROTOCOLS[protocol]
    groups = group_reported(reported_fields())
    rows = _two_anion() if two_anion else groups[arity]
    folds = rng.permutation(np.arange(len(rows)) % dealt_folds(protocol))
    known = frozenset(field_keys(groups[arity])) | frozenset(field_keys(rows))
    random = {
        name: background.draw(N_BACKGROUND, known, rng)
        for name, background in _backgrounds(rows, groups, two_anion).items()
    }
    results: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    collapses: list[Collapse] = []
    for fold in range(n_folds):
        watch(f"{protocol}: fold {fold + 1} of {n_folds}")
        held, kept = rows[folds == fold], rows[folds != fold]
        for name, score in _scorers(protocol, groups, (kept, held), settings, collapses, rng):
            positive = score(held)
            for background, fields in random.items():
                results.setdefault((background, name), []).append(_figures(positive, score(fields)))
    table = [
        Discrimination(protocol, b, s, float(np.mean(v, axis=0)[0]), float(np.std(v, axis=0)[0]), _recall(v))
        for (b, s), v in results.items()
    ]
    return sorted(table, key=lambda row: (row.background, row.auc)), collapses


def _figures(positive: Floats, background: Floats) -> tuple[float, ...]:
    cuts = np.quantile(background, [0.99, 0.95, 0.90])
    return (roc_auc(positive, background), *(float((positive > cut).mean()) for cut in cuts))


def _recall(values: list[tuple[float, ...]]) -> tuple[float, float, float]:
    _, one, five, ten = np.mean(values, axis=0)
    return float(one), float(five), float(ten)


def _two_anion() -> Indices:
    fields = sorted({PhaseField(row) for row in two_anion_rows() if len(set(row)) == len(row)})
    return np.sort(encode_fields(fields), axis=1)


def _backgrounds(rows: Indices, groups: Groups, two_anion: bool) -> dict[str, Background]:
    if two_anion:
        return {"uniform": two_anion_uniform(rows), "matched": two_anion_matched(rows)}
    return {"uniform": uniform(rows), "matched": matched(rows), "independent": independent(groups, rows.shape[1])}


def _scorers(
    protocol: str,
    groups: Groups,
    kept_and_held: tuple[Indices, Indices],
    settings: FieldTraining,
    collapses: list[Collapse],
    rng: np.random.Generator,
) -> Iterator[tuple[str, Score]]:
    arity, two_anion, everything, no_smaller = PROTOCOLS[protocol]
    kept, held = kept_and_held
    yield from count_scorers(kept).items()
    yield from vector_scorers(kept).items()
    if everything:
        known = without_fields(groups, held)
        if no_smaller:
            known |= {k: rows[:0] for k, rows in groups.items() if k < arity}
    else:
        known = {k: rows[:0] for k, rows in groups.items()} | {arity: kept}
    choices = _backgrounds(kept, known, two_anion)
    shares = (0.6, 0.4) if two_anion else (1 - settings.uniform_share, settings.uniform_share)
    backgrounds = Backgrounds(
        ((shares[0], choices["matched"]), (shares[1], choices["uniform"])),
        frozenset(field_keys(known[arity])) | frozenset(field_keys(kept)),
    )
    if protocol in _SLOW_ON:
        for name, how in AUTOENCODERS.items():
            score, report = autoencoder_scorer(kept, how, rng)
            collapses.append(Collapse(protocol, name, report))
            yield name, score
        for kind in ("deep-sets", "attention"):
            yield kind, set_scorer(kind, kept, backgrounds, rng)
    yield from learned_scorers(known, kept, backgrounds, settings, rng).items()


@dataclass(frozen=True)
class Reliability:
    """What probabilities are worth on fields that the model has not seen.

    Attributes:
        error: expected calibration error, each class weighing one half (0 is perfect).
        said: mean probability in each tenth of the range from 0 to 1; NaN where none falls.
        seen: share of reported fields there, each class weighing one half.
    """

    error: float
    said: tuple[float, ...]
    seen: tuple[float, ...]


def reliability(arity: int, settings: FieldTraining, rng: np.random.Generator) -> Reliability:
    """Hold out a tenth of the fields of an arity, train on the rest, compare said with seen against matched fields."""
    lists = reported_fields()
    rows = group_reported(lists)[arity]
    held = rows[rng.permutation(len(rows))[: len(rows) // 10]]
    hidden = set(decode_fields(held))
    scorer = train_scorer([f for f in lists if f not in hidden], [arity], settings, rng=rng)
    random = matched(rows).draw(N_BACKGROUND, frozenset(field_keys(rows)), rng)
    positive, negative = scorer.scores(canonical(held))[1], scorer.scores(random)[1]
    p = np.concatenate([positive, negative])
    weights = np.repeat([0.5 / len(positive), 0.5 / len(negative)], [len(positive), len(negative)])
    bins = np.minimum((10 * p).astype(int), 9)
    total = np.bincount(bins, weights, minlength=10)
    with np.errstate(invalid="ignore"):
        said = np.bincount(bins, weights * p, minlength=10) / total
        seen = np.bincount(bins[: len(positive)], weights[: len(positive)], minlength=10) / total
    return Reliability(calibration_error(positive, negative), tuple(said.tolist()), tuple(seen.tolist()))
