"""Formulas written one element at a time: the default generator of compositions.

    p(formula | condition) = product of p(element | before) p(count | element, before)

A causal transformer (or a recurrent network, `network=gru`) reads the elements in the order of electronegativity,
cations first, and is told at every step which charges are in reach. In any chemical system it is sampled without
rejection: masks let a formula end only when every demand is met (`novalith.screen.charge_paths`). Conditions are
standardised values of properties with a flag each; they are hidden at random in training, so that any of them
may be left open, and guidance can sharpen them.

After the formula transformers of Fu et al. (MTransformer), Machine Learning: Science and Technology 4, 015001 (2023),
and Wei et al. (BLMM), arXiv:2204.11953; the masks, the order and the charges as inputs are this package's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError
from novalith.generate.sequence import DrawSettings, Fitting, SequenceGenerator
from novalith.materials import ATOMIC_NUMBERS
from novalith.propose.compositions import CompositionModel, FormulaRequest
from novalith.recipes.formula_guide import (
    MAX_COUNT,
    MAX_ELEMENTS,
    N_AMOUNT_FEATURES,
    N_FEATURES,
    FormulaGuide,
    decode_sequences,
    encode_formulas,
)
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.represent.formula_table import FormulaTable, read_formulas
from novalith.screen.charge_paths import MAX_ATOMS, ChargePaths, ChargeRule, PathLimits, canonical_order

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.networks.pair_sequence import PairSequenceSizes
    from novalith.training.loop import Supervision, TrainingSettings

KIND = "formula-sequence"
BIBTEX = """@article{fu2023material,
  title = {Material transformers: deep learning language models for generative materials design},
  author = {Fu, Nihang and Wei, Lai and Song, Yuqi and Li, Qinyang and others},
  journal = {Machine Learning: Science and Technology}, volume = {4}, pages = {015001}, year = {2023},
  doi = {10.1088/2632-2153/acadcd}
}"""

#: Chance that training hides one property of a row, and all of them.
HIDE_ONE, HIDE_ALL = 0.25, 0.15


@dataclass(frozen=True)
class SequenceSettings:
    """Sizes and training.

    Attributes:
        network: "transformer" or "gru".
        width: of the network.
        depth: of the network.
        heads: of the attention.
        dropout: in training.
        charges: whether the network is told which charges are in reach.
        n_epochs: passes over the formulas.
        batch_size: formulas a step.
        learning_rate: peak of the cycle.
    """

    network: str = "transformer"
    width: int = 128
    depth: int = 4
    heads: int = 4
    dropout: float = 0.1
    charges: bool = True
    n_epochs: int = 30
    batch_size: int = 512
    learning_rate: float = 2e-3


#: "paper" has the width and depth of the published formula transformers.
SIZES = {
    "tiny": SequenceSettings(width=32, depth=2, heads=2, n_epochs=3, batch_size=64),
    "default": SequenceSettings(),
    "paper": SequenceSettings(width=512, depth=6, heads=8, learning_rate=5e-4),
}


@dataclass(frozen=True)
class Conditioned:
    """A property that a model was conditioned on.

    Attributes:
        name: of `novalith.data.targets`.
        mean: of the training values.
        deviation: likewise.
        low: smallest training value.
        high: largest.
    """

    name: str
    mean: float
    deviation: float
    low: float
    high: float


class FormulaSequence(CompositionModel):
    """The sequence model.

    Args:
        generator: the network.
        conditions: the properties it was conditioned on, in order.
        elements: those it has seen.
        settings: how it was made.
    """

    name: ClassVar[str] = "sequence"
    honours: ClassVar[frozenset[str]] = frozenset({"allowed", "require", "n_elements", "max_atoms", "rules", "targets"})

    def __init__(
        self,
        generator: SequenceGenerator,
        conditions: tuple[Conditioned, ...],
        elements: tuple[str, ...],
        settings: SequenceSettings,
    ) -> None:
        self.generator, self.conditions, self.settings = generator, conditions, settings
        self._elements = elements
        self.drawing = DrawSettings()

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements seen in training, in the order of electronegativity."""
        return self._elements

    @property
    def target_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Property -> range of its training values."""
        return {c.name: (c.low, c.high) for c in self.conditions}

    def drawing_with(self, **changes: float) -> FormulaSequence:
        """The same model with another temperature or guidance (see `DrawSettings`)."""
        other = FormulaSequence(self.generator, self.conditions, self._elements, self.settings)
        other.drawing = replace(self.drawing, **changes)  # type: ignore[arg-type]
        return other

    def draw(self, n: int, request: FormulaRequest, *, rng: np.random.Generator) -> FormulaTable:
        """Draw n formulas, each of which satisfies the request.

        Rules that let alloys pass or mix valences are not masked: such formulas are drawn freely and left to be judged.
        A model that knows which formulas are reported draws those unless told otherwise.

        Raises:
            CapabilityError: an element or a target that the model does not know.
            EmptyResultError: no formula can satisfy the request; says what was asked.
        """
        self.check(request)
        paths = _paths(request, self._elements)
        if not paths.possible:
            raise EmptyResultError(_impossible(request))
        guide = FormulaGuide(paths, charges=self.settings.charges)
        targets = dict(request.targets)
        if "reported" in self.target_ranges:
            targets.setdefault("reported", 1.0)
        condition = self._condition([targets])[0] if targets else None
        return decode_sequences(self.generator.draw(n, guide, condition, self.drawing, rng=rng))

    def log_likelihood(self, table: FormulaTable, targets: Mapping[str, float] | None = None) -> NDArray[np.float64]:
        """(n,) log p of formulas, nats; minus infinity for those beyond the limits of the model."""
        encoded = encode_formulas(table)
        guide = FormulaGuide(None, charges=self.settings.charges)
        condition = self._condition([dict(targets or {})] * len(encoded.rows)) if self.conditions else None
        out = np.full(len(table), -np.inf)
        out[encoded.rows] = self.generator.log_likelihood(encoded.sequences, guide, condition)
        return out

    def _condition(self, rows: list[dict[str, float]]) -> NDArray[np.float32]:
        values = np.array([[row.get(c.name, np.nan) for c in self.conditions] for row in rows])
        values = values.reshape(len(rows), len(self.conditions))
        return standardised(values, self.conditions)

    def save(self, path: Path) -> None:
        """Write the model as one checkpoint, weights in half precision."""
        from novalith.store.checkpoint import Checkpoint, save_checkpoint

        weights = {
            n: t.detach().cpu().numpy().astype(np.float16) for n, t in self.generator.network.state_dict().items()
        }
        config = {
            "settings": asdict(self.settings),
            "conditions": [asdict(c) for c in self.conditions],
            "curve": [asdict(report) for report in self.generator.curve],
        }
        save_checkpoint(Checkpoint(KIND, weights, config, {"elements": list(self._elements)}), path)

    @classmethod
    def load(cls, path: Path) -> FormulaSequence:
        """Read a checkpoint.

        Raises:
            StorageError: it cannot be opened.
            CorruptDataError: it is no checkpoint of this kind.
        """
        import torch

        from novalith.store.checkpoint import load_checkpoint
        from novalith.training.loop import EpochReport

        stored = load_checkpoint(path, KIND)
        settings = SequenceSettings(**stored.config["settings"])
        conditions = tuple(Conditioned(**c) for c in stored.config["conditions"])
        generator = SequenceGenerator.of_sizes(_sizes(settings, len(conditions)), rng=np.random.default_rng(0))
        tensors = {n: torch.from_numpy(np.asarray(t, dtype=np.float32)) for n, t in stored.tensors.items()}
        generator.network.load_state_dict(tensors)
        generator.network.eval()
        generator.curve = tuple(EpochReport(**report) for report in stored.config["curve"])
        return cls(generator, conditions, tuple(stored.vocabulary["elements"]), settings)


def load_sequence(path: Path) -> FormulaSequence:
    """Read a checkpoint; see `FormulaSequence.load`."""
    return FormulaSequence.load(path)


def train_sequence(
    table: FormulaTable,
    targets: Mapping[str, NDArray[np.float64]],
    settings: SequenceSettings,
    supervision: Supervision,
    *,
    rng: np.random.Generator,
) -> tuple[FormulaSequence, dict[int, str]]:
    """Learn from a table.

    Args:
        table: formulas.
        targets: property -> (n,) values, NaN where unknown; conditions of the model.
        settings: sizes and training.
        supervision: resumption and progress.
        rng: seeds it.

    Returns:
        The model, and row -> reason for the rows beyond its limits.
    """
    encoded = encode_formulas(table)
    if not len(encoded.rows):
        raise EmptyResultError("No formula fits the sequence model; the first reason: " + str(encoded.refused)[:200])
    values = np.array([targets[name][encoded.rows] for name in targets]).reshape(len(targets), len(encoded.rows)).T
    conditions = tuple(_conditioned(name, values[:, j]) for j, name in enumerate(targets))
    seen = np.unique(encoded.sequences.symbols)
    elements = tuple(canonical_order()[rank] for rank in seen[seen >= 0].tolist())
    generator = SequenceGenerator.of_sizes(_sizes(settings, len(conditions)), rng=rng)
    condition = standardised(values, conditions) if conditions else None
    how = Fitting(_training(settings, len(encoded.rows)), supervision, _hide if conditions else None)
    generator.fit(encoded.sequences, FormulaGuide(None, charges=settings.charges), condition, how, rng=rng)
    return FormulaSequence(generator, conditions, elements, settings), encoded.refused


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on a table of the user, or on the bundled formulas with experimental evidence.

    Options: network = transformer | gru; charges = yes | no. Targets become conditions; without any there are none.
    """
    from novalith.data.training_table import TrainingTable, read_training_table
    from novalith.training.loop import Supervision

    settings = replace(
        named_size(order.size, SIZES),
        network=order.option("network", ("transformer", "gru")),
        charges=order.option("charges", ("yes", "no")) == "yes",
    )
    if order.epochs is not None:
        settings = replace(settings, n_epochs=order.epochs)
    if order.data is None:
        from novalith.data.library import Library

        formulas = tuple(sorted(Library().reported))
        data = TrainingTable("bundled", formulas, tuple(range(1, len(formulas) + 1)), {}, {})
    else:
        data = read_training_table(order.data, order.column, order.targets)
    supervision = Supervision(resume_path=order.resume_path, watch=order.watch)
    model, refused = train_sequence(
        read_formulas(data.formulas), data.targets, settings, supervision, rng=np.random.default_rng(order.seed)
    )
    set_aside = dict(data.set_aside) | {data.lines[row]: reason for row, reason in refused.items()}
    model.save(order.out)
    curve = model.generator.curve
    figures = {"validation_nats_per_formula": min(report.validation_loss for report in curve)}
    return TrainingSummary(model.name, order.out, len(data) - len(refused), set_aside, figures, curve)


def standardised(values: NDArray[np.float64], conditions: tuple[Conditioned, ...]) -> NDArray[np.float32]:
    """(n, c) values, NaN where open -> (n, 2 c): standardised values with 0 where open, then flags of those given."""
    given = np.isfinite(values)
    mean = np.array([c.mean for c in conditions])
    deviation = np.array([c.deviation for c in conditions])
    return np.concatenate([np.where(given, (values - mean) / deviation, 0.0), given], axis=1).astype(np.float32)


def _conditioned(name: str, values: NDArray[np.float64]) -> Conditioned:
    known = values[np.isfinite(values)]
    if not len(known):
        raise EmptyResultError(f"No formula within the limits of the model has a number for {name}.")
    return Conditioned(name, float(known.mean()), float(known.std()) or 1.0, float(known.min()), float(known.max()))


def _hide(condition: Tensor, generator: Any) -> Tensor:
    """Hide each property at random, and now and then all of them."""
    import torch

    n, width = condition.shape
    draws = torch.rand(n, width // 2 + 1, generator=generator)
    keep = (draws[:, :-1] > HIDE_ONE) & (draws[:, -1:] > HIDE_ALL)
    return condition * torch.cat([keep, keep], dim=1)


def _sizes(settings: SequenceSettings, n_conditions: int) -> PairSequenceSizes:
    from novalith.networks.pair_sequence import PairSequenceSizes

    return PairSequenceSizes(
        len(canonical_order()), MAX_COUNT, MAX_ELEMENTS, N_FEATURES, N_AMOUNT_FEATURES, 2 * n_conditions,
        settings.width, settings.depth, settings.heads, settings.dropout, settings.network,
    )  # fmt: skip


def _training(settings: SequenceSettings, n_rows: int) -> TrainingSettings:
    from novalith.training.loop import TrainingSettings

    n_steps = settings.n_epochs * math.ceil(n_rows / settings.batch_size)
    # The average looks back over a twenty-fifth of the training, and over at most 200 steps.
    averaging = min(0.995, max(0.0, 1 - 25 / n_steps))
    return TrainingSettings(
        settings.n_epochs, settings.batch_size, settings.learning_rate, 1e-2, 0, averaging, precision="bfloat16"
    )


@lru_cache(maxsize=32)
def _paths(request: FormulaRequest, known: tuple[str, ...]) -> ChargePaths:
    order = canonical_order()
    allowed = frozenset(known) if request.allowed is None else request.allowed & frozenset(known)
    low, high = request.n_elements
    limits = PathLimits(
        np.array([s in allowed for s in order]),
        np.array([s in request.require for s in order]),
        (low, min(high, MAX_ELEMENTS)),
        min(request.max_atoms or MAX_ATOMS, MAX_ATOMS),
        MAX_COUNT,
    )
    rules = request.rules
    if rules is None or rules.alloys_pass or rules.mixed_valence:
        return ChargePaths(ChargeRule(None), limits)
    return ChargePaths(ChargeRule(rules.oxidation_set, rules.pauling), limits)


def _impossible(request: FormulaRequest) -> str:
    allowed = (
        "any elements"
        if request.allowed is None
        else ", ".join(sorted(request.allowed, key=ATOMIC_NUMBERS.__getitem__))
    )
    needing = f" with {', '.join(sorted(request.require))}" if request.require else ""
    charged = ""
    if request.rules is not None:
        charged = f" that the oxidation states of {request.rules.oxidation_set} balance"
    low, high = request.n_elements
    return (
        f"There is no formula of {allowed}{needing}, {low} to {high} elements and at most "
        f"{request.max_atoms or MAX_ATOMS} atoms{charged}. Allow another element or more atoms, or drop the rules."
    )
