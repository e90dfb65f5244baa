"""Recipe `magpie-forest`: Magpie's 132 statistics and a random forest, the floor that a network has to beat.

    (n, 132) statistics of elemental properties -> one forest for each target -> value, spread of the trees

Ward et al. (2016) for the features; the forest of size "paper" is that of the benchmark of Dunn et al. (2020): 500
trees on all rows. Size "default" draws 60,000 rows and offers a third of the features to each split, which takes
minutes on a quarter of a million rows and changes errors by a few per cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.targets import TARGETS
from novalith.errors import CapabilityError, UnknownNameError
from novalith.predict.base import Prediction
from novalith.predict.composition import CompositionPredictor, TrainingDomain
from novalith.predict.forest import Forest, ForestSettings, fit_forest
from novalith.recipes.composition_rows import HELD_OUT, CompositionRows, error_figures, hold_out, read_rows
from novalith.recipes.training import TrainingOrder, TrainingSummary
from novalith.represent.composition_features import magpie_features, magpie_names
from novalith.represent.formula_table import FormulaTable
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

BIBTEX = """@article{ward2016general,
  author  = {Ward, Logan and Agrawal, Ankit and Choudhary, Alok and Wolverton, Christopher},
  title   = {A general-purpose machine learning framework for predicting properties of inorganic materials},
  journal = {npj Computational Materials}, volume = {2}, pages = {16028}, year = {2016},
  doi = {10.1038/npjcompumats.2016.28}
}
@article{dunn2020benchmarking,
  author  = {Dunn, Alexander and Wang, Qi and Ganose, Alex and Dopp, Daniel and Jain, Anubhav},
  title   = {Benchmarking materials property prediction methods: the {Matbench} test set and {Automatminer} reference
             algorithm},
  journal = {npj Computational Materials}, volume = {6}, pages = {138}, year = {2020},
  doi = {10.1038/s41524-020-00406-3}
}"""
KIND = "magpie-forest"

SIZES = {
    "tiny": ForestSettings(n_trees=8, n_drawn=500, smallest_leaf=2),
    "default": ForestSettings(),
    "paper": ForestSettings(n_trees=500, n_drawn=10_000_000, share_of_features=1.0),
}


@dataclass(frozen=True, eq=False)
class MagpieForestPredictor(CompositionPredictor):
    """One forest for each target.

    Attributes:
        forests: target -> forest.
        training_domain: what they were fitted to.
    """

    forests: Mapping[str, Forest]
    training_domain: TrainingDomain

    @property
    def domain(self) -> TrainingDomain:
        """What they were fitted to."""
        return self.training_domain

    def values(self, table: FormulaTable, target: str) -> Prediction:
        """Values, and the calibrated spread of the trees."""
        return self.forests[target].predict(magpie_features(table))


def train_forest(rows: CompositionRows, settings: ForestSettings, *, rng: np.random.Generator) -> MagpieForestPredictor:
    """Grow a forest for each target on the rows that have it."""
    features = magpie_features(rows.table)
    forests = {}
    for name, values in rows.by_target().items():
        present = np.isfinite(values)
        forests[name] = fit_forest(features[present], values[present], settings, rng=rng)
    return MagpieForestPredictor(forests, TrainingDomain.of(rows.table, rows.by_target()))


def save_forest(predictor: MagpieForestPredictor, path: Path) -> None:
    """Write a predictor as a checkpoint."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, forest in predictor.forests.items():
        tensors |= forest.tensors(name)
    targets = list(predictor.forests)
    vocabulary = {
        "features": list(magpie_names()),
        "targets": targets,
        "units": [TARGETS[name].unit for name in targets],
    }
    save_checkpoint(Checkpoint(KIND, tensors, {"domain": predictor.training_domain.to_config()}, vocabulary), path)


def load_forest(path: Path) -> MagpieForestPredictor:
    """Read what `save_forest` wrote."""
    stored = load_checkpoint(path, KIND)
    forests = {name: Forest.from_tensors(stored.tensors, name) for name in stored.vocabulary["targets"]}
    return MagpieForestPredictor(forests, TrainingDomain.from_config(stored.config["domain"]))


def settings_of(order: TrainingOrder) -> ForestSettings:
    """The settings that an order names; `--option trees=N` changes the number of trees.

    Raises:
        UnknownNameError: it names an unknown size.
        CapabilityError: it asks for epochs, which forests do not have.
    """
    if order.size not in SIZES:
        raise UnknownNameError("size", order.size, SIZES)
    if order.epochs is not None:
        raise CapabilityError("A forest has no epochs; give --option trees=N for a larger one.")
    settings = SIZES[order.size]
    known = tuple(dict.fromkeys((str(settings.n_trees), "8", "50", "100", "200", "500")))
    return replace(settings, n_trees=int(order.option("trees", known)))


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """`novalith train magpie-forest`."""
    rows = read_rows(order)
    rng = np.random.default_rng(order.seed)
    kept, held = hold_out(rows.table, HELD_OUT, rng)
    predictor = train_forest(rows.select(kept), settings_of(order), rng=rng)
    save_forest(predictor, order.out)
    figures: dict[str, float] = {}
    checked = rows.select(held)
    for name, truth in checked.by_target().items():
        figures |= error_figures(predictor.predict(checked.table, name), truth, name, TARGETS[name].unit)
    return TrainingSummary("magpie-forest", order.out, len(kept), rows.set_aside, figures)
