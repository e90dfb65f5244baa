"""What generated crystals are worth: distances as drawn, then energy, symmetry, sameness and novelty after relaxation.

Every count is a count over products drawn or relaxed, failures included. Relaxations are by the default potential,
energies above the hull are against the bundled table of the Materials Project, on its scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from novalith.data.library import Library
from novalith.materials import Crystal
from novalith.recipes.substituted_training_set import relaxed_records
from novalith.relax.base import Ending
from novalith.represent.gene import spacegroup_of
from novalith.screen.contact_windows import ContactWindows
from novalith.screen.distances import tightest_contact
from novalith.screen.duplicates import group_duplicates, same_crystal
from novalith.screen.novelty import Grade, NoveltyIndex
from novalith.stability.hull import ConvexHull, judge_formation_energy
from novalith.stability.references import formation_energy
from novalith.stability.table import TABLE_REFERENCES, table_phases

#: Least distance over the sum of the covalent radii: the house rule, and the usual stricter one.
LOOSE_RATIO, STRICT_RATIO = 0.6, 0.75
#: The published validity of many generators: no two atoms nearer than this, Å.
WEAK_DISTANCE_A = 0.5
#: Energies above the hull that count as candidates, eV/atom.
HULL_LIMITS_EV = (0.2, 0.1)
#: Evaluations of a relaxation of a product.
MAX_STEPS = 120
#: Symmetry of a product as drawn is looked for at this tolerance, Å: networks do not place atoms to the digit.
DRAWN_SYMPREC_A = 0.3


@dataclass(frozen=True)
class Relaxed:
    """A product after relaxation.

    Attributes:
        drawn: as drawn.
        final: as relaxed.
        converged: whether the relaxation ended at a minimum.
        energy_above_hull_ev_per_atom: None where there is no sane energy of a converged crystal.
    """

    drawn: Crystal
    final: Crystal
    converged: bool
    energy_above_hull_ev_per_atom: float | None


def distance_counts(crystals: Sequence[Crystal], windows: ContactWindows | None = None) -> dict[str, int]:
    """How many crystals pass each check of distances."""
    contacts = [tightest_contact(c, 1.0) for c in crystals]
    ratios = [np.inf if c is None else c.ratio for c in contacts]
    counts = {
        "above 0.5 A": sum(c is None or c.distance_a > WEAK_DISTANCE_A for c in contacts),
        "above 0.6 radii": sum(r >= LOOSE_RATIO for r in ratios),
        "above 0.75 radii": sum(r >= STRICT_RATIO for r in ratios),
    }
    if windows is not None:
        counts["in fitted windows"] = sum(windows.check(c).passed for c in crystals)
    return counts


def relax_products(crystals: Sequence[Crystal], library: Library, workers: int, cache: Path) -> list[Relaxed]:
    """Relax crystals by the default potential and place them on the hull; results in `cache` are not computed again."""
    tasks = [(f"{i}-{c.content_id}", c) for i, c in enumerate(crystals)]
    records = relaxed_records(tasks, MAX_STEPS, workers, cache)
    references = library.elemental_references(TABLE_REFERENCES)
    hulls: dict[Any, ConvexHull] = {}
    products = []
    for id_, drawn in tasks:
        record = records[id_]
        final = Crystal.from_json(record["final"])
        converged, above = record["ending"] == Ending.CONVERGED.value, None
        composition = final.composition.reduced
        if converged and record["energy_ev_per_atom"] is not None:
            energy = formation_energy(composition, record["energy_ev_per_atom"], references)
            if judge_formation_energy(energy).passed:
                field = composition.field
                if field not in hulls:
                    hulls[field] = ConvexHull(table_phases(library, field))
                above = energy - hulls[field].energy(composition)
        products.append(Relaxed(drawn, final, converged, above))
    return products


def relaxed_counts(products: Sequence[Relaxed], library: Library, training: Sequence[Crystal] = ()) -> dict[str, Any]:
    """Counts over relaxed products: endings, energies, symmetry, unique, known, in the training set."""
    finals = [p.final for p in products]
    first = group_duplicates(finals) if finals else []
    unique = [i == j for i, j in enumerate(first)]
    known = [n.grade is Grade.KNOWN_STRUCTURE for n in NoveltyIndex(library).judge_many(finals)]
    by_formula: dict[str, list[Crystal]] = {}
    for crystal in training:
        by_formula.setdefault(crystal.composition.formula, []).append(crystal)
    seen = [any(same_crystal(t, c) is not None for t in by_formula.get(c.composition.formula, ())) for c in finals]
    energies = [p.energy_above_hull_ev_per_atom for p in products]
    within = {limit: [e is not None and e <= limit for e in energies] for limit in HULL_LIMITS_EV}
    good = [e for e in energies if e is not None]
    new = [u and not k and not s for u, k, s in zip(unique, known, seen, strict=True)]
    return {
        "relaxations": len(products),
        "converged": sum(p.converged for p in products),
        **{f"within {limit:g} eV/atom": sum(flags) for limit, flags in within.items()},
        "unique": sum(unique),
        "known structure": sum(known),
        "in training set": sum(seen),
        **{
            f"unique, new, within {limit:g}": sum(a and b for a, b in zip(new, flags, strict=True))
            for limit, flags in within.items()
        },
        "median above hull, eV/atom": float(np.median(good)) if good else None,
        "P1 as drawn": sum(spacegroup_of(p.drawn, DRAWN_SYMPREC_A)[0] == 1 for p in products),
        "P1 after": sum(spacegroup_of(c)[0] == 1 for c in finals),
        "median volume change, %": _median([100 * (p.final.volume / p.drawn.volume - 1) for p in products]),
        "median move, A": _median([rms_move_a(p.drawn, p.final) for p in products]),
    }


def product_records(products: Sequence[Relaxed]) -> list[dict[str, Any]]:
    """One record a product: its tightest contact and symmetry as drawn, and what relaxation did to it."""
    return [_product_record(p) for p in products]


def _product_record(product: Relaxed) -> dict[str, Any]:
    drawn, final = product.drawn, product.final
    contact = tightest_contact(drawn, 1.0)
    above = product.energy_above_hull_ev_per_atom
    return {
        "formula": drawn.composition.formula,
        "closest_pair_a": None if contact is None else round(contact.distance_a, 3),
        "of_the_radii": None if contact is None else round(contact.ratio, 3),
        "spacegroup_drawn": spacegroup_of(drawn, DRAWN_SYMPREC_A)[0],
        "spacegroup_relaxed": spacegroup_of(final)[0],
        "converged": product.converged,
        "volume_change_percent": round(100 * (final.volume / drawn.volume - 1), 2),
        "rms_move_a": round(rms_move_a(drawn, final), 3),
        "energy_above_hull_ev_per_atom": None if above is None else round(above, 4),
    }


def rms_move_a(drawn: Crystal, final: Crystal) -> float:
    """Root-mean-square move of the atoms (Å) in the final cell, over nearest images, less what all have in common."""
    delta = np.asarray(final.frac_coords) - np.asarray(drawn.frac_coords)
    delta -= np.round(delta)
    delta -= delta.mean(axis=0)
    return float(np.sqrt(((delta @ np.asarray(final.lattice)) ** 2).sum(axis=1).mean()))


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
