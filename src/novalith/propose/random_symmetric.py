"""Random symmetric crystals: space groups and Wyckoff positions as often as nature uses them, coordinates at random.

A pattern of the prior is a space group with the letters of all its occupied orbits and the number of known structures
that show it. For a formula, the patterns whose size is a whole number Z of formula units and whose orbits can be shared
out among its elements are drawn in proportion to

    weight = count / Z**2

since large cells are many but mostly repeat the small ones with less symmetry. PyXtal (Fredericks et al., Comput. Phys.
Commun. 261, 107810, 2021) draws the shape of the cell and says where the positions lie; the free coordinates are drawn
here, orbit after orbit, such that no two atoms come closer than a share of the sum of their covalent radii. (PyXtal's
own loop over coordinates takes minutes over crowded cells and cannot be bounded.) The volume is that of
`novalith.propose.volumes`. Where a space group is demanded that no pattern of the prior offers for the formula, its
positions are filled at random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.materials import Candidate, Composition, Crystal, Gene, Lineage, Orbit, Verdict
from novalith.propose.base import Evaluation, Proposer, Request
from novalith.propose.formulas import formulas_of
from novalith.propose.occupations import Letters, draw_orbits, formula_units, share_orbits
from novalith.propose.templates import template_table
from novalith.represent.gene import canonical_gene, encode_gene, primitive
from novalith.represent.wyckoff import lattice_points, wyckoff_positions, wyckoff_sites

if TYPE_CHECKING:
    from novalith.data.library import Library, WyckoffPattern

#: Draws of a gene for one formula before the formula is given up: impossible sharings, atoms that find no room, and
#: crystals that come out more symmetric than drawn all count.
TRIES = 60
#: Volume of the random cell over the expected one: a little room lets the atoms be placed, relaxation takes it back.
ROOM = 1.1
#: Shapes of the cell tried for one gene, and points tried for each orbit in each.
SHAPES, POINTS = 10, 20
#: Smallest distance over the sum of the covalent radii (Cordero et al., Dalton Trans. 2832, 2008): the first shape is
#: held to the first number, the last to the second. Bonds in crystals lie near 1; below 0.5 the screens reject.
CLOSEST = (0.85, 0.6)


class RandomSymmetric(Proposer):
    """Random crystals with the symmetries of known ones."""

    name = "random-symmetric"
    honours = frozenset({"field", "composition", "deny", "require", "spacegroup", "max_atoms"})

    def __init__(self, library: Library) -> None:
        self._library = library

    def propose(self, request: Request, rng: np.random.Generator) -> Iterator[Candidate]:
        """Yield random crystals, formulas taking turns in their order.

        A gene without free coordinates is given once. A formula that fails `TRIES` times in a row drops out; the
        iterator ends when none is left, which for most formulas never happens.
        """
        volumes = template_table(self._library).volumes
        waiting = [
            _Source(formula, volumes.volume(formula) / formula.n_atoms, _prior(self._library, formula, request))
            for formula in formulas_of(request, self._library)
        ]
        rigid: set[Gene] = set()
        while waiting:
            for source in list(waiting):
                candidate = _one(source, request, rigid, rng)
                if candidate is None:
                    waiting.remove(source)
                else:
                    yield candidate

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Do nothing: the prior is fixed."""


@dataclass(frozen=True, eq=False)
class _Prior:
    """The patterns that suit a formula, and the cumulative probability of each."""

    patterns: tuple[WyckoffPattern, ...]
    cumulative: np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class _Source:
    """A formula with its expected volume (Å3 per atom) and its patterns."""

    formula: Composition
    volume_a3_per_atom: float
    prior: _Prior


def _one(source: _Source, request: Request, rigid: set[Gene], rng: np.random.Generator) -> Candidate | None:
    """One crystal of a formula; notes in `rigid` the genes that leave nothing to draw."""
    for _ in range(TRIES):
        drawn = _draw(source.prior, source.formula, request, rng)
        if drawn is None or (not drawn.n_free and canonical_gene(drawn.gene) in rigid):
            continue
        crystal = realise(drawn, source.volume_a3_per_atom * ROOM, rng)
        if isinstance(crystal, Verdict) or crystal.n_atoms > request.max_atoms:
            continue
        gene = encode_gene(crystal)
        if isinstance(gene, Verdict) or gene.spacegroup != drawn.spacegroup:
            continue  # came out more symmetric than drawn, or with atoms on top of each other
        if not drawn.n_free:
            rigid.add(gene)
        units = f"{drawn.n_units} formula unit{'s' if drawn.n_units > 1 else ''} of {source.formula}"
        move = f"{units} on random coordinates of the positions {drawn.gene}"
        return Candidate(crystal, Lineage(RandomSymmetric.name, move=move, gene=gene))
    return None


@dataclass(frozen=True)
class Occupation:
    """A gene drawn for a formula.

    Attributes:
        spacegroup: number of the space group.
        elements: symbols.
        letters: letters of the orbits of each element.
        n_units: formula units in the conventional cell.
    """

    spacegroup: int
    elements: tuple[str, ...]
    letters: tuple[Letters, ...]
    n_units: int

    @property
    def n_free(self) -> int:
        """Free coordinates."""
        free = {p.letter: p.n_free for p in wyckoff_positions(self.spacegroup)}
        return sum(free[w] for letters in self.letters for w in letters)

    @property
    def gene(self) -> Gene:
        """As a gene, in the lettering drawn."""
        pairs = [(e, w) for e, letters in zip(self.elements, self.letters, strict=True) for w in letters]
        size = {p.letter: p.multiplicity for p in wyckoff_positions(self.spacegroup)}
        return Gene(self.spacegroup, tuple(Orbit(e, size[w], w) for e, w in pairs))


def realise(occupation: Occupation, volume_a3_per_atom: float, rng: np.random.Generator) -> Crystal | Verdict:
    """A primitive crystal with the gene asked for, or the reason why the atoms found no room.

    Args:
        occupation: the gene.
        volume_a3_per_atom: volume of the cell per atom, Å3.
        rng: draws shapes and coordinates.
    """
    orbits = _orbits_of(occupation)
    n_sites = sum(len(shifts) for _, _, shifts in orbits)
    for closest in np.linspace(*CLOSEST, SHAPES):
        lattice = _cell(occupation.spacegroup, volume_a3_per_atom * n_sites, rng)
        placed = _place(orbits, lattice, float(closest), rng)
        if placed is not None:
            return primitive(Crystal.from_arrays(lattice, *placed))
    reason = f"{SHAPES} cells of {volume_a3_per_atom:.1f} Å3 per atom left no room for {occupation.gene}"
    return Verdict(False, "random-symmetric", reason, "covalent radii of Cordero et al. 2008")


#: Element, matrices (m, 3, 3) and shifts (m, 3) that turn one point into the sites of an orbit.
_Orbit = tuple[str, np.ndarray[Any, Any], np.ndarray[Any, Any]]


def _orbits_of(occupation: Occupation) -> list[_Orbit]:
    """The orbits to place, those without freedom first, then the largest."""
    n_free = {p.letter: p.n_free for p in wyckoff_positions(occupation.spacegroup)}
    pairs = [(e, w) for e, letters in zip(occupation.elements, occupation.letters, strict=True) for w in letters]
    orbits = [(n_free[w] > 0, (e, *wyckoff_sites(occupation.spacegroup, w))) for e, w in pairs]
    return [orbit for _, orbit in sorted(orbits, key=lambda pair: (pair[0], -len(pair[1][2])))]


def _cell(spacegroup: int, volume_a3: float, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """A random cell of the crystal system, rows in Å."""
    from pyxtal.lattice import Lattice

    systems = ((2, "triclinic"), (15, "monoclinic"), (74, "orthorhombic"), (142, "tetragonal"), (194, "hexagonal"))
    system = next((name for last, name in systems if spacegroup <= last), "cubic")
    inner = np.random.default_rng(int(rng.integers(2**62)))
    matrix = np.asarray(Lattice(system, volume_a3, random_state=inner).matrix)
    return matrix if np.linalg.det(matrix) > 0 else -matrix


def _place(
    orbits: Sequence[_Orbit], lattice: np.ndarray[Any, Any], closest: float, rng: np.random.Generator
) -> tuple[list[str], np.ndarray[Any, Any]] | None:
    """Species and fractional coordinates with every distance respected; None where an orbit found no room."""
    from ase.data import atomic_numbers, covalent_radii

    species: list[str] = []
    radii, sites = np.zeros(0), np.zeros((0, 3))
    for element, matrices, shifts in orbits:
        radius = covalent_radii[atomic_numbers[element]]
        for _ in range(POINTS):
            orbit = (matrices @ rng.random(3) + shifts) % 1.0
            both = np.vstack([sites, orbit])
            reach = closest * (radius + np.concatenate([radii, np.full(len(orbit), radius)]))
            if (_distances(orbit[0], both, lattice, itself=len(sites)) > reach).all():
                species += [element] * len(orbit)
                radii, sites = np.concatenate([radii, np.full(len(orbit), radius)]), both
                break
        else:
            return None
    return species, sites


def _distances(
    point: np.ndarray[Any, Any], sites: np.ndarray[Any, Any], lattice: np.ndarray[Any, Any], itself: int
) -> np.ndarray[Any, Any]:
    """Shortest distance (Å) from a point to each site and its images, the point's own image zero left out.

    Distances from one site of an orbit speak for all of them, which are related by symmetry.
    """
    offsets = sites - point
    offsets -= offsets.round()
    squared = ((offsets[:, None, :] + _IMAGES) @ lattice) ** 2
    lengths = np.sqrt(squared.sum(axis=2))  # (sites, 27)
    lengths[itself, _IMAGES.any(axis=1) == 0] = np.inf
    return lengths.min(axis=1)


_IMAGES = np.indices((3, 3, 3)).reshape(3, -1).T - 1


def _prior(library: Library, formula: Composition, request: Request) -> _Prior:
    """Patterns with whole formula units, small enough, of the space group asked for."""
    size = formula.reduced.n_atoms
    patterns = tuple(
        p
        for p in library.wyckoff_prior
        if p.n_atoms % size == 0
        and p.n_atoms <= request.max_atoms * lattice_points(p.spacegroup)
        and request.spacegroup in {None, p.spacegroup}
    )
    weights = np.array([p.count / (p.n_atoms / size) ** 2 for p in patterns])
    return _Prior(patterns, weights.cumsum() / max(float(weights.sum()), 1e-300))


def _draw(prior: _Prior, formula: Composition, request: Request, rng: np.random.Generator) -> Occupation | None:
    """A gene for the formula: from the prior, or, in a demanded space group, also from its bare positions."""
    counts = [n for _, n in formula.reduced.counts]
    elements = tuple(s for s, _ in formula.counts)
    if prior.patterns:
        place = int(np.searchsorted(prior.cumulative, rng.random()))
        pattern = prior.patterns[min(place, len(prior.patterns) - 1)]
        n_units = pattern.n_atoms // sum(counts)
        shares = share_orbits(pattern.letters, pattern.spacegroup, [n * n_units for n in counts], rng)
        if shares is not None:
            return Occupation(pattern.spacegroup, elements, shares, n_units)
    if request.spacegroup is None:
        return None
    units = formula_units(formula, request.spacegroup, request.max_atoms)
    if not units:
        return None
    n_units = int(rng.choice(np.array(units)))
    drawn = draw_orbits(request.spacegroup, [n * n_units for n in counts], rng)
    return None if drawn is None else Occupation(request.spacegroup, elements, drawn, n_units)
