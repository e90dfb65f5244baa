"""What the verbs share: a progress display, JSON or text, and lists in options."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from novalith.errors import InputError

if TYPE_CHECKING:
    from novalith.campaign.observer import Observer


def split_list(text: str) -> tuple[str, ...]:
    """The parts of an option such as "Pb,Cd" or "Pb Cd"; empty text gives none."""
    return tuple(part for part in text.replace(",", " ").split() if part)


def split_pairs(texts: Sequence[str]) -> dict[str, str]:
    """Options such as "network=gru" as a dictionary.

    Raises:
        InputError: a text has no "=".
    """
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise InputError(f"{text!r} is not NAME=VALUE, such as formation_energy=-2.")
        pairs[name.strip()] = value.strip()
    return pairs


def split_targets(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Options such as "formation_energy=-2" as pairs of a name and a finite number.

    Raises:
        InputError: a text is no such pair.
    """
    targets = []
    for name, value in split_pairs(texts).items():
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InputError(f"The target {name} is {value!r}; expected a finite number.")
        targets.append((name, number))
    return tuple(targets)


def split_range(text: str) -> tuple[int, int] | None:
    """An option such as "3" or "2-4" as (lowest, highest); None where it is empty.

    Raises:
        InputError: it is neither.
    """
    if not text.strip():
        return None
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
    if match is None:
        raise InputError(f"{text!r} is no number or range; expected 3 or 2-4.")
    low = int(match[1])
    return low, int(match[2] or low)


def worker_count(asked: int) -> int:
    """The number of workers: as asked, or one for each processor that this process may use."""
    if asked < 0:
        raise InputError(f"--workers is {asked}; expected 1 or more, or 0 for one a processor.")
    return asked or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else asked or os.cpu_count() or 1


def show(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print the result of a verb: one JSON object, or text for people."""
    print(json.dumps(result, indent=2, allow_nan=False) if as_json else text)


class _Lines:
    """Progress as plain lines on stderr, a line for every tenth of a stage: for logs and batch jobs."""

    def __init__(self) -> None:
        self._name, self._total, self._done, self._tenths = "", 0, 0, 0

    def stage(self, name: str, total: int) -> None:
        self._name, self._total, self._done, self._tenths = name, total, 0, 0
        print(f"{name}: {total}", file=sys.stderr)

    def advance(self, n: int) -> None:
        self._done += n
        tenths = 10 * self._done // max(1, self._total)
        if tenths > self._tenths:
            self._tenths = tenths
            print(f"{self._name}: {self._done} of {self._total}", file=sys.stderr)

    def note(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)


class _Bars:
    """Progress as bars with the time to go, for a terminal."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task: Any = None

    def stage(self, name: str, total: int) -> None:
        self._task = self._progress.add_task(name, total=total)

    def advance(self, n: int) -> None:
        self._progress.advance(self._task, n)

    def note(self, sentence: str) -> None:
        self._progress.console.print(sentence)


@contextmanager
def progress() -> Iterator[Observer]:
    """An observer that shows progress on stderr, as bars where that is a terminal."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield _Bars(bars)
