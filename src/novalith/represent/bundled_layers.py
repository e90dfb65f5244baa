"""Monolayers cut from the layered crystals of the bundle, each with the bulk it came from: templates for new layers.

In = kept + refused: every bundled crystal is either cut or has a verdict that says why not. Two stackings of one layer
give it twice; what hides in the library hides here.
"""

from __future__ import annotations

from dataclasses import dataclass

from novalith.data.library import KnownStructure, Library
from novalith.materials import Verdict
from novalith.represent.layers import RULE, VACUUM_A, Monolayer, monolayer_of

#: Larger cells are intergrowths and molecular crystals, and slow to relax.
MAX_ATOMS = 40
#: Layers whose reading of the bonds has a lower score are arguable (Larsen et al. call 0.5 and more layered).
MIN_SCORE = 0.5


@dataclass(frozen=True)
class BundledLayer:
    """A monolayer with its bulk.

    Attributes:
        id: of the bulk in the Materials Project.
        formula: reduced, of the layer.
        monolayer: the layer; its parent is the bulk crystal.
        known: the bulk with its properties.
    """

    id: str
    formula: str
    monolayer: Monolayer
    known: KnownStructure


def bundled_layers(
    library: Library, min_score: float = MIN_SCORE, vacuum_a: float = VACUUM_A
) -> tuple[tuple[BundledLayer, ...], tuple[tuple[str, Verdict], ...]]:
    """Cut every layered crystal of the bundle; six thousand crystals take some five seconds.

    Args:
        library: the bundle, less what is hidden.
        min_score: least score of the layered reading of the bonds.
        vacuum_a: vacuum of the layers, Å.

    Returns:
        The layers in the order of the library, and (id, why not) of all other crystals.
    """
    kept: list[BundledLayer] = []
    refused: list[tuple[str, Verdict]] = []
    for known in library.structures:
        layer = _cut(known, min_score, vacuum_a)
        if isinstance(layer, Verdict):
            refused.append((known.id, layer))
        else:
            kept.append(BundledLayer(known.id, layer.crystal.composition.formula, layer, known))
    return tuple(kept), tuple(refused)


def _cut(known: KnownStructure, min_score: float, vacuum_a: float) -> Monolayer | Verdict:
    if known.crystal.n_atoms > MAX_ATOMS:
        return Verdict(False, RULE, f"It has {known.crystal.n_atoms} atoms; at most {MAX_ATOMS} are looked at.")
    layer = monolayer_of(known.crystal, vacuum_a)
    if isinstance(layer, Monolayer) and layer.score < min_score:
        return Verdict(
            False, RULE, f"Its layers are arguable: score {layer.score:.2f}, at least {min_score:g} is asked."
        )
    return layer
