"""What `novalith train` asks of a recipe, and the list of recipes that can be asked.

A recipe module offers `train_from_file(order) -> TrainingSummary`; the list maps names to modules of this package, so
that nothing found in data is ever imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from novalith.errors import CapabilityError, UnknownNameError
from novalith.recipes.resumption import claim_state, release_state

if TYPE_CHECKING:
    from novalith.training.loop import EpochReport

Size = TypeVar("Size")

#: Recipe -> module that offers `train_from_file`.
TRAINERS = {
    "sequence": "novalith.recipes.sequence",
    "matgan": "novalith.recipes.matgan",
    "ding": "novalith.recipes.ding",
    "elemnet": "novalith.recipes.elemnet",
    "magpie-forest": "novalith.recipes.magpie_forest",
    "set-network": "novalith.recipes.set_network",
    "two-dimensional": "novalith.recipes.two_dimensional_classifier",
    "point-cloud-gan": "novalith.recipes.point_cloud_training",
    "cross-domain-gan": "novalith.recipes.cross_domain_training",
    "hoffmann": "novalith.recipes.hoffmann_training",
    "imatgen": "novalith.recipes.imatgen_training",
    "cgcnn": "novalith.recipes.cgcnn",
    "court": "novalith.recipes.court_training",
}


@dataclass(frozen=True)
class TrainingOrder:
    """What to train on and where to put it.

    Attributes:
        data: table or folder of the user; None for the bundled data, where the recipe can learn from them.
        out: checkpoint to write.
        column: column of formulas.
        targets: properties to learn or to be conditioned on; the recipe's own choice where empty.
        size: "tiny" (tests), "default" or "paper" (the published sizes).
        epochs: passes over the data; the size's own number where None.
        options: further settings of the recipe by name, such as {"network": "gru"}.
        seed: of every random choice.
        device: "cpu", "cuda" or "auto".
        watch: told of every epoch.
    """

    data: Path | None
    out: Path
    column: str = "formula"
    targets: tuple[str, ...] = ()
    size: str = "default"
    epochs: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"
    watch: Callable[[EpochReport], None] = lambda _: None

    @property
    def resume_path(self) -> Path:
        """Where the state of the training under way is kept, beside the checkpoint."""
        return self.out.with_name(self.out.name + ".resume")

    def option(self, name: str, known: tuple[str, ...]) -> str:
        """An option of the recipe: one of the known values, the first where it is not given.

        Raises:
            UnknownNameError: it is none of them.
        """
        value = self.options.get(name, known[0])
        if value not in known:
            raise UnknownNameError(f"{name} of the recipe", value, known)
        return value

    def check_device(self, recipe: str) -> None:
        """Make sure that a recipe that trains on the processor alone is not asked for another device.

        Raises:
            CapabilityError: it is.
        """
        if self.device not in ("cpu", "auto"):
            raise CapabilityError(f"{recipe} trains on the processor alone; {self.device} was asked for as --device.")

    def check_options(self, known: tuple[str, ...]) -> None:
        """Make sure that no option is misspelt.

        Raises:
            UnknownNameError: the recipe has no option of a name.
        """
        for name in self.options:
            if name not in known:
                raise UnknownNameError("option of the recipe", name, known)


@dataclass(frozen=True)
class TrainingSummary:
    """What came of a training.

    Attributes:
        recipe: its name.
        out: the checkpoint.
        n_rows: rows that were trained on.
        set_aside: line or record -> why it was left out.
        figures: what was measured on the validation part, units in the names.
        curve: the losses, one an epoch.
    """

    recipe: str
    out: Path
    n_rows: int
    set_aside: Mapping[int, str] = field(repr=False)
    figures: Mapping[str, float]
    curve: tuple[EpochReport, ...] = ()


def named_size(name: str, sizes: Mapping[str, Size]) -> Size:
    """The settings of a size.

    Raises:
        UnknownNameError: there is no such size.
    """
    if name not in sizes:
        raise UnknownNameError("size", name, sizes)
    return sizes[name]


def train_recipe(name: str, order: TrainingOrder) -> TrainingSummary:
    """Train a recipe; a training that was stopped goes on from its last epoch.

    Raises:
        UnknownNameError: there is no recipe of that name.
        CampaignError: the state to go on from was left by a training with other data or options.
    """
    if name not in TRAINERS:
        raise UnknownNameError("recipe", name, TRAINERS)
    module = import_module(TRAINERS[name])
    if order.data is None or order.data.exists():  # the recipe says what is missing
        claim_state(name, order)
    try:
        summary: TrainingSummary = module.train_from_file(order)
        order.resume_path.unlink(missing_ok=True)
    finally:
        release_state(order)
    return summary
