"""The proposers by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from novalith.errors import ContradictionError, InputError, UnknownNameError
from novalith.propose.base import Proposer
from novalith.propose.prototypes import Prototypes
from novalith.propose.random_symmetric import RandomSymmetric
from novalith.propose.structures import NAME as STRUCTURES
from novalith.propose.structures import Given, Structures
from novalith.propose.substitution import Substitution

if TYPE_CHECKING:
    from novalith.data.library import Library

_MAKERS: dict[str, Callable[[Library], Proposer]] = {
    Substitution.name: Substitution,
    Prototypes.name: Prototypes,
    RandomSymmetric.name: RandomSymmetric,
}

#: Names of the proposers that need nothing but the tables, in the order in which a campaign asks them.
PROPOSERS: tuple[str, ...] = tuple(_MAKERS)
#: All names, with the proposer of structures that somebody gives.
EVERY_PROPOSER: tuple[str, ...] = (*PROPOSERS, STRUCTURES)


def load_proposers(names: Iterable[str], library: Library, given: Given | None = None) -> list[Proposer]:
    """Make proposers that read from `library`.

    Args:
        names: some of `EVERY_PROPOSER`; each once, the order is kept.
        library: the known materials.
        given: the crystals of the proposer `structures`.

    Raises:
        UnknownNameError: a name is not in `EVERY_PROPOSER`.
        InputError: no name was given, or one was given twice.
        ContradictionError: `structures` is named and there are none.
    """
    wanted = list(names)
    for name in wanted:
        if name not in EVERY_PROPOSER:
            raise UnknownNameError("generator", name, EVERY_PROPOSER)
    if STRUCTURES in wanted and given is None:
        raise ContradictionError(f"The generator {STRUCTURES} proposes what it is given; name a folder of structures.")
    if not wanted or len(set(wanted)) < len(wanted):
        listed = ", ".join(PROPOSERS)
        raise InputError(f"Generators were given as {', '.join(wanted) or 'nothing'}; name each once, out of {listed}.")
    return [_MAKERS[name](library) if given is None or name != STRUCTURES else Structures(given) for name in wanted]
