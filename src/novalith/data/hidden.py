"""What a library must not show: formulas, chemical systems and ids that stay hidden in every table.

Hiding makes rediscovery honest: a search that is asked for a compound must not be able to read it anywhere. A formula
is hidden everywhere (structures, hull table, reported formulas, OQMD); a chemical system hides the formulas made of
exactly these elements; an id hides that one structure and leaves its formula and its other polymorphs in sight.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from novalith.errors import InputError, StorageError
from novalith.materials import Composition, PhaseField

_ID = re.compile(r"[a-z]+-\d+")
_SYMBOL = re.compile(r"[A-Z][a-z]?")


@dataclass(frozen=True)
class Hidden:
    """Materials that no table may show.

    Attributes:
        formulas: reduced formulas; other spellings ("Na2Cl2", "Ca(OH)2") are brought to the one of
            `Composition.formula`.
        systems: chemical systems of two or more elements, symbols in alphabetical order with hyphens; a system of one
            element is kept as the formula of that element.
        ids: ids of single structures ("mp-22862").

    Raises:
        InputError: a formula or a system cannot be read.
    """

    formulas: frozenset[str] = frozenset()
    systems: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        fields = [PhaseField.parse(system) for system in sorted(self.systems)]
        elements = {f.name for f in fields if len(f) == 1}
        spelled = {Composition.parse(formula).formula for formula in sorted(self.formulas | elements)}
        object.__setattr__(self, "formulas", frozenset(spelled))
        object.__setattr__(self, "systems", frozenset(f.name for f in fields if len(f) > 1))

    @classmethod
    def of(cls, entries: Iterable[str]) -> Hidden:
        """From texts that are each a formula ("Li4SnS4"), a chemical system ("Li-Sn-S") or an id ("mp-1190364").

        Raises:
            InputError: an entry is none of the three.
        """
        kinds: dict[str, set[str]] = {"formula": set(), "system": set(), "id": set()}
        for entry in entries:
            text = entry.strip()
            kinds[_kind(text)].add(text)
        return cls(frozenset(kinds["formula"]), frozenset(kinds["system"]), frozenset(kinds["id"]))

    @classmethod
    def read(cls, path: Path) -> Hidden:
        """From a text file with one entry a line; what follows a # is a comment.

        Raises:
            InputError: a line cannot be read (the message names it), or no line holds an entry.
            StorageError: the file cannot be opened.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}. Give a text file with one entry a line.") from None
        except UnicodeDecodeError:
            raise InputError(f"{path} is not a text file in UTF-8; write one formula, system or id a line.") from None
        entries = []
        for number, line in enumerate(lines, start=1):
            entry = line.partition("#")[0].strip()
            if not entry:
                continue
            try:
                cls.of([entry])
            except InputError as error:
                raise InputError(f"{path}, line {number}: {error}") from None
            entries.append(entry)
        if not entries:
            raise InputError(
                f"{path} names nothing to hide; write one formula (NaCl), system (Na-Cl) or id (mp-22862) a line."
            )
        return cls.of(entries)

    @property
    def entries(self) -> tuple[str, ...]:
        """Everything hidden as sorted texts; `Hidden.of` reads them back."""
        return tuple(sorted(self.formulas | self.systems | self.ids))

    def __bool__(self) -> bool:
        return bool(self.formulas or self.systems or self.ids)

    def hides(self, formula: str, id: str | None = None) -> bool:
        """Whether a material is hidden.

        Args:
            formula: in any spelling that `Composition.parse` reads.
            id: of a structure, where it has one.

        Raises:
            InputError: the formula cannot be read.
        """
        return self.hides_reduced(Composition.parse(formula).formula, id)

    def hides_reduced(self, formula: str, id: str | None = None) -> bool:
        """The same for a formula spelled as `Composition.formula` spells it; fast enough for whole tables."""
        if formula in self.formulas or (id is not None and id in self.ids):
            return True
        return bool(self.systems) and "-".join(sorted(set(_SYMBOL.findall(formula)))) in self.systems


def _kind(entry: str) -> str:
    """What an entry is, judged by its form; the contents are judged by those who read them."""
    if _ID.fullmatch(entry):
        return "id"
    if re.search(r"[-,\s]", entry):
        return "system"
    return "formula"
