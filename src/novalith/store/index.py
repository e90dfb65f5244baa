"""The SQLite index of a campaign: rebuilt from its logs whenever they are newer, never the only copy of anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE relaxations (
    id TEXT PRIMARY KEY,
    formula TEXT NOT NULL,
    generator TEXT NOT NULL,
    ending TEXT NOT NULL,
    energy_ev_per_atom REAL,
    max_force_ev_per_a REAL,
    n_steps INTEGER NOT NULL
);
CREATE INDEX by_formula ON relaxations (formula);
"""


def rebuild_index(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the index anew from rows with the columns of the table `relaxations`, replacing the old one in one step."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with closing(sqlite3.connect(temporary)) as connection, connection:
        connection.executescript(_SCHEMA)
        connection.executemany(
            "INSERT INTO relaxations VALUES (:id, :formula, :generator, :ending, :energy_ev_per_atom, "
            ":max_force_ev_per_a, :n_steps)",
            rows,
        )
    temporary.replace(path)
