"""Structures in JSON from outside: lattice, species and coordinates, and nothing else.

The reader of pymatgen imports any module named under "@module" in a nested property and calls it. This one builds
nothing by name: it takes numbers and symbols, and refuses a file in which "@module" stands anywhere but at the top.
"""

from __future__ import annotations

import json
from typing import Any

from novalith.data.door_checks import Piece, RefusalError, admit, element

_ORIGIN = "pymatgen.core.structure"


def read_json(text: str, where: str, max_sites: int) -> list[Piece]:
    """The structures of a JSON file: pymatgen's dictionary or `Crystal.to_json`, or a list of either.

    Raises:
        RefusalError: it is not JSON, or holds no structure.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise RefusalError(
            "format", f"{where}, line {error.lineno}: not JSON ({error.msg}); export it again."
        ) from None
    except RecursionError:
        raise RefusalError("size", f"{where} is nested too deeply to be a structure.") from None
    records = data if isinstance(data, list) else [data]
    if not records:
        raise RefusalError("empty", f"{where} holds an empty list; export the structures again.")
    several = len(records) > 1
    return [_piece(r, f"{where}, entry {i + 1}" if several else where, max_sites) for i, r in enumerate(records)]


def _piece(record: Any, place: str, max_sites: int) -> Piece:
    try:
        if not isinstance(record, dict):
            raise RefusalError("format", f"{place} is no object with a lattice and sites; export it with pymatgen.")
        _refuse_modules(record, place)
        lattice = _matrix(record.get("lattice"), place)
        species, coords = _sites(record, place, max_sites)
        return Piece(admit(lattice, species, coords, place, max_sites))
    except RefusalError as refusal:
        return Piece(refusal.verdict)


def _refuse_modules(record: dict[str, Any], place: str) -> None:
    """Refuse every "@module" but that of the structure itself; nested ones are code by name."""
    if record.get("@module", _ORIGIN) != _ORIGIN:
        raise RefusalError(
            "code", f"{place} names the module {str(record['@module'])[:60]!r}; only structures are read."
        )
    pending: list[Any] = [value for key, value in record.items() if key != "@module"]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "@module" in value:
                raise RefusalError(
                    "code",
                    f"{place} holds an object of the module {str(value['@module'])[:60]!r} inside the structure, which "
                    "a reader could be made to run; remove the property and export the structure again.",
                )
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _matrix(lattice: Any, place: str) -> list[list[float]]:
    rows = lattice.get("matrix") if isinstance(lattice, dict) else lattice
    if not (isinstance(rows, list) and len(rows) == 3 and all(_is_vector(row) for row in rows)):
        raise RefusalError(
            "cell", f"{place}: the lattice is not three rows of three numbers; export it with its matrix."
        )
    return [[float(x) for x in row] for row in rows]


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(x) in (int, float) for x in value)


def _sites(record: dict[str, Any], place: str, max_sites: int) -> tuple[list[str], list[list[float]]]:
    if "sites" in record:
        sites = record["sites"]
    else:  # the package's own dictionary keeps species and positions in two lists
        species, positions = record.get("species"), record.get("frac_coords")
        if not (isinstance(species, list) and isinstance(positions, list) and len(species) == len(positions)):
            raise RefusalError("format", f"{place} holds neither sites nor equally many species and frac_coords.")
        sites = [{"species": [{"element": s}], "abc": p} for s, p in zip(species, positions, strict=True)]
    if not isinstance(sites, list) or len(sites) > max_sites:
        raise RefusalError("size", f"{place}: expected a list of at most {max_sites} sites.")
    read = [_site(site, f"{place}, site {i + 1}") for i, site in enumerate(sites)]
    return [symbol for symbol, _ in read], [position for _, position in read]


def _site(site: Any, place: str) -> tuple[str, list[float]]:
    species = site.get("species") if isinstance(site, dict) else None
    if not (isinstance(species, list) and species and all(isinstance(s, dict) for s in species)):
        raise RefusalError("format", f"{place} does not list its species; export the structure with pymatgen.")
    if not _is_vector(site.get("abc")):
        raise RefusalError("coordinates", f"{place}: 'abc' is not three numbers; export fractional coordinates.")
    occupancy = species[0].get("occu", 1)
    if len(species) > 1 or occupancy != 1:
        raise RefusalError(
            "disorder", f"{place} is shared or partly occupied; expand the crystal to ordered cells first."
        )
    symbol = species[0].get("element")
    return element(symbol if isinstance(symbol, str) else str(symbol), place), site["abc"]
