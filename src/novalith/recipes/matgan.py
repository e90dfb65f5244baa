"""MatGAN: a Wasserstein GAN that draws formulas as one-hot images, plain or conditioned on properties.

    z, c -> G -> cells (E, L) -> counts -> formula        E = 85 elements, L = 8 counts

Dan et al., npj Comput. Mater. 6, 84 (2020). As published: the matrix and its reading (the last cell of a row of at
least 0.2 gives the count; 2 to 8 elements), the networks `icsd` and `oqmd`, Adam with betas 0.5 and 0.9, penalty 10,
one critic step a generator step; or `clip`, weights clipped to 0.01 under RMSProp. Different from the published: no
batch normalisation in the critic (`novalith.networks.composition_images`), lower rates, falling to a twentieth
(published: 1e-3 and 1e-2, constant), and draws come from the average of the generator's weights. The size `paper` is
that; the default size is the variation that comes nearest to the training formulas in the same time.

Two variations are models of their own, and say so in their name: `dense` networks have no neighbourhoods between
elements, and `absent` adds a ninth column that says the element does not occur; each row of its output is drawn,
one-hot, so that the critic cannot tell generated formulas by half-filled cells. With targets both players see the
standardised properties (Mirza and Osindero, 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.data.training_table import MIN_ROWS, TrainingTable, read_training_table
from novalith.errors import InputError, UnknownNameError
from novalith.propose.compositions import CompositionModel, FormulaRequest, concatenated
from novalith.recipes.composition_bench import BenchModel
from novalith.recipes.composition_figures import Reference, measure
from novalith.represent.composition_one_hot import (
    REPORTED_85,
    Counts,
    OneHotLayout,
    counts_by_argmax,
    counts_by_threshold,
    encode_counts,
    table_of_counts,
)
from novalith.represent.formula_table import FormulaTable, formula_keys, read_formulas
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.generate.gan import BuildNetworks, WassersteinGan
    from novalith.recipes.training import TrainingOrder, TrainingSummary
    from novalith.training.adversarial import AdversarialReport, AdversarialSettings

BIBTEX = """@article{dan2020generative,
  title = {Generative adversarial networks ({GAN}) based efficient sampling of chemical composition space for inverse
           design of inorganic materials},
  author = {Dan, Yabo and Zhao, Yong and Li, Xiang and Li, Shaobo and Hu, Ming and Hu, Jianjun},
  journal = {npj Computational Materials}, volume = {6}, pages = {84}, year = {2020},
  doi = {10.1038/s41524-020-00352-0}
}
@inproceedings{gulrajani2017improved,
  title = {Improved training of {Wasserstein} {GAN}s},
  author = {Gulrajani, Ishaan and Ahmed, Faruk and Arjovsky, Martin and Dumoulin, Vincent and Courville, Aaron},
  booktitle = {Advances in Neural Information Processing Systems}, year = {2017}
}"""

NETWORKS = ("dense", "icsd", "oqmd", "tiny")
DECODES = ("threshold", "absent")
OBJECTIVES = ("wgan-gp", "clip")
#: A cell of at least this much means its count (the published `tolerate` of 0.8).
THRESHOLD = 0.2
#: Fewest and most elements of a formula, as published.
N_ELEMENTS = (2, 8)
#: Layers of the dense networks: noise and hidden widths of the generator; hidden widths of the critic.
DENSE = {"dense": ((128, 256, 256, 256), (256, 256, 256)), "tiny": ((32, 128, 128), (128, 128))}
#: Rows of conditions kept with a model, to fill in what a request does not name.
N_KEPT_CONDITIONS = 2000
#: Draws that judge a model in training, and epochs between two looks at them.
N_JUDGED = 5000
CHUNK = 8192


@dataclass(frozen=True)
class MatGanSettings:
    """One model of the recipe.

    Attributes:
        network: of `NETWORKS`.
        decode: of `DECODES`.
        objective: of `OBJECTIVES`.
        n_epochs: passes over the formulas.
        batch_size: formulas a step.
        rate: learning rate of the generator.
        critic_rate: learning rate of the critic.
        critic_steps: steps of the critic to one of the generator.
        one_sided: whether the gradient penalty counts slopes above 1 alone; published: both sides.
        every: epochs between two looks at what is drawn.
        precision: "float32" or "bfloat16".
    """

    network: str = "dense"
    decode: str = "absent"
    objective: str = "wgan-gp"
    n_epochs: int = 60
    batch_size: int = 128
    rate: float = 1e-4
    critic_rate: float = 1e-3
    critic_steps: int = 2
    one_sided: bool = True
    every: int = 5
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("network", self.network, NETWORKS),
            ("decode", self.decode, DECODES),
            ("objective", self.objective, OBJECTIVES),
        ):
            if value not in known:
                raise UnknownNameError(name, value, known)

    @property
    def layout(self) -> OneHotLayout:
        """What rows and columns stand for."""
        return OneHotLayout(REPORTED_85, 8, absent=self.decode == "absent")

    def adversarial(self, device: str) -> AdversarialSettings:
        """Settings of the training loop; the rates fall to a twentieth over the run."""
        from novalith.training.adversarial import AdversarialSettings

        clip = 0.01 if self.objective == "clip" else 0.0
        decay = 0.05 ** (1 / self.n_epochs)
        half = self.precision
        return AdversarialSettings(
            self.n_epochs, self.batch_size, self.rate, self.critic_rate, critic_steps=self.critic_steps,
            one_sided=self.one_sided, clip=clip, decay=decay, averaging=0.99, device=device, precision=half,
            penalty_precision=half,
        )  # fmt: skip


SIZES = {
    "tiny": MatGanSettings("tiny", n_epochs=3, batch_size=64, every=1),
    "default": MatGanSettings(),
    "paper": MatGanSettings(
        "icsd", "threshold", n_epochs=200, batch_size=32, rate=2e-4, critic_rate=2e-4, critic_steps=1, one_sided=False
    ),
}


@dataclass(frozen=True, eq=False)
class Conditions:
    """Properties that a model is conditioned on.

    Attributes:
        names: of `novalith.data.targets`.
        rows: (m, k) values of training rows, for what a request leaves open.
        ranges: (lowest, highest) of each in training.
        mean: (k,).
        deviation: (k,).
    """

    names: tuple[str, ...] = ()
    rows: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, 0), np.float32))
    ranges: tuple[tuple[float, float], ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @classmethod
    def of(cls, targets: Mapping[str, NDArray[np.float64]], rng: np.random.Generator) -> Conditions:
        """From (n,) training values."""
        if not targets:
            return cls()
        values = np.stack(list(targets.values()), axis=1)
        kept = rng.permutation(len(values))[:N_KEPT_CONDITIONS]
        ranges = tuple(
            (float(low), float(high)) for low, high in zip(values.min(axis=0), values.max(axis=0), strict=True)
        )
        deviation = np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
        return cls(tuple(targets), values[kept].astype(np.float32), ranges,
                   tuple(values.mean(axis=0).tolist()), tuple(deviation.tolist()))  # fmt: skip

    def standardised(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(n, k) values -> what the networks see."""
        return ((values - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)

    def drawn(self, n: int, request: FormulaRequest, rng: np.random.Generator) -> NDArray[np.float32] | None:
        """(n, k) conditions: the values asked for, the others from training rows; None without any."""
        if not self.names:
            return None
        values = self.rows[rng.integers(len(self.rows), size=n)].copy()
        for name, value in request.targets:
            values[:, self.names.index(name)] = value
        return self.standardised(values)


class MatGan(CompositionModel):
    """Draws formulas with a trained generator.

    Args:
        gan: the generator.
        settings: of the model.
        conditions: what it is conditioned on.
        curve: one mapping a look at it in training.
    """

    name: ClassVar[str] = "matgan"
    honours: ClassVar[frozenset[str]] = frozenset({"allowed"})

    def __init__(
        self,
        gan: WassersteinGan,
        settings: MatGanSettings,
        conditions: Conditions,
        curve: tuple[Mapping[str, float], ...] = (),
    ) -> None:
        self.gan, self.settings, self.conditions, self.curve = gan, settings, conditions, curve

    @property
    def elements(self) -> tuple[str, ...]:
        """The rows of the matrix."""
        return self.settings.layout.elements

    @property
    def target_ranges(self) -> Mapping[str, tuple[float, float]]:
        """Property -> range of its training values."""
        return dict(zip(self.conditions.names, self.conditions.ranges, strict=True))

    def draw(self, n: int, request: FormulaRequest, *, rng: np.random.Generator) -> FormulaTable:
        """Draw n rows; rows of elements that are not allowed are taken out of each matrix before it is read."""
        self.check(request)
        layout = self.settings.layout
        allowed = layout.row_mask(request.allowed) if request.allowed is not None else None
        parts = []
        for start in range(0, n, CHUNK):
            size = min(CHUNK, n - start)
            cells = self.gan.sample(size, self.conditions.drawn(size, request, rng), rng=rng)
            counts = read_cells(cells, layout)
            if allowed is not None:
                counts[:, ~allowed] = 0
            parts.append(table_of_counts(counts, layout, N_ELEMENTS))
        return concatenated(parts)

    def save(self, path: Path) -> None:
        """Write the generator with its settings, conditions and learning curve."""
        c = self.conditions
        tensors = {f"generator.{name}": a for name, a in self.gan.tensors().items()} | {"conditions": c.rows}
        config = {
            "settings": asdict(self.settings),
            "ranges": [list(r) for r in c.ranges],
            "mean": list(c.mean),
            "deviation": list(c.deviation),
            "curve": [dict(point) for point in self.curve],
        }
        vocabulary = {"elements": list(self.elements), "targets": list(c.names)}
        save_checkpoint(Checkpoint("matgan", tensors, config, vocabulary), path)


def load_matgan(path: Path) -> MatGan:
    """Read a model that was saved.

    Raises:
        StorageError: the file cannot be opened.
        CorruptDataError: it holds no such model.
    """
    stored = load_checkpoint(path, "matgan")
    config = stored.config
    settings = MatGanSettings(**config["settings"])
    conditions = Conditions(
        tuple(stored.vocabulary["targets"]), stored.tensors["conditions"], tuple((a, b) for a, b in config["ranges"]),
        tuple(config["mean"]), tuple(config["deviation"]),
    )  # fmt: skip
    gan = _gan(settings, "cpu")
    weights = {n.removeprefix("generator."): t for n, t in stored.tensors.items() if n.startswith("generator.")}
    gan.restore(weights, len(conditions.names))
    return MatGan(gan, settings, conditions, tuple(config["curve"]))


def read_cells(cells: NDArray[np.float32], layout: OneHotLayout) -> Counts:
    """Cells -> counts, by the reading that belongs to the layout."""
    return counts_by_argmax(cells, layout) if layout.absent else counts_by_threshold(cells, layout, THRESHOLD)


@dataclass(frozen=True, eq=False)
class MatGanData:
    """What a model trains on; rows of the table = kept + set aside.

    Attributes:
        counts: (m, E) count vectors.
        table: the same formulas.
        targets: name -> (m,) values.
        set_aside: line -> why the row was left out.
    """

    counts: Counts
    table: FormulaTable
    targets: Mapping[str, NDArray[np.float64]]
    set_aside: Mapping[int, str]


def prepare(table: TrainingTable, layout: OneHotLayout) -> MatGanData:
    """Encode what fits; without targets each reduced formula counts once.

    Raises:
        InputError: fewer than `MIN_ROWS` formulas are left.
    """
    formulas = read_formulas(table.formulas)
    encoded = encode_counts(formulas, layout)
    set_aside = dict(table.set_aside)
    set_aside |= {table.lines[row]: reason for row, reason in encoded.problems.items()}
    keep = np.ones(len(encoded.rows), dtype=bool)
    arity = np.count_nonzero(encoded.counts, axis=1)
    for at in np.flatnonzero(arity < N_ELEMENTS[0]).tolist():
        keep[at] = False
        set_aside[table.lines[encoded.rows[at]]] = "it is a single element; formulas of 2 to 8 elements are drawn"
    if table.targets:
        whole = np.all([np.isfinite(v[encoded.rows]) for v in table.targets.values()], axis=0)
        for at in np.flatnonzero(keep & ~whole).tolist():
            keep[at] = False
            set_aside[table.lines[encoded.rows[at]]] = f"it lacks a number for one of {', '.join(table.targets)}"
    else:
        _, first, group = np.unique(formula_keys(formulas)[encoded.rows], return_index=True, return_inverse=True)
        for at in np.flatnonzero(keep & (first[group] != np.arange(len(keep)))).tolist():
            keep[at] = False
            earlier = table.lines[encoded.rows[first[group[at]]]]
            set_aside[table.lines[encoded.rows[at]]] = f"it is the same reduced formula as in line {earlier}"
    rows = encoded.rows[keep]
    if len(rows) < MIN_ROWS:
        raise InputError(
            f"{table.source} has {len(rows)} formulas that fit {layout.shape[0]} elements and counts up to "
            f"{layout.max_count}; training needs at least {MIN_ROWS}."
        )
    targets = {name: values[rows] for name, values in table.targets.items()}
    return MatGanData(encoded.counts[keep], formulas.select(rows), targets, set_aside)


def train_matgan(
    table: TrainingTable,
    settings: MatGanSettings,
    *,
    resume_path: Path | None = None,
    watch: Callable[[AdversarialReport], None] = lambda _: None,
    device: str = "cpu",
    rng: np.random.Generator,
) -> MatGan:
    """Train on the formulas of a table, conditioned on its targets where it has any.

    Every `settings.every` epochs `N_JUDGED` draws are measured; the average that is nearest to the training formulas in
    its pairs of elements, its arities and its share of balanced formulas is kept.

    Args:
        table: formulas, with targets for a conditional model.
        settings: of the model.
        resume_path: state of the training under way.
        watch: told of every epoch.
        device: "cpu", "cuda" or "auto".
        rng: seeds everything.
    """
    from novalith.training.adversarial import AdversarialSupervision

    data = prepare(table, settings.layout)
    conditions = Conditions.of(data.targets, rng)
    gan = _gan(settings, device)
    model = MatGan(gan, settings, conditions)
    reference = Reference.of(data.table)
    look: dict[str, float] = {}

    def validation() -> float:
        drawn = model.draw(N_JUDGED, FormulaRequest(), rng=np.random.default_rng(0))
        look.update(measure(drawn, reference))
        return look["distance"]

    supervision = AdversarialSupervision(validation, lambda: dict(look), settings.every, resume_path, watch)
    given = None
    if data.targets:
        given = conditions.standardised(np.stack(list(data.targets.values()), axis=1))
    gan.fit_watched(data.counts, given, supervision=supervision, rng=rng)
    model.curve = tuple({"epoch": r.epoch, **r.figures} for r in gan.curve if r.figures)
    return model


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on a file, or on the bundled reported formulas; what `novalith train matgan` runs.

    Raises:
        InputError: too few formulas, or targets are asked for without a file that has them.
    """
    from novalith.recipes.training import TrainingSummary
    from novalith.training.loop import EpochReport

    if order.size not in SIZES:
        raise UnknownNameError("size", order.size, SIZES)
    size = SIZES[order.size]
    settings = replace(
        size,
        network=order.option("network", (size.network, *(n for n in NETWORKS if n != size.network))),
        objective=order.option("objective", OBJECTIVES),
        decode=order.option("decode", (size.decode, *(d for d in DECODES if d != size.decode))),
        precision=order.option("precision", ("float32", "bfloat16")),
        n_epochs=order.epochs or size.n_epochs,
    )
    table = _table_of(order)
    model = train_matgan(
        table, settings, resume_path=order.resume_path, watch=lambda r: order.watch(_as_epoch(r)), device=order.device,
        rng=np.random.default_rng(order.seed),
    )  # fmt: skip
    model.save(order.out)
    data = prepare(table, settings.layout)
    reference = Reference.of(data.table)
    figures = {f"training_{name}": value for name, value in reference.shares.items()} | dict(model.curve[-1])
    curve: tuple[EpochReport, ...] = tuple(_as_epoch(r) for r in model.gan.curve)
    return TrainingSummary("matgan", order.out, len(data.counts), data.set_aside, figures, curve)


def bench_model(name: str, settings: MatGanSettings, device: str = "cpu") -> BenchModel:
    """A model of this recipe as `novalith.recipes.composition_bench` runs it."""

    def train(table: TrainingTable, state: Path, rng: np.random.Generator) -> CompositionModel:
        return train_matgan(table, settings, resume_path=state, device=device, rng=rng)

    def learning_curve(model: CompositionModel) -> tuple[Mapping[str, float], ...]:
        return model.curve if isinstance(model, MatGan) else ()

    about = (
        f"network {settings.network}, {settings.decode} reading, {settings.objective}, {settings.n_epochs} epochs of "
        f"batches of {settings.batch_size}, rates {settings.rate:g} and {settings.critic_rate:g}, "
        f"{settings.critic_steps} critic steps a round, {'one' if settings.one_sided else 'two'}-sided penalty"
    )
    return BenchModel(name, train, load_matgan, learning_curve, about)


def _as_epoch(report: AdversarialReport) -> Any:
    from novalith.training.loop import EpochReport

    return EpochReport(report.epoch, report.distance, report.validation)


def _table_of(order: TrainingOrder) -> TrainingTable:
    if order.data is not None:
        return read_training_table(order.data, order.column, order.targets)
    if order.targets:
        raise InputError(
            f"The bundled formulas carry no {', '.join(order.targets)}; give a file with such a column (--data FILE)."
        )
    formulas = tuple(sorted(Library().reported))
    return TrainingTable("bundled reported formulas", formulas, tuple(range(1, len(formulas) + 1)), {}, {})


def _gan(settings: MatGanSettings, device: str) -> WassersteinGan:
    import torch

    from novalith.generate.gan import WassersteinGan

    layout = settings.layout
    levels = torch.arange(0 if layout.absent else 1, layout.max_count + 1, dtype=torch.uint8)

    def expand(counts: Tensor) -> Tensor:
        return counts[:, :, None] == levels.to(counts.device)

    build, n_noise = _networks(settings)
    return WassersteinGan(build, n_noise, settings.adversarial(device), expand=expand)


def _networks(settings: MatGanSettings) -> tuple[BuildNetworks, int]:
    """The function that builds both players, and the width of their noise."""
    import torch

    from novalith.networks import composition_images as images

    shape, output = settings.layout.shape, "hard" if settings.decode == "absent" else "sigmoid"
    if settings.network in DENSE:
        widths, critic_widths = DENSE[settings.network]
        return lambda n_condition: (
            images.DenseGenerator(widths, shape, n_condition, output),
            images.DenseCritic(critic_widths, shape, n_condition),
        ), images.noise_width(widths[0], shape, output)
    stack = images.PUBLISHED[settings.network]
    last = torch.channels_last  # half the time of the other order of memory

    def build(n_condition: int) -> tuple[torch.nn.Module, torch.nn.Module]:
        generator = images.ImageGenerator(stack, shape, n_condition, output)
        critic = images.ImageCritic(stack, shape, n_condition)
        return generator.to(memory_format=last), critic.to(memory_format=last)

    return build, images.noise_width(stack.n_noise, shape, output)
