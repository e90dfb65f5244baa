"""Relaxations in the plane: the vacuum stays as it is, the layer finds the in-plane minimum."""

import numpy as np
import pytest

from novalith.errors import ContradictionError
from novalith.materials import Crystal
from novalith.relax.base import Potential
from novalith.relax.relaxer import RelaxSettings, relax


def boron_nitride(a, height=18.0):
    lattice = [[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, height]]
    return Crystal.from_arrays(lattice, ["B", "N"], [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.52]])


def test_the_plane_relaxes_and_the_vacuum_stays(chgnet: Potential) -> None:
    """The edge of a sheet of boron nitride is 2.51 Å in PBE (2DMatPedia) and it is flat."""
    result = relax(
        boron_nitride(2.40), chgnet, RelaxSettings(in_plane=True, max_stress_gpa=0.02, max_force_ev_per_a=0.01)
    )
    assert result.converged, result.reason
    lattice = np.array(result.final.lattice)
    assert np.linalg.norm(lattice[0]) == pytest.approx(2.51, abs=0.03)
    np.testing.assert_allclose(lattice[2], [0, 0, 18.0], atol=1e-9)
    np.testing.assert_allclose(lattice[:2, 2], 0, atol=1e-9)
    heights = [f[2] * 18.0 for f in result.final.frac_coords]
    assert abs(heights[0] - heights[1]) < 0.05


def test_a_cell_cannot_be_fixed_and_free() -> None:
    with pytest.raises(ContradictionError, match="fixed_cell"):
        RelaxSettings(fixed_cell=True, in_plane=True)
