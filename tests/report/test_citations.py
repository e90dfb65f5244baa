"""What is cited: exactly the keys of the record, each once; an unknown key is an error."""

from __future__ import annotations

import pytest

from novalith.errors import UnknownNameError
from novalith.report import citations
from novalith.report.citations import Citation, bibtex, citations_of


@pytest.fixture(autouse=True)
def known(monkeypatch):
    shared = "@article{shared,\n}"
    works = {
        k: Citation(k, k, "", "", shared if k != "alone" else "@misc{alone,\n}\n") for k in ("one", "two", "alone")
    }
    monkeypatch.setattr(citations, "known_citations", lambda: works)


def test_only_what_was_used_is_cited_once_and_in_order():
    assert [c.key for c in citations_of(("two", "one", "two"))] == ["one", "two"]


def test_an_entry_shared_by_two_cards_is_printed_once():
    assert bibtex(citations_of(("one", "two", "alone"))) == "@misc{alone,\n}\n\n@article{shared,\n}\n"


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'alone'"):
        citations_of(("alon",))


def test_nothing_used_nothing_cited():
    assert citations_of(()) == ()
