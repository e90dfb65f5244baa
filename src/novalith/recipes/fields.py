"""The top rung of the ladder: which elements to combine.

    scorer = default_scorer()
    for scored in rank_fields(FieldLimits(require=frozenset({"Li"}), n_anions=2), top=10): ...

A score is the log-odds that a field resembles the reported ones rather than random fields of the same elements; high
scores are explored first (the published score runs the other way). The model is described in
`novalith.recipes.field_training`, its figures in `docs/fields.md`.

Fields of one element or of six to eight are outside of what was learned. One element gets the logarithm of its share of
the reported fields; a larger field gets the mean over its five-element parts. Neither has a probability.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from novalith.data.hidden import Hidden
from novalith.data.reported_fields import reported_fields
from novalith.errors import CapabilityError
from novalith.materials import ELEMENTS, PhaseField
from novalith.predict.boosted_trees import BoostedTrees
from novalith.predict.calibration import Calibration
from novalith.propose.fields import enumerate_fields
from novalith.recipes.field_backgrounds import matched, uniform
from novalith.recipes.field_training import FieldModel, FieldTraining, Floats, Groups, train_model
from novalith.represent.field_evidence import (
    LARGEST_COUNTED,
    N_ELEMENTS,
    Evidence,
    chemical_similarity,
    describe_fields,
    gather_encoded,
    learned_similarity,
)
from novalith.represent.phase_field import ARITIES, Indices, canonical, decode_fields, encode_fields
from novalith.screen.field_limits import FieldLimits
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

WEIGHTS = Path(__file__).parent / "weights" / "fields.safetensors"

#: Elements in fewer reported fields are not considered unless asked for: nothing is known of them. Hydrogen is among
#: them, because the lists leave it out.
FEWEST_FIELDS_OF_AN_ELEMENT = 20
#: Fields scored at a time; bounds the memory.
BLOCK = 25_000


@dataclass(frozen=True)
class PairReason:
    """What is known of two elements of a field.

    Attributes:
        pair: the two symbols.
        n_reported: reported fields that hold both.
        log_lift: logarithm of how much more often they occur together than chance would have it; the contribution of
            the pair to the evidence, positive for and negative against.
    """

    pair: tuple[str, str]
    n_reported: int
    log_lift: float


@dataclass(frozen=True)
class FieldReasons:
    """Why a field stands where it stands.

    Attributes:
        pairs: one reason a pair, strongest first.
        reported_parts: sub-fields of at least two elements that are reported.
        unreported_parts: those that are not.
    """

    pairs: tuple[PairReason, ...]
    reported_parts: tuple[PhaseField, ...]
    unreported_parts: tuple[PhaseField, ...]


@dataclass(frozen=True)
class ScoredField:
    """A field with its score and the reasons.

    Attributes:
        field: the elements.
        score: log-odds against random fields of the same elements; higher is likelier.
        probability: chance that it were the reported one of a reported and a matched random field drawn with equal
            chance; None outside of two to five elements.
        uncertainty: standard deviation of the probability over the members; None likewise.
        reported: whether the lists hold it.
        nearest: reported fields that one substitution leads to, and how alike the exchanged elements are (0 to 1).
        why: reasons; None where they were not asked for.
    """

    field: PhaseField
    score: float
    probability: float | None
    uncertainty: float | None
    reported: bool
    nearest: tuple[tuple[PhaseField, float], ...]
    why: FieldReasons | None = None


@dataclass(frozen=True)
class FieldScorer:
    """A trained scorer and the reported fields that it judges by.

    Attributes:
        groups: arity -> reported fields, rows ascending.
        models: arity -> model.
    """

    groups: Groups
    models: dict[int, FieldModel]
    _evidence: dict[int, Evidence] = field(default_factory=dict, repr=False, compare=False)

    def evidence(self, arity: int) -> Evidence:
        """Evidence for fields of an arity, gathered once."""
        if arity not in self._evidence:
            self._evidence[arity] = gather_encoded(self.groups, arity)
        return self._evidence[arity]

    def scores(self, indices: Indices) -> tuple[Floats, Floats, Floats]:
        """Score, probability and uncertainty of (n, k) fields; the last two are NaN outside of two to five elements.

        Raises:
            CapabilityError: the scorer was not trained for this number of elements.
        """
        arity = indices.shape[1]
        nothing = np.full(len(indices), np.nan)
        if arity == 1:
            counts = self.evidence(min(self.models)).elements[indices[:, 0]]
            return np.log((counts + 0.5) / max(1, sum(map(len, self.groups.values())))), nothing, nothing
        if arity > max(ARITIES):
            parts = [indices[:, c] for c in combinations(range(arity), max(ARITIES))]
            return np.mean([self.scores(canonical(part))[0] for part in parts], axis=0), nothing, nothing
        if arity not in self.models:
            raise CapabilityError(f"This scorer was trained for {sorted(self.models)} elements, not for {arity}.")
        model, evidence = self.models[arity], self.evidence(arity)
        blocks = [indices[i : i + BLOCK] for i in range(0, max(len(indices), 1), BLOCK)]
        # numpy lets go of the interpreter in its loops, so threads share the work without copies of the tables.
        with ThreadPoolExecutor(min(len(blocks), _n_processors())) as pool:
            members = np.concatenate(list(pool.map(lambda b: model.scores(describe_fields(evidence, b)), blocks)))
        probabilities = model.calibration.probability(members)
        mean = members.mean(axis=1)
        return mean, model.calibration.probability(mean), probabilities.std(axis=1)

    def knows(self, indices: Indices) -> NDArray[np.bool_]:
        """Which of (n, k) fields are reported."""
        rows = np.sort(indices, axis=1)
        known = self.groups.get(indices.shape[1], np.empty((0, indices.shape[1]), np.int64))
        powers = 128 ** np.arange(rows.shape[1])
        return np.isin(rows @ powers, known @ powers)

    def nearest(self, indices: Indices) -> list[tuple[tuple[PhaseField, float], ...]]:
        """For each of (n, k) fields at most k reported fields that exchange one element, most alike first.

        Likeness is the mean of the learned and the chemical similarity of the two elements. A reported field comes
        first itself, with 1. Fields of more than five elements, and of one, get none.
        """
        arity = indices.shape[1]
        if arity not in self.models:
            return [()] * len(indices)
        alike = (learned_similarity(self.groups) + chemical_similarity()) / 2
        table = self.evidence(arity).reported[arity]
        rows, known = np.sort(indices, axis=1), self.knows(indices)
        partners, values = np.empty(rows.shape, np.int64), np.zeros(rows.shape, np.float32)
        for i in range(arity):
            at = table.rows(np.delete(rows, i, axis=1))
            for start in range(0, len(rows), BLOCK):
                part = slice(start, start + BLOCK)
                likeness = np.where(table.partners[at[part]] > 0, alike[rows[part, i]], 0.0)
                partners[part, i] = likeness.argmax(axis=1)
                values[part, i] = likeness.max(axis=1)
        return [self._neighbours(row, p, v, k) for row, p, v, k in zip(rows, partners, values, known, strict=True)]

    def _neighbours(
        self, row: Indices, partners: Indices, values: NDArray[np.float32], known: bool
    ) -> tuple[tuple[PhaseField, float], ...]:
        found = [(decode_fields(row[None])[0], 1.0)] if known else []
        for i in np.argsort(-values, kind="stable"):
            if values[i] > 0:
                exchanged = [ELEMENTS[e] for j, e in enumerate(row) if j != i] + [ELEMENTS[partners[i]]]
                found.append((PhaseField(tuple(exchanged)), round(float(values[i]), 3)))
        return tuple(found)

    def reasons(self, candidate: PhaseField) -> FieldReasons:
        """Pairs and parts of a field of at least two elements."""
        evidence = self.evidence(min(max(len(candidate), min(self.models)), max(self.models)))
        pairs = []
        for pair in combinations(candidate.elements, 2):
            i, j = encode_fields([PhaseField(pair)])[0]
            count = int(sum(table[i, j] for table in evidence.pairs.values()))
            pairs.append(PairReason(pair, count, round(float(evidence.affinity[i, j]), 3)))
        parts = [PhaseField(c) for m in range(2, len(candidate)) for c in combinations(candidate.elements, m)]
        known = {part: bool(self.knows(encode_fields([part]))[0]) for part in parts}
        return FieldReasons(
            tuple(sorted(pairs, key=lambda p: (-abs(p.log_lift), p.pair))),
            tuple(part for part in parts if known[part]),
            tuple(part for part in parts if not known[part]),
        )

    def score_fields(self, fields: Sequence[PhaseField], *, with_reasons: bool = False) -> list[ScoredField]:
        """Score fields of any arities, in the order given."""
        results: dict[PhaseField, ScoredField] = {}
        for arity in sorted({len(f) for f in fields}):
            group = [f for f in fields if len(f) == arity]
            indices = encode_fields(group)
            columns = zip(group, *self.scores(indices), self.knows(indices), self.nearest(indices), strict=True)
            for f, score, probability, uncertainty, reported, nearest in columns:
                why = self.reasons(f) if with_reasons else None
                results[f] = ScoredField(
                    f, float(score), _or_none(probability), _or_none(uncertainty), bool(reported), nearest, why
                )
        return [results[f] for f in fields]

    def known_elements(self) -> frozenset[str]:
        """Elements that enough reported fields hold."""
        every = np.concatenate([rows.ravel() for rows in self.groups.values()])
        counts = np.bincount(every, minlength=N_ELEMENTS)
        return frozenset(s for s, n in zip(ELEMENTS, counts, strict=True) if n >= FEWEST_FIELDS_OF_AN_ELEMENT)

    def save(self, path: Path) -> None:
        """Write the models, not the lists, as one checkpoint."""
        tensors: dict[str, NDArray[np.generic]] = {}
        for arity, model in self.models.items():
            tensors |= {f"{arity}.{name}": value for name, value in _tensors(model).items()}
        config = {
            "arities": sorted(self.models),
            "calibration": {str(k): [m.calibration.slope, m.calibration.offset] for k, m in self.models.items()},
            "members": {str(k): len(m.trees) for k, m in self.models.items()},
        }
        save_checkpoint(Checkpoint("fields", tensors, config, {"elements": list(ELEMENTS)}), path)


def _n_processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


_TREE = ("feature", "threshold", "left", "right", "value")


def _tensors(model: FieldModel) -> dict[str, NDArray[np.generic]]:
    # Half precision halves the wheel's share; thresholds decide sides and stay exact.
    tensors: dict[str, NDArray[np.generic]] = {"mean": model.mean, "deviation": model.deviation}
    for j, (weight, bias) in enumerate(model.weights):
        tensors |= {f"weight{j}": weight.astype(np.float16), f"bias{j}": bias.astype(np.float16)}
    for i, trees in enumerate(model.trees):
        tensors |= {f"trees{i}.{name}": getattr(trees, name) for name in _TREE}
        tensors[f"trees{i}.baseline"] = np.array([trees.baseline])
    return tensors


def load_scorer(path: Path, reported: Sequence[PhaseField]) -> FieldScorer:
    """Read models from a checkpoint and let them judge by reported fields.

    Raises:
        StorageError, CorruptDataError: see `load_checkpoint`.
    """
    stored = load_checkpoint(path, "fields")
    models = {}
    for arity in stored.config["arities"]:
        t = {k.split(".", 1)[1]: v for k, v in stored.tensors.items() if k.startswith(f"{arity}.")}
        layers = sorted(name for name in t if name.startswith("weight"))
        weights = tuple((t[w].astype(np.float32), t[w.replace("weight", "bias")].astype(np.float32)) for w in layers)
        trees = tuple(
            BoostedTrees(float(t[f"trees{i}.baseline"][0]), *(t[f"trees{i}.{name}"] for name in _TREE))
            for i in range(stored.config["members"][str(arity)])
        )
        calibration = Calibration(*stored.config["calibration"][str(arity)])
        models[arity] = FieldModel(arity, t["mean"], t["deviation"], weights, trees, calibration)
    return FieldScorer(group_reported(reported), models)


def default_scorer(hidden: Hidden | None = None) -> FieldScorer:
    """The shipped scorer, judging by the reported fields that are not hidden.

    What is hidden is taken out of the lists. The weights were fitted with it, as part of 35,000 fields described by the
    evidence of others; they hold no field.
    """
    return _unhidden() if not hidden else load_scorer(WEIGHTS, reported_fields(hidden))


@lru_cache(maxsize=1)
def _unhidden() -> FieldScorer:
    return load_scorer(WEIGHTS, reported_fields())


def group_reported(reported: Sequence[PhaseField]) -> Groups:
    """Arity -> reported fields of that arity, rows ascending, up to `LARGEST_COUNTED` elements; empty where none is."""
    groups = {}
    for arity in range(1, LARGEST_COUNTED + 1):
        rows = encode_fields(sorted({f for f in reported if len(f) == arity}))
        groups[arity] = np.sort(rows, axis=1).reshape(-1, arity)
    return groups


def train_scorer(
    reported: Sequence[PhaseField],
    arities: Sequence[int],
    settings: FieldTraining | None = None,
    watch: Callable[[str], None] = lambda _: None,
    *,
    rng: np.random.Generator,
) -> FieldScorer:
    """Train a scorer on any lists of reported fields, for the arities asked for.

    Raises:
        EmptyResultError: too few reported fields of an arity.
    """
    settings = settings or FieldTraining()
    groups = group_reported(reported)
    models = {}
    for arity in sorted(set(arities)):
        rows = groups[arity]
        share = settings.uniform_share
        backgrounds = [(1 - share, matched(rows)), (share, uniform(rows))] if len(rows) else []
        models[arity] = train_model(groups, rows, backgrounds, settings, rng, watch)
    return FieldScorer(groups, models)


def trained_arities(fields: Sequence[PhaseField]) -> tuple[int, ...]:
    """Arities of the models that scoring these fields takes: larger fields are scored through five-element parts."""
    return tuple(sorted({min(max(len(f), min(ARITIES)), max(ARITIES)) for f in fields}))


def rank_fields(
    limits: FieldLimits, top: int = 50, scorer: FieldScorer | None = None, *, with_reasons: bool = True
) -> list[ScoredField]:
    """The unreported fields within the limits with the highest scores, best first, with reasons.

    Args:
        limits: what a field may hold.
        top: how many to return.
        scorer: the shipped one by default.
        with_reasons: whether each field comes with its pairs and parts.

    Raises:
        ContradictionError: the limits contradict each other.
        EmptyResultError: nothing lies within them; the message names the rule.
    """
    scorer = scorer or default_scorer()
    reported = scorer.groups[limits.arity]
    candidates = enumerate_fields(limits, scorer.known_elements(), reported)
    scores = scorer.scores(candidates)[0]
    best = candidates[np.argsort(-scores, kind="stable")[:top]]
    return scorer.score_fields(decode_fields(best), with_reasons=with_reasons)
