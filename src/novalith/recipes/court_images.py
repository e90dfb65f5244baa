"""What Court's networks see of a cubic crystal: five channels, and what they are asked of every voxel.

    u = log(1 + density / d0)              density: `novalith.represent.density_coordinates`, heights say Z, widths too
    v = log(1 + columns / d0)              sum over sites and images of G g(r; 0.7 Å), G the height of its column
    x, y, z                                Cartesian coordinates of the voxels / 4 Å

    class(voxel) = element of the site within 0.7 Å (the *core* of an atom), 0 where there is none

The published images have the density and the coordinates. Neighbours in a row differ by 1 to 2 % in density, which
no autoencoder keeps; the column tells them apart: 32 columns, lanthanides and actinides in their own, each 1.1 times as
high as the one before. Logarithms, because cations of 0.5 Å stand a hundred times higher
than anions of 1.3 Å. The published regions of species reach as far as the ion and touch; atoms but hydrogen are at
least 1.4 Å apart, so that cores do not, and every core is one atom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Crystal, Verdict
from novalith.represent.density_coordinates import SPAN, density, fit_lattice
from novalith.represent.voxels import cartesian_gaussians, images_in_box, nearest_labels

Floats = NDArray[np.float32]

N_CHANNELS = 5
#: Density (1/Å3) at which the logarithm bends, near the least that is found between the atoms of a crystal.
BEND = 0.2
#: Heights of neighbouring columns: all are as far apart in the logarithm, and 1 to 19 is as wide as 1 to 18.
COLUMN_RATIO = 1.1
#: Width of the Gaussians of the columns, Å.
COLUMN_SIGMA_A = 0.7
#: Coordinates are divided by this, Å.
COORDINATE_SCALE_A = 4.0
#: Channels are divided by these for the autoencoder, which makes their differences between crystals about one.
UNITS = np.array([0.5, 0.5, 0.25, 0.25, 0.25], dtype=np.float32)
#: Cells whose decoded edges and angles are farther from cubic than this are no crystal of a cubic family.
CROOKED_SHARE = 0.05
#: Radius of a core, Å.
CORE_RADIUS_A = 0.7
#: Images farther outside the box than this many widths are left out.
_REACH = 4.0


@dataclass(frozen=True)
class ElementClasses:
    """The elements that a model tells apart.

    Attributes:
        symbols: in the order of atomic numbers; class k is `symbols[k - 1]`, class 0 is no atom.
    """

    symbols: tuple[str, ...]

    @classmethod
    def of(cls, crystals: Sequence[Crystal]) -> ElementClasses:
        """All elements of some crystals."""
        return cls(tuple(sorted({s for c in crystals for s in c.species}, key=ATOMIC_NUMBERS.__getitem__)))

    def __len__(self) -> int:
        return len(self.symbols) + 1

    def of_sites(self, crystal: Crystal) -> NDArray[np.int64]:
        """(sites,) classes."""
        number = {s: k for k, s in enumerate(self.symbols, start=1)}
        return np.array([number[s] for s in crystal.species], dtype=np.int64)


@lru_cache(maxsize=128)
def column(number: int) -> float:
    """Height of the column of an element: 1.1^(k - 1), k = 1 ... 32 in the long form of the periodic table."""
    from pymatgen.core import Element

    if 57 <= number <= 70 or 89 <= number <= 102:
        return COLUMN_RATIO ** (2 + (number - 57 if number <= 70 else number - 89))
    group = int(Element(ELEMENTS[number - 1]).group)
    return COLUMN_RATIO ** (group - 1 + (14 if group > 2 else 0))


def axis_of(n: int) -> NDArray[np.float64]:
    """Fractional position of the n voxels along an edge of the cell."""
    return (np.arange(n) + 0.5) / n


def image_of(crystal: Crystal, n: int) -> Floats:
    """(5, n, n, n) of a crystal in the cubic setting of its family."""
    lattice, frac, numbers = _arrays(crystal)
    image = np.empty((N_CHANNELS, n, n, n), dtype=np.float32)
    image[0] = np.log1p(np.maximum(density(lattice, frac, numbers, axis_of(n)), 0.0) / BEND)
    image[1] = np.log1p(column_density(lattice, frac, numbers, n) / BEND)
    along = (axis_of(n) * lattice[0, 0] / COORDINATE_SCALE_A).astype(np.float32)
    image[2], image[3], image[4] = along[:, None, None], along[:, None], along
    return image


def column_density(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], numbers: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Sum of the Gaussians of the columns over a cubic cell, (n, n, n), 1/Å3."""
    edge = float(lattice[0, 0])
    margin = _REACH * COLUMN_SIGMA_A / edge
    site, shift = images_in_box(frac, np.full(3, -margin), np.full(3, 1.0 + margin))
    weights = np.array([column(int(z)) for z in numbers], dtype=float) * (2 * np.pi * COLUMN_SIGMA_A**2) ** -1.5
    return cartesian_gaussians((frac[site] + shift) * edge, weights[site], COLUMN_SIGMA_A, axis_of(n) * edge)


def core_labels(crystal: Crystal, n: int) -> NDArray[np.uint8]:
    """(n, n, n): 1 + number of the site in whose core a voxel lies, 0 outside of cores."""
    lattice, frac, _ = _arrays(crystal)
    margin = CORE_RADIUS_A * np.linalg.norm(np.linalg.inv(lattice), axis=0)
    site, shift = images_in_box(frac, -margin, 1.0 + margin)
    places = (frac[site] + shift) * n - 0.5
    radii = np.full(len(site), CORE_RADIUS_A)
    return nearest_labels(places, 1 + site, radii, lattice / n, (n, n, n)).astype(np.uint8)


def padded(image: NDArray[Any]) -> NDArray[Any]:
    """The last three axes continued by a quarter of the cell on every side: the published box."""
    quarter = image.shape[-1] // 4
    return np.pad(image, [(0, 0)] * (image.ndim - 3) + [(quarter, quarter)] * 3, mode="wrap")


def edge_of(image: Floats) -> float | Verdict:
    """Edge (Å) of the cubic cell that the coordinate channels of (5, n, n, n) span, or why they span none."""
    # The channels cover the cell alone, `fit_lattice` reads those of the padded box.
    lattice = fit_lattice(image[2:] * (COORDINATE_SCALE_A * SPAN))
    if isinstance(lattice, Verdict):
        return lattice
    edge = float(abs(np.linalg.det(lattice)) ** (1 / 3))
    crooked = float(np.abs(lattice / edge - np.eye(3)).max())
    if crooked > CROOKED_SHARE:
        return Verdict(False, "cell", f"The decoded cell is {100 * crooked:.0f} % from cubic.")
    return edge


def substituted(crystal: Crystal, classes: ElementClasses, rng: np.random.Generator) -> Crystal:
    """The crystal with each of its elements replaced by one drawn from the classes, all different."""
    own = sorted(set(crystal.species))
    drawn = rng.choice(len(classes.symbols), len(own), replace=False)
    into = {s: classes.symbols[k] for s, k in zip(own, drawn, strict=True)}
    return Crystal(crystal.lattice, tuple(into[s] for s in crystal.species), crystal.frac_coords)


def _arrays(crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    numbers = np.array([ATOMIC_NUMBERS[s] for s in crystal.species])
    return np.array(crystal.lattice, float), np.array(crystal.frac_coords, float), numbers


def flat(images: Floats) -> Floats:
    """Images (b, 5, n, n, n) as rows (b, 2 n^3 + 3 (1 + 3 n)) for the autoencoder, in which distances stay as they are.

    The coordinates are linear: of each channel the mean and the mean profile along each axis say it all.
    """
    n, b = images.shape[-1], len(images)
    standard = (images / UNITS[:, None, None, None]).astype(np.float32)
    coordinates = standard[:, 2:]
    mean = coordinates.mean(axis=(2, 3, 4), keepdims=True)
    profiles = [(coordinates - mean).mean(axis=axes) * n for axes in ((3, 4), (2, 4), (2, 3))]
    linear = np.concatenate([mean[..., 0, 0] * n**1.5, *profiles], axis=2)
    return np.concatenate([standard[:, :2].reshape(b, -1), linear.reshape(b, -1)], axis=1)


def unflat(rows: Floats, n: int) -> Floats:
    """The inverse of `flat`."""
    densities, coordinates = unflat_parts(rows, n)
    images: Floats = np.concatenate([densities, coordinates], axis=1) * UNITS[:, None, None, None]
    return images


def unflat_parts(rows: Any, n: int) -> tuple[Any, Any]:
    """Densities (b, 2, n, n, n) and coordinates (b, 3, n, n, n), in `UNITS`, of rows: arrays or tensors."""
    linear = rows[:, 2 * n**3 :].reshape(len(rows), 3, 1 + 3 * n)
    mean, x, y, z = linear[:, :, :1], *(linear[:, :, 1 + k * n : 1 + (k + 1) * n] for k in range(3))
    coordinates = x[:, :, :, None, None] / n + y[:, :, None, :, None] / n + z[:, :, None, None, :] / n
    return rows[:, : 2 * n**3].reshape(len(rows), 2, n, n, n), coordinates + mean[:, :, :, None, None] / n**1.5
