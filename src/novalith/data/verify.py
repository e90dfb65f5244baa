"""Are the bundled tables the ones their cards describe?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from novalith.data.cards import Card, load_cards
from novalith.data.library import BUNDLE


@dataclass(frozen=True)
class Check:
    """The outcome for one file.

    Attributes:
        file: name in the bundle.
        passed: whether its SHA-256 is the one on its card.
        reason: one sentence where it is not, else empty.
        size_bytes: of the file; None where it is missing.
    """

    file: str
    passed: bool
    reason: str
    size_bytes: int | None


def verify() -> list[Check]:
    """Recompute the SHA-256 of every bundled table, sorted by card; a file without a card fails.

    Raises:
        CorruptDataError: a card cannot be read.
    """
    cards = load_cards()
    described = {card.file for card in cards}
    strays = sorted(path.name for path in BUNDLE.iterdir() if path.name not in described) if BUNDLE.is_dir() else []
    return [_check(card) for card in cards] + [Check(name, False, f"{name} has no card.", None) for name in strays]


def _check(card: Card) -> Check:
    try:
        content = card.path.read_bytes()
    except OSError as error:
        return Check(card.file, False, f"{card.file} cannot be read: {error.strerror or error}.", None)
    found = hashlib.sha256(content).hexdigest()
    reason = "" if found == card.sha256 else f"{card.file} has SHA-256 {found}; its card says {card.sha256}."
    return Check(card.file, not reason, reason, len(content))
