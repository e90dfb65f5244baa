"""The proposers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from novalith.errors import InputError, UnknownNameError
from novalith.propose.base import Proposer
from novalith.propose.prototypes import Prototypes
from novalith.propose.random_symmetric import RandomSymmetric
from novalith.propose.substitution import Substitution

if TYPE_CHECKING:
    from novalith.data.library import Library

_MAKERS: dict[str, Callable[[Library], Proposer]] = {
    Substitution.name: Substitution,
    Prototypes.name: Prototypes,
    RandomSymmetric.name: RandomSymmetric,
}

#: Names of the proposers, in the order in which a campaign asks them.
PROPOSERS: tuple[str, ...] = tuple(_MAKERS)


def load_proposers(names: Iterable[str], library: Library) -> list[Proposer]:
    """Make proposers that read from `library`.

    Args:
        names: some of `PROPOSERS`; each once, the order is kept.
        library: the known materials.

    Raises:
        UnknownNameError: a name is not in `PROPOSERS`.
        InputError: no name was given, or one was given twice.
    """
    wanted = list(names)
    for name in wanted:
        if name not in _MAKERS:
            raise UnknownNameError("generator", name, PROPOSERS)
    if not wanted or len(set(wanted)) < len(wanted):
        listed = ", ".join(PROPOSERS)
        raise InputError(f"Generators were given as {', '.join(wanted) or 'nothing'}; name each once, out of {listed}.")
    return [_MAKERS[name](library) for name in wanted]
