r"""The append-only log: one checksummed JSON record a line.

A line is ``<16 hexadecimal digits of SHA-256> <JSON>\n``. A crash can only tear the last line; opening the log for
writing cuts such a tail off (its work is done again). A line before the last that fails its checksum is damage, not a
crash, and is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from novalith.errors import CorruptDataError
from novalith.store.files import storage_error, write_atomic

_DIGITS = 16


def _seal(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest()[:_DIGITS].encode() + b" " + payload + b"\n"


def _dump(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()


def _open_line(line: bytes) -> dict[str, Any] | None:
    """The record of a whole line, or None where the line is torn or damaged."""
    payload = line[_DIGITS + 1 : -1]
    if not line.endswith(b"\n") or _seal(payload) != line:
        return None
    record: dict[str, Any] = json.loads(payload)
    return record


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """All whole records of a log and the number of bytes they take.

    Raises:
        CorruptDataError: a record before the last fails its checksum; the line is named.
    """
    if not path.exists():
        return [], 0
    records: list[dict[str, Any]] = []
    length = 0
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        record = _open_line(line)
        if record is None:
            if number == len(lines):
                break  # torn by a crash: the record was never promised to anyone
            raise CorruptDataError(
                f"{path}, line {number}: the checksum does not hold, so the file was changed or damaged after it was "
                "written. Restore it from a copy, or start again in another folder."
            )
        records.append(record)
        length += len(line)
    return records, length


def write_log(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole log in one step: it is there with all its records or not at all."""
    write_atomic(path, b"".join(_seal(_dump(record)) for record in records))


class AppendLog:
    """A log open for appending by one process; every record is on the disk when `append` returns.

    Attributes:
        path: the file.
        records: what it held when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records, whole = read_log(path)
        try:
            self._handle = path.open("ab", buffering=0)  # nothing is left to be written when a write fails
            if self._handle.tell() > whole:
                self._handle.truncate(whole)
        except OSError as error:
            raise storage_error(path, error) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record and wait until the disk has it.

        Raises:
            StorageError: the disk refuses; the log keeps its earlier records.
            ValueError: the record holds a number that is not finite.
        """
        line = _seal(_dump(record))
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._handle.write(rest) :]
            os.fsync(self._handle.fileno())
        except OSError as error:
            raise storage_error(self.path, error, len(line)) from error

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def __enter__(self) -> AppendLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
