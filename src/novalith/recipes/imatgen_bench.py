"""The figures on iMatGen: how images come back, what is drawn, what the head knows, what is found again.

*Set*: V and O substituted into real binary structures, crystals of V-O hidden, labelled with the default potential.
*Reconstruction*: every crystal once in a held-out fifth of the prototypes; codes alone, and after the autoencoder of
codes. *Head*: stable against unstable on the same parts, beside what the composition alone tells. *Draws*: validity by
the way of drawing, then uniqueness and novelty of a sample, then energies of a smaller one after relaxation. *Found
again*: known V-O crystals among draws and after relaxation, beside random substitution with as many relaxations, once
with and once without the structures that have the prototype of a V-O crystal.

The set, the relaxations and the trained autoencoders of images are kept in a folder and not made again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from novalith.data.door_cif import read_cif
from novalith.data.hidden import Hidden
from novalith.data.library import Library
from novalith.materials import Crystal, Gene, PhaseField
from novalith.recipes.bench_tables import Table, table_of_records
from novalith.recipes.crystal_models import SampleRequest
from novalith.recipes.imatgen import SIZES, STABLE_EV_PER_ATOM, Imatgen, ImatgenSettings, train_imatgen
from novalith.recipes.imatgen_codes import ImageCodes, LearnedCodes, WaveCodes
from novalith.recipes.imatgen_judging import N_PARTS, Errors, HeldOut, auc, held_out, prototypes, shares_within
from novalith.recipes.imatgen_training import MAX_ABOVE_HULL, STEPS, training_set, with_epochs
from novalith.recipes.latent_draws import WAYS
from novalith.recipes.points_judging import distance_counts, relax_products, relaxed_counts
from novalith.recipes.substituted_training_set import (
    LabelledCrystal,
    SetLimits,
    TrainingSet,
    substituted_candidates,
)
from novalith.recipes.training import TrainingOrder, named_size, train_recipe
from novalith.recipes.voxel_bench import VoxelBench
from novalith.represent.cell_images import MAX_SITES, CellImages
from novalith.represent.gene import encode_gene
from novalith.screen.distances import Distances
from novalith.screen.duplicates import group_duplicates, same_crystal
from novalith.screen.novelty import Grade, NoveltyIndex

Tell = Callable[[str], None]
Record = dict[str, Any]
FIELD = PhaseField.parse("V-O")
#: Widths of z beside the default one.
WIDTHS = (128, 256)
#: Draws that are compared pair by pair at the most, and draws for each that is relaxed.
COMPARED, DRAWS_A_RELAXATION = 500, 50
#: Least ratio of a distance to the sum of covalent radii in a product worth relaxing: the house rule.
LEAST_RATIO = 0.6


def tables(bench: VoxelBench, tell: Tell) -> list[Table]:
    """All tables, in the order of the module's first paragraph."""
    settings = named_size(bench.size, SIZES)
    if bench.epochs is not None:
        settings = with_epochs(settings, bench.epochs)
    training = _training(bench, tell)
    codes = _learned(bench, tell) if settings.learned is not None else WaveCodes()
    note = f"{FIELD}, size {bench.size}, {settings.n_epochs} epochs, seed {bench.seed}"
    found = [table_of_records(f"iMatGen, the training set ({note})", [set_record(training)])]
    records, judged = reconstruction_records(training, settings, codes, bench, tell)
    found.append(table_of_records(f"iMatGen, held out by prototype, shares within the criteria ({note})", records))
    found.append(table_of_records(f"iMatGen, stable or unstable on held-out prototypes ({note})", head_records(judged)))
    draws = draw(training.crystals, settings, codes, bench, tell)
    found.append(table_of_records(f"iMatGen, {len(draws.outcomes)} draws ({note})", way_records(draws)))
    found.append(table_of_records(f"iMatGen, novelty of draws ({note})", [novelty_record(draws, bench)]))
    records, products = relaxed_records(draws, training, bench, tell)
    found.append(table_of_records(f"iMatGen, draws after relaxation ({note})", records))
    records = rediscovery_records(draws, products, training, settings, bench, tell)
    found.append(table_of_records(f"iMatGen, known crystals of {FIELD} found again ({note})", records))
    return found


def _training(bench: VoxelBench, tell: Tell) -> TrainingSet:
    path = bench.keep / "v-o-set.json"
    if path.exists():
        return TrainingSet.load(path)
    tell(f"making the training set of {FIELD}")
    options = {"system": FIELD.name} | ({"crystals": "60"} if bench.size == "tiny" else {})
    return training_set(TrainingOrder(None, bench.keep / "v-o.safetensors", options=options))[0]


def _learned(bench: VoxelBench, tell: Tell) -> ImageCodes:
    """Autoencoders of images, trained once."""
    path = bench.keep / f"v-o-{bench.size}.safetensors"
    if not path.exists():
        tell(f"training the autoencoders of images, size {bench.size}")
        order = TrainingOrder(
            bench.keep / "v-o-set.json", path, size=bench.size, epochs=bench.epochs, seed=bench.seed,
            watch=lambda r: tell(f"epoch {r.epoch}: loss {r.training_loss:.4g}"),
        )  # fmt: skip
        train_recipe(Imatgen.name, order)
    return Imatgen.load(path).codes


def set_record(training: TrainingSet) -> Record:
    """What the training set holds and what was left out of it."""
    above = np.array([c.energy_above_hull_ev_per_atom for c in training.crystals])
    return {
        "labelled": training.n_relaxations,
        "kept": len(training.crystals),
        **{f"left out: {rule}": n for rule, n in sorted(Counter(v.rule for _, v in training.rejected).items())},
        "prototypes": len(set(prototypes(training.crystals, Library()))),
        "formulas": len(training.formulas),
        f"within {STABLE_EV_PER_ATOM:g} eV/atom": int((above <= STABLE_EV_PER_ATOM).sum()),
        "median above hull, eV/atom": float(np.median(above)),
        "potential": training.potential,
    }


def reconstruction_records(
    training: TrainingSet, settings: ImatgenSettings, codes: ImageCodes, bench: VoxelBench, tell: Tell
) -> tuple[list[Record], list[HeldOut]]:
    """Shares within each criterion and all at once, and what the models of the default width said of each part."""
    kind = "learned" if isinstance(codes, LearnedCodes) else "waves"
    widths = [settings.n_latent] if bench.size == "tiny" else sorted({settings.n_latent, *WIDTHS})
    records: list[Record] = []
    kept: list[HeldOut] = []
    for width in widths:
        tell(f"reconstruction of held-out prototypes, z of {width}")
        chosen, start = replace(settings, n_latent=width), time.process_time()
        judged = held_out(training, chosen, codes, parts=range(N_PARTS), seed=bench.seed)
        seconds = time.process_time() - start
        if width == settings.n_latent:
            kept = judged
            alone = [e for part in judged for e in part.errors_codes]
            records.insert(0, _reconstruction(f"{kind}, codes alone", alone, None))
        errors = [e for part in judged for e in part.errors]
        used = chosen.vae(codes, len(FIELD)).n_used
        records.append(_reconstruction(f"{kind}, z of {used} ({settings.layers})", errors, seconds))
    return records, kept


def _reconstruction(name: str, errors: Sequence[Errors], seconds: float | None) -> Record:
    atoms = [e.atoms_a for e in errors]
    return {
        "codes": name,
        "crystals": len(errors),
        **{f"{part} within": share for part, share in shares_within(errors).items()},
        "atom count right": float(np.isfinite(atoms).mean()),
        "median atoms, A": float(np.median(atoms)),
        "median edges, A": float(np.median([e.edges_a for e in errors])),
        "median angles, deg": float(np.median([e.angles_deg for e in errors])),
        "CPU s": None if seconds is None else round(seconds, 1),
    }


def head_records(judged: Sequence[HeldOut]) -> list[Record]:
    """Areas under the curve of each part: the head, and the mean energy of the composition in the other parts."""
    records = []
    for i, part in enumerate(judged):
        others = [c for j, other in enumerate(judged) for c in other.crystals if i != j]
        of_composition = -np.array([_composition_energy(c, others) for c in part.crystals])
        records.append(
            {
                "part": i + 1,
                "crystals": len(part.crystals),
                "stable": int(part.stable.sum()),
                "AUC head": auc(part.scores, part.stable),
                "AUC composition alone": auc(of_composition, part.stable),
            }
        )
    mean = {k: float(np.nanmean([r[k] for r in records])) for k in ("AUC head", "AUC composition alone")}
    totals = {k: sum(r[k] for r in records) for k in ("crystals", "stable")}
    return [*records, {"part": "mean"} | totals | mean]


def _composition_energy(crystal: LabelledCrystal, others: Sequence[LabelledCrystal]) -> float:
    """Mean energy above the hull of the ten crystals nearest in composition."""

    def share(c: LabelledCrystal) -> float:
        return dict(c.crystal.composition.counts).get(FIELD.elements[0], 0) / c.crystal.n_atoms

    apart = np.abs(np.array([share(c) for c in others]) - share(crystal))
    nearest = np.argsort(apart, kind="stable")[:10]
    return float(np.mean([others[j].energy_above_hull_ev_per_atom for j in nearest]))


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of a model trained on all crystals of a set.

    Attributes:
        model: what drew them.
        outcomes: crystals or verdicts.
        ways: place of each in `WAYS`.
        seconds: CPU time of training, and of drawing and decoding.
    """

    model: Imatgen
    outcomes: tuple[Any, ...]
    ways: np.ndarray[Any, Any]
    seconds: tuple[float, float]

    @property
    def sound(self) -> list[int]:
        """Draws with both elements and no distance below the house rule."""
        rule = Distances(LEAST_RATIO)
        return [
            i
            for i, o in enumerate(self.outcomes)
            if isinstance(o, Crystal) and len(o.composition.counts) == len(FIELD) and rule.check(o).passed
        ]


def draw(
    crystals: Sequence[LabelledCrystal], settings: ImatgenSettings, codes: ImageCodes, bench: VoxelBench, tell: Tell
) -> Draws:
    """Train on crystals and draw `bench.n`."""
    tell(f"training on {len(crystals)} crystals and drawing {bench.n}")
    start, rng = time.process_time(), np.random.default_rng(bench.seed)
    model, _ = train_imatgen(crystals, FIELD, settings, codes, rng=rng)
    trained = time.process_time()
    latent, ways = model.draw_latent(bench.n, SampleRequest(), rng=rng)
    outcomes = model.decode(latent, SampleRequest())
    return Draws(model, tuple(outcomes), ways, (trained - start, time.process_time() - trained))


def way_records(draws: Draws) -> list[Record]:
    """Validity by the way of drawing, and of all together."""
    records = []
    sound = set(draws.sound)
    for way in (*range(len(WAYS)), None):
        rows = [i for i in range(len(draws.outcomes)) if way is None or draws.ways[i] == way]
        crystals = [draws.outcomes[i] for i in rows if isinstance(draws.outcomes[i], Crystal)]
        records.append(
            {
                "way": "all" if way is None else WAYS[way],
                "draws": len(rows),
                "decoded": len(crystals),
                **distance_counts(crystals),
                "sound, both elements": sum(i in sound for i in rows),
                "formulas": len({c.composition.formula for c in crystals}),
                "CPU s training, drawing": None
                if way is not None
                else f"{draws.seconds[0]:.0f}, {draws.seconds[1]:.0f}",
            }
        )
    return records


def novelty_record(draws: Draws, bench: VoxelBench) -> Record:
    """Uniqueness and novelty of sound draws: formulas of all of them, structures of a sample."""
    library, sound = Library(), draws.sound
    crystals = [draws.outcomes[i] for i in sound]
    known = {*library.hull_energies, *library.oqmd, *library.reported, *(s.formula for s in library.structures)}
    formulas = Counter(c.composition.formula for c in crystals)
    fresh = {f: n for f, n in formulas.items() if f not in known}
    rng = np.random.default_rng(bench.seed)
    picked = rng.permutation(len(crystals))[:COMPARED]
    sample = [crystals[i] for i in sorted(picked.tolist())]
    first = group_duplicates(sample) if sample else []
    unique = [c for i, c in enumerate(sample) if first[i] == i]
    grades = Counter(n.grade for n in NoveltyIndex(library).judge_many(unique))
    return {
        "sound": len(crystals),
        "formulas": len(formulas),
        "new formulas": len(fresh),
        "sound with a new formula": sum(fresh.values()),
        "compared": len(sample),
        "unique": len(unique),
        "of them known structure": grades[Grade.KNOWN_STRUCTURE],
        "new polymorph of a known formula": grades[Grade.OTHER_STRUCTURE] + grades[Grade.KNOWN_FORMULA],
        "new composition": grades[Grade.NEW_FORMULA],
    }


def relaxed_records(
    draws: Draws, training: TrainingSet, bench: VoxelBench, tell: Tell
) -> tuple[list[Record], dict[str, list[Any]]]:
    """Counts after relaxation of sound draws taken at random, of those the head likes best, and of substitutions."""
    n, library = max(2, bench.n // DRAWS_A_RELAXATION), Library()
    sound, rng = draws.sound, np.random.default_rng(bench.seed)
    at_random = [draws.outcomes[i] for i in rng.permutation(sound)[: n // 2]]
    pool = [draws.outcomes[i] for i in rng.permutation(sound)[: 20 * n] if draws.model.check(draws.outcomes[i]).passed]
    liked = [pool[i] for i in np.argsort(-draws.model.stability(pool), kind="stable")[: n // 2]] if pool else []
    candidates = _substitutions()
    substituted = [candidates[i] for i in rng.permutation(len(candidates))[:n]]
    examples = [c.crystal for c in training.crystals]
    records, products = [], {}
    groups = {"drawn at random": at_random, "liked by the head": liked, "random substitution": substituted}
    for name, crystals in groups.items():
        tell(f"relaxing {len(crystals)} crystals: {name}")
        done = relax_products(crystals, library, bench.workers, bench.keep / "relax")
        products[name] = done
        records.append({"of": name, **relaxed_counts(done, library, examples)})
    return records, products


def _substitutions() -> list[Crystal]:
    """Every substitution within the limits, before any relaxation."""
    limits = SetLimits(10**6, MAX_SITES, only_neutral=False, max_above_hull_ev_per_atom=MAX_ABOVE_HULL, max_steps=STEPS)
    found = substituted_candidates(Library(Hidden.of([FIELD.name])), FIELD, limits)
    return [c.crystal for c in found if CellImages().check(c.crystal).passed]


@dataclass(frozen=True)
class Known:
    """A known crystal of the system.

    Attributes:
        id: in its source.
        crystal: as published.
        skeleton: space group and occupied positions without names of elements.
    """

    id: str
    crystal: Crystal
    skeleton: str


def known_crystals(data: Path | None) -> list[Known]:
    """Known crystals of the system within the limits: of the public table where there is one, else bundled ones."""
    path = None if data is None else data / "mp_structures.parquet"
    if path is None or not path.exists():
        found = [(s.id, s.crystal) for s in Library().structures if s.crystal.composition.field == FIELD]
    else:
        found = _of_table(path)
    within = [(id_, crystal) for id_, crystal in found if CellImages().check(crystal).passed]
    genes = [encode_gene(crystal) for _, crystal in within]
    return [
        Known(id_, crystal, repr(gene.skeleton) if isinstance(gene, Gene) else id_)
        for (id_, crystal), gene in zip(within, genes, strict=True)
    ]


def _of_table(path: Path) -> list[tuple[str, Crystal]]:
    from pyarrow import parquet

    columns = ["material_id", "cif"]
    rows = parquet.read_table(path, columns=columns, filters=[("chemsys", "=", FIELD.name)]).to_pylist()
    found = [
        (row["material_id"], piece.outcome) for row in rows for piece in read_cif(row["cif"], path.name, MAX_SITES)
    ]
    # What has more sites, or is disordered, is outside of the limits as well.
    return [(id_, crystal) for id_, crystal in found if isinstance(crystal, Crystal)]


def rediscovery_records(
    draws: Draws, products: dict[str, list[Any]], training: TrainingSet, settings: ImatgenSettings,
    bench: VoxelBench, tell: Tell,
) -> list[Record]:  # fmt: skip
    """How many known crystals of the system are among draws and relaxed products."""
    known = known_crystals(bench.data)
    relaxed = [p.final for name in ("drawn at random", "liked by the head") for p in products[name]]
    kin = {k.skeleton for k in known}
    names = prototypes(training.crystals, Library())
    apart = [c for c, n in zip(training.crystals, names, strict=True) if n not in kin]
    apart = [c for c in apart if not found_again([c.crystal], known)]
    blind = draw(apart, settings, draws.model.codes, replace(bench, n=2 * COMPARED), tell)
    rows = [
        (f"first {COMPARED} sound draws", [draws.outcomes[i] for i in draws.sound][:COMPARED]),
        ("draws after relaxation", relaxed),
        ("substitutions as they are", _substitutions()[:COMPARED]),
        ("random substitutions after relaxation", [p.final for p in products["random substitution"]]),
        ("training set", [c.crystal for c in training.crystals]),
        (
            f"sound draws of a model of {len(apart)} crystals, none of a prototype of the known",
            [blind.outcomes[i] for i in blind.sound][:COMPARED],
        ),
    ]
    return [
        {
            "among": name,
            "crystals": len(crystals),
            "known within limits": len(known),
            "found": len(found := found_again(crystals, known)),
            "which": " ".join(sorted(found)),
        }
        for name, crystals in rows
    ]


def found_again(crystals: Sequence[Crystal], known: Sequence[Known]) -> set[str]:
    """Formula and id of each known crystal that some crystal equals."""
    by_formula: dict[str, list[Crystal]] = {}
    for crystal in crystals:
        by_formula.setdefault(crystal.composition.formula, []).append(crystal)
    return {
        f"{k.crystal.composition.formula} ({k.id})"
        for k in known
        if any(same_crystal(k.crystal, c) is not None for c in by_formula.get(k.crystal.composition.formula, ()))
    }
