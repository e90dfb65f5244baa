"""Every representation that turns a crystal into arrays and back, by name.

==========  =====================================================  ============================================
name        arrays                                                 comes back
==========  =====================================================  ============================================
imatgen     cell (32^3), basis (k, 64^3), elements (k)             the cell given, origin and turn not kept
court       density (32^3), coordinates (3, 32^3), species (32^3)  the cell given: encode takes the conventional
hoffmann    density (30^3), species (30^3)                         the primitive crystal in its Niggli cell
points      points (2 + slots, 3)                                  the cell given
==========  =====================================================  ============================================

A gene (`novalith.represent.gene`) is left out: it holds no numbers, so that no crystal comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from novalith.errors import CorruptDataError, UnknownNameError
from novalith.materials import Crystal
from novalith.represent.cell_images import CellImages
from novalith.represent.density_coordinates import DensityCoordinates, conventional
from novalith.represent.density_species import DensitySpecies
from novalith.represent.point_cloud import PointLayout
from novalith.represent.point_slots import PointSlots
from novalith.represent.voxels import VoxelCodec

CODECS: Mapping[str, type[VoxelCodec]] = {
    c.name: c for c in (CellImages, DensitySpecies, DensityCoordinates, PointSlots)
}


def codec_for(name: str, crystals: Sequence[Crystal]) -> VoxelCodec:
    """The codec of a name with its defaults; points get the smallest layout that holds the crystals.

    Raises:
        UnknownNameError: there is no such representation.
    """
    if name not in CODECS:
        raise UnknownNameError("representation", name, CODECS)
    if name == PointSlots.name and crystals:
        return PointSlots(PointLayout.covering([c.composition for c in crystals]))
    return CODECS[name]()


def cell_for(codec: VoxelCodec) -> Callable[[Crystal], Crystal]:
    """What is done to a crystal before it is encoded: the method of Court et al. asks for the conventional cell."""
    return conventional if codec.name == DensityCoordinates.name else lambda crystal: crystal


def codec_settings(codec: VoxelCodec) -> dict[str, Any]:
    """What `codec_of_settings` needs, as plain JSON values."""
    return {"layout": [list(pair) for pair in codec.layout.slots]} if isinstance(codec, PointSlots) else {}


def codec_of_settings(name: str, settings: Mapping[str, Any]) -> VoxelCodec:
    """The codec that wrote a file.

    Raises:
        UnknownNameError: there is no such representation.
        CorruptDataError: the settings are not those of one.
    """
    if name not in CODECS:
        raise UnknownNameError("representation", name, CODECS)
    if name != PointSlots.name:
        return CODECS[name]()
    try:
        return PointSlots(PointLayout(tuple((str(s), int(n)) for s, n in settings["layout"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(f"The layout of the points cannot be read ({error!r}). Encode again.") from None
