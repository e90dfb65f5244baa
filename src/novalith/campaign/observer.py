"""How a campaign tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Hears of the stages of a campaign."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def advance(self, n: int) -> None:
        """`n` more steps of the stage are done."""

    def note(self, sentence: str) -> None:
        """Something worth a line."""


class Silence:
    """An observer that listens to nothing."""

    def stage(self, name: str, total: int) -> None:
        """Ignore it."""

    def advance(self, n: int) -> None:
        """Ignore it."""

    def note(self, sentence: str) -> None:
        """Ignore it."""
