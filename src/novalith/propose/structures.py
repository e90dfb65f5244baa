"""Crystals that somebody else proposed: a folder of structures as a proposer.

So products of any source take the way of all candidates through screens, relaxation, hull and report. The folder is one
that `novalith sample` wrote (its table says which generator drew each crystal, and how), or any file or folder that the
door for structures reads (`novalith.data.door`). What cannot be read is counted with its reason. Names of files are no
ranking, so the order is drawn.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from novalith.data.door import read_structures
from novalith.errors import EmptyResultError
from novalith.materials import Candidate, Crystal, Lineage, Verdict
from novalith.propose.base import Evaluation, Proposer, Request
from novalith.propose.sampling import TABLE
from novalith.represent.gene import SYMPREC, primitive

#: Name of the proposer, and the generator of crystals whose maker no table names.
NAME = "structures"


@dataclass(frozen=True)
class GivenCrystal:
    """One crystal that was read.

    Attributes:
        id: name of its file, or its id in a table.
        crystal: as read.
        generator: who made it, `NAME` where nothing says so.
        move: how, in one sentence; empty where nothing says so.
    """

    id: str
    crystal: Crystal
    generator: str = NAME
    move: str = ""


@dataclass(frozen=True)
class Given:
    """What a folder of structures holds; every structure found is in one of the two.

    Attributes:
        crystals: those that could be read.
        refused: (id, why) of the others.
    """

    crystals: tuple[GivenCrystal, ...]
    refused: tuple[tuple[str, Verdict], ...]

    @property
    def elements(self) -> tuple[str, ...]:
        """All elements of the crystals."""
        return tuple(sorted({s for given in self.crystals for s in given.crystal.species}))

    @property
    def checksum(self) -> str:
        """SHA-256 over everything that was read, so that a campaign notices when its folder changes."""
        lines = [f"{g.id}\t{g.crystal.content_id}\t{g.generator}\t{g.move}" for g in self.crystals]
        lines += [f"{identifier}\t{verdict.reason}" for identifier, verdict in self.refused]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_given(path: Path) -> Given:
    """Read a folder that `novalith sample` wrote, or any structures.

    Raises:
        StorageError: the path does not exist or may not be read.
        InputError: it holds no structures.
        EmptyResultError: none of its structures can be read; the first reason is in the message.
    """
    sampled = (path / TABLE).is_file() and (path / "structures").is_dir()
    reading = read_structures(path / "structures" if sampled else path)
    made = _makers(path / TABLE) if sampled else {}
    if not reading.accepted:
        identifier, verdict = reading.refused[0]
        raise EmptyResultError(
            f"None of the {len(reading.refused)} structures in {path} can be read; the first is {identifier}: "
            f"{verdict.reason}"
        )
    crystals = (GivenCrystal(i, crystal, *made.get(i, (NAME, ""))) for i, crystal in reading.accepted)
    return Given(tuple(crystals), reading.refused)


def _makers(table: Path) -> dict[str, tuple[str, str]]:
    """Id -> (generator, move) of a table of proposals."""
    with table.open(encoding="utf-8", errors="replace", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {row.get("id") or "": (row.get("generator") or NAME, row.get("move") or "") for row in rows}


class Structures(Proposer):
    """Proposes each of the given crystals once, in its standard primitive cell.

    Args:
        given: what was read.
    """

    name = NAME
    honours = frozenset[str]()

    def __init__(self, given: Given) -> None:
        self._given = given

    def propose(self, request: Request, rng: np.random.Generator) -> Iterator[Candidate]:
        """All crystals in an order drawn by `rng`; the request is left to the screens, which count what they stop."""
        del request
        for i in rng.permutation(len(self._given.crystals)):
            given = self._given.crystals[i]
            move = f"{given.id}, in its primitive cell at {SYMPREC:g} Å"
            if given.move:
                move = f"{given.move} ({move})"
            yield Candidate(primitive(given.crystal), Lineage(given.generator, move=move))

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Nothing is learned."""
