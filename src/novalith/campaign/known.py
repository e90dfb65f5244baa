"""What a campaign takes as known: the bundled tables less what is hidden, and the user's own materials."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from novalith.data.door import read_structures
from novalith.data.library import Hidden, Library
from novalith.errors import InputError
from novalith.materials import Crystal
from novalith.screen.novelty import NoveltyIndex


@dataclass(frozen=True, eq=False)
class Known:
    """Tables and the index of novelty over them.

    Attributes:
        library: the bundled tables, blind to what is hidden.
        novelty: judges crystals against the tables and the user's references.
    """

    library: Library
    novelty: NoveltyIndex


@lru_cache(maxsize=1)
def known_materials(hidden: tuple[str, ...], references: tuple[tuple[str, Crystal], ...]) -> Known:
    """Build the index, or give the last one again where exactly the same is hidden and referred to."""
    library = Library(Hidden.of(hidden))
    return Known(library, NoveltyIndex(library, references))


def read_references(path: str) -> tuple[tuple[tuple[str, Crystal], ...], dict[str, str]]:
    """The user's known materials, and the checksum of their contents for the plan; nothing for an empty path.

    Raises:
        InputError: one of the structures cannot be read; a reference with gaps would call known materials new.
    """
    if not path:
        return (), {}
    reading = read_structures(Path(path))
    if reading.refused:
        identifier, verdict = reading.refused[0]
        raise InputError(
            f"{path}: {len(reading.refused)} reference structures cannot be read, the first is {identifier}: "
            f"{verdict.reason} Repair or remove them: a reference with gaps would call known materials new."
        )
    content = "".join(f"{i}:{c.content_id};" for i, c in reading.accepted)
    return reading.accepted, {"reference": hashlib.sha256(content.encode()).hexdigest()}
