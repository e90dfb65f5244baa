"""The figures on the recipe `hoffmann`: species, crystals read back, and what sampled crystals are worth.

All reading back is on crystals of chemical systems that training never saw, in random order, once from the true
density (what the UNet and the way to the atoms lose) and once from the density that went through the autoencoder
(what all of it loses); with the cell beside the code and from the autocorrelation; without and with knowledge of the
elements. A control reads species without any network, by least squares of the heights of Gaussians at the true sites.
Sampled are the prior, the neighbourhood of held-out crystals, and ways between training crystals; a stated number of
each is relaxed by the default potential. Models and relaxations are kept in a folder and not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.data.library import Library
from novalith.data.structure_table import StructureTable
from novalith.materials import Crystal, Verdict
from novalith.recipes.bench_tables import Table, existing, table_of_records
from novalith.recipes.crystal_models import SampleRequest
from novalith.recipes.hoffmann import NAME, Hoffmann, reconstruct_density
from novalith.recipes.hoffmann_images import BoxedCrystal
from novalith.recipes.hoffmann_reading import (
    ReadBack,
    read_back,
    reading_counts,
    species_counts,
)
from novalith.recipes.hoffmann_training import crystals_of, train_from_file
from novalith.recipes.latent import spherical
from novalith.recipes.points_judging import LOOSE_RATIO, relax_products, relaxed_counts
from novalith.recipes.training import TrainingOrder
from novalith.recipes.voxel_bench import VoxelBench
from novalith.screen.distances import Distances
from novalith.screen.duplicates import group_duplicates
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL
from novalith.store.files import make_folder

Tell = Callable[[str], None]

#: Crystals relaxed of each kind of sampling: one in so many drawn, at most so many.
RELAXED_SHARE, MOST_RELAXED = 5, 20
#: How far from its base a neighbour is drawn, standard deviations of the codes.
SPREADS = (0.1, 0.3)
#: Classes of fewer crystals are added up as "other".
FEWEST_OF_CLASS = 8
_ANIONS = (
    ("fluorides to iodides", ("F", "Cl", "Br", "I")),
    ("oxides", ("O",)),
    ("sulfides to tellurides", ("S", "Se", "Te")),
    ("nitrides to bismuthides", ("N", "P", "As", "Sb", "Bi")),
    ("borides, carbides, silicides, germanides", ("B", "C", "Si", "Ge")),
    ("hydrides", ("H",)),
)


def tables(bench: VoxelBench, tell: Tell) -> list[Table]:
    """Species, crystals read back over all classes and by class, sampled crystals as drawn and relaxed."""
    model, crystals = prepared(bench, tell)
    size = f"size {bench.size}, {len(crystals)} crystals of held-out chemical systems, seed {bench.seed}"
    found = [table_of_records(f"Hoffmann, species ({size})", species_records(model, crystals, bench.seed))]
    tell(f"Reading {len(crystals)} held-out crystals back")
    readings = all_readings(model, crystals, bench.seed)
    matcher = f"StructureMatcher {MATCHER_LTOL}, {MATCHER_STOL}, {MATCHER_ANGLE_DEG}"
    names = ("density", "cell", "atoms", "species", "elements")
    rows = [{**dict(zip(names, ways, strict=True)), **reading_counts(r)} for ways, r in readings.items()]
    found.append(table_of_records(f"Hoffmann, crystals read back ({matcher}; {size})", rows))
    for name, class_of in (("anion", anion_class), ("crystal system", crystal_system)):
        classes = class_records(crystals, readings, class_of, (model.cell, model.atoms, model.species))
        found.append(table_of_records(f"Hoffmann, matched by {name} ({size})", classes))
    drawn, relaxed = sampled_records(model, crystals, bench, tell)
    found.append(table_of_records(f"Hoffmann, sampled (seed {bench.seed})", drawn))
    found.append(table_of_records("Hoffmann, relaxed by the default potential", relaxed))
    return found


def prepared(bench: VoxelBench, tell: Tell) -> tuple[Hoffmann, list[BoxedCrystal]]:
    """The model of the bench, trained where the folder does not hold it, and held-out crystals in random order."""
    data = None if bench.data is None else existing(bench.data / "mp_structures.parquet")
    epochs = f"-{bench.epochs}" if bench.epochs else ""
    path = make_folder(bench.keep) / f"{NAME}-{bench.size}{epochs}-{bench.seed}.safetensors"
    if not path.exists():
        tell(f"Training {NAME}, size {bench.size}")
        order = TrainingOrder(
            data, path, size=bench.size, epochs=bench.epochs, seed=bench.seed,
            watch=lambda r: tell(f"epoch {r.epoch}: loss {r.training_loss:.4g}, validation {r.validation_loss:.4g}"),
        )  # fmt: skip
        summary = train_from_file(order)
        tell(f"Trained on {summary.n_rows} crystals: {dict(summary.figures)}")
    model = Hoffmann.load(path)
    return model, held_out_crystals(model, crystals_of(data), bench.n, rng=np.random.default_rng(bench.seed))


def held_out_crystals(
    model: Hoffmann, table: StructureTable, n: int, *, rng: np.random.Generator
) -> list[BoxedCrystal]:
    """At most `n` crystals of the systems that a model never saw, in random order."""
    held: set[str] = set(model.held_out)
    found: list[BoxedCrystal] = []
    for row in rng.permutation(len(table)):
        crystal = table.crystals[row]
        if len(found) < n and crystal.composition.field.name in held and model.check(crystal).passed:
            found.append(BoxedCrystal.of(crystal))
    return found


def species_records(model: Hoffmann, crystals: Sequence[BoxedCrystal], seed: int) -> list[dict[str, Any]]:
    """Right species a voxel and an atom, by the UNet and by least squares."""
    return [
        {"density": name, "read by": reader, **counts}
        for name, decoded in (("true", False), ("decoded", True))
        for reader, counts in species_counts(model, crystals, decoded=decoded, seed=seed).items()
    ]


def all_readings(model: Hoffmann, crystals: Sequence[BoxedCrystal], seed: int) -> dict[tuple[str, ...], list[ReadBack]]:
    """Every crystal read back every way: (density, cell, atoms, species, elements) -> one reading a crystal."""
    found: dict[tuple[str, ...], list[ReadBack]] = {}
    for number, boxed in enumerate(crystals):
        density = model.density_of(boxed, rng=np.random.default_rng([seed, number]))
        images = {"true": density, "decoded": reconstruct_density(model, density[None, None])[0, 0]}
        for name, image in images.items():
            for ways, reading in read_back(model, boxed, image).items():
                found.setdefault((name, *ways), []).append(reading)
    return found


def class_records(
    crystals: Sequence[BoxedCrystal],
    readings: dict[tuple[str, ...], list[ReadBack]],
    class_of: Callable[[Crystal], str],
    ways: tuple[str, str, str],
) -> list[dict[str, Any]]:
    """Share of crystals matched in each class, the model's own ways."""
    names = [class_of(b.crystal) for b in crystals]
    small = {name for name in names if names.count(name) < FEWEST_OF_CLASS}
    names = ["other" if name in small else name for name in names]
    records = []
    for name in sorted(set(names), key=lambda c: (c == "other", c)):
        mine = [i for i, other in enumerate(names) if other == name]
        record: dict[str, Any] = {"class": name, "crystals": len(mine)}
        for density in ("true", "decoded"):
            for elements in ("any", "known"):
                rows = readings[density, *ways, elements]
                share = sum(rows[i].rms is not None for i in mine) / len(mine)
                record[f"{density} density, elements {elements}"] = round(share, 4)
        records.append(record)
    return records


def anion_class(crystal: Crystal) -> str:
    """Class of a compound by its most electronegative kind of element."""
    present = set(crystal.species)
    return next((name for name, symbols in _ANIONS if present & set(symbols)), "metals and alloys")


def crystal_system(crystal: Crystal) -> str:
    """Crystal system by the space group at 0.1 Å."""
    from novalith.represent.gene import spacegroup_of

    number = spacegroup_of(crystal)[0]
    limits = (2, "triclinic"), (15, "monoclinic"), (74, "orthorhombic"), (142, "tetragonal"), (167, "trigonal")
    return next((name for limit, name in limits if number <= limit), "hexagonal" if number <= 194 else "cubic")


def sampled_records(
    model: Hoffmann, crystals: Sequence[BoxedCrystal], bench: VoxelBench, tell: Tell
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Products of the prior, of neighbourhoods and of ways: as drawn, and a part of them relaxed."""
    library, rng = Library(), np.random.default_rng(bench.seed)
    drawn, relaxed = [], []
    for name, products in _products(model, crystals, bench.n, rng).items():
        found = [p for p in products if isinstance(p, Crystal)]
        valid = [c for c in found if Distances(LOOSE_RATIO).check(c).passed]
        first = group_duplicates(valid) if valid else []
        unique = [c for i, c in enumerate(valid) if first[i] == i]
        drawn.append({
            "source": name, "drawn": len(products), "decoded": len(found), "valid": len(valid), "unique": len(unique),
            "commonest failure": _commonest([p for p in products if isinstance(p, Verdict)]),
        })  # fmt: skip
        chosen = unique[: min(MOST_RELAXED, max(1, bench.n // RELAXED_SHARE))]
        tell(f"Relaxing {len(chosen)} crystals: {name}")
        results = relax_products(chosen, library, bench.workers, bench.keep / "relax")
        relaxed.append({"source": name, **relaxed_counts(results, library)})
    return drawn, relaxed


def _products(
    model: Hoffmann, crystals: Sequence[BoxedCrystal], n: int, rng: np.random.Generator
) -> dict[str, list[Crystal | Verdict]]:
    anything = SampleRequest()
    found = {
        "near, between and from the Gaussian of training crystals": model.sample(n, anything, rng=rng),
        "Gaussian of training crystals": model.decode(model.prior(n, rng=rng), anything),
    }
    for spread in SPREADS:
        drawn: list[Crystal | Verdict] = []
        for number in range(n):
            base = crystals[number % len(crystals)].crystal
            request = SampleRequest(field=base.composition.field, around=base, spread=spread)
            drawn += model.sample(1, request, rng=rng)
        found[f"around held-out crystals, spread {spread:g}, their elements"] = drawn
    codes, middle = model.training_codes, model.training_codes.mean(axis=0)
    pairs = rng.integers(len(codes), size=(n, 2))
    halfway: list[NDArray[np.float32]] = [spherical(codes[a], codes[b], [0.5], middle)[0] for a, b in pairs]
    found["halfway between two training crystals"] = model.decode(np.stack(halfway), anything)
    return found


def _commonest(failures: Sequence[Verdict]) -> str:
    rules = [f"{v.rule}: {v.reason.rstrip('.')}" for v in failures]
    return max(sorted(set(rules)), key=rules.count) if rules else ""
