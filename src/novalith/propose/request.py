"""Reading what the user typed into a `Request`."""

from __future__ import annotations

import re

from novalith.errors import EmptyResultError, InputError
from novalith.materials import ATOMIC_NUMBERS, Composition, PhaseField
from novalith.propose.base import Request
from novalith.propose.occupations import is_possible


def parse_request(
    text: str,
    *,
    require: str = "",
    deny: str = "",
    spacegroup: int | None = None,
    max_atoms: int = 24,
) -> Request:
    """Read a chemical system ("Li-Sn-S-Cl", "Li,Sn,S,Cl") or a formula ("Li4SnS4"; a lone "Si" is a formula).

    Args:
        text: what was typed.
        require: elements that every candidate must hold, separated like those of a system.
        deny: elements that no candidate may hold.
        spacegroup: exact space group, 1 to 230.
        max_atoms: largest number of atoms in the primitive cell.

    Raises:
        InputError: the text is neither, or one of its elements does not exist.
        ContradictionError: the demands cannot hold together.
        EmptyResultError: no crystal of that formula and space group exists within `max_atoms`.
    """
    stripped = text.strip()
    if not stripped:
        raise InputError("Nothing to look for: give a chemical system such as Li-Sn-S-Cl or a formula such as Li4SnS4.")
    wanted, unwanted = _symbols(require), _symbols(deny)
    if re.search(r"[-,\s]", stripped):
        field = _system(stripped)
        return Request(field, require=wanted, deny=unwanted, spacegroup=spacegroup, max_atoms=max_atoms)
    composition = Composition.parse(stripped)
    request = Request(
        composition.field,
        composition=composition,
        require=wanted,
        deny=unwanted,
        spacegroup=spacegroup,
        max_atoms=max_atoms,
    )
    check_possible(request)
    return request


def check_possible(request: Request) -> None:
    """Refuse a formula that no crystal of the size and the space group asked for can have.

    Raises:
        EmptyResultError: the Wyckoff positions of the space group cannot be filled with the formula, or one formula
            unit is larger than `max_atoms`.
    """
    if request.composition is None:
        return
    formula, size = request.composition.formula, request.composition.reduced.n_atoms
    if size > request.max_atoms:
        raise EmptyResultError(
            f"One formula unit of {formula} has {size} atoms, more than the {request.max_atoms} allowed in the "
            f"primitive cell. Allow at least {size} atoms."
        )
    if request.spacegroup is not None and not is_possible(request.composition, request.spacegroup, request.max_atoms):
        raise EmptyResultError(
            f"No crystal of {formula} in space group {request.spacegroup} has at most {request.max_atoms} atoms in its "
            "primitive cell: the numbers of atoms do not fill its Wyckoff positions. Allow more atoms, or ask for "
            "another space group."
        )


def _symbols(text: str) -> frozenset[str]:
    return frozenset(PhaseField.parse(text).elements) if text.strip() else frozenset()


def _system(text: str) -> PhaseField:
    words = [word for word in re.split(r"[-,\s]+", text) if word]
    formulas = [word for word in words if word not in ATOMIC_NUMBERS and re.search(r"\d|[A-Z].*[A-Z]", word)]
    if formulas:
        raise InputError(
            f"{text!r} mixes a chemical system with the formula {formulas[0]!r}. Write either elements joined by "
            "hyphens (Li-Sn-S-Cl) or one formula (Li4SnS4)."
        )
    return PhaseField.parse(text)
