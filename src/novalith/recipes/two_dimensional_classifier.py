r"""Recipe `two-dimensional`: which formulas look like those of the databases of monolayers.

    formula -> Magpie's 132 statistics, 7 numbers of stoichiometry, 2 of likeness -> forest        -> s_1 in 0..1
            -> the same and the fractions of the elements                         -> boosted trees -> s_2
            -> the same without likeness                                          -> boosted trees -> s_3
    s = (s_1 + s_2 + s_3) / 3,   listed against unlabelled

The positives are listed: some polymorph of the formula is in a database as a layer that was, or may be, lifted off. All
other formulas are unlabelled, not negative, and the forest is grown accordingly: `novalith.predict.positive_unlabelled`
also says what s is and what it is not. The stoichiometry is that of Ward et al.: the norms
:math:`\|x\|_p` of the atomic fractions for p = 0 (number of elements), 2, 3, 5, 7, 10, and beside it the number of
atoms of the formula unit. Likeness to listed and to unlabelled formulas by exchange of elements is that of
`novalith.represent.formula_likeness`, over the formulas trained on; none is compared with itself. The log-odds F of the
boosted trees are moved to the odds of the forest, :math:`\sigma(F + \log (n_U / r n_+))`, so that all three mean the
same. With `features="stoichiometry"` there is a forest on 139 numbers alone, with "magpie" on the 132 statistics, as
Song et al. had.

A formula has no dimension: a high score says that similar formulas are listed, and nothing about a structure.

Song, Siriwardane, Zhao and Hu, ACS Appl. Mater. Interfaces 13, 53303 (2021), arXiv:2012.09314; Ward et al., npj Comput.
Mater. 2, 16028 (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.errors import CapabilityError, CorruptDataError, InputError
from novalith.materials import ELEMENTS
from novalith.predict.boosted_trees import BoostedTrees, boosted_of_tensors, boosted_tensors, fit_boosted_trees
from novalith.predict.forest import Forest
from novalith.predict.positive_unlabelled import (
    BaggingSettings,
    area_under_roc,
    fit_positive_unlabelled,
    largest_prior,
    reached,
)
from novalith.propose.templates import mined_similarity
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.represent.composition_features import element_fractions, fractions_of, magpie_features, magpie_names
from novalith.represent.formula_likeness import NAMES as LIKENESS_NAMES
from novalith.represent.formula_likeness import FormulaLikeness
from novalith.represent.formula_table import FormulaTable, element_keys, formula_keys, read_formulas
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

Floats = NDArray[np.float64]

KIND = "two-dimensional"
BIBTEX = """@article{song2021computational,
  author  = {Song, Yuqi and Siriwardane, Edirisuriya M. Dilanga and Zhao, Yong and Hu, Jianjun},
  title   = {Computational discovery of new {2D} materials using deep learning generative models},
  journal = {ACS Applied Materials \\& Interfaces}, volume = {13}, number = {45}, pages = {53303--53313}, year = {2021},
  doi = {10.1021/acsami.1c01044}
}"""
WEIGHTS = Path(__file__).parent / "weights" / "two_dimensional.safetensors"

FEATURES = ("likeness", "stoichiometry", "magpie")
_NORMS = (2, 3, 5, 7, 10)
STOICHIOMETRY_NAMES = ("number of elements", *(f"{p}-norm of the fractions" for p in _NORMS), "atoms of the formula")
#: Thresholds of the published table, and 0.95, above which the review counts.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
#: Share of the chemical systems that no tree sees, for the figures of a training.
HELD_OUT = 0.1
_LEAF = 255
#: Boosted trees of either kind and their leaves; beside a small forest there are six for each of its trees.
N_BOOSTED, N_LEAVES = 300, 24


@dataclass(frozen=True)
class ClassifierSettings:
    """How to train.

    Attributes:
        forest: trees, and how they are grown.
        features: a member of `FEATURES`.
        n_unlabelled: at most so many unlabelled formulas, picked at random, have their statistics computed.
    """

    forest: BaggingSettings = field(default_factory=BaggingSettings)
    features: str = FEATURES[0]
    n_unlabelled: int = 40_000


#: "default" is small enough to ship; "paper" has the 500 fully grown trees of the forests of its time.
SIZES = {
    "tiny": ClassifierSettings(BaggingSettings(n_trees=8, smallest_leaf=2), n_unlabelled=2_000),
    "default": ClassifierSettings(BaggingSettings(n_trees=50, smallest_leaf=3)),
    "paper": ClassifierSettings(BaggingSettings(n_trees=500), n_unlabelled=200_000),
}


@dataclass(frozen=True)
class HeldOutRates:
    """What was seen on chemical systems that the forest has not.

    Attributes:
        thresholds: t.
        recall: share of held-out positives with s >= t.
        rate: share of held-out unlabelled formulas with s >= t.
        area_under_roc: listed against unlabelled.
        largest_prior: bound on the share of positives among the unlabelled formulas.
    """

    thresholds: tuple[float, ...]
    recall: tuple[float, ...]
    rate: tuple[float, ...]
    area_under_roc: float
    largest_prior: float

    @classmethod
    def of(cls, positives: Floats, unlabelled: Floats) -> HeldOutRates:
        """From the held-out scores of both."""
        at = np.array(THRESHOLDS)
        return cls(
            THRESHOLDS,
            tuple(round(x, 5) for x in reached(positives, at).tolist()),
            tuple(round(x, 5) for x in reached(unlabelled, at).tolist()),
            round(area_under_roc(positives, unlabelled), 5),
            round(largest_prior(positives, unlabelled), 5),
        )


@dataclass(frozen=True, eq=False)
class Trees:
    """What gives the score.

    Attributes:
        features: a member of `FEATURES`.
        forest: of s_1.
        boosted: of F, those that read likeness and those that do not; empty where the forest decides alone.
        offset: what is added to F.
        likeness: to the formulas trained on; None where it is not read.
    """

    features: str
    forest: Forest
    boosted: tuple[BoostedTrees, ...] = ()
    offset: float = 0.0
    likeness: FormulaLikeness | None = None

    def scores(self, table: FormulaTable) -> Floats:
        """(n,) s; NaN for a row with a problem."""
        plain = formula_features(table, self.features)
        seen = plain if self.likeness is None else np.concatenate([plain, self.likeness.features(table)], axis=1)
        answers = [self.forest.predict(seen).value]
        for trees, columns in zip(self.boosted, (seen, plain), strict=False):
            odds = trees.scores(_with_fractions(columns, table)) + self.offset
            answers.append(1 / (1 + np.exp(-odds)))
        scores: Floats = np.mean(answers, axis=0)
        scores[list(table.problems)] = np.nan
        return scores


@dataclass(frozen=True, eq=False)
class TwoDimensionalClassifier:
    """Trees with how they were grown and how far they go.

    Attributes:
        trees: of s.
        settings: how they were trained.
        n_positives: listed formulas that they have seen.
        held_out: rates on chemical systems that they have not.
    """

    trees: Trees
    settings: ClassifierSettings
    n_positives: int
    held_out: HeldOutRates

    def scores(self, table: FormulaTable) -> Floats:
        """(n,) s; NaN for a row with a problem."""
        return self.trees.scores(table)


def grow_trees(
    positives: FormulaTable, unlabelled: FormulaTable, settings: ClassifierSettings, *, rng: np.random.Generator
) -> Trees:
    """Grow what the settings ask for on all rows of both tables, none of which has a problem.

    Raises:
        EmptyResultError: either table is empty.
    """
    x, u = (formula_features(table, settings.features) for table in (positives, unlabelled))
    if settings.features != "likeness":
        return Trees(settings.features, fit_positive_unlabelled(x, u, settings.forest, rng=rng))
    similarity = mined_similarity(Library()).log_similarity
    likeness = FormulaLikeness.of(positives, unlabelled, similarity)
    seen = [np.concatenate([a, likeness.features(t)], axis=1) for a, t in ((x, positives), (u, unlabelled))]
    forest = fit_positive_unlabelled(seen[0], seen[1], settings.forest, rng=rng)
    labels = np.repeat([1, 0], [len(x), len(u)])
    n_boosted = min(N_BOOSTED, 6 * settings.forest.n_trees)
    boosted = []
    for ours, others in (seen, (x, u)):
        rows = np.concatenate([_with_fractions(ours, positives), _with_fractions(others, unlabelled)])
        boosted.append(fit_boosted_trees(rows, labels, n_boosted, N_LEAVES, rng))
    offset = float(np.log(len(u) / (settings.forest.ratio * len(x))))
    return Trees(settings.features, forest, tuple(boosted), offset, likeness)


def _with_fractions(columns: NDArray[np.float32], table: FormulaTable) -> NDArray[np.float32]:
    return np.concatenate([columns, element_fractions(table, ELEMENTS)], axis=1)


def formula_features(table: FormulaTable, features: str = FEATURES[0]) -> NDArray[np.float32]:
    """(n, 139) statistics and stoichiometry, or (n, 132) statistics alone; zeros for a row with a problem."""
    statistics = magpie_features(table)
    if features == "magpie":
        return statistics
    x = fractions_of(table)
    norms = [np.sum(x**p, axis=1) ** (1 / p) for p in _NORMS]
    own = np.stack([(x > 0).sum(axis=1), *norms, table.counts.sum(axis=1)], axis=1)
    return np.concatenate([statistics, own.astype(np.float32)], axis=1)


def train_classifier(
    positives: FormulaTable, unlabelled: FormulaTable, settings: ClassifierSettings, *, rng: np.random.Generator
) -> TwoDimensionalClassifier:
    """Learn from listed and unlabelled formulas, a tenth of the chemical systems held out for the figures.

    What is listed is taken out of the unlabelled formulas.

    Raises:
        InputError: too few formulas for a training and a held-out part.
    """
    unlabelled = without_listed(unlabelled, positives)
    picked = rng.permutation(len(unlabelled))[: settings.n_unlabelled]
    unlabelled = unlabelled.select(np.sort(picked))
    held, held_u = _held_out([positives, unlabelled], rng)
    if not (held.any() and held_u.any() and (~held).any() and (~held_u).any()):
        raise InputError(
            f"{len(positives)} listed and {len(unlabelled)} unlabelled formulas are too few to train on and to check."
        )
    trees = grow_trees(positives.select(~held), unlabelled.select(~held_u), settings, rng=rng)
    rates = HeldOutRates.of(trees.scores(positives.select(held)), trees.scores(unlabelled.select(held_u)))
    return TwoDimensionalClassifier(trees, settings, int((~held).sum()), rates)


def without_listed(table: FormulaTable, listed: FormulaTable) -> FormulaTable:
    """The readable, distinct formulas of a table that are not in a list."""
    keys = _text_keys(table)
    fresh = np.zeros(len(table), dtype=bool)
    fresh[np.unique(keys, return_index=True)[1]] = True
    fresh[list(table.problems)] = False
    known = set(_text_keys(listed).tolist())
    fresh &= np.array([key not in known for key in keys.tolist()], dtype=bool)
    return table.select(fresh)


def _text_keys(table: FormulaTable) -> NDArray[np.object_]:
    """Keys that are comparable between tables of different widths: trailing zero bytes are cut by numpy."""
    return formula_keys(table).astype(object)


def _held_out(tables: list[FormulaTable], rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Masks of the rows whose chemical system is held out; one choice for all tables."""
    keys = [element_keys(table) for table in tables]
    systems, place = np.unique(np.concatenate(keys), return_inverse=True)
    held = (rng.random(len(systems)) < HELD_OUT)[place]
    return np.split(held, np.cumsum([len(k) for k in keys])[:-1])


def save_classifier(classifier: TwoDimensionalClassifier, path: Path) -> None:
    """Write a classifier as a checkpoint, seven bytes a node of the forest."""
    trees = classifier.trees
    tensors = _packed(trees.forest)
    for number, boosted in enumerate(trees.boosted):
        tensors |= boosted_tensors(boosted, f"boosted{number}")
    if trees.likeness is not None:
        tensors |= trees.likeness.tensors("likeness")
    config = {
        "offset": trees.offset,
        "settings": asdict(classifier.settings),
        "n_positives": classifier.n_positives,
        "held_out": asdict(classifier.held_out),
    }
    names = list(magpie_names())
    if classifier.settings.features != "magpie":
        names += list(STOICHIOMETRY_NAMES)
    if trees.likeness is not None:
        names += list(LIKENESS_NAMES)
    save_checkpoint(Checkpoint(KIND, tensors, config, {"features": names}), path)


def load_classifier(path: Path) -> TwoDimensionalClassifier:
    """Read what `save_classifier` wrote.

    Raises:
        StorageError: it cannot be opened.
        CorruptDataError: it is no checkpoint of this kind.
    """
    stored = load_checkpoint(path, KIND)
    config: Mapping[str, Any] = stored.config
    try:
        settings = dict(config["settings"])
        settings["forest"] = BaggingSettings(**settings["forest"])
        held: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in config["held_out"].items()}
        trees = Trees(settings["features"], _unpacked(stored.tensors))
        if settings["features"] == "likeness":
            boosted = tuple(boosted_of_tensors(stored.tensors, f"boosted{number}") for number in range(2))
            likeness = FormulaLikeness.of_tensors(stored.tensors, "likeness")
            trees = replace(trees, boosted=boosted, likeness=likeness, offset=float(config["offset"]))
        return TwoDimensionalClassifier(
            trees, ClassifierSettings(**settings), config["n_positives"], HeldOutRates(**held)
        )
    except (KeyError, TypeError) as error:
        raise CorruptDataError(f"{path} is no classifier of formulas ({error}). Train or copy it again.") from None


@lru_cache(maxsize=1)
def default_classifier() -> TwoDimensionalClassifier:
    """The shipped one; see its card for the data."""
    return load_classifier(WEIGHTS)


def _packed(forest: Forest) -> dict[str, NDArray[Any]]:
    """The forest in seven bytes a node: trees are written depth first, so a left child follows its parent."""
    leaf = forest.feature < 0
    first = np.repeat(forest.roots, np.diff([*forest.roots, len(forest.feature)]))
    own = np.arange(len(forest.feature))
    if (forest.left[~leaf] != own[~leaf] + 1).any() or (forest.right - first).max() >= 2**16:
        raise CapabilityError("This forest cannot be stored: its trees are too large or not written depth first.")
    return {
        "roots": forest.roots,
        "feature": np.where(leaf, _LEAF, forest.feature).astype(np.uint8),
        "number": np.where(leaf, forest.value, forest.threshold).astype(np.float32),
        "right": (forest.right - first).astype(np.uint16),
    }


def _unpacked(tensors: Mapping[str, NDArray[Any]]) -> Forest:
    roots, feature, number, right = (tensors[name] for name in ("roots", "feature", "number", "right"))
    leaf = feature == _LEAF
    own = np.arange(len(feature), dtype=np.int32)
    first = np.repeat(roots, np.diff([*roots, len(feature)]))
    return Forest(
        roots,
        np.where(leaf, -1, feature.astype(np.int16)).astype(np.int16),
        np.where(leaf, np.float32(0), number),
        np.where(leaf, own, own + 1).astype(np.int32),
        (right + first).astype(np.int32),
        np.where(leaf, number, np.float32(0)),
        widening=1.0,
    )


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """`novalith train two-dimensional --data FILE`: the formulas of the file are the positives.

    Unlabelled are the formulas of the bundled table of the Materials Project that the file does not hold. Options:
    features = likeness | stoichiometry | magpie; trees = 8 | 50 | 100 | 200 | 500.
    """
    from novalith.data.training_table import read_training_table

    if order.data is None:
        raise InputError(
            "No list of monolayers is bundled: give --data FILE, a table whose formulas are the positives."
        )
    if order.epochs is not None:
        raise CapabilityError("A forest has no epochs; give --option trees=N for a larger one.")
    settings = named_size(order.size, SIZES)
    known = tuple(dict.fromkeys((str(settings.forest.n_trees), "8", "50", "100", "200", "500")))
    forest = replace(settings.forest, n_trees=int(order.option("trees", known)))
    settings = replace(settings, forest=forest, features=order.option("features", FEATURES))
    listed = read_training_table(order.data, order.column)
    unlabelled = read_formulas(sorted(Library().hull_energies))
    table = read_formulas(listed.formulas)
    table = without_listed(table, table.select(np.zeros(len(table), dtype=bool)))
    classifier = train_classifier(table, unlabelled, settings, rng=np.random.default_rng(order.seed))
    save_classifier(classifier, order.out)
    held = classifier.held_out
    at = held.thresholds.index(0.5)
    figures = {
        "area_under_roc_held_out_systems": held.area_under_roc,
        "recall_at_0.5": held.recall[at],
        "unlabelled_rate_at_0.5": held.rate[at],
        "largest_class_prior": held.largest_prior,
    }
    return TrainingSummary("two-dimensional", order.out, len(table), listed.set_aside, figures)
