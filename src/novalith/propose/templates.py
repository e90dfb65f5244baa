"""Known structures as templates: what stays of a crystal when the names of its elements are taken away.

A template is a known structure whose elements are put in an order, its *roles*, fixed by the skeleton of its gene: the
space group and, per role, the occupied orbits. Templates of one skeleton can thus be compared role by role. Putting new
elements on the roles of a template and rescaling its cell gives a new crystal of the same space group.

A skeleton may have *automorphisms*: exchanges of roles that another choice of origin undoes (Na and Cl in rock salt).
Two assignments that differ by one are the same assignment.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.materials import Candidate, Composition, Crystal, Gene, Lineage, Verdict
from novalith.propose.base import Request
from novalith.propose.oxidation_states import neutral_states
from novalith.propose.similarity import Counts, ElementSimilarity, mine_elements, read_counts
from novalith.propose.volumes import VolumeModel, fit_volumes
from novalith.represent.gene import encode_gene, primitive
from novalith.represent.wyckoff import equivalent_letterings, lattice_points

if TYPE_CHECKING:
    from novalith.data.library import KnownStructure, Library

#: (multiplicity, letter) of the orbits of one role, sorted.
RoleOrbits = tuple[tuple[int, str], ...]
#: Index of a skeleton and the elements on its roles.
Key = tuple[int, tuple[str, ...]]


@dataclass(frozen=True)
class Skeleton:
    """A gene without its elements.

    Attributes:
        spacegroup: number of the space group.
        roles: the orbits of each role, sorted.
    """

    spacegroup: int
    roles: tuple[RoleOrbits, ...]


@dataclass(frozen=True, eq=False)
class Template:
    """A known structure with its roles.

    Attributes:
        known: the structure.
        skeleton: index of its skeleton in the table.
        elements: the element on each role.
        counts: reduced number of atoms of each role.
        n_atoms: atoms in the primitive cell.
    """

    known: KnownStructure
    skeleton: int
    elements: tuple[str, ...]
    counts: tuple[int, ...]
    n_atoms: int


@dataclass(frozen=True, eq=False)
class TemplateTable:
    """All templates of a library and what was learnt from it.

    Attributes:
        templates: in the order of the library.
        skeletons: distinct skeletons.
        frequency: number of templates of each skeleton.
        volumes: volume model fitted to the library.
        similarity: similarity of elements mined from the known formulas.
    """

    templates: tuple[Template, ...]
    skeletons: tuple[Skeleton, ...]
    frequency: np.ndarray[Any, Any]
    volumes: VolumeModel
    similarity: ElementSimilarity


@lru_cache(maxsize=2)
def template_table(library: Library) -> TemplateTable:
    """Read every structure of a library as a template; the last two libraries are kept in memory."""
    index: dict[Skeleton, int] = {}
    templates = []
    for known in library.structures:
        skeleton, elements = _roles(known.gene)
        number = index.setdefault(skeleton, len(index))
        amounts = dict(known.gene.composition.reduced.counts)
        size = known.gene.composition.n_atoms // lattice_points(known.gene.spacegroup)
        templates.append(Template(known, number, elements, tuple(amounts[e] for e in elements), size))
    frequency = np.bincount([t.skeleton for t in templates], minlength=len(index))
    crystals = [known.crystal for known in library.structures]
    return TemplateTable(
        templates=tuple(templates),
        skeletons=tuple(index),
        frequency=frequency,
        volumes=fit_volumes([c.composition for c in crystals], [c.volume for c in crystals]),
        similarity=mined_similarity(library),
    )


@lru_cache(maxsize=2)
def mined_similarity(library: Library) -> ElementSimilarity:
    """The similarity of elements that the known formulas of a library show."""
    return mine_elements(known_formulas(library))


@lru_cache(maxsize=2)
def known_formulas(library: Library) -> tuple[Counts, ...]:
    """The counts of the reduced formulas of the hull table of a library, sorted by formula."""
    return tuple(read_counts(formula) for formula in sorted(library.hull_energies))


def _roles(gene: Gene) -> tuple[Skeleton, tuple[str, ...]]:
    """Skeleton and the elements in the order of its roles."""
    groups: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for orbit in gene.orbits:
        groups[orbit.element].append((orbit.multiplicity, orbit.letter))
    ordered = sorted((tuple(sorted(group)), element) for element, group in groups.items())
    return Skeleton(gene.spacegroup, tuple(g for g, _ in ordered)), tuple(e for _, e in ordered)


@lru_cache(maxsize=20_000)
def automorphisms(skeleton: Skeleton) -> tuple[tuple[int, ...], ...]:
    """Exchanges of roles, as permutations, that a change of origin undoes; the identity comes first."""
    found = set()
    for lettering in equivalent_letterings(skeleton.spacegroup):
        renamed = [tuple(sorted((m, lettering[w]) for m, w in role)) for role in skeleton.roles]
        if sorted(renamed) == sorted(skeleton.roles):
            found.add(tuple(_match(renamed, skeleton.roles)))
    return tuple(sorted(found))


def _match(renamed: Sequence[RoleOrbits], roles: Sequence[RoleOrbits]) -> list[int]:
    """For each role the index of the renamed role with its orbits; roles with equal orbits keep their order."""
    free = list(range(len(renamed)))
    order = []
    for role in roles:
        i = next(j for j in free if renamed[j] == role)
        free.remove(i)
        order.append(i)
    return order


def assignments(counts: Sequence[int], composition: Composition) -> list[tuple[str, ...]]:
    """Every way to put the elements of a composition on roles with the given reduced counts."""
    wanted = dict(composition.reduced.counts)
    if sorted(counts) != sorted(wanted.values()):
        return []
    return [
        order
        for order in itertools.permutations(sorted(wanted))
        if all(wanted[e] == n for e, n in zip(order, counts, strict=True))
    ]


@lru_cache(maxsize=100_000)
def states_of(composition: Composition) -> tuple[tuple[str, float], ...] | None:
    """The most probable neutral states of a composition, None where there are none."""
    found = neutral_states(composition)
    return None if found is None else found.of


def realise(table: TemplateTable, template: Template, elements: Sequence[str]) -> Crystal:
    """The template with new elements on its roles, at the volume expected for them, in its primitive cell.

    The volume is the template's times the ratio of the model's volumes of the two compositions. Symmetry is sought
    after rescaling: a template that is nearly of a higher symmetry may reach it in a smaller cell.
    """
    new_name = dict(zip(template.elements, elements, strict=True))
    cell = template.known.crystal
    species = [new_name[s] for s in cell.species]
    ratio = table.volumes.volume(Composition.from_species(species)) / table.volumes.volume(cell.composition)
    return primitive(Crystal.from_arrays(np.array(cell.lattice) * ratio ** (1 / 3), species, cell.frac_coords))


@dataclass(frozen=True)
class Proposal:
    """A template with new elements, ranked.

    Attributes:
        score: the larger, the earlier; its meaning is the proposer's.
        template: index into the table.
        elements: the new element on each role.
    """

    score: float
    template: int
    elements: tuple[str, ...]

    def composition(self, table: TemplateTable) -> Composition:
        """Reduced composition."""
        return Composition(tuple(zip(self.elements, table.templates[self.template].counts, strict=True)))

    def key(self, table: TemplateTable) -> Key:
        """Skeleton and assignment, the same for assignments that a change of origin makes equal."""
        number = table.templates[self.template].skeleton
        return assignment_key(table, number, self.elements)


def assignment_key(table: TemplateTable, skeleton: int, elements: Sequence[str]) -> Key:
    """Index of the skeleton and the smallest of the equivalent assignments."""
    return skeleton, min(tuple(elements[i] for i in order) for order in automorphisms(table.skeletons[skeleton]))


def known_keys(table: TemplateTable) -> frozenset[Key]:
    """The keys of the known structures themselves, at their own elements."""
    return frozenset(assignment_key(table, t.skeleton, t.elements) for t in table.templates)


def build(
    table: TemplateTable, ranked: Iterable[Proposal], request: Request, generator: str, score_name: str
) -> Iterator[Candidate]:
    """Realise ranked proposals in their order, each gene once, leaving out the genes of the known structures.

    Two known structures may share a gene and differ in their free coordinates; a formula gets the first of them only.
    """
    seen = set(known_keys(table))
    genes: set[Gene] = set()
    for proposal in ranked:
        key = proposal.key(table)
        if key in seen:
            continue
        seen.add(key)
        template = table.templates[proposal.template]
        crystal = realise(table, template, proposal.elements)
        gene = encode_gene(crystal)  # at the tolerance of this package, whatever the library's was
        if isinstance(gene, Verdict) or gene in genes or crystal.n_atoms > request.max_atoms:
            continue
        if request.spacegroup not in {None, gene.spacegroup}:
            continue
        genes.add(gene)
        lineage = Lineage(
            generator=generator,
            move=describe(template, proposal.elements),
            parents=(template.known.id,),
            gene=gene,
            scores=((score_name, proposal.score),),
        )
        yield Candidate(crystal, lineage)


def describe(template: Template, elements: Sequence[str]) -> str:
    """One sentence: "K2SnO3 (mp-8934) with K replaced by Li and O by S"."""
    changes = [(old, new) for old, new in zip(template.elements, elements, strict=True) if old != new]
    listed = [f"{old} replaced by {new}" if i == 0 else f"{old} by {new}" for i, (old, new) in enumerate(changes)]
    told = " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
    return f"{template.known.formula} ({template.known.id}) with {told}"


def fits(table: TemplateTable, request: Request) -> list[int]:
    """Indices of the templates small enough and of the space group asked for."""
    return [
        i
        for i, t in enumerate(table.templates)
        if t.n_atoms <= request.max_atoms
        and (request.spacegroup is None or table.skeletons[t.skeleton].spacegroup == request.spacegroup)
    ]
