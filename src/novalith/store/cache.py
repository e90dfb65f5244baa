"""A content-addressed cache: results that the same inputs, code and model give again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from novalith.store.files import make_folder, write_atomic


def cache_key(**parts: Any) -> str:
    """A key that changes with any of the named inputs (JSON values)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]


class FolderCache(MutableMapping[str, dict[str, Any]]):
    """JSON records under their key in a folder, one file each, safe to share between processes.

    A damaged or foreign file counts as absent: a cache may forget, it may not lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def __getitem__(self, key: str) -> dict[str, Any]:
        try:
            stored = json.loads(self._path(key).read_text(encoding="utf-8"))
            record: dict[str, Any] = stored["record"]
            intact = stored["sha256"] == _digest(record)
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            raise KeyError(key) from None
        if not intact:
            raise KeyError(key)
        return record

    def __setitem__(self, key: str, record: dict[str, Any]) -> None:
        make_folder(self._folder)
        write_atomic(self._path(key), json.dumps({"sha256": _digest(record), "record": record}))

    def __delitem__(self, key: str) -> None:
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in sorted(self._folder.glob("*.json")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, allow_nan=False).encode()).hexdigest()
