"""The figures on Court's models: what comes back of crystals never trained on, and what comes when an energy is asked.

*Reconstruction*: crystals of chemical systems that were held out, with their energy unknown to the model, each family
and kind apart, through both networks and the fit to the image and, to tell what each does, without the autoencoder and
without the fit.
*Sampling*: draws for the mean energy of every bin beside draws for none. The judge is CHGNet, which no training has
seen: formation energy of the cell as drawn, on the scale of the Materials Project. Castelli's perovskites are labelled
on another scale (RPBE); the median difference of judge and label over training crystals is taken off, and how many of
these crystals the judge itself finds within 0.2 eV/atom of their label is the most that any model could reach.
*Relaxation*: `N_RELAXED` draws for the mean energy of the lowest bin, relaxed by CHGNet: how many converge, and how
near the hull and the energy that was asked for they then lie. Every count is of all draws.

Models, crystals of the families, relaxations and figures are kept in a folder and not made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.materials import Crystal, Verdict
from novalith.recipes.bench_tables import Table, existing, table_of_records
from novalith.recipes.court import N_BINS, TARGET, Court
from novalith.recipes.court_families import family_named
from novalith.recipes.court_judging import reconstruction_records
from novalith.recipes.court_training import FamilySet, gather, held_out, train_from_file
from novalith.recipes.crystal_models import SampleRequest
from novalith.recipes.points_judging import HULL_LIMITS_EV, Relaxed, relax_products, relaxed_counts
from novalith.recipes.training import TrainingOrder
from novalith.recipes.voxel_bench import VoxelBench
from novalith.represent.density_coordinates import DensityCoordinates
from novalith.represent.gene import primitive
from novalith.screen.charge import ChargeBalance
from novalith.screen.distances import Distances
from novalith.stability.hull import ConvexHull
from novalith.stability.references import formation_energy
from novalith.stability.table import TABLE_REFERENCES, table_phases
from novalith.store.files import write_atomic

#: Family -> table of the public data with its crystals.
TABLES = {"perovskite": "perov5.parquet", "heusler": "mp_structures.parquet", "alloy": "mp_structures.parquet"}
#: Draws within so much of the energy that was asked for count, eV/atom.
NEAR_EV = 0.2
#: Training crystals on which the judge is put on the scale of the labels.
N_SCALE = 150
#: Products of each family whose properties are shown, and draws of which those with sound distances are relaxed.
N_SHOWN, N_RELAXED = 4, 40
#: How a crystal comes back -> without the autoencoder, with the fit.
WAYS = {
    "exact image, fitted": (True, True),
    "autoencoder, network alone": (False, False),
    "autoencoder, fitted": (False, True),
}

Tell = Callable[[str], None]


def tables(bench: VoxelBench, tell: Tell) -> list[Table]:
    """Reconstruction of every family, sampling for energies, and the properties of some draws."""
    parts = [family_records(bench, name, tell) for name in TABLES]
    budget = f"size {bench.size}, seed {bench.seed}"
    titles = {
        "back": f"Court, crystals of chemical systems held out, energy unknown ({budget})",
        "asked": f"Court, {bench.n} draws for energies and {bench.n} for none ({budget})",
        "relaxed": f"Court, {N_RELAXED} draws for the mean energy of the lowest bin, relaxed ({budget})",
        "properties": "Court, properties of draws by the graph network (*: outside of what it saw)",
    }
    return [table_of_records(title, [row for part in parts for row in part[key]]) for key, title in titles.items()]


def family_records(bench: VoxelBench, name: str, tell: Tell) -> dict[str, list[dict[str, Any]]]:
    """The rows of one family, read from the folder where they are kept."""
    done = bench.keep / f"court-{name}-{bench.size}-{bench.n}-{bench.seed}.json"
    if done.exists():
        kept: dict[str, list[dict[str, Any]]] = json.loads(done.read_text(encoding="utf-8"))
        return kept
    path = None if bench.data is None else existing(bench.data / TABLES[name])
    model = _model(bench, name, path, tell)
    whole = _crystals(bench, name, path)
    formulas = set(model.training_formulas)
    training = whole.select(np.flatnonzero([f in formulas for f in whole.formulas]))
    test = whole.select(np.flatnonzero(held_out(whole.crystals)))
    sizes = {"trained on": len(model.training_formulas)}
    tell(f"{name}: {len(test.crystals)} crystals of systems held out")
    rows = {
        through: reconstruction_records(model, test, exact=exact, fitted=fitted)
        for through, (exact, fitted) in WAYS.items()
    }
    tell(f"{name}: sampling")
    rng = np.random.default_rng(bench.seed)
    judge = Judge(training, rng=rng)
    asked = [sizes | row for row in sampling_records(model, training, judge, bench.n, rng=rng)]
    tell(f"{name}: relaxing")
    found = {
        "back": [{"through": through} | sizes | row for through, part in rows.items() for row in part],
        "asked": asked,
        "relaxed": [relaxed_record(model, training, judge, bench)],
        "properties": property_records(model, bench.seed),
    }
    write_atomic(done, json.dumps(found, indent=1).encode())
    return found


def _model(bench: VoxelBench, name: str, data: Path | None, tell: Tell) -> Court:
    path = bench.keep / f"court-{name}.safetensors"
    if not path.exists():
        tell(f"{name}: training")
        train_from_file(TrainingOrder(
            data, path, size=bench.size, epochs=bench.epochs, options={"family": name}, seed=bench.seed,
            watch=lambda r: tell(f"{name}: epoch {r.epoch}, loss {r.training_loss:.4g}"),
        ))  # fmt: skip
    return Court.load(path)


def _crystals(bench: VoxelBench, name: str, data: Path | None) -> FamilySet:
    """The crystals of a family, read from the folder where they are kept: parsing a table takes minutes."""
    kept = bench.keep / f"court-{name}-crystals.json"
    if not kept.exists():
        found = gather(data, family_named(name), Library(), DensityCoordinates(), bundled=True)
        stored = {
            "energies": found.energies.tolist(),
            "ids": found.ids,
            "crystals": [c.to_json() for c in found.crystals],
        }
        write_atomic(kept, json.dumps(stored).encode())
    stored = json.loads(kept.read_text(encoding="utf-8"))
    crystals = tuple(Crystal.from_json(c) for c in stored["crystals"])
    return FamilySet(name, crystals, np.array(stored["energies"], float), tuple(stored["ids"]), {})


class Judge:
    """Formation energies (eV/atom) by CHGNet of crystals as they are, on the scale of a model's labels.

    Args:
        known: crystals with labels; the median difference over `N_SCALE` of them is taken off.
        rng: draws them.
    """

    def __init__(self, known: FamilySet, *, rng: np.random.Generator) -> None:
        from novalith.relax.potentials import load_potential

        self._potential = load_potential()
        self._references = Library().elemental_references(TABLE_REFERENCES)
        self.offset_ev, self.near_share = 0.0, float("nan")
        rows = np.flatnonzero(np.isfinite(known.energies))
        rows = rng.permutation(rows)[:N_SCALE]
        found = np.array([self.energy(known.crystals[i]) for i in rows]) - known.energies[rows]
        self.offset_ev = float(np.nanmedian(found))
        self.near_share = float(np.mean(np.abs(found - self.offset_ev) <= NEAR_EV))

    def energy(self, crystal: Crystal) -> float:
        """Of one crystal; NaN where the judge or its elemental references cannot say."""
        from novalith.errors import InputError
        from novalith.relax.base import OutOfReachError

        cell = primitive(crystal)
        try:
            total = self._potential.evaluate(cell).energy_ev / cell.n_atoms
            return formation_energy(cell.composition, total, self._references) - self.offset_ev
        except (OutOfReachError, InputError):
            return float("nan")


def sampling_records(
    model: Court, training: FamilySet, judge: Judge, n: int, *, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Draws for the mean energy of each bin, and draws without a target judged against the same energies."""
    bins = model.bins.of_energy(training.energies)
    wanted = np.array([float(np.nanmean(training.energies[bins == k])) for k in range(N_BINS)])
    each = max(1, n // N_BINS)
    asked = np.repeat(wanted, each)
    drawn = [c for e in wanted for c in model.sample(each, SampleRequest(targets={TARGET: float(e)}), rng=rng)]
    free = model.sample(len(asked), SampleRequest(), rng=rng)
    records = []
    for name, products in (("asked for", drawn), ("not asked for", free)):
        energies, row = _judged(model, products, asked, judge)
        means = [_mean(energies[asked == e]) for e in wanted]
        rank = _spearman(wanted, means) if name == "asked for" else None
        records.append({
            "family": model.family.name, "energy": name, **row,
            "Spearman over bins": rank, "judge on training crystals, %": 100 * judge.near_share,
            "offset of the judge, eV/atom": judge.offset_ev,
            "means by bin, eV/atom": " ".join("-" if m is None else f"{m:.2f}" for m in means) if rank else "",
        })  # fmt: skip
    records[0]["bins, eV/atom"] = " ".join(f"{e:.2f}" for e in wanted)
    return records


def relaxed_record(model: Court, training: FamilySet, judge: Judge, bench: VoxelBench) -> dict[str, Any]:
    """Draws for the mean energy of the lowest bin after relaxation; those with unsound distances are not relaxed."""
    library, apart = Library(), Distances()
    lowest = model.bins.of_energy(training.energies) == 0
    asked = float(np.mean(training.energies[lowest & np.isfinite(training.energies)]))
    rng = np.random.default_rng(bench.seed)
    drawn = model.sample(N_RELAXED, SampleRequest(targets={TARGET: asked}), rng=rng)
    sound = [primitive(c) for c in drawn if isinstance(c, Crystal) and apart.check(c).passed]
    products = relax_products(sound, library, bench.workers, bench.keep / "relax")
    formulas = {c.composition.formula for c in sound}
    seen = [primitive(c) for c in training.crystals if c.composition.formula in formulas]
    counts = relaxed_counts(products, library, seen)
    off = [_off(p, library, judge.offset_ev, asked) for p in products]
    told = ("converged", "unique", "in training set", "known structure", "median above hull, eV/atom")
    return {
        "family": model.family.name, "asked, eV/atom": asked, "draws": len(drawn), "sound and relaxed": len(sound),
        **{key: counts[key] for key in told},
        **{f"within {e:g} of the hull": counts[f"within {e:g} eV/atom"] for e in HULL_LIMITS_EV},
        **{f"within {e:g} of the energy": sum(x is not None and abs(x) <= e for x in off) for e in HULL_LIMITS_EV},
    }  # fmt: skip


def _off(product: Relaxed, library: Library, offset_ev: float, asked: float) -> float | None:
    """Formation energy of a relaxed product, on the scale of the labels, less the one that was asked for; eV/atom."""
    above, composition = product.energy_above_hull_ev_per_atom, product.final.composition.reduced
    if above is None:
        return None
    hull = ConvexHull(table_phases(library, composition.field))
    return above + float(hull.energy(composition)) - offset_ev - asked


def property_records(model: Court, seed: int) -> list[dict[str, Any]]:
    """The eight properties of some products by the graph network, each with its uncertainty; a star where it doubts."""
    from novalith.recipes.cgcnn import default_structure_predictor

    rng = np.random.default_rng(seed)
    drawn = [c for c in model.sample(4 * N_SHOWN, SampleRequest(), rng=rng) if isinstance(c, Crystal)][:N_SHOWN]
    if not drawn:
        return []
    said = default_structure_predictor().predict_all(drawn)
    return [
        {"family": model.family.name, "crystal": str(crystal.composition)}
        | {
            name: f"{p.value[i]:.3g} +- {p.uncertainty[i]:.2g}{'' if p.in_range[i] else ' *'}"
            for name, p in said.items()
        }
        for i, crystal in enumerate(drawn)
    ]


def _judged(
    model: Court, products: Sequence[Crystal | Verdict], asked: NDArray[np.float64], judge: Judge
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Judged energies (NaN where there is none) and shares of the draws, failures included."""
    apart, charge = Distances(), ChargeBalance()
    decoded = [c for c in products if isinstance(c, Crystal)]
    sound = [isinstance(c, Crystal) and apart.check(c).passed for c in products]
    balanced = [ok and isinstance(c, Crystal) and charge.check(c).passed for c, ok in zip(products, sound, strict=True)]
    energies = np.array(
        [judge.energy(c) if ok and isinstance(c, Crystal) else np.nan for c, ok in zip(products, sound, strict=True)]
    )
    near = np.abs(energies - asked) <= NEAR_EV
    known = set(model.training_formulas)
    new = [c.composition.formula not in known for c in decoded]
    n = max(len(products), 1)
    return energies, {
        "draws": len(products),
        "decoded and of the family, %": 100 * len(decoded) / n,
        "distances, %": 100 * sum(sound) / n,
        "distances and charge, %": 100 * sum(balanced) / n,
        f"within {NEAR_EV:g} eV/atom, %": 100 * float(near.sum()) / n,
        f"valid and within {NEAR_EV:g} eV/atom, %": 100 * float((near & np.array(balanced)).sum()) / n,
        "different formulas, % of decoded": 100 * len({c.composition.formula for c in decoded}) / max(len(decoded), 1),
        "formula not in training, % of decoded": 100 * sum(new) / max(len(decoded), 1),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _spearman(wanted: NDArray[np.float64], means: Sequence[float | None]) -> float | None:
    from scipy.stats import spearmanr

    kept = [(w, m) for w, m in zip(wanted, means, strict=True) if m is not None]
    if len(kept) < 3:
        return None
    return float(spearmanr([w for w, _ in kept], [m for _, m in kept]).statistic)
