"""The cell rule: textbook crystals pass with their handbook density, broken cells fail with the number."""

from __future__ import annotations

import numpy as np
import pytest
from crystals import caesium_chloride, rock_salt, rutile

from novalith.materials import Crystal
from novalith.screen.cell import CellSanity, density_g_per_cm3


@pytest.mark.parametrize(
    ("crystal", "density"),
    [
        (rock_salt("Na", "Cl", 5.640), 2.165),  # CRC Handbook, 97th edition
        (rutile("Ti", "O", 4.594, 2.959), 4.25),
        (caesium_chloride("Cs", "Cl", 4.123), 3.99),
    ],
)
def test_density_is_that_of_the_handbook(crystal, density):
    assert density_g_per_cm3(crystal) == pytest.approx(density, rel=0.01)
    assert CellSanity().check(crystal).passed


@pytest.mark.parametrize(
    ("lattice", "part"),
    [
        (np.eye(3) * 30, "Å3 per atom"),
        (np.eye(3) * 1.4, "Å3 per atom"),
        (np.diag([0.8, 10, 10]), "cell vector is 0.80 Å"),
        (np.diag([1.6, 1.6, 150.0]), "planes are 150.0 Å"),
        (np.array([[6.0, 0, 0], [6.0, 0.15, 0], [0, 0, 80]]), "gamma"),
    ],
)
def test_broken_cells_fail_with_the_number(lattice, part):
    verdict = CellSanity().check(Crystal.from_arrays(lattice, ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)]))
    assert not verdict.passed
    assert part in verdict.reason


def test_density_outside_that_of_matter_fails():
    heavy = Crystal.from_arrays(np.eye(3) * 3.0, ["Os"] * 4, [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)])
    assert "g/cm3" in CellSanity().check(heavy).reason
