r"""Recipe `two-dimensional`: which formulas look like those of the databases of monolayers.

    formula -> Magpie's 132 statistics, 7 numbers of stoichiometry -> forest, listed against unlabelled -> s in 0..1

The positives are listed: some polymorph of the formula is in a database as a layer that was, or may be, lifted off. All
other formulas are unlabelled, not negative, and the forest is grown accordingly: `novalith.predict.positive_unlabelled`
also says what s is and what it is not. The stoichiometry is that of Ward et al.: the norms
:math:`\|x\|_p` of the atomic fractions for p = 0 (number of elements), 2, 3, 5, 7, 10, and beside it the number of
atoms of the formula unit. With `features="magpie"` the forest has the 132 statistics alone, as Song et al. had.

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

from novalith.errors import CapabilityError, CorruptDataError, InputError
from novalith.predict.forest import Forest
from novalith.predict.positive_unlabelled import (
    BaggingSettings,
    area_under_roc,
    fit_positive_unlabelled,
    largest_prior,
    reached,
)
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.represent.composition_features import fractions_of, magpie_features, magpie_names
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

FEATURES = ("stoichiometry", "magpie")
_NORMS = (2, 3, 5, 7, 10)
STOICHIOMETRY_NAMES = ("number of elements", *(f"{p}-norm of the fractions" for p in _NORMS), "atoms of the formula")
#: Thresholds of the published table, and 0.95, above which the review counts.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
#: Share of the chemical systems that no tree sees, for the figures of a training.
HELD_OUT = 0.1
_LEAF = 255


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
class TwoDimensionalClassifier:
    """A forest with what it reads and how far it goes.

    Attributes:
        forest: of s.
        settings: how it was trained.
        n_positives: listed formulas that it has seen.
        held_out: rates on chemical systems that it has not.
    """

    forest: Forest
    settings: ClassifierSettings
    n_positives: int
    held_out: HeldOutRates

    def scores(self, table: FormulaTable) -> Floats:
        """(n,) s; NaN for a row with a problem."""
        scores = self.forest.predict(formula_features(table, self.settings.features)).value
        scores[list(table.problems)] = np.nan
        return scores


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
    x, u = (formula_features(table, settings.features) for table in (positives, unlabelled))
    forest = fit_positive_unlabelled(x[~held], u[~held_u], settings.forest, rng=rng)
    rates = HeldOutRates.of(forest.predict(x[held]).value, forest.predict(u[held_u]).value)
    return TwoDimensionalClassifier(forest, settings, int((~held).sum()), rates)


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
    """Write a classifier as a checkpoint, seven bytes a node."""
    config = {
        "settings": asdict(classifier.settings),
        "n_positives": classifier.n_positives,
        "held_out": asdict(classifier.held_out),
    }
    names = list(magpie_names())
    if classifier.settings.features != "magpie":
        names += list(STOICHIOMETRY_NAMES)
    save_checkpoint(Checkpoint(KIND, _packed(classifier.forest), config, {"features": names}), path)


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
        return TwoDimensionalClassifier(
            _unpacked(stored.tensors), ClassifierSettings(**settings), config["n_positives"], HeldOutRates(**held)
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
    features = stoichiometry | magpie; trees = 8 | 50 | 100 | 200 | 500.
    """
    from novalith.data.library import Library
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
