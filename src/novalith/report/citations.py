"""The works that a run stands on, as BibTeX: of exactly the data, models and methods it used."""

from __future__ import annotations

import re
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
    """Every citation of the bundled tables and of the software, by key."""
    from novalith.data.cards import load_cards, load_software

    tables = [Citation(c.key, c.title, c.licence, c.attribution, c.bibtex) for c in load_cards()]
    software = [Citation(c.key, c.title, c.licence, "", c.bibtex) for c in load_software()]
    return {c.key: c for c in (*software, *tables)}


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
    """One BibTeX file; a work that several cards cite is printed once."""
    entries: dict[str, str] = {}
    for citation in citations:
        for entry in re.split(r"^(?=@)", citation.bibtex, flags=re.MULTILINE):
            if entry.strip():
                entries.setdefault(entry.split(",", 1)[0].strip(), entry.strip())
    return "\n\n".join(entries.values()) + "\n"
