"""DING: formulas with wanted formation energy, energy and volume from a conditional variational autoencoder.

    z ~ N(0, 1)^32,   p(x | z, c) = prod_e softmax(decoder(z, c))[e, x_e]
    loss = -sum_e log p_e[x_e] + beta * KL(q(z | x, c) || N(0, 1))            encoder 979+3 - 512 - 256 - 128 - 2 x 32

x holds the count of each of 89 elements (H to Pu without Po to Ra) in the reduced formula, 0 .. 10, one-hot for the
encoder; c holds the three properties. The decoder mirrors the encoder. Without a condition, the same class is the
published baseline.

==========  =========================================================================================================
size        what it is
==========  =========================================================================================================
paper       the published loss, 10 x cross-entropy + 0.05 x sum(exp s + mu^2 - 1 - s): as the usual half is missing,
            this is beta = 0.01. Conditions are raw, so that volumes (4 to 200) drown formation energies (-4 to 1), and
            one noise vector is shared by each batch. Batch 256, 150 epochs.
default     standardised conditions, noise of its own for each row, beta = `DEFAULT_BETA`, and codes drawn around
            training rows near the target
tiny        for tests
==========  =========================================================================================================

Where this differs from the publication in either size: formulas are reduced, the rate follows one cycle with AdamW
instead of falling on plateaus, and the last weights are kept.

*Decoding.* As published, probabilities below 0.5 count as zero and an element without any other is absent: an element
whose counts share the probability vanishes silently. `argmax` takes the likeliest class of each element. Either may
leave no element at all; `decoding_figures` counts that.

*Where codes come from.* As published, z ~ N(0, 1): the *normal* prior. With a small beta the codes of real formulas
fill little of it, and most draws fall between them. The *codes* prior draws z around the code of a training row
near the target instead, and decodes it at the target (after Ghosh et al., 2020, who fit a density to the codes): a
memory, so that its draws must be judged by how many were not trained on.

*Conditions that are not given* are drawn with the given ones from the training rows near the target, so that the three
stay consistent: energy per atom = formation energy + mean energy of the elements.

Pathak, Juneja, Varma, Ehara and Deva Priyakumar, Phys. Chem. Chem. Phys. 22, 26935 (2020); code devalab/DING at
317d7c6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.data.training_table import TrainingTable, read_training_table
from novalith.errors import EmptyResultError, InputError, UnknownNameError
from novalith.generate.vae import VaeSettings, VariationalAutoencoder
from novalith.propose.compositions import CompositionModel, FormulaRequest
from novalith.recipes import ding_predictor
from novalith.recipes.ding_conditions import Conditions
from novalith.recipes.ding_predictor import LAYOUT, PROPERTIES, SANE, Watched
from novalith.recipes.training import TrainingOrder, TrainingSummary
from novalith.represent.composition_one_hot import (
    Counts,
    counts_by_argmax,
    counts_by_threshold,
    encode_counts,
    table_of_counts,
)
from novalith.represent.formula_table import FormulaTable, formula_keys, read_formulas
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

BIBTEX = """@article{pathak2020deep,
  title = {Deep learning enabled inorganic material generator},
  author = {Pathak, Yashaswi and Juneja, Karandeep Singh and Varma, Girish and Ehara, Masahiro and
            Deva Priyakumar, U.},
  journal = {Physical Chemistry Chemical Physics}, volume = {22}, pages = {26935--26943}, year = {2020},
  doi = {10.1039/d0cp03508d}
}"""

Floats = NDArray[np.float64]

KIND = "ding"
DECODINGS = ("argmax", "threshold")
PRIORS = ("normal", "codes")
#: Weight of the KL term in the default size. After 20 epochs with 0.3, half of the draws from the prior held no element
#: at all; after 30 with 0.03, one in twenty (a half of the OQMD formulas, 512 rows a step).
DEFAULT_BETA = 0.03
#: Probability below which the published decoding takes a class for impossible.
THRESHOLD = 0.5
#: Width of the codes prior, in the model's own uncertainty of the code. From 1 to 3 the share of distinct draws grows
#: from 0.33 to 0.54, and of those not trained on from 0.34 to 0.61, while errors of hits stay (OQMD, 25 targets).
CODE_WIDTH = 3.0
_BLOCK = 4096


@dataclass(frozen=True)
class DingSettings:
    """How a model is made.

    Attributes:
        vae: sizes and training of the autoencoder.
        standardised: whether conditions are.
        prior: where codes are drawn from, one of `PRIORS`.
    """

    vae: VaeSettings
    standardised: bool = True
    prior: str = "codes"


def _vae(beta: float, n_epochs: int, batch_size: int, rate: float, precision: str = "bfloat16") -> VaeSettings:
    return VaeSettings(
        (512, 256, 128), 32, beta, "linear", n_epochs, rate, LAYOUT.n_columns, "relu", batch_size, precision=precision
    )


SIZES = {
    "tiny": DingSettings(replace(_vae(DEFAULT_BETA, 5, 64, 5e-3, "float32"), hidden=(32,), n_latent=8)),
    "default": DingSettings(_vae(DEFAULT_BETA, 60, 512, 2e-3)),
    "paper": DingSettings(
        replace(_vae(0.01, 150, 256, 1e-3, "float32"), shared_noise=True), standardised=False, prior="normal"
    ),
}


class Ding(CompositionModel):
    """A trained autoencoder of formulas.

    Args:
        settings: how it was made.
        vae: the networks.
        conditions: what it is conditioned on.
        decoding: one of `DECODINGS`.
        prior: one of `PRIORS`; that of the settings without it.
    """

    name: ClassVar[str] = "ding"
    honours: ClassVar[frozenset[str]] = frozenset({"allowed", "targets"})

    def __init__(
        self,
        settings: DingSettings,
        vae: VariationalAutoencoder,
        conditions: Conditions,
        decoding: str = "argmax",
        prior: str | None = None,
    ) -> None:
        if (prior or settings.prior) not in PRIORS:
            raise UnknownNameError("prior", prior or settings.prior, PRIORS)
        if decoding not in DECODINGS:
            raise UnknownNameError("decoding", decoding, DECODINGS)
        self.settings, self.vae, self.conditions, self.decoding = settings, vae, conditions, decoding
        self.prior = prior or settings.prior

    @property
    def elements(self) -> tuple[str, ...]:
        """The 89 elements."""
        return LAYOUT.elements

    @property
    def target_ranges(self) -> Mapping[str, tuple[float, float]]:
        """The properties that it is conditioned on, with the range of their training values."""
        return {
            n: (float(a), float(b)) for n, (a, b) in zip(self.conditions.names, self.conditions.ranges, strict=True)
        }

    def draw(self, n: int, request: FormulaRequest, *, rng: np.random.Generator) -> FormulaTable:
        """Decode n draws from the prior at the targets; elements that are not allowed are left out of the decoding."""
        self.check(request)
        z, values = self.draw_codes(n, dict(request.targets), rng=rng)
        return self.decode(z, values, request.allowed)

    def draw_codes(self, n: int, targets: Mapping[str, float], *, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """(n, latent) codes from the prior, and the (n, c) properties to decode them at."""
        rows = self.conditions.near(n, targets, rng)
        z = rng.standard_normal((n, self.settings.vae.n_latent))
        if self.prior == "codes":
            mean, spread = self.encode(self.conditions.counts[rows], self.conditions.rows[rows])
            z = mean + CODE_WIDTH * spread * z
        return z, self.conditions.filled(rows, targets)

    def decode(
        self, z: NDArray[np.floating[Any]], values: Floats, allowed: frozenset[str] | None = None
    ) -> FormulaTable:
        """Formulas of (n, latent) codes at (n, c) properties."""
        counts = np.zeros((len(z), len(LAYOUT.elements)), dtype=np.uint8)
        for at in range(0, len(z), _BLOCK):
            part = slice(at, at + _BLOCK)
            cells = self.vae.decode(z[part], self.conditions.scaled(values[part]))
            counts[part] = decode_cells(cells, self.decoding)
        if allowed is not None:
            counts[:, ~LAYOUT.row_mask(allowed)] = 0
        return table_of_counts(counts, LAYOUT)

    def encode(self, counts: Counts, values: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations of the codes of (n, 89) counts at (n, c) properties, (n, latent) each."""
        mean, spread = self.vae.encode_spread(counts, self.conditions.scaled(values))
        return mean.astype(np.float64), spread.astype(np.float64)

    def save(self, path: Path) -> None:
        """Write the model as one checkpoint."""
        c = self.conditions
        tensors: dict[str, NDArray[Any]] = {f"vae.{name}": t for name, t in self.vae.tensors().items()}
        tensors |= {
            "rows": c.rows,
            "counts": c.counts,
            "ranges": c.ranges,
            "shift": c.shift,
            "scale": c.scale,
            "spread": c.spread,
        }
        config = {
            "settings": asdict(self.settings),
            "sizes": list(self.vae.sizes),
            "decoding": self.decoding,
            "prior": self.prior,
        }
        vocabulary = {"elements": list(LAYOUT.elements), "conditions": list(c.names)}
        save_checkpoint(Checkpoint(KIND, tensors, config, vocabulary), path)

    @classmethod
    def load(cls, path: Path) -> Ding:
        """Read a checkpoint."""
        stored = load_checkpoint(path, KIND)
        told = dict(stored.config["settings"])
        vae_settings = VaeSettings(**(told["vae"] | {"hidden": tuple(told["vae"]["hidden"])}))
        settings = DingSettings(vae_settings, told["standardised"], told["prior"])
        weights = {k.removeprefix("vae."): t for k, t in stored.tensors.items() if k.startswith("vae.")}
        n_data, n_condition = stored.config["sizes"]
        vae = VariationalAutoencoder.of_tensors(vae_settings, (n_data, n_condition), weights)
        parts = [stored.tensors[name] for name in ("rows", "counts", "ranges", "shift", "scale", "spread")]
        conditions = Conditions(tuple(stored.vocabulary["conditions"]), *parts)
        return cls(settings, vae, conditions, stored.config["decoding"], stored.config["prior"])


def decode_cells(cells: NDArray[np.floating[Any]], decoding: str) -> Counts:
    """Probabilities (n, 89, 11) -> counts (n, 89)."""
    if decoding == "argmax":
        return counts_by_argmax(cells, LAYOUT)
    # Two classes of one element cannot both pass one half, but for a tie of two halves.
    return counts_by_threshold(cells, LAYOUT, THRESHOLD)


def load_ding(path: Path) -> Ding:
    """Read a checkpoint; see `Ding.load`."""
    return Ding.load(path)


def train_ding(
    table: FormulaTable,
    properties: Mapping[str, Floats],
    settings: DingSettings,
    watched: Watched | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[Ding, dict[int, str]]:
    """Train a model.

    Args:
        table: formulas, each once.
        properties: name -> (n,) values to be conditioned on; none for the model without conditions.
        settings: how.
        watched: resumption and progress.
        rng: starts, noise and shuffles.

    Returns:
        the model; row -> why it was left out.

    Raises:
        EmptyResultError: fewer than two formulas fit.
    """
    watched = watched or Watched()
    encoded = encode_counts(table, LAYOUT)
    values = (
        np.stack([v[encoded.rows] for v in properties.values()], axis=1)
        if properties
        else np.zeros((len(encoded.rows), 0))
    )
    known = np.isfinite(values).all(axis=1)
    problems = encoded.problems | {int(r): "a property is missing" for r in encoded.rows[~known]}
    if known.sum() < 2:
        raise EmptyResultError(
            f"{known.sum()} of {len(table)} formulas fit and have all properties; none can be learned from."
        )
    conditions = Conditions.of(tuple(properties), values[known], encoded.counts[known], settings.standardised, rng=rng)
    vae = VariationalAutoencoder(settings.vae)
    given = conditions.scaled(values[known])
    vae.fit_watched(encoded.counts[known], given, watched.resume_path, watched.watch, rng=rng)
    return Ding(settings, vae, conditions), problems


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """Train on a table: the generator, or with the option part=predictor the predictor networks.

    The option condition=none makes the generator without conditions.

    Raises:
        InputError: no table is given; the bundled ones lack volumes.
    """
    part = order.option("part", ("generator", "predictor"))
    condition = order.option("condition", ("targets", "none"))
    if order.data is None:
        raise InputError(
            "DING learns from formulas with energies and volumes, which no bundled table has: give --data."
        )
    if order.size not in SIZES:
        raise UnknownNameError("size", order.size, SIZES)
    wanted = order.targets or PROPERTIES
    given = read_training_table(order.data, order.column, wanted, SANE)
    table = read_formulas(given.formulas)
    distinct, repeats = _distinct(table)
    left_out = dict.fromkeys(repeats, "the formula occurs before")
    watched = Watched(order.resume_path, order.watch)
    rng = np.random.default_rng(order.seed)
    values = {name: given.targets[name][distinct] for name in wanted}
    figures: dict[str, float] = {}
    if part == "predictor":
        how = ding_predictor.SIZES[order.size]
        how = replace(how, device=order.device, n_epochs=order.epochs or how.n_epochs)
        model, problems, curves = ding_predictor.train_predictor(table.select(distinct), values, how, watched, rng=rng)
        figures = {f"{name} validation MAE": one.validation_error for name, one in model.fitted.items()}
        curve = tuple(report for reports in curves.values() for report in reports)
        model.save(order.out)
        watched.forget()
    else:
        settings = SIZES[order.size]
        settings = replace(settings, vae=replace(settings.vae, n_epochs=order.epochs or settings.vae.n_epochs))
        used = {} if condition == "none" else values
        ding, problems = train_ding(table.select(distinct), used, settings, watched, rng=rng)
        shares = decoding_figures(ding, 2000, rng=rng)
        figures = {f"{s.decoding}: share empty": s.empty for s in shares}
        curve = ding.vae.curve
        ding.save(order.out)
    left_out |= {int(distinct[row]): reason for row, reason in problems.items()}
    return _summary(order, given, left_out, figures, curve)


def _distinct(table: FormulaTable) -> tuple[NDArray[np.int64], list[int]]:
    """Rows of the first occurrence of each formula, and the rows that repeat one."""
    first = np.zeros(len(table), dtype=bool)
    first[np.unique(formula_keys(table), return_index=True)[1]] = True
    first[list(table.problems)] = True  # rows that cannot be read have a reason of their own
    return np.flatnonzero(first), np.flatnonzero(~first).tolist()


def _summary(
    order: TrainingOrder, given: TrainingTable, left_out: Mapping[int, str], figures: Mapping[str, float], curve: Any
) -> TrainingSummary:
    aside = dict(given.set_aside) | {given.lines[row]: reason for row, reason in left_out.items()}
    return TrainingSummary("ding", order.out, len(given) - len(left_out), aside, figures, curve)


@dataclass(frozen=True)
class DecodingFigures:
    """What becomes of draws.

    Attributes:
        decoding: one of `DECODINGS`.
        n_draws: number of draws.
        empty: share that holds no element.
        single: share that holds one.
        lost: share from which at least one element vanished although its being absent has a probability below 0.5.
    """

    decoding: str
    n_draws: int
    empty: float
    single: float
    lost: float


def decoding_figures(model: Ding, n: int, *, rng: np.random.Generator) -> tuple[DecodingFigures, ...]:
    """Both decodings of the same n draws, at conditions drawn from the training rows."""
    arity: dict[str, list[NDArray[np.int64]]] = {name: [] for name in DECODINGS}
    lost: dict[str, int] = dict.fromkeys(DECODINGS, 0)
    for at in range(0, n, _BLOCK):
        size = min(_BLOCK, n - at)
        z, values = model.draw_codes(size, {}, rng=rng)
        cells = model.vae.decode(z, model.conditions.scaled(values))
        for name in DECODINGS:
            counts = decode_cells(cells, name)
            arity[name].append(np.count_nonzero(counts, axis=1))
            lost[name] += int(((counts == 0) & (cells[:, :, 0] < THRESHOLD)).any(axis=1).sum())
    told = {name: np.concatenate(parts) for name, parts in arity.items()}
    return tuple(
        DecodingFigures(name, n, float((k == 0).mean()), float((k == 1).mean()), lost[name] / n)
        for name, k in told.items()
    )
