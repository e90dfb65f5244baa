"""How well densities are read: species at voxels and at atoms, and crystals beside the true ones.

    right, voxel    a voxel within 0.65 Å of an atom gets the atom's species
    right, atom     the species with the largest summed probability over the voxels of an atom and its images
    least squares   min over Z_a of |rho - sum_a Z_a g(r - r_a)|^2 at the true sites r_a, g the known Gaussian
    matched         pymatgen's StructureMatcher maps the crystal read onto the true one, species and all

The control by least squares is told where the atoms are; the UNet is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Crystal, Verdict
from novalith.recipes.crystal_models import SampleRequest
from novalith.recipes.hoffmann import ATOMS, CELLS, SPECIES, Hoffmann, reconstruct_density, within
from novalith.recipes.hoffmann_images import HEAVIEST, BoxedCrystal
from novalith.represent.box_folding import lattice_heights, voxels_of_atoms
from novalith.screen.distances import Distances
from novalith.screen.tolerances import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]

#: Least distance over the sum of covalent radii in a valid crystal.
VALID_RATIO = 0.6


@dataclass(frozen=True)
class ReadBack:
    """One crystal read from a density.

    Attributes:
        crystal: as read, or why there is none.
        formula_right: whether the reduced formula is the true one.
        rms: of the match, in units of (V / atom)^(1/3); None without a match.
        anonymous: whether it matches when the names of the species are ignored.
    """

    crystal: Crystal | Verdict
    formula_right: bool = False
    rms: float | None = None
    anonymous: bool = False


@lru_cache(maxsize=1)
def _matcher() -> Any:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return StructureMatcher(MATCHER_LTOL, MATCHER_STOL, MATCHER_ANGLE_DEG)


def compared(true: BoxedCrystal, found: Crystal | Verdict) -> ReadBack:
    """What was read beside the true crystal."""
    if not isinstance(found, Crystal):
        return ReadBack(found)
    formula = found.composition.reduced == true.crystal.composition.reduced
    first, second = found.to_structure(), true.crystal.to_structure()
    match = _matcher().get_rms_dist(first, second) if formula else None
    alike = match is not None
    if not alike and found.composition.anonymous == true.crystal.composition.anonymous:
        alike = bool(_matcher().fit_anonymous(first, second))
    return ReadBack(found, formula, None if match is None else float(match[0]), alike)


def read_back(model: Hoffmann, true: BoxedCrystal, density: Floats) -> dict[tuple[str, ...], ReadBack]:
    """A density (n, n, n) read every way: (cell, atoms, species, "any" or "known" elements) -> the reading."""
    probabilities = model.segmenter.probabilities(density[None, None])[0]
    requests = {"any": SampleRequest(), "known": SampleRequest(field=true.crystal.composition.field)}
    found: dict[tuple[str, ...], ReadBack] = {}
    for cell in CELLS:
        cells = model.cells_of(density, true.lattice, cell)
        for atoms in ATOMS:
            sites = model.sites_of(density, cells, atoms)
            for elements, request in requests.items():
                read = model.read_voxels(probabilities, sites, request)
                for species in SPECIES:
                    found[cell, atoms, species, elements] = compared(true, model.named(read, density, request, species))
    return found


def reading_counts(readings: Sequence[ReadBack]) -> dict[str, Any]:
    """Counts and shares over readings, failures included."""
    found = [r.crystal for r in readings if isinstance(r.crystal, Crystal)]
    matched = [r.rms for r in readings if r.rms is not None]
    n = max(len(readings), 1)
    return {
        "tried": len(readings),
        "decoded": len(found),
        "valid": sum(Distances(VALID_RATIO).check(c).passed for c in found),
        "formula right": sum(r.formula_right for r in readings),
        "structure right, species ignored": sum(r.anonymous for r in readings),
        "matched": len(matched),
        "match rate": round(len(matched) / n, 4),
        "median rms": round(float(np.median(matched)), 4) if matched else None,
    }


def species_counts(
    model: Hoffmann, crystals: Sequence[BoxedCrystal], *, decoded: bool, seed: int
) -> dict[str, dict[str, Any]]:
    """Reader -> shares of voxels and atoms with the right species, and of empty voxels taken for atoms."""
    totals = {"UNet": np.zeros(6), "UNet, elements known": np.zeros(6), "least squares at true sites": np.zeros(6)}
    for number, boxed in enumerate(crystals):
        origin = model.offset_of(boxed, rng=np.random.default_rng([seed, number]))
        density = model.density_of(boxed, rng=np.random.default_rng([seed, number]))
        if decoded:
            density = reconstruct_density(model, density[None, None])[0, 0]
        box = model.settings.box
        owner = voxels_of_atoms(boxed.positions + origin, boxed.lattice, box).reshape(-1)
        probabilities = model.segmenter.probabilities(density[None, None])[0]
        present = np.zeros(HEAVIEST + 1, dtype=bool)
        present[[0, *boxed.numbers]] = True
        totals["UNet"] += _right(probabilities, owner, boxed)
        totals["UNet, elements known"] += _right(within(probabilities, present), owner, boxed)
        heights = lattice_heights(density, boxed.lattice, boxed.positions + origin, box)
        right = int((np.rint(heights) == boxed.numbers).sum())
        totals["least squares at true sites"] += np.array([0, 0, right, len(heights), 0, 0])
    return {
        name: {
            "voxels of atoms": int(t[1]) or None,
            "right, voxel": round(t[0] / t[1], 4) if t[1] else None,
            "atoms": int(t[3]),
            "right, atom": round(t[2] / max(t[3], 1), 4),
            "empty voxels taken for atoms": round(t[4] / t[5], 5) if t[5] else None,
        }
        for name, t in totals.items()
    }


def _right(probabilities: Floats, owner: Whole, boxed: BoxedCrystal) -> NDArray[np.float64]:
    """Right voxels, voxels, right atoms, atoms, empty voxels taken for atoms, empty voxels."""
    found = probabilities.argmax(axis=1)
    inside = owner > 0
    truth = boxed.numbers[owner[inside] - 1]
    of_atom = owner[inside] == np.arange(1, len(boxed.numbers) + 1)[:, None]
    votes = of_atom.astype(np.float32) @ probabilities[inside, 1:]
    seen = of_atom.any(axis=1)
    species = 1 + votes.argmax(axis=1)
    return np.array([
        (found[inside] == truth).sum(), inside.sum(), (species == boxed.numbers)[seen].sum(), seen.sum(),
        (found[~inside] > 0).sum(), (~inside).sum(),
    ], dtype=float)  # fmt: skip
