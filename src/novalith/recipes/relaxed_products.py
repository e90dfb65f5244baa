"""What a network cannot know of its products: `novalith sample --relax` relaxes every one and says what came of it.

relaxed.csv     one row a product: tightest contact and symmetry as drawn, energy above the hull, symmetry and moves
after relaxation by the default potential
relaxed/*.cif   those that converged
relaxations/    kept, so that the same command goes on
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from novalith.data.library import Library
from novalith.data.writers import write_cif
from novalith.materials import Candidate
from novalith.propose.sampling import RELAXED, RELAXED_TABLE
from novalith.recipes.points_judging import distance_counts, product_records, relax_products, relaxed_counts
from novalith.represent.gene import SYMPREC
from novalith.store.files import make_folder, write_atomic

TABLE, FOLDER, CACHE = RELAXED_TABLE, RELAXED, "relaxations"


def distances_told(candidates: Sequence[Candidate]) -> str:
    """How many products pass each check of distances, in one line."""
    counts = distance_counts([c.crystal for c in candidates])
    return ", ".join(f"{n} of {len(candidates)} {name}" for name, n in counts.items())


def write_relaxed(candidates: Sequence[Candidate], folder: Path, workers: int = 1) -> dict[str, Any]:
    """Relax every product by the default potential and write what came of it.

    Args:
        candidates: as drawn.
        folder: for the table, the structures and the relaxations.
        workers: relaxations at a time.

    Returns:
        Counts over the products: energies above the hull, symmetry, sameness, novelty, what relaxation did.
    """
    library = Library()
    products = relax_products([c.crystal for c in candidates], library, workers, folder / CACHE)
    records = [{"id": c.id, **record} for c, record in zip(candidates, product_records(products), strict=True)]
    structures = make_folder(folder / FOLDER)
    for candidate, product in zip(candidates, products, strict=True):
        if product.converged:
            notes = (f"proposed by {candidate.lineage.generator}, relaxed", candidate.lineage.move)
            path = structures / f"{candidate.id}.cif"
            write_cif(product.final, path, symprec=SYMPREC, name=candidate.id, notes=notes)
    text = io.StringIO()
    table = csv.DictWriter(text, list(records[0]) if records else ["id"], lineterminator="\n")
    table.writeheader()
    table.writerows(records)
    write_atomic(folder / TABLE, text.getvalue())
    return relaxed_counts(products, library)
