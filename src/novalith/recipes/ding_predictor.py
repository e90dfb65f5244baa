"""The predictor networks of DING: one-hot counts in, one property out.

    y = m + s * MLP(x),   MLP: 979-1024-1024-[.7]-1024-[.7]-512-[.5]-128-64-32-1, ReLU, dropout in brackets
    loss = |y - target| / s, mean over the batch

x is the one-hot matrix of the reduced formula, 89 elements (H to Pu without Po to Ra) by 11 classes (absent, 1 .. 10
atoms). As published, a first pass with dropout is followed by a second one without, and the second does the fitting: it
is stopped early here, on rows cut from the training ones (`VALIDATION_SHARE`), which the publication did not do. Each
property has its own network.

Three additions of ours can be switched on. *Fractions*: the inputs also hold each element's share of the atoms,
979 + 89 numbers in all. *Baseline*: m, the mean of the property, becomes a sum over elements that is fitted first
(`novalith.predict.element_baseline`), and the network learns the rest. *Multiples*: Li2O, Li4O2 and Li6O3 are one
compound with three one-hot matrices; half of the formulas of a batch are multiplied at random as far as 10 atoms an
element allow, and a prediction is the mean over the multiples 1 to 3 that fit.

Pathak et al., Phys. Chem. Chem. Phys. 22, 26935 (2020); layers as in devalab/DING at 317d7c6. Published test
errors: formation energy 0.0515 eV/atom, energy 0.0722 eV/atom, volume 0.3986 A^3/atom.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError
from novalith.materials import ELEMENTS
from novalith.predict.base import Prediction
from novalith.predict.composition import CompositionPredictor, TrainingDomain
from novalith.predict.element_baseline import ElementBaseline, fit_element_baseline
from novalith.represent.composition_one_hot import Counts, OneHotLayout, encode_counts, table_of_counts
from novalith.represent.formula_table import FormulaTable
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

    from novalith.training.loop import EpochReport

#: H to Pu without Po, At, Rn, Fr, Ra.
ELEMENTS_89 = tuple(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Ac Th Pa U Np Pu".split()
)
LAYOUT = OneHotLayout(ELEMENTS_89, 10, absent=True)
#: The properties of the publication.
PROPERTIES = ("formation_energy", "energy_per_atom", "volume_per_atom")
#: Formation energies beyond these are slips of the table: -199 to 44 eV/atom occur in OQMD's.
SANE = {"formation_energy": (-5.0, 5.0)}
#: Share of the training rows that early stopping judges on.
VALIDATION_SHARE = 0.05
#: Share of the formulas of a batch that are multiplied.
MULTIPLIED_SHARE = 0.5
#: Largest multiple of a formula that a prediction averages over.
N_MULTIPLES = 3
KIND = "ding-predictor"


@dataclass(frozen=True)
class DingPredictorSettings:
    """Sizes and training of a predictor network.

    Attributes:
        widths: of the hidden layers; the output is one number.
        dropout: after the hidden layers 1, 2 and 3, counted from 0, in the first pass.
        dropout_epochs: of the first pass; 0 skips it.
        n_epochs: of the second pass, at most.
        learning_rate: peak of the cycle of either pass.
        batch_size: rows a step.
        patience: epochs without improvement that end the second pass.
        averaging: share of the old average of the weights kept at each step.
        fractions: whether the inputs hold them too.
        baseline: whether a sum over elements is taken off first.
        multiples: whether formulas are also shown, and asked about, multiplied.
        precision: of the multiplications in training.
        device: "cpu", "cuda" or "auto".
    """

    widths: tuple[int, ...] = (1024, 1024, 1024, 512, 128, 64, 32)
    dropout: tuple[float, float, float] = (0.7, 0.7, 0.5)
    dropout_epochs: int = 0
    n_epochs: int = 40
    learning_rate: float = 1e-3
    batch_size: int = 512
    patience: int = 8
    averaging: float = 0.995
    fractions: bool = True
    baseline: bool = True
    multiples: bool = False
    precision: str = "bfloat16"
    device: str = "cpu"


SIZES = {
    "tiny": DingPredictorSettings((32, 32, 32, 32), n_epochs=3, batch_size=64, precision="float32"),
    "default": DingPredictorSettings(),
    "paper": DingPredictorSettings(
        dropout_epochs=120,
        n_epochs=120,
        batch_size=256,
        patience=20,
        averaging=0.0,
        fractions=False,
        baseline=False,
        precision="float32",
    ),
}


@dataclass(frozen=True)
class Watched:
    """What accompanies a training.

    Attributes:
        resume_path: checkpoint of the training under way; each pass of each network adds its own ending.
        watch: told of every epoch.
    """

    resume_path: Path | None = None
    watch: Callable[[EpochReport], None] = lambda _: None

    def part(self, name: str) -> Path | None:
        """The checkpoint of one pass."""
        return None if self.resume_path is None else self.resume_path.with_name(f"{self.resume_path.name}.{name}")

    def forget(self) -> None:
        """Remove the checkpoints of a training that has ended well."""
        if self.resume_path is not None:
            for path in self.resume_path.parent.glob(f"{glob.escape(self.resume_path.name)}.*"):
                path.unlink()


@dataclass(frozen=True)
class Fitted:
    """One network.

    Attributes:
        network: counts to what is left, in units of the baseline's scale.
        baseline: m and s; with weights of zero where the settings ask for none.
        settings: how it was trained.
        validation_error: mean absolute error on the rows of early stopping, in the unit of the property; these chose
            the epoch, so it is a little too good.
    """

    network: nn.Module
    baseline: ElementBaseline
    settings: DingPredictorSettings
    validation_error: float


class DingPredictor(CompositionPredictor):
    """Networks, one a property.

    Args:
        fitted: property -> network.
        domain: what they were trained on.
    """

    def __init__(self, fitted: Mapping[str, Fitted], domain: TrainingDomain) -> None:
        self.fitted = dict(fitted)
        self._domain = domain

    @property
    def domain(self) -> TrainingDomain:
        """What the networks were trained on."""
        return self._domain

    def values(self, table: FormulaTable, target: str) -> Prediction:
        """Predictions; NaN for formulas that the one-hot matrix cannot hold. The networks know no uncertainty."""
        encoded = encode_counts(table, LAYOUT)
        value = np.full(len(table), np.nan)
        value[encoded.rows] = predict_counts(self.fitted[target], encoded.counts)
        return Prediction(value, None)

    def save(self, path: Path) -> None:
        """Write all networks as one checkpoint."""
        tensors: dict[str, NDArray[Any]] = {}
        config: dict[str, Any] = {"domain": self._domain.to_config(), "networks": {}}
        for name, one in self.fitted.items():
            tensors |= {f"{name}.network.{k}": t.cpu().numpy() for k, t in one.network.state_dict().items()}
            b = one.baseline
            tensors |= {f"{name}.{part}": getattr(b, part) for part in ("mean", "weights", "scale")}
            config["networks"][name] = {
                "settings": asdict(one.settings),
                "validation_error": one.validation_error,
            }
        save_checkpoint(Checkpoint(KIND, tensors, config, {"elements": list(ELEMENTS_89)}), path)

    @classmethod
    def load(cls, path: Path) -> DingPredictor:
        """Read a checkpoint."""
        import torch

        stored = load_checkpoint(path, KIND)
        fitted = {}
        for name, one in stored.config["networks"].items():
            told = one["settings"]
            settings = DingPredictorSettings(
                **(told | {"widths": tuple(told["widths"]), "dropout": tuple(told["dropout"])})
            )
            network = _network(settings)
            start = f"{name}.network."
            own = {k.removeprefix(start): t for k, t in stored.tensors.items() if k.startswith(start)}
            baseline = ElementBaseline(*(stored.tensors[f"{name}.{part}"] for part in ("mean", "weights", "scale")))
            network.load_state_dict({k: torch.from_numpy(np.array(t)) for k, t in own.items()})
            fitted[name] = Fitted(network.eval(), baseline, settings, one["validation_error"])
        return cls(fitted, TrainingDomain.from_config(stored.config["domain"]))


def train_predictor(
    table: FormulaTable,
    targets: Mapping[str, NDArray[np.float64]],
    settings: DingPredictorSettings,
    watched: Watched | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[DingPredictor, dict[int, str], dict[str, tuple[EpochReport, ...]]]:
    """Train a network for each property.

    Args:
        table: formulas, each once.
        targets: property -> (n,) values; NaN where missing.
        settings: how.
        watched: resumption and progress.
        rng: splits, starts and shuffles; each property has a stream of its own.

    Returns:
        the predictor; row -> why it was left out; property -> loss curve (of the last pass).

    Raises:
        EmptyResultError: no formula fits.
    """
    watched = watched or Watched()
    encoded = encode_counts(table, LAYOUT)
    if len(encoded.rows) < 2:
        raise EmptyResultError(f"{len(encoded.rows)} of {len(table)} formulas fit 89 elements and counts up to 10.")
    seed = int(rng.integers(2**31))
    fitted, curves = {}, {}
    for number, (name, values) in enumerate(targets.items()):
        own = values[encoded.rows]
        has = np.isfinite(own)
        part = replace(watched, resume_path=watched.part(name))
        stream = np.random.default_rng([seed, number])
        fitted[name], curves[name] = train_network(encoded.counts[has], own[has], settings, part, rng=stream)
    domain = TrainingDomain.of(
        table.select(encoded.rows), {name: values[encoded.rows] for name, values in targets.items()}
    )
    return DingPredictor(fitted, domain), encoded.problems, curves


def train_network(
    counts: Counts,
    values: NDArray[np.float64],
    settings: DingPredictorSettings,
    watched: Watched,
    *,
    rng: np.random.Generator,
) -> tuple[Fitted, tuple[EpochReport, ...]]:
    """Train one network on (n, E) counts and (n,) values; see the module for the two passes."""
    import torch

    from novalith.networks.dense import device_named
    from novalith.training.loop import Supervision, TrainingSettings, train

    device = device_named(settings.device)
    order = rng.permutation(len(counts))
    n_validation = max(1, round(VALIDATION_SHARE * len(counts)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = _network(settings)
    held, kept = order[:n_validation], order[n_validation:]
    baseline = _baseline(counts[kept], values[kept], settings.baseline)
    rest = (values[kept] - baseline.values(table_of_counts(counts[kept], LAYOUT))[:, 0]) / baseline.scale[0]
    x = torch.from_numpy(counts[kept]).to(device)
    y = torch.from_numpy(rest.astype(np.float32)).to(device)
    largest = torch.div(LAYOUT.max_count, x.amax(dim=1), rounding_mode="floor")

    def loss(batch: Tensor, generator: torch.Generator) -> Tensor:
        shown = x[batch]
        if settings.multiples:
            chance, place = torch.rand((2, len(batch)), generator=generator).to(device)
            drawn = 1 + (place * largest[batch]).to(torch.uint8)
            shown = shown * torch.where(chance < MULTIPLIED_SHARE, drawn, torch.ones_like(drawn))[:, None]
        return (network(shown)[:, 0].float() - y[batch]).abs().mean()

    def validation() -> float:
        one = Fitted(network, baseline, settings, np.nan)
        return float(np.abs(predict_counts(one, counts[held]) - values[held]).mean())

    curve: tuple[EpochReport, ...] = ()
    for name, n_epochs, patience, rates in (
        ("dropout", settings.dropout_epochs, 0, settings.dropout),
        ("fit", settings.n_epochs, settings.patience, (0.0, 0.0, 0.0)),
    ):
        how = TrainingSettings(
            max(1, n_epochs),
            settings.batch_size,
            settings.learning_rate,
            patience=patience,
            averaging=settings.averaging,
            device=settings.device,
            precision=settings.precision,
        )
        network.dropout = dict(enumerate(rates, start=1))
        stream = np.random.default_rng(int(rng.integers(2**31)))
        if n_epochs:
            beside = Supervision(validation, watched.part(name), watched.watch)
            curve = train(network, loss, len(x), how, beside, rng=stream)
    return Fitted(network, baseline, settings, min(r.validation_loss for r in curve)), curve


def predict_counts(fitted: Fitted, counts: Counts, block: int = 4096) -> NDArray[np.float64]:
    """(n, E) counts -> (n,) values in the unit of the property."""
    import torch

    total = np.zeros(len(counts))
    n_multiples = N_MULTIPLES if fitted.settings.multiples else 1
    allowed = np.minimum(LAYOUT.max_count // np.maximum(counts.max(axis=1, initial=0), 1), n_multiples)
    device = next(fitted.network.parameters()).device
    with torch.no_grad():
        for multiple in range(1, n_multiples + 1):
            rows = np.flatnonzero(allowed >= multiple)
            for at in range(0, len(rows), block):
                some = rows[at : at + block]
                shown = torch.from_numpy(counts[some] * np.uint8(multiple)).to(device)
                total[some] += fitted.network(shown)[:, 0].float().cpu().numpy()
    known = fitted.baseline.values(table_of_counts(counts, LAYOUT))[:, 0]
    value: NDArray[np.float64] = known + fitted.baseline.scale[0] * total / np.maximum(allowed, 1)
    return value


def _baseline(counts: Counts, values: NDArray[np.float64], over_elements: bool) -> ElementBaseline:
    if over_elements:
        return fit_element_baseline(table_of_counts(counts, LAYOUT), values[:, None])
    scale = float(values.std()) or 1.0
    return ElementBaseline(np.array([values.mean()]), np.zeros((len(ELEMENTS), 1)), np.array([scale]))


def _network(settings: DingPredictorSettings) -> nn.Module:
    from novalith.networks.counts import CountNetwork

    return CountNetwork(len(LAYOUT.elements), LAYOUT.n_columns, (*settings.widths, 1), fractions=settings.fractions)
