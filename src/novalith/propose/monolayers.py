r"""Monolayers for a formula: known layers of the same anonymous formula with their elements exchanged.

Every template has roles, one an element, with reduced counts. Each way to put the elements of the formula on roles of
the same counts is a *move*, and its score is the log-likelihood of its exchanges among known formulas,

.. math:: \sum_\mathrm{roles} s(A_\mathrm{old}, A_\mathrm{new}) \le 0,

with s mined by `novalith.propose.similarity`; 0 is the template itself. The layer is then rescaled by

.. math:: f = \big(V(\text{new}) / V(\text{old})\big)^{1/3}

with the volumes that `novalith.propose.volumes` expects: its cell in the plane and its thickness, not its vacuum. The
bulk, where the template has one, gets the same elements and the same factor in all directions; it is the parent for the
exfoliation energy.

Song et al., ACS Appl. Mater. Interfaces 13, 53303 (2021), for the step; Hautier et al., Inorg. Chem. 50, 656 (2011),
for the idea of substitution probabilities.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from novalith.materials import Candidate, Composition, Crystal, Lineage, Verdict
from novalith.propose.similarity import ElementSimilarity
from novalith.propose.templates import assignments, mined_similarity
from novalith.propose.volumes import VolumeModel, fit_volumes
from novalith.represent.bundled_layers import bundled_layers
from novalith.represent.gene import spacegroup_of
from novalith.represent.layers import VACUUM_A, Monolayer, as_monolayer

if TYPE_CHECKING:
    from novalith.data.library import Library

GENERATOR = "monolayer-substitution"
#: Moves that score lower are not made: on average, each element is met in the place of the other e^-4 = 2 % as often as
#: in its own, for three exchanges.
LEAST_SCORE = -12.0


@dataclass(frozen=True, eq=False)
class LayerTemplate:
    """A known monolayer with its roles.

    Attributes:
        id: of its bulk in the Materials Project, or its name in the table of the user.
        origin: "bundle" or "user".
        layer: the monolayer.
        elements: the element on each role.
        counts: reduced number of atoms of each role.
        shape: what two copies of one layer share whatever their elements: atoms, space group in its cell.
    """

    id: str
    origin: str
    layer: Monolayer
    elements: tuple[str, ...]
    counts: tuple[int, ...]
    shape: tuple[int, int]

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return self.layer.crystal.composition.reduced.formula


@dataclass(frozen=True, eq=False)
class LayerTemplates:
    """Monolayers by anonymous formula, and what a substitution needs.

    Attributes:
        by_kind: anonymous formula -> templates.
        similarity: of elements.
        volumes: of compositions.
        refused: (id, why) of the structures of the user that are no monolayers.
    """

    by_kind: Mapping[tuple[int, ...], tuple[LayerTemplate, ...]]
    similarity: ElementSimilarity
    volumes: VolumeModel
    refused: tuple[tuple[str, Verdict], ...]

    def __len__(self) -> int:
        return sum(len(group) for group in self.by_kind.values())

    @property
    def formulas(self) -> frozenset[str]:
        """Reduced formulas of the templates themselves: known monolayers."""
        return frozenset(t.formula for group in self.by_kind.values() for t in group)


@dataclass(frozen=True, eq=False)
class Move:
    """New elements on a template.

    Attributes:
        score: log-likelihood of the exchanges.
        template: where they go.
        elements: the new element on each role.
    """

    score: float
    template: LayerTemplate
    elements: tuple[str, ...]

    @property
    def told(self) -> str:
        """One sentence."""
        swaps = [f"{a} replaced by {b}" for a, b in zip(self.template.elements, self.elements, strict=True) if a != b]
        what = f"a layer of {self.template.formula} ({self.template.id})"
        return f"{what} with {' and '.join(swaps)}" if swaps else what


def layer_templates(library: Library, brought: Sequence[tuple[str, Crystal]] = ()) -> LayerTemplates:
    """The layers of the bundle and those that a user brings.

    Args:
        library: the bundle, less what is hidden.
        brought: (name, slab); what is no monolayer, or has no vacuum, is refused with the reason.
    """
    found = list(_bundled(library))
    refused = []
    for name, crystal in brought:
        read = as_monolayer(crystal, None)
        if isinstance(read, Verdict):
            refused.append((name, read))
        else:
            found.append(_template(name, "user", as_vacuum(read)))
    groups: defaultdict[tuple[int, ...], list[LayerTemplate]] = defaultdict(list)
    for template in found:
        groups[tuple(sorted(template.counts))].append(template)
    crystals = [known.crystal for known in library.structures]
    volumes = fit_volumes([c.composition for c in crystals], [c.volume for c in crystals])
    by_kind = {kind: tuple(group) for kind, group in groups.items()}
    return LayerTemplates(by_kind, mined_similarity(library), volumes, tuple(refused))


@lru_cache(maxsize=2)
def _bundled(library: Library) -> tuple[LayerTemplate, ...]:
    """The templates of the bundle; those of the last two libraries are kept in memory."""
    kept, _ = bundled_layers(library)
    return tuple(_template(layer.id, "bundle", layer.monolayer) for layer in kept)


def as_vacuum(layer: Monolayer) -> Monolayer:
    """The same layer with the vacuum of the bundled templates."""
    read = as_monolayer(layer.crystal, VACUUM_A)
    return layer if isinstance(read, Verdict) else read


def moves(templates: LayerTemplates, composition: Composition, n: int = 1) -> list[Move]:
    """The n best moves that give a composition, best first, one for each shape of layer; empty where there is none."""
    wanted = composition.reduced
    kind = tuple(sorted(count for _, count in wanted.counts))
    found = [
        Move(sum(templates.similarity.of(a, b) for a, b in zip(t.elements, order, strict=True)), t, order)
        for t in templates.by_kind.get(kind, ())
        for order in assignments(t.counts, wanted)
    ]
    found.sort(key=lambda move: (-move.score, move.template.id, move.elements))
    shapes: set[tuple[int, int]] = set()
    kept: list[Move] = []
    for move in found:
        if move.score >= LEAST_SCORE and move.template.shape not in shapes and len(kept) < n:
            shapes.add(move.template.shape)
            kept.append(move)
    return kept


def realise_layer(templates: LayerTemplates, move: Move) -> tuple[Candidate, Monolayer]:
    """Make a move: the candidate with its lineage, and the layer with its bulk parent."""
    layer, new_name = move.template.layer, dict(zip(move.template.elements, move.elements, strict=True))
    species = [new_name[s] for s in layer.crystal.species]
    ratio = templates.volumes.volume(Composition.from_species(species))
    ratio /= templates.volumes.volume(layer.crystal.composition)
    factor = ratio ** (1 / 3)
    made = Monolayer(
        crystal=_scaled(layer, species, factor),
        thickness_a=layer.thickness_a * factor,
        area_a2=layer.area_a2 * factor**2,
        parent=None if layer.parent is None else _exchanged(layer.parent, new_name, factor),
        gap_a=None if layer.gap_a is None else layer.gap_a * factor,
        score=layer.score,
    )
    scores = (("substitution_log_likelihood", move.score),)
    return Candidate(made.crystal, Lineage(GENERATOR, move.told, (move.template.id,), scores=scores)), made


def _template(name: str, origin: str, layer: Monolayer) -> LayerTemplate:
    counts = layer.crystal.composition.reduced.counts
    shape = (layer.crystal.n_atoms, spacegroup_of(layer.crystal)[0])
    return LayerTemplate(name, origin, layer, tuple(s for s, _ in counts), tuple(n for _, n in counts), shape)


def _scaled(layer: Monolayer, species: Sequence[str], factor: float) -> Crystal:
    """New elements, the plane and the thickness times a factor, the vacuum as it was, the layer at half of c."""
    lattice = np.array(layer.crystal.lattice, dtype=np.float64)
    positions = np.array(layer.crystal.frac_coords, dtype=np.float64) @ lattice
    middle = (positions[:, 2].max() + positions[:, 2].min()) / 2
    height = layer.thickness_a * factor + layer.vacuum_a
    positions *= factor
    positions[:, 2] += height / 2 - middle * factor
    lattice[:2] *= factor
    lattice[2] = (0.0, 0.0, height)
    return Crystal.from_arrays(lattice, species, positions @ np.linalg.inv(lattice))


def _exchanged(bulk: Crystal, new_name: Mapping[str, str], factor: float) -> Crystal:
    return Crystal.from_arrays(np.array(bulk.lattice) * factor, [new_name[s] for s in bulk.species], bulk.frac_coords)
