"""The contract of a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from novalith.materials import Crystal, Verdict


class Rule(ABC):
    """A question to a crystal.

    Attributes:
        name: short name under which rejections are counted ("distances").
        source: the paper, table or standard the rule comes from.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def check(self, crystal: Crystal) -> Verdict:
        """Judge one crystal; failure is a result, never an exception."""
