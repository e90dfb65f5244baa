"""Drawing a number of proposals from several proposers, and writing them down unrelaxed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from novalith.data.writers import write_cif
from novalith.errors import EmptyResultError, InputError
from novalith.materials import Candidate
from novalith.propose.base import Proposer, Request
from novalith.represent.gene import SYMPREC, spacegroup_of
from novalith.store.files import make_folder, write_atomic

#: File of the rows that `write_sample` writes.
TABLE = "proposals.csv"
COLUMNS = ("id", "formula", "generator", "move", "spacegroup", "n_atoms", "volume_a3_per_atom")


def draw_sample(proposers: Sequence[Proposer], request: Request, n: int, seed: int) -> list[Candidate]:
    """The first proposals of each proposer, taking turns, each crystal once.

    Args:
        proposers: in the order of their turns; each gets a random generator of its own, made from the seed and its
            place.
        request: what is wanted.
        n: how many; fewer come back where the proposers run out.
        seed: same seed, same proposals.

    Raises:
        InputError: `n` is below one.
        EmptyResultError: no proposer has any proposal; names what was asked.
    """
    if n < 1:
        raise InputError(f"{n} proposals were asked for; expected at least 1.")
    queues = [p.propose(request, np.random.default_rng([seed, i])) for i, p in enumerate(proposers)]
    drawn: dict[str, Candidate] = {}
    while queues and len(drawn) < n:
        for queue in list(queues):
            candidate = next(queue, None)
            if candidate is None:
                queues.remove(queue)
            elif len(drawn) < n:
                drawn.setdefault(candidate.id, candidate)
    if not drawn:
        raise EmptyResultError(f"{' and '.join(p.name for p in proposers)} found nothing for {describe(request)}.")
    return list(drawn.values())


def describe(request: Request) -> str:
    """A request in words: "MgTiO3 in space group 62 with at most 24 atoms"."""
    parts = [request.composition.formula if request.composition is not None else f"the system {request.field}"]
    if request.deny:
        parts.append(f"without {', '.join(sorted(request.deny))}")
    if request.require:
        parts.append(f"holding {', '.join(sorted(request.require))}")
    if request.spacegroup is not None:
        parts.append(f"in space group {request.spacegroup}")
    return " ".join([*parts, f"with at most {request.max_atoms} atoms in the primitive cell"])


def write_sample(candidates: Sequence[Candidate], folder: Path) -> list[dict[str, str | int | float]]:
    """Write `structures/ID.cif` (symmetrised) for each candidate and `TABLE`; returns the rows of the table."""
    rows: list[dict[str, str | int | float]] = []
    structures = make_folder(folder / "structures")
    for candidate in candidates:
        crystal = candidate.crystal
        rows.append(
            {
                "id": candidate.id,
                "formula": crystal.composition.formula,
                "generator": candidate.lineage.generator,
                "move": candidate.lineage.move,
                "spacegroup": spacegroup_of(crystal)[0],
                "n_atoms": crystal.n_atoms,
                "volume_a3_per_atom": round(crystal.volume / crystal.n_atoms, 4),
            }
        )
        notes = (f"proposed by {candidate.lineage.generator}, not relaxed", candidate.lineage.move)
        write_cif(crystal, structures / f"{candidate.id}.cif", symprec=SYMPREC, name=candidate.id, notes=notes)
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomic(folder / TABLE, text.getvalue())
    return rows
