"""Atoms from the image of their cores: connected regions, split where they are not convex, copies put together.

    mask     core probability above 1/2; connected over faces of voxels
    split    a region is an atom when its solidity (voxels over voxels of its convex hull) is 0.8 or more; else it is
             eroded by a ball of one voxel until it falls apart, and the pieces flood it again (watershed) and are
             looked at in turn, up to five times
    site     mean of the voxels of a region, weighted by the core probability, as a fraction of the cell; regions nearer
             than half an Å over periodic images are copies of one site, whose positions and species are averaged

Regions cut by the border of the box count only where no whole copy is there, and fewer than eight voxels are no atom.
After Court et al. (2020), with the copies in the padding averaged instead of kept by chance, and species summed over
softmax probabilities instead of votes. Morphology by scikit-image (van der Walt et al., PeerJ 2, e453, 2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import MissingExtraError
from novalith.represent.density_coordinates import PADDING, SAME_SITE_A, SPAN

Floats = NDArray[np.float64]

THRESHOLD, SOLIDITY, ROUNDS, FEWEST_VOXELS = 0.5, 0.8, 5, 8


@dataclass(frozen=True, eq=False)
class FoundSites:
    """Sites of a cell.

    Attributes:
        frac: (m, 3) fractional positions.
        classes: (m, classes) probabilities.
        copies: (m,) regions that were put together.
    """

    frac: Floats
    classes: Floats
    copies: NDArray[np.int64]


def scikit_image() -> tuple[Any, Any]:
    """The modules `morphology` and `segmentation` of scikit-image.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("skimage.morphology"), import_module("skimage.segmentation")
    except ImportError:
        raise MissingExtraError("scikit-image", "voxels", "Telling atoms in an image apart") from None


def core_regions(core: NDArray[Any]) -> NDArray[np.int64]:
    """Label of every voxel (n, n, n), 0 outside of atoms.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    from scipy import ndimage

    scikit_image()
    parts, number = ndimage.label(np.asarray(core) > THRESHOLD)
    labels = np.zeros(parts.shape, dtype=np.int64)
    for i, window in enumerate(ndimage.find_objects(parts, number)):
        for piece in _atoms_of(parts[window] == i + 1, np.asarray(core)[window], ROUNDS):
            labels[window][piece] = labels.max() + 1
    return labels


def found_sites(labels: NDArray[np.int64], core: NDArray[Any], classes: NDArray[Any], lattice: Floats) -> FoundSites:
    """The sites of a cell from the regions of the padded box around it.

    Args:
        labels: (n, n, n) of `core_regions`.
        core: (n, n, n) probabilities, the weights of the voxels.
        classes: (voxels, classes) probabilities of the species in the voxels with a label, in the order of the array.
        lattice: (3, 3) rows, Å.
    """
    n, places = labels.shape[0], np.argwhere(labels > 0)
    of = labels[labels > 0] - 1
    weight = np.asarray(core, dtype=float)[labels > 0]
    number = int(of.max()) + 1 if len(of) else 0
    mass = np.bincount(of, weight, number).astype(np.float64)
    centre = np.stack([np.bincount(of, weight * places[:, k], number) for k in range(3)], axis=1)
    frac = (centre / np.maximum(mass, 1e-9)[:, None] + 0.5) / n * SPAN - PADDING
    summed = np.zeros((number, classes.shape[1]))
    np.add.at(summed, of, weight[:, None] * classes)
    cut = np.zeros(number, dtype=bool)
    cut[of[((places == 0) | (places == n - 1)).any(axis=1)]] = True
    return _put_together(frac, summed, mass, cut, lattice)


def _put_together(frac: Floats, summed: Floats, mass: Floats, cut: NDArray[np.bool_], lattice: Floats) -> FoundSites:
    taken = np.zeros(len(frac), dtype=bool)
    sites, species, copies = [], [], []
    for i in sorted(range(len(frac)), key=lambda i: (bool(cut[i]), -mass[i], i)):
        if taken[i]:
            continue
        delta = frac - frac[i]
        delta -= np.round(delta)
        same = ~taken & (np.linalg.norm(delta @ lattice, axis=1) < SAME_SITE_A)
        taken |= same
        whole = same & ~cut if not cut[i] else same
        share = mass[whole] / mass[whole].sum()
        sites.append(frac[i] + share @ delta[whole])
        species.append(summed[whole].sum(axis=0) / max(float(summed[whole].sum()), 1e-9))
        copies.append(int(same.sum()))
    n_classes = summed.shape[1]
    return FoundSites(np.array(sites).reshape(-1, 3), np.array(species).reshape(-1, n_classes), np.array(copies, int))


def _atoms_of(region: NDArray[np.bool_], core: NDArray[Any], rounds: int) -> list[NDArray[np.bool_]]:
    """The masks of the atoms in one connected region."""
    from scipy import ndimage

    morphology, segmentation = scikit_image()
    if region.sum() < FEWEST_VOXELS:
        return []
    if rounds == 0 or _solidity(region) >= SOLIDITY:
        return [region]
    padded = eroded = np.pad(region, 1)
    number = 1
    while number == 1:  # a thick bridge between two atoms takes more than one erosion
        eroded = morphology.erosion(eroded, morphology.ball(1))
        markers, number = ndimage.label(eroded)
    if number == 0:
        return [region]
    flooded = segmentation.watershed(-np.pad(np.asarray(core, dtype=float), 1), markers, mask=padded)[1:-1, 1:-1, 1:-1]
    pieces = (flooded == k + 1 for k in range(number))
    return [atom for piece in pieces for atom in _atoms_of(piece, core, rounds - 1)]


def _solidity(region: NDArray[np.bool_]) -> float:
    """Voxels of a region over those of its convex hull; 1 for flat ones, which have no volume."""
    morphology, _ = scikit_image()
    spread = np.argwhere(region)
    if min(np.ptp(spread, axis=0)) == 0 or np.linalg.matrix_rank(spread - spread[0]) < 3:
        return 1.0
    return float(region.sum() / morphology.convex_hull_image(region, offset_coordinates=False).sum())
