"""What the structure view shows: the atoms of a cell with their images on its faces, the bonds between them, the box.

A periodic cell drawn as it is listed looks cut open: an atom in a corner belongs to all eight corners. Bonds are found
in the periodic crystal by CrystalNN (Zimmermann, Jain, RSC Adv. 10, 6063, 2020), in large or unusual cells by the sum
of covalent radii (Cordero et al., Dalton Trans. 2832, 2008), and drawn where the atom at one end is shown: a neighbour
outside the picture leaves a half bond that points to it.
"""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novalith.materials import ATOMIC_NUMBERS, Crystal, Vector

if TYPE_CHECKING:
    from pymatgen.core import Structure

#: An atom within this distance (Å) of a face is repeated on the opposite face.
FACE_TOLERANCE_A = 0.1
#: CrystalNN takes about 0.03 s a site: larger cells are bonded by radii.
MAX_CRYSTALNN_SITES = 60
#: Two atoms are bonded below this multiple of the sum of their covalent radii, where CrystalNN gives no answer.
RADIUS_FACTOR = 1.2


@dataclass(frozen=True)
class Scene:
    """A picture of a crystal.

    Attributes:
        cell: three cell vectors, Å.
        atoms: (symbol, position in Å), images on the faces included.
        bonds: (atom index, position of the middle of the bond in Å), one a half bond.
        method: how bonds were found.
    """

    cell: tuple[Vector, Vector, Vector]
    atoms: tuple[tuple[str, Vector], ...]
    bonds: tuple[tuple[int, Vector], ...]
    method: str

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols in the picture, alphabetical."""
        return tuple(sorted({symbol for symbol, _ in self.atoms}))


def make_scene(crystal: Crystal) -> Scene:
    """The picture of a crystal in the cell it is given in."""
    structure = crystal.to_structure()
    neighbours, method = _neighbours(structure)
    shown = _with_face_images(crystal)
    places = {key: i for i, key in enumerate(shown)}
    atoms = tuple((crystal.species[site], _cartesian(crystal, site, image)) for site, image in shown)
    bonds: list[tuple[int, Vector]] = []
    for (site, image), (_, here) in zip(shown, atoms, strict=True):
        for other, offset in neighbours[site]:
            target = (other, _add(image, offset))
            if target in places or image == (0, 0, 0):
                there = _cartesian(crystal, *target)
                middle = tuple((a + b) / 2 for a, b in zip(here, there, strict=True))
                bonds.append((places[site, image], middle))  # type: ignore[arg-type]
    return Scene(crystal.lattice, atoms, tuple(bonds), method)


Image = tuple[int, int, int]


def _add(a: Image, b: Image) -> Image:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _cartesian(crystal: Crystal, site: int, image: Image) -> Vector:
    whole = [x + n for x, n in zip(crystal.frac_coords[site], image, strict=True)]
    x, y, z = (sum(whole[i] * crystal.lattice[i][axis] for i in range(3)) for axis in range(3))
    return (x, y, z)


def _with_face_images(crystal: Crystal) -> list[tuple[int, Image]]:
    """(site, image) of every atom in the cell and on its faces, edges and corners."""
    lengths = [math.hypot(*row) for row in crystal.lattice]
    shown = []
    for site, position in enumerate(crystal.frac_coords):
        choices = []
        for x, length in zip(position, lengths, strict=True):
            near = FACE_TOLERANCE_A / length
            choices.append((0, 1) if x < near else (0, -1) if x > 1 - near else (0,))
        shown += [(site, image) for image in itertools.product(*choices)]
    return shown  # type: ignore[return-value]


Neighbours = list[list[tuple[int, Image]]]


def _neighbours(structure: Structure) -> tuple[Neighbours, str]:
    """Bonded (site, image) pairs of each site, both directions present, and how they were found."""
    if len(structure) <= MAX_CRYSTALNN_SITES:
        from pymatgen.analysis.local_env import CrystalNN

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # missing oxidation states: radii are then taken without charge
                found = CrystalNN().get_all_nn_info(structure)
        except (ValueError, IndexError, KeyError, RuntimeError):  # no Voronoi cell closes around some site
            return _by_radii(structure), "sum of covalent radii"
        return _both_ways([[(n["site_index"], _image(n["image"])) for n in site] for site in found]), "CrystalNN"
    return _by_radii(structure), "sum of covalent radii"


def _image(image: Any) -> Image:
    a, b, c = (round(float(n)) for n in image)
    return (a, b, c)


def _both_ways(neighbours: Neighbours) -> Neighbours:
    """A bond that one end alone has found belongs to both."""
    pairs: list[set[tuple[int, Image]]] = [set(site) for site in neighbours]
    for site, bonded in enumerate(neighbours):
        for other, (a, b, c) in bonded:
            pairs[other].add((site, (-a, -b, -c)))
    return [sorted(site) for site in pairs]


def _by_radii(structure: Structure) -> Neighbours:
    radii = [covalent_radius_a(site.specie.symbol) for site in structure]
    starts, ends, images, distances = structure.get_neighbor_list(r=2 * RADIUS_FACTOR * max(radii))
    bonded: Neighbours = [[] for _ in radii]
    for i, j, image, distance in zip(starts, ends, images, distances, strict=True):
        if distance < RADIUS_FACTOR * (radii[i] + radii[j]):
            bonded[int(i)].append((int(j), _image(image)))
    return [sorted(site) for site in bonded]


def covalent_radius_a(symbol: str) -> float:
    """Covalent radius in Å (Cordero et al., 2008, as ASE tabulates it)."""
    from ase.data import covalent_radii

    return float(covalent_radii[ATOMIC_NUMBERS[symbol]])


def element_colour(symbol: str) -> str:
    """The customary colour of an element (Jmol's table), darkened where it would vanish on white paper."""
    from ase.data.colors import jmol_colors

    r, g, b = (float(x) for x in jmol_colors[ATOMIC_NUMBERS[symbol]])
    luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b
    dim = min(1.0, 0.78 / luminance) if luminance > 0 else 1.0
    return "#" + "".join(f"{round(255 * x * dim):02x}" for x in (r, g, b))
