"""Drawing a number of proposals from several proposers, and writing them down unrelaxed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from novalith.data.writers import write_cif
from novalith.errors import CampaignError, EmptyResultError, InputError
from novalith.materials import Candidate
from novalith.propose.base import Proposer, Request
from novalith.represent.gene import SYMPREC, spacegroup_of
from novalith.store.files import make_folder, write_atomic

#: File of the rows that `write_sample` writes, and the folder of the structures.
TABLE, STRUCTURES = "proposals.csv", "structures"
#: Table of products that were screened, instead of `TABLE`; relaxed copies and their table.
SCREENED, RELAXED, RELAXED_TABLE = "photoanodes.csv", "relaxed", "relaxed.csv"
#: What some samples leave beside their table: refused draws, the trace of a search, the picture of a way.
REJECTED, TRACE, WAY = "rejected.csv", "trace.csv", "interpolation.svg"
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


def check_sample_folder(folder: Path) -> None:
    """Make sure that a sample can take the place of what lies in a folder: nothing, or an earlier sample.

    Raises:
        CampaignError: structures lie there that no sample wrote; they would pass for products of this one.
    """
    strange = [p for part in (STRUCTURES, RELAXED) for p in _inside(folder / part) if p.stem not in _listed(folder)]
    if strange:
        raise CampaignError(
            f"{folder} holds structures that no sample in it wrote: {len(strange)}, the first {strange[0]}. They would "
            "be taken for products of this one. Choose another --out, or remove them."
        )


def clear_sample(folder: Path) -> None:
    """Remove an earlier sample from a folder: tables, structures, relaxed copies; relaxations and checks stay.

    Raises:
        CampaignError: structures lie there that no sample wrote; nothing was removed.
    """
    check_sample_folder(folder)
    if not any((folder / table).is_file() for table in (TABLE, SCREENED)):
        return
    # The tables last: what they name can be removed again where this is stopped.
    products = [p for part in (STRUCTURES, RELAXED) for p in _inside(folder / part)]
    for path in (*products, *(folder / name for name in (REJECTED, TRACE, WAY, RELAXED_TABLE, SCREENED, TABLE))):
        path.unlink(missing_ok=True)


def _inside(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []


def _listed(folder: Path) -> set[str]:
    """Ids in the tables of a folder."""
    found: set[str] = set()
    for path in (folder / TABLE, folder / SCREENED):
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace", newline="") as lines:
                found |= {row.get("id") or "" for row in csv.DictReader(lines)}
    return found


def write_sample(candidates: Sequence[Candidate], folder: Path) -> list[dict[str, str | int | float]]:
    """Write `TABLE` and `structures/ID.cif` (symmetrised) for each candidate, in the place of an earlier sample.

    Returns:
        The rows of the table.

    Raises:
        CampaignError: structures lie in the folder that no sample wrote; nothing was changed.
        StorageError: the folder cannot be written to.
    """
    rows: list[dict[str, str | int | float]] = []
    structures = make_folder(folder / STRUCTURES)
    clear_sample(folder)
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
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    # Before the structures: whatever stops this, each structure in the folder is named in the table.
    write_atomic(folder / TABLE, text.getvalue())
    for candidate in candidates:
        notes = (f"proposed by {candidate.lineage.generator}, not relaxed", candidate.lineage.move)
        path = structures / f"{candidate.id}.cif"
        write_cif(candidate.crystal, path, symprec=SYMPREC, name=candidate.id, notes=notes)
    return rows
