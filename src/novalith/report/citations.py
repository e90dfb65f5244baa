"""The works that a run stands on, as BibTeX: of exactly the data, models and methods it used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from novalith.errors import UnknownNameError


@dataclass(frozen=True)
class Citation:
    """One work to cite.

    Attributes:
        key: BibTeX key, as listed in a run record.
        title: what it is, in words.
        licence: of the data or software, empty where the card names none.
        attribution: the sentence that the licence asks for, empty where it asks for none.
        bibtex: the entries.
    """

    key: str
    title: str
    licence: str
    attribution: str
    bibtex: str


def known_citations() -> dict[str, Citation]:
    """Every citation of the bundled cards, by key."""
    from novalith.data.cards import load_cards

    return {
        card.key: Citation(card.key, card.title, card.licence, card.attribution, card.bibtex) for card in load_cards()
    }


def citations_of(keys: Iterable[str]) -> tuple[Citation, ...]:
    """The citations of the given keys, each once, in alphabetical order.

    Raises:
        UnknownNameError: no card has one of the keys.
    """
    known = known_citations()
    wanted = sorted(set(keys))
    for key in wanted:
        if key not in known:
            raise UnknownNameError("citation", key, known)
    return tuple(known[key] for key in wanted)


def bibtex(citations: Iterable[Citation]) -> str:
    """One BibTeX file; an entry that several cards share is printed once."""
    entries = dict.fromkeys(c.bibtex.strip() for c in citations)
    return "\n\n".join(entry for entry in entries if entry) + "\n"
