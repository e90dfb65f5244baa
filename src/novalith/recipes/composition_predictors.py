"""The predictors of compositions by name: the one that ships, and any that was trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from novalith.errors import CorruptDataError
from novalith.predict.composition import CompositionPredictor
from novalith.store.checkpoint import checkpoint_kind

#: The shipped predictor: its card lies beside it.
WEIGHTS = Path(__file__).parent / "weights" / "compositions.safetensors"
#: Kind of a checkpoint -> module of this package and its function that reads one.
_LOADERS = {
    "set-network": ("novalith.recipes.set_network", "load_set_network"),
    "elemnet": ("novalith.recipes.elemnet", "load_elemnet"),
    "magpie-forest": ("novalith.recipes.magpie_forest", "load_forest"),
}


def load_predictor(path: Path) -> CompositionPredictor:
    """Read the checkpoint of any recipe of composition predictors.

    Raises:
        StorageError: the file cannot be opened.
        CorruptDataError: it is no checkpoint, or one of another kind of model.
    """
    kind = checkpoint_kind(path)
    if kind not in _LOADERS:
        known = ", ".join(sorted(_LOADERS))
        raise CorruptDataError(f"{path} holds a model of kind {kind!r}, which predicts no property; expected {known}.")
    module, function = _LOADERS[kind]
    load: Callable[[Path], CompositionPredictor] = getattr(import_module(module), function)
    return load(path)


@lru_cache(maxsize=1)
def default_predictor() -> CompositionPredictor:
    """The shipped set network: formation energy, energy and volume per atom, band gap and decomposition energy."""
    return load_predictor(WEIGHTS)
