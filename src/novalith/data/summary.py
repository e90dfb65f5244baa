"""The list of bundled tables, for reading and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from novalith.data.cards import load_cards


def listing_json() -> dict[str, Any]:
    """All cards with the size of their files in bytes (None where one is missing)."""
    return {"tables": [{**asdict(card), "size_bytes": _size(card.path)} for card in load_cards()]}


def listing_text() -> str:
    """One line a table, the attributions that the licences ask for below."""
    cards = load_cards()
    header = ("table", "entries", "kB", "licence", "made from")
    rows = [header] + [
        (c.key, f"{c.rows:,}", _kilobytes(_size(c.path)), c.licence, _sources(c.source_package, c.source_version))
        for c in cards
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*table, "", *dict.fromkeys(card.attribution for card in cards)])


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _kilobytes(size: int | None) -> str:
    return "missing" if size is None else f"{size / 1000:,.0f}"


def _sources(packages: str, versions: str) -> str:
    pairs = zip(packages.split(", "), versions.split(", "), strict=True)
    return ", ".join(f"{package} {version}" for package, version in pairs)
