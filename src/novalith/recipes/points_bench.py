"""The figures on point clouds: what the two networks make, beside what the same relaxations give without them.

*Memory*: bytes of one crystal in each representation. *Composition-conditioned*: a network trained on one ternary
system is asked for cells of over twenty compositions, some absent from its training; products are counted as drawn and
after relaxation, beside ion exchange and random symmetric crystals of the same compositions with as many relaxations.
*Cross-domain*: for pairs of binaries, products with and without constraints and of a plain GAN on the same
pseudo-ternaries, beside ordered half substitutions and random metal blocks with rejection.

Training sets, models and relaxations are kept in a folder and not made again, so that the same command goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from novalith.data.hidden import Hidden
from novalith.data.library import Library
from novalith.materials import Composition, Crystal, PhaseField, Verdict
from novalith.propose.base import Proposer, Request
from novalith.propose.random_symmetric import RandomSymmetric
from novalith.propose.substitution import Substitution
from novalith.recipes import cross_domain_gan as cross
from novalith.recipes import point_cloud_gan as kim
from novalith.recipes.bench_tables import Table, table_of_records
from novalith.recipes.cross_domain_controls import half_substituted, random_blocks
from novalith.recipes.points_judging import LOOSE_RATIO, distance_counts, relax_products, relaxed_counts
from novalith.recipes.substituted_training_set import (
    LabelledCrystal,
    SetLimits,
    TrainingSet,
    labelled_set,
    substituted_candidates,
)
from novalith.represent.cell_images import CellImages
from novalith.represent.density_coordinates import DensityCoordinates
from novalith.represent.density_species import DensitySpecies
from novalith.represent.point_cloud import KIM_LAYOUT, PointLayout, encode_points
from novalith.screen.contact_windows import in_published_window
from novalith.screen.distances import Distances
from novalith.screen.duplicates import group_duplicates
from novalith.store.files import make_folder, write_atomic

#: Every so many of the commonest formulas is held out of training.
HOLD_OUT_EVERY = 4
#: Single images, and iMatGen's after compression (Noh et al., Matter 1, 1370, 2019), beside the measured codecs.
SHAPES = {"one 64^3 image": (64, 64, 64), "one 32^3 image": (32, 32, 32), "iMatGen compressed (200 x 6)": (200, 6)}


@dataclass(frozen=True)
class PointsBench:
    """What to run.

    Attributes:
        keep: folder for training sets, models and relaxations.
        system: of the composition-conditioned network.
        pairs: of binaries, for the cross-domain network.
        n_compositions: how many cells are asked for.
        n_draws: products drawn of each.
        n_relaxed: products relaxed of each, and for each control.
        n_training: substituted structures relaxed for the training set.
        epochs: of both networks; None for the defaults.
        size: of both networks.
        workers: relaxations at a time.
        seed: of everything random.
    """

    keep: Path
    system: str = "Mg-Mn-O"
    pairs: tuple[tuple[str, str], ...] = (("Ni-H", "Pd-H"), ("Mg-H", "Ti-H"), ("Ti-N", "V-N"))
    n_compositions: int = 24
    n_draws: int = 50
    n_relaxed: int = 4
    n_training: int = 700
    epochs: int | None = None
    size: str = "default"
    workers: int = 1
    seed: int = 0

    @property
    def relaxations(self) -> Path:
        """Folder of relaxations done."""
        return self.keep / "relax"

    @property
    def curves(self) -> Path:
        """Folder of learning curves, one file a training."""
        return self.keep / "curves"


Tell = Callable[[str], None]


def tables(bench: PointsBench, subjects: tuple[bool, bool, bool], tell: Tell) -> list[Table]:
    """The tables of memory, of the composition-conditioned and of the cross-domain network, as asked."""
    found = []
    budget = f"size {bench.size}, {bench.n_draws} draws and {bench.n_relaxed} relaxations each, seed {bench.seed}"
    if subjects[0]:
        found.append(table_of_records("Memory of one crystal", memory_records()))
    if subjects[1]:
        parts = composition_records(bench, tell)
        parts["as drawn, added up"] = summary_of(parts["as drawn"])
        found += [table_of_records(f"{bench.system}, {name} ({budget})", rows) for name, rows in parts.items()]
    if subjects[2]:
        parts = cross_records(bench, tell)
        found += [table_of_records(f"Cross-domain, {name} ({budget})", rows) for name, rows in parts.items()]
    return found


def memory_records() -> list[dict[str, Any]]:
    """Numbers and bytes of one crystal, rock-salt MgO with eight atoms, as the codecs of the product encode it."""
    faces = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = np.concatenate([faces, faces + np.array([0.5, 0, 0])])
    salt = Crystal.from_arrays(np.eye(3) * 4.2, ["Mg"] * 4 + ["O"] * 4, sites)
    arrays = {"points, Mg 8 Mn 8 O 12": [encode_points(salt, KIM_LAYOUT).astype(np.float32)]}
    for name, codec in (("imatgen", CellImages()), ("court", DensityCoordinates()), ("hoffmann", DensitySpecies())):
        encoded = codec.encode(salt)
        if not isinstance(encoded, Verdict):
            told = ", ".join(f"{part} {'x'.join(map(str, a.shape))}" for part, a in encoded.items() if a.ndim > 1)
            arrays[f"{name}: {told}"] = [a for a in encoded.values() if a.ndim > 1]
    arrays |= {name: [np.zeros(shape, dtype=np.float32)] for name, shape in SHAPES.items()}
    points = sum(a.nbytes for a in next(iter(arrays.values())))
    return [
        {
            "representation": name,
            "numbers": sum(a.size for a in parts),
            "bytes": sum(a.nbytes for a in parts),
            "ratio to points": round(sum(a.nbytes for a in parts) / points, 1),
        }
        for name, parts in arrays.items()
    ]


def composition_records(bench: PointsBench, tell: Tell) -> dict[str, list[dict[str, Any]]]:
    """The composition-conditioned network: as drawn per composition, and relaxed beside the controls."""
    blind = Library(Hidden.of([bench.system]))
    training = _training_set(bench, blind, tell)
    held = [f for f, _ in training.formulas.most_common(bench.n_compositions)][2::HOLD_OUT_EVERY]
    model, trained = _point_gan(bench, training.without_formulas(held), tell)
    cells = asked_cells(training, model.layout, model.settings.max_atoms, bench.n_compositions)
    rng = np.random.default_rng(bench.seed)
    rows, chosen = [], []
    for cell in cells:
        draws = model.draw(cell, bench.n_draws, rng=rng)
        crystals = [d.crystal for d in draws if isinstance(d.crystal, Crystal) and d.as_asked]
        good = [c for c in crystals if Distances(LOOSE_RATIO).check(c).passed]
        rows.append(
            {
                "cell": "".join(f"{s}{n}" for s, n in cell.counts),
                "in training": cell.formula not in held,
                "drawn": len(draws),
                "exact composition": sum(d.as_asked for d in draws),
                "decoded": len(crystals),
                **distance_counts(crystals, model.windows),
                "unique": len(set(group_duplicates(good))) if good else 0,
            }
        )
        chosen.append(good[: bench.n_relaxed])
    full, examples = Library(), [c.crystal for c in training.crystals]
    relaxed = []
    for part, wanted in (("trained", True), ("held out", False)):
        mine = [i for i, cell in enumerate(cells) if (cell.formula not in held) is wanted]
        sources = {
            "point-cloud-gan": [c for i in mine for c in chosen[i]],
            "ion exchange": [c for i in mine for c in _control(Substitution(blind), cells[i], len(chosen[i]), bench)],
            "random symmetric": [
                c for i in mine for c in _control(RandomSymmetric(blind), cells[i], len(chosen[i]), bench)
            ],
        }
        for name, crystals in sources.items():
            tell(f"Relaxing {len(crystals)} cells of {name}, compositions {part}")
            products = relax_products(crystals, full, bench.workers, bench.relaxations)
            relaxed.append({"source": name, "compositions": part, **relaxed_counts(products, full, examples)})
    return {"training": [trained], "as drawn": rows, "relaxed": relaxed}


def asked_cells(training: TrainingSet, layout: PointLayout, max_atoms: int, n: int) -> list[Composition]:
    """The commonest cell of each of the commonest formulas that fit the layout."""
    most, cells = dict(layout.slots), []
    for formula, _ in training.formulas.most_common():
        sizes = [c.crystal.composition for c in training.crystals if c.crystal.composition.formula == formula]
        fitting = [c for c in sizes if c.n_atoms <= max_atoms and all(k <= most.get(s, 0) for s, k in c.counts)]
        if fitting:
            cells.append(max(sorted(set(fitting)), key=fitting.count))
    return cells[:n]


def _training_set(bench: PointsBench, library: Library, tell: Tell) -> TrainingSet:
    path = make_folder(bench.keep) / f"{bench.system}.json"
    if path.exists():
        return TrainingSet.load(path)
    field = PhaseField.parse(bench.system)
    slots = KIM_LAYOUT.slots if field == KIM_LAYOUT.field else ()
    limits = SetLimits(bench.n_training, max_counts=slots)
    found = substituted_candidates(library, field, limits)
    tell(f"Relaxing {len(found)} substituted structures of {field} to learn from")
    training = labelled_set(found, field, library, limits, workers=bench.workers, cache=bench.relaxations)
    training.save(path)
    return training


def _point_gan(bench: PointsBench, training: TrainingSet, tell: Tell) -> tuple[kim.PointCloudGan, dict[str, Any]]:
    settings = kim.SIZES[bench.size]
    settings = replace(settings, n_epochs=bench.epochs) if bench.epochs else settings
    path = bench.keep / f"{bench.system}-{bench.size}-{settings.n_epochs}-{bench.seed}.safetensors"
    small = [c.crystal.composition for c in training.crystals if c.crystal.n_atoms <= settings.max_atoms]
    layout = PointLayout.covering(small)
    record = {"crystals": len(training.crystals), "relaxations": training.n_relaxations, "epochs": settings.n_epochs}
    if path.exists():
        return kim.PointCloudGan.load(path), record
    model, start = kim.PointCloudGan(layout, settings), time.process_time()
    tell(f"Training on {len(small)} crystals of {bench.system}, {settings.n_epochs} epochs, slots {layout}")
    curve = model.fit(
        training,
        path.with_suffix(".resume"),
        lambda r: tell(f"epoch {r.epoch}: distance {r.distance:.3f}, generator {r.generator_loss:.3f}"),
        rng=np.random.default_rng(bench.seed),
    )
    _keep_curve(bench, f"{bench.system} by composition", curve)
    model.save(path)
    spent = time.process_time() - start
    return model, {**record, "processor seconds": round(spent, 1), "last distance": curve[-1].distance}


def _keep_curve(bench: PointsBench, name: str, curve: Sequence[Any]) -> None:
    folder = make_folder(bench.curves)
    write_atomic(folder / f"{name}.json", json.dumps([{**asdict(r), "validation": None} for r in curve]))


def _control(proposer: Proposer, cell: Composition, n: int, bench: PointsBench) -> list[Crystal]:
    """The first `n` proposals for the formula with at most as many atoms as the cell."""
    request = Request(cell.field, composition=cell, max_atoms=max(cell.n_atoms, cell.reduced.n_atoms))
    proposals = proposer.propose(request, np.random.default_rng(bench.seed))
    return [c.crystal for c in islice(proposals, n)]


def cross_records(bench: PointsBench, tell: Tell) -> dict[str, list[dict[str, Any]]]:
    """The cross-domain network on every pair: with and without constraints, a plain GAN, and the two controls."""
    library, drawn, relaxed = Library(), [], []
    settings = cross.SIZES[bench.size]
    if bench.epochs:
        first, second = (replace(s, n_epochs=bench.epochs) for s in (settings.first, settings.second))
        settings = replace(settings, first=first, second=second)
    for names in bench.pairs:
        pair = cross.BinaryPair.of(*(PhaseField.parse(name) for name in names))
        domains = [cross.binary_crystals(library, m, pair.shared, settings) for m in pair.elements[:2]]
        tell(f"{pair.field}: {len(domains[0])} and {len(domains[1])} binaries")
        volumes = cross.expected_volumes(library, pair)
        free = replace(settings, second=replace(settings.second, constraint_weight=0.0))
        models = {}
        for name, asked in (("with constraints", settings), ("without constraints", free)):
            start = time.process_time()
            models[name] = cross.CrossDomainGan(pair, asked)
            models[name].fit(domains[0], domains[1], volumes, rng=np.random.default_rng(bench.seed))
            for stage, curve in zip(("first", "second"), models[name].curves, strict=True):
                if name == "with constraints":
                    _keep_curve(bench, f"{pair.field} {stage} stage", curve)
            tell(f"{pair.field} {name}: trained in {time.process_time() - start:.0f} processor seconds")
        model, rng = models["with constraints"], np.random.default_rng(bench.seed + 1)
        products: dict[str, list[Crystal]] = {
            name: [c for c in m.draw(bench.n_draws, rng=rng) if isinstance(c, Crystal)] for name, m in models.items()
        }
        products["plain GAN"] = _plain_gan(model, bench, settings, rng)
        products["half substitution"] = [
            half_substituted(domains, pair, volumes, rng=rng) for _ in range(bench.n_draws)
        ]
        products["random metal block"] = random_blocks(domains, pair, volumes, bench.n_draws, rng=rng)
        for name, crystals in products.items():
            good = [c for c in crystals if Distances(LOOSE_RATIO).check(c).passed]
            drawn.append(
                {
                    "pair": " ".join(names),
                    "source": name,
                    "drawn": bench.n_draws,
                    "decoded": len(crystals),
                    "in published window": sum(in_published_window(c, pair.shared).passed for c in crystals),
                    **distance_counts(crystals, model.windows),
                }
            )
            first_of = group_duplicates(good) if good else []
            chosen = [c for i, c in enumerate(good) if first_of[i] == i][: bench.n_relaxed]
            tell(f"Relaxing {len(chosen)} cells of {pair.field}, {name}")
            results = relax_products(chosen, library, bench.workers, bench.relaxations)
            relaxed.append({"pair": " ".join(names), "source": name, **relaxed_counts(results, library)})
    return {"as drawn": drawn, "relaxed": relaxed}


def _plain_gan(
    model: cross.CrossDomainGan, bench: PointsBench, settings: cross.CrossDomainSettings, rng: np.random.Generator
) -> list[Crystal]:
    """A GAN from noise on the same pseudo-ternaries, without domains, cycles or constraints."""
    sides = [model.pseudo_ternaries(side, settings.n_pseudo, rng=rng) for side in (0, 1)]
    examples = tuple(LabelledCrystal(c.content_id, c, "", "", 0.0, 0.0, "") for side in sides for c in side)
    training = TrainingSet(model.pair.field, examples, (), 0, "")
    most = max(c.crystal.n_atoms for c in examples)
    layout = PointLayout.covering([c.crystal.composition for c in examples])
    size = replace(kim.SIZES[bench.size], n_epochs=settings.second.n_epochs, contact_weight=0.0, max_atoms=most)
    plain = kim.PointCloudGan(layout, size)
    plain.fit(training, rng=rng)
    cells = [examples[i].crystal.composition for i in rng.integers(len(examples), size=bench.n_draws)]
    draws = [plain.draw(cell, 1, rng=rng)[0] for cell in cells]
    return [d.crystal for d in draws if isinstance(d.crystal, Crystal)]


def summary_of(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as drawn added up, for compositions in training and absent from it."""
    totals = []
    for seen in (True, False):
        mine = [row for row in rows if row["in training"] is seen]
        numbers = [k for k, v in mine[0].items() if isinstance(v, int) and not isinstance(v, bool)] if mine else []
        totals.append({"in training": seen, "compositions": len(mine)} | {k: sum(r[k] for r in mine) for k in numbers})
    return totals
