"""Crystals as genes: the space group and the occupied Wyckoff orbits, found with spglib.

A gene is made canonical: of all letterings that differ only by the choice of origin (the Euclidean normaliser,
International Tables A, chapter 3.5) one is kept by a fixed rule, so that equal genes and equal skeletons
can be found by comparison. Two genes that only a choice of axes in a triclinic or monoclinic cell tells apart may still
differ.

The symmetry search is that of spglib (Togo, Shinohara, Tanaka, STAM Methods 4, 2384822, 2024).
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from typing import Any

from novalith.materials import Crystal, Gene, Orbit, Verdict
from novalith.represent.wyckoff import equivalent_letterings

#: Distance within which atoms count as related by symmetry, Å; loose enough for structures after relaxation, and the
#: value used by the Materials Project for its own labels.
SYMPREC = 0.1


def encode_gene(crystal: Crystal, symprec: float = SYMPREC) -> Gene | Verdict:
    """The canonical gene of a crystal, or the reason why no symmetry could be determined.

    Args:
        crystal: any cell of it, primitive or not.
        symprec: tolerance of the symmetry search, Å.
    """
    dataset = _symmetry(crystal, symprec)
    if dataset is None:
        reason = f"no symmetry could be determined at {symprec:g} Å: atoms lie closer together than that"
        return Verdict(False, "symmetry", reason, source="spglib")
    size: Counter[int] = Counter(int(i) for i in dataset.crystallographic_orbits)
    cells = len(dataset.std_types) / crystal.n_atoms  # conventional cells per cell given
    orbits = tuple(
        Orbit(crystal.species[first], round(n * cells), dataset.wyckoffs[first]) for first, n in sorted(size.items())
    )
    return canonical_gene(Gene(int(dataset.number), orbits))


def canonical_gene(gene: Gene) -> Gene:
    """The gene, among its equivalents under the choice of origin, whose orbits grouped by element come first.

    The names of the elements only break ties, so that genes which differ in nothing else get equal skeletons.
    """
    variants = {
        Gene(gene.spacegroup, tuple(Orbit(o.element, o.multiplicity, lettering[o.letter]) for o in gene.orbits))
        for lettering in equivalent_letterings(gene.spacegroup)
    }
    lowest = min(_partition(variant) for variant in variants)
    return min((v for v in variants if _partition(v) == lowest), key=lambda v: v.orbits)


def spacegroup_of(crystal: Crystal, symprec: float = SYMPREC) -> tuple[int, str]:
    """Number and Hermann-Mauguin symbol; (1, "P1") where spglib finds atoms closer together than `symprec` (Å)."""
    dataset = _symmetry(crystal, symprec)
    return (1, "P1") if dataset is None else (int(dataset.number), str(dataset.international))


def symmetrised(crystal: Crystal, symprec: float = SYMPREC) -> Crystal:
    """The conventional standard cell with positions moved (by at most about `symprec`, Å) onto the symmetry found.

    A crystal whose atoms lie closer together than `symprec` is returned as it came.
    """
    dataset = _symmetry(crystal, symprec)
    if dataset is None:
        return crystal
    names = _names(crystal)
    return Crystal.from_arrays(dataset.std_lattice, [names[t] for t in dataset.std_types], dataset.std_positions)


def primitive(crystal: Crystal, symprec: float = SYMPREC) -> Crystal:
    """The standard primitive cell with positions moved (by at most about `symprec`, Å) onto the symmetry found.

    A crystal whose atoms lie closer together than `symprec` is returned as it came.
    """
    import spglib

    cell = spglib_quietly(spglib.standardize_cell, _cell(crystal), to_primitive=True, symprec=symprec)
    if cell is None:
        return crystal
    lattice, positions, types = cell
    names = _names(crystal)
    return Crystal.from_arrays(lattice, [names[t] for t in types], positions)


def _partition(gene: Gene) -> list[list[tuple[int, str]]]:
    """Orbits grouped by element, without the elements: equal exactly where skeletons are, and cheaper."""
    groups: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for orbit in gene.orbits:
        groups[orbit.element].append((orbit.multiplicity, orbit.letter))
    return sorted(sorted(group) for group in groups.values())


def _names(crystal: Crystal) -> list[str]:
    return sorted(set(crystal.species))


def _cell(crystal: Crystal) -> tuple[Any, Any, list[int]]:
    index = {name: i for i, name in enumerate(_names(crystal))}
    return crystal.lattice, crystal.frac_coords, [index[s] for s in crystal.species]


def _symmetry(crystal: Crystal, symprec: float) -> Any:
    import spglib

    return spglib_quietly(spglib.get_symmetry_dataset, _cell(crystal), symprec=symprec)


def spglib_quietly(function: Any, *arguments: Any, **options: Any) -> Any:
    """What spglib answers, None where it finds no symmetry.

    Releases from 2.7 on announce, with a warning at each call, that later ones will raise instead of answering None;
    both ways of saying no end here.
    """
    from spglib import error

    refusal: type[Exception] = getattr(error, "SpglibError", ArithmeticError)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Set OLD_ERROR_HANDLING", category=DeprecationWarning)
        try:
            return function(*arguments, **options)
        except refusal:
            return None
