"""Short lists of points (`novalith.represent.point_cloud`) under the contract of the codecs of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.materials import Crystal, Verdict
from novalith.represent.point_cloud import KIM_LAYOUT, PointLayout, decode_points, encode_points
from novalith.represent.voxels import VoxelCodec, check_arrays


@dataclass(frozen=True)
class PointSlots(VoxelCodec):
    """One array "points" (2 + slots, 3), double precision.

    Attributes:
        layout: which element owns how many slots.
    """

    name: ClassVar[str] = "points"
    layout: PointLayout = KIM_LAYOUT

    def check(self, crystal: Crystal) -> Verdict:
        """Whether the layout has slots for every atom."""
        try:
            self.layout.counts(crystal.composition)
        except InputError as error:
            return Verdict(False, self.name, str(error))
        return Verdict(True, self.name)

    def encode(self, crystal: Crystal) -> dict[str, NDArray[Any]] | Verdict:
        """Rows of a crystal."""
        said = self.check(crystal)
        return {"points": encode_points(crystal, self.layout)} if said.passed else said

    def decode(self, arrays: Mapping[str, NDArray[Any]]) -> Crystal | Verdict:
        """The crystal of rows."""
        said = check_arrays(arrays, {"points": self.layout.shape}, self.name)
        return decode_points(np.asarray(arrays["points"], dtype=float), self.layout) if said.passed else said
