"""The error tree: every failure that a user can cause or meet has a name here.

::

    NovalithError                 exit code 1
    ├── InputError                2  something given is wrong: what was expected, what came, what to do
    │   ├── UnknownNameError      2  a name that is not in the list; says the nearest one
    │   ├── ContradictionError    2  two demands that cannot both hold
    │   └── CapabilityError       2  a part of a request that a method cannot honour
    ├── EmptyResultError          3  a stage left nothing; names the stage and the reasons
    ├── StorageError              4  disk full, no permission, unreadable folder
    ├── CorruptDataError          4  a checksum or a format does not hold
    ├── CampaignError             4  a run folder that belongs to another plan, or is in use
    ├── ScaleError                5  energies of different origin on one hull
    └── MissingExtraError         6  an optional part is not installed; says the command

A message is one or more full sentences for the person at the keyboard. Failures of single structures are not
exceptions but results: see `novalith.materials.Verdict`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NovalithError(Exception):
    """Base of all errors of this package; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(NovalithError):
    """Something the user gave is wrong."""

    exit_code = 2


class UnknownNameError(InputError):
    """A name that is not in a closed list."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = [n for n in names if n.lower() == name.lower()] or difflib.get_close_matches(
            name, names, n=1, cutoff=0.5
        )
        hint = f" Did you mean {near[0]!r}?" if near else ""
        listed = f" Known: {', '.join(names)}." if len(names) <= 40 else ""
        super().__init__(f"Unknown {kind} {name!r}.{hint}{listed}")


class ContradictionError(InputError):
    """Two demands that cannot both be met."""


class CapabilityError(InputError):
    """A method was asked for something it cannot honour."""


class EmptyResultError(NovalithError):
    """A stage left nothing to go on with."""

    exit_code = 3


class StorageError(NovalithError):
    """The file system said no: full disk, no permission, unreadable folder."""

    exit_code = 4


class CorruptDataError(NovalithError):
    """Stored data fail their checksum or do not follow their format."""

    exit_code = 4


class CampaignError(NovalithError):
    """A run folder belongs to another plan, or another process is writing to it."""

    exit_code = 4


class ScaleError(NovalithError):
    """Energies on different scales were about to meet on one hull."""

    exit_code = 5


class MissingExtraError(NovalithError):
    """An optional dependency is needed and absent."""

    exit_code = 6

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed. Run: pip install 'novalith[{extra}]'")
