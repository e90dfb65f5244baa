r"""Recipe `cgcnn`: a graph network for eight properties of crystals, after Xie and Grossman (2018).

    crystal -> graph (`novalith.represent.crystal_graph`) -> members -> value, uncertainty, in range

One trunk serves all targets; what a row lacks is masked, so that the small sets (a thousand Poisson ratios, dielectric
constants) learn from the large ones. The *band gap* is predicted in two steps: a head decides whether the crystal has a
gap, another, trained on gaps above zero only, says how large; a regression on all gaps would put metals at half an eV.
The Poisson ratio of a training row with both moduli but without it follows from them,
:math:`\nu = (3K - 2G) / (2(3K + G))`.

Several members, each trained from another start, are averaged. Each also learns the width :math:`b` of a Laplace
distribution of its errors; the uncertainty is :math:`u = c \sqrt{\overline{2 b^2} + \mathrm{var}(y)}`, with the factor
:math:`c` of each target such that 68.3 % of the errors on the part held out of the training are smaller than it. That
part, chemical systems that no training row has, also decides which epoch is kept; no test row is ever seen.

What is known of a crystal is said by `novalith.predict.crystals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.data.structure_table import StructureTable, bundled_structure_table, read_structure_table
from novalith.data.targets import TARGETS
from novalith.data.training_table import MIN_ROWS
from novalith.errors import InputError, UnknownNameError
from novalith.materials import ELEMENTS, Crystal
from novalith.networks.crystal_graph import CrystalGraphNetwork, GraphSizes
from novalith.predict.composition import NEVER_NEGATIVE
from novalith.predict.crystals import CrystalDomain, CrystalPrediction, fit_domain
from novalith.predict.element_baseline import ElementBaseline
from novalith.recipes.cgcnn_training import (
    LEARNED,
    LOGARITHMIC,
    SIZES,
    Answers,
    CgcnnSettings,
    answers,
    element_shares,
    lesson_of,
    new_network,
    train_member,
)
from novalith.recipes.training import TrainingOrder, TrainingSummary, named_size
from novalith.represent.crystal_graph import MERGE_TOLERANCE_A, GraphTable, graph_table, merged
from novalith.store.checkpoint import Checkpoint, check_shapes, load_checkpoint, rebuilds, save_checkpoint
from novalith.training.loop import EpochReport, Supervision

BIBTEX = """@article{xie2018crystal,
  title   = {Crystal graph convolutional neural networks for an accurate and interpretable prediction of material
             properties},
  author  = {Xie, Tian and Grossman, Jeffrey C.},
  journal = {Physical Review Letters}, volume = {120}, pages = {145301}, year = {2018},
  doi     = {10.1103/PhysRevLett.120.145301}
}"""
KIND = "cgcnn"
#: The shipped predictor: its card lies beside it.
WEIGHTS = Path(__file__).parent / "weights" / "cgcnn.safetensors"
#: Share of the chemical systems that is held out of the training.
HELD_OUT = 0.06
#: Crystals whose graphs are built at a time; bounds the memory.
CHUNK = 1024
_ONE_DEVIATION = 0.6827

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GraphRows:
    """Graphs and properties of n crystals.

    Attributes:
        table: graphs.
        targets: t names, in the order of `LEARNED`.
        values: (n, t) in the units of the targets, NaN where missing.
        systems: (n,) chemical systems ("Cl-Na").
        sources: (n,) names of the files.
        set_aside: place -> why a row was left out.
    """

    table: GraphTable
    targets: tuple[str, ...]
    values: Floats
    systems: NDArray[np.str_]
    sources: NDArray[np.str_]
    set_aside: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.table)

    def select(self, rows: Integers) -> GraphRows:
        """The rows of an index; a target that none of them has is left out."""
        values = self.values[rows]
        held = np.flatnonzero(np.isfinite(values).any(axis=0))
        targets = tuple(self.targets[t] for t in held)
        systems, sources = self.systems[rows], self.sources[rows]
        return GraphRows(self.table.select(rows), targets, values[:, held], systems, sources, self.set_aside)


def rows_of(structures: StructureTable, tolerance_a: float | None = MERGE_TOLERANCE_A) -> GraphRows:
    """Graphs of structures; a target of a few numbers is set aside, a Poisson ratio follows from two moduli.

    Args:
        structures: what was read.
        tolerance_a: equal atoms are merged where distances agree to this, Å; None merges none.

    Raises:
        InputError: no target has enough numbers.
    """
    table, verdicts = graph_table(structures.crystals, tolerance_a)
    kept = np.array([i for i in range(len(structures)) if i not in verdicts], dtype=np.int64)
    set_aside = dict(structures.set_aside)
    set_aside |= {f"{structures.sources[i]}, structure {i + 1}": v.reason for i, v in verdicts.items()}
    values = {name: structures.values[kept, i] for i, name in enumerate(structures.targets)}
    if {"bulk_modulus", "shear_modulus"} <= values.keys():
        k, g = values["bulk_modulus"], values["shear_modulus"]
        missing = values.get("poisson_ratio", np.full(len(kept), np.nan))
        # 0/0 for a row without moduli is NaN, which is what it should be.
        values["poisson_ratio"] = np.where(np.isnan(missing), (3 * k - 2 * g) / (2 * (3 * k + g)), missing)
    counts = {name: int(np.isfinite(values[name]).sum()) for name in LEARNED if name in values}
    set_aside |= {name: f"{n} numbers, too few to learn" for name, n in counts.items() if 0 < n < MIN_ROWS}
    targets = tuple(name for name, n in counts.items() if n >= MIN_ROWS)
    if not targets:
        raise InputError(f"No target has {MIN_ROWS} numbers; give more rows with {', '.join(LEARNED)}.")
    systems = np.array([str(structures.crystals[i].composition.field) for i in kept])
    sources = np.array([structures.sources[i] for i in kept])
    return GraphRows(table, targets, np.stack([values[t] for t in targets], axis=1), systems, sources, set_aside)


@dataclass(frozen=True, eq=False)
class CgcnnPredictor:
    """Trained members and what turns their answers into values.

    Attributes:
        members: on the CPU, in evaluation mode.
        targets: what they predict, in the order of their outputs (the last output is the logit of a gap).
        baseline: sums over elements.
        widening: (t,) the factors c of the uncertainty.
        domain: which crystals they know.
    """

    members: tuple[CrystalGraphNetwork, ...]
    targets: tuple[str, ...]
    baseline: ElementBaseline
    widening: Floats
    domain: CrystalDomain

    @property
    def units(self) -> dict[str, str]:
        """Target -> unit."""
        return {name: TARGETS[name].unit for name in self.targets}

    @property
    def training_ranges(self) -> dict[str, tuple[float, float]]:
        """Target -> lowest and highest training value, in the unit of the target."""
        return {name: (v.low, v.high) for name, v in self.domain.values.items()}

    def predict(self, crystals: Sequence[Crystal], target: str) -> CrystalPrediction:
        """Predict one target.

        Raises:
            UnknownNameError: the model does not predict it.
        """
        if target not in self.targets:
            raise UnknownNameError("target of this model", target, self.targets)
        return self.predict_all(crystals)[target]

    def predict_all(self, crystals: Sequence[Crystal]) -> dict[str, CrystalPrediction]:
        """Predict every target in one pass over the crystals."""
        value = np.full((len(crystals), len(self.targets)), np.nan)
        uncertainty = value.copy()
        reasons: dict[str, dict[int, str]] = {name: {} for name in self.targets}
        for start in range(0, len(crystals), CHUNK):
            table, verdicts = graph_table(crystals[start : start + CHUNK])
            rows = np.array([start + i for i in range(len(table) + len(verdicts)) if i not in verdicts], dtype=np.int64)
            value[rows], uncertainty[rows], told = self.of_graphs(table)
            for name in self.targets:
                reasons[name] |= {int(rows[i]): reason for i, reason in told[name].items()}
                reasons[name] |= {start + i: verdict.reason for i, verdict in verdicts.items()}
        out = {}
        for i, name in enumerate(self.targets):
            known = np.ones(len(crystals), dtype=bool)
            known[list(reasons[name])] = False
            out[name] = CrystalPrediction(value[:, i], uncertainty[:, i], known, dict(sorted(reasons[name].items())))
        return out

    def of_graphs(self, table: GraphTable) -> tuple[Floats, Floats, dict[str, dict[int, str]]]:
        """(n, t) values, (n, t) uncertainties, and target -> row -> why it is out of range."""
        shares = element_shares(table)
        said = [answers(member, table) for member in self.members]
        value, uncertainty = self.values_of(said, shares)
        distance = self.domain.distances(said[0].pooled)
        strange = ((shares > 0) & ~self.domain.elements.any(axis=0)).any(axis=1)
        value[strange], uncertainty[strange] = np.nan, np.nan
        reasons = {
            name: self.domain.reasons(name, shares, distance[:, i], value[:, i], uncertainty[:, i])
            for i, name in enumerate(self.targets)
        }
        return value, uncertainty, reasons

    def values_of(self, said: Sequence[Answers], shares: Floats) -> tuple[Floats, Floats]:
        """(n, t) values and uncertainties in the units of the targets, from the members' answers."""
        means = np.stack([a.values for a in said])[:, :, :-1]
        widths = np.exp(np.stack([a.log_scales for a in said])[:, :, :-1])
        spread = np.sqrt((2 * widths**2).mean(axis=0) + means.var(axis=0)) * self.baseline.scale
        value = self.baseline.of_fractions(shares) + self.baseline.scale * means.mean(axis=0)
        chance = (1 / (1 + np.exp(-np.stack([a.values[:, -1] for a in said])))).mean(axis=0)
        for i, name in enumerate(self.targets):
            if name in LOGARITHMIC:
                value[:, i] = 10 ** np.clip(value[:, i], -10, 10)
                spread[:, i] = value[:, i] * np.log(10) * spread[:, i]
            elif name == "band_gap":
                gap = np.maximum(value[:, i], 0)
                # A gap of g with probability p, of none otherwise.
                spread[:, i] = np.sqrt(chance * spread[:, i] ** 2 + chance * (1 - chance) * gap**2)
                value[:, i] = np.where(chance > 0.5, gap, 0.0)
            if name in NEVER_NEGATIVE:
                value[:, i] = np.maximum(value[:, i], 0)
        return value, self.widening * spread


def train_on_rows(
    rows: GraphRows,
    settings: CgcnnSettings,
    supervision: Supervision | None = None,
    *,
    rng: np.random.Generator,
) -> tuple[CgcnnPredictor, tuple[EpochReport, ...], Integers]:
    """Train every member; returns the predictor, the curves one after the other, and the rows that were held out.

    With a path to resume from, each member keeps its state beside it.
    """
    supervision = supervision or Supervision()
    training, held = hold_out_systems(rows.systems, HELD_OUT, rng)
    table = merged(rows.table, settings.merge_tolerance_a) if settings.merge_tolerance_a else rows.table
    lesson = lesson_of(table, rows.values, rows.targets, (training, held))
    members: list[CrystalGraphNetwork] = []
    curve: list[EpochReport] = []
    for number in range(settings.n_members):
        path = supervision.resume_path
        if path is not None:
            path = path.with_name(f"{path.name}.{number}") if number else path
        network, reports = train_member(lesson, settings, replace(supervision, resume_path=path), rng=rng)
        members.append(network)
        curve += reports
    predictor = assembled(tuple(members), rows, table, (training, held), lesson.baseline, rng)
    return predictor, tuple(curve), held


def assembled(
    members: tuple[CrystalGraphNetwork, ...],
    rows: GraphRows,
    table: GraphTable,
    split: tuple[Integers, Integers],
    baseline: ElementBaseline,
    rng: np.random.Generator,
) -> CgcnnPredictor:
    """A predictor of trained members: its domain, and the widening of its uncertainties on the rows held out."""
    training, held = split
    shares = element_shares(table)
    said = [answers(member, table) for member in members]
    values = {name: rows.values[:, i] for i, name in enumerate(rows.targets)}
    domain = fit_domain(said[0].pooled, shares, values, split, rng=rng)
    free = CgcnnPredictor(members, rows.targets, baseline, np.ones(len(rows.targets)), domain)
    checked = held if len(held) else training
    parts = [Answers(a.values[checked], a.log_scales[checked], a.pooled[checked]) for a in said]
    value, uncertainty = free.values_of(parts, shares[checked])
    error = np.abs(value - rows.values[checked])
    return replace(free, widening=np.array([_widening(error[:, i], uncertainty[:, i]) for i in range(len(values))]))


def hold_out_systems(systems: NDArray[np.str_], share: float, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Rows to train on and rows held out; a chemical system is on one side, and both sides have one at least."""
    _, number = np.unique(systems, return_inverse=True)
    n = int(number.max()) + 1
    out = np.zeros(n, dtype=bool)
    out[rng.permutation(n)[: max(1, round(share * n))]] = n > 1
    return np.flatnonzero(~out[number]), np.flatnonzero(out[number])


def _widening(error: Floats, uncertainty: Floats) -> float:
    """The factor that makes 68.3 % of the errors smaller than the uncertainty; 1 where nothing was held out."""
    ratio = error / np.maximum(uncertainty, 1e-12)
    ratio = ratio[np.isfinite(ratio)]
    return max(float(np.quantile(ratio, _ONE_DEVIATION)), 1e-6) if len(ratio) else 1.0


def save_cgcnn(predictor: CgcnnPredictor, path: Path, precision: str = "float32") -> None:
    """Write a predictor as a checkpoint; "float16" halves the file and changes values by about 1e-3 of their scale."""
    kind = np.float16 if precision == "float16" else np.float32
    tensors: dict[str, NDArray[Any]] = {}
    for number, member in enumerate(predictor.members):
        for name, tensor in member.state_dict().items():
            array = tensor.numpy()
            tensors[f"member{number}.{name}"] = array.astype(kind) if array.dtype == np.float32 else array
    baseline = predictor.baseline
    tensors |= {
        "baseline.mean": baseline.mean, "baseline.weights": baseline.weights.astype(np.float32),
        "baseline.scale": baseline.scale, "widening": predictor.widening, **predictor.domain.tensors(),
    }  # fmt: skip
    config = {
        "sizes": vars(predictor.members[0].sizes),
        "members": len(predictor.members),
        "values": predictor.domain.to_config(),
    }
    vocabulary = {"targets": list(predictor.targets), "units": list(predictor.units.values())}
    save_checkpoint(Checkpoint(KIND, tensors, config, vocabulary), path)


@rebuilds
def load_cgcnn(path: Path) -> CgcnnPredictor:
    """Read what `save_cgcnn` wrote."""
    stored = load_checkpoint(path, KIND)
    targets, parts = tuple(stored.vocabulary["targets"]), stored.tensors
    members = []
    for number in range(int(stored.config["members"])):
        network = new_network(GraphSizes(**stored.config["sizes"]), len(targets) + 1, 0)
        state = {n: torch.from_numpy(a.copy()) for n, a in stored.part(f"member{number}").items()}
        network.load_state_dict({n: t.float() if t.is_floating_point() else t for n, t in state.items()})
        network.eval()
        members.append(network)
    t, p = (len(targets),), (members[0].n_pooled,)
    n_anchors, n_axes = parts["domain.anchors"].shape
    shapes = {
        "baseline.mean": t, "baseline.weights": (len(ELEMENTS), *t), "baseline.scale": t, "widening": t,
        "domain.elements": (*t, len(ELEMENTS)), "domain.mean": p, "domain.axes": (*p, n_axes),
        "domain.has": (n_anchors, *t), "domain.reach": t,
    }  # fmt: skip
    check_shapes(parts, shapes)
    baseline = ElementBaseline(
        parts["baseline.mean"], parts["baseline.weights"].astype(np.float64), parts["baseline.scale"]
    )
    domain = CrystalDomain.stored(parts, stored.config["values"], targets)
    return CgcnnPredictor(tuple(members), targets, baseline, parts["widening"], domain)


@lru_cache(maxsize=1)
def default_structure_predictor() -> CgcnnPredictor:
    """The shipped graph network: eight properties of crystals."""
    return load_cgcnn(WEIGHTS)


def settings_of(order: TrainingOrder) -> CgcnnSettings:
    """The settings that an order names; the option `members` gives the number of networks.

    Raises:
        UnknownNameError: it names an unknown size or another number of members than 1 to 5.
    """
    settings = named_size(order.size, SIZES)
    training = replace(settings.training, device=order.device, n_epochs=order.epochs or settings.training.n_epochs)
    members = int(order.option("members", (str(settings.n_members), *"12345")))
    return replace(settings, training=training, n_members=members)


def train_from_file(order: TrainingOrder) -> TrainingSummary:
    """`novalith train cgcnn`; `--option precision=float16` halves the file.

    The data are a Parquet or CSV file with a column `cif` (or `poscar`) and columns of properties, or a folder of such
    files; without data, the bundled crystals.
    """
    order.check_options(("members", "precision"))
    precision = order.option("precision", ("float32", "float16"))
    settings = settings_of(order)
    targets = order.targets or LEARNED
    unknown = [name for name in targets if name not in LEARNED]
    if unknown:
        raise UnknownNameError("target of this recipe", unknown[0], LEARNED)
    structures = (
        bundled_structure_table(Library(), targets) if order.data is None else read_structure_table(order.data, targets)
    )
    rows = rows_of(structures, MERGE_TOLERANCE_A if settings.merge_tolerance_a else None)
    rng = np.random.default_rng(order.seed)
    predictor, curve, held = train_on_rows(rows, settings, Supervision(None, order.resume_path, order.watch), rng=rng)
    save_cgcnn(predictor, order.out, precision)
    for number in range(1, settings.n_members):
        order.resume_path.with_name(f"{order.resume_path.name}.{number}").unlink(missing_ok=True)
    value, _, _ = predictor.of_graphs(rows.table.select(held))
    figures: dict[str, float] = {}
    for i, name in enumerate(rows.targets):
        error = np.abs(value[:, i] - rows.values[held, i])
        if np.isfinite(error).any():
            suffix = TARGETS[name].unit.replace("/", "_per_").replace("eV", "ev").replace("GPa", "gpa")
            figures[f"{name}_mae{f'_{suffix}' if suffix else ''}"] = float(np.nanmean(error))
    told = [f"{place}: {reason}" for place, reason in rows.set_aside.items()]
    told += [f"{name}: no table of structures with values of these targets" for name in structures.not_read]
    set_aside = dict(enumerate(told, start=1))
    return TrainingSummary("cgcnn", order.out, len(rows) - len(held), set_aside, figures, curve)
