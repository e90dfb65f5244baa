"""The lattice of a repeating crystal, found again from a box of its density: the shifts that map the box onto itself.

    D(t) = sum_r (rho(r) - rho(r + t))^2 / (sum_r rho(r)^2 - M(t)^2 / N(t))   over the N(t) voxels r with r and r + t
                                                                              inside the box, M the sum over both
    D(t) = 0 for a lattice vector t, about 1 for a shift that has nothing to do with the lattice

This is the autocorrelation of the density, divided by what it would be for equal boxes, so that long shifts with little
overlap count as much as short ones. All D come from five Fourier transforms of the box, padded to twice its edge. The
minima are refined by a parabola an axis; the lattice is spanned by the three shortest independent ones, and fitted by
least squares to all minima that it explains, multiples included, which makes it more exact than any one of them.

Cells with an edge beyond about four fifths of the box cannot be found: too little of the box overlaps itself.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Verdict
from novalith.represent.density_box import Box

Floats = NDArray[np.float64]

RULE = "lattice"
#: Least share of the box that has to overlap itself; below it noise makes minima of its own.
LEAST_OVERLAP = 0.04
#: Shortest lattice vector looked for, Å: shorter than any in a crystal.
SHORTEST_A = 2.0
#: Minima below the best one plus this count as lattice vectors in the first attempt, then `GROWTH` times as much,
#: and so on.
FIRST_TOLERANCE, GROWTH, N_ATTEMPTS = 3e-4, 3.0, 7
#: Minima below this count when a cell that is roughly known is corrected.
LOOSE_TOLERANCE = 0.3
#: A shift is explained by a lattice when it lies this near (Å) to one of its vectors.
EXPLAINED_A = 0.35
#: Shortest vectors of which three may span the cell.
MOST_SPANNING = 24
#: Least volume of three vectors over the product of their lengths: flatter cells are not spanned by them.
LEAST_SHAPE = 0.3


def self_difference(density: NDArray[np.floating], box: Box) -> tuple[Floats, NDArray[np.int64]]:
    """D at all shifts of half the box or less overlap, and the axis of shifts in voxels.

    Args:
        density: (n, n, n).
        box: the grid.

    Returns:
        D of shape (2n - 1, 2n - 1, 2n - 1), infinite where the overlap is too small, and the (2n - 1,) shifts.
    """
    from scipy import fft

    n = box.n
    rho = np.asarray(density, dtype=np.float64)
    ones = np.ones_like(rho)
    size = (2 * n,) * 3
    f, f2, w = (fft.rfftn(x, size) for x in (rho, rho**2, ones))

    def correlation(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> Floats:
        """sum_r a(r) b(r + t)."""
        found: Floats = fft.irfftn(a.conj() * b, size)
        return found

    overlap = np.maximum(correlation(w, w), 1e-9)
    squares = correlation(f2, w) + correlation(w, f2)
    sums = correlation(f, w) + correlation(w, f)
    product = correlation(f, f)
    spread = squares - sums**2 / (2 * overlap)
    d = (squares - 2 * product) / np.maximum(spread, 1e-9 * float(squares.max()))
    d[overlap < LEAST_OVERLAP * n**3] = np.inf
    shifts = np.arange(-(n - 1), n)
    ordered = d[np.ix_(shifts % (2 * n), shifts % (2 * n), shifts % (2 * n))]
    return ordered, shifts


def lattice_shifts(density: NDArray[np.floating], box: Box) -> tuple[Floats, Floats]:
    """Minima of D: shifts (m, 3) in Å, one of each pair t and -t, and their D (m,), best first."""
    from scipy.ndimage import minimum_filter

    d, shifts = self_difference(density, box)
    lowest = (d == minimum_filter(d, size=3, mode="nearest")) & np.isfinite(d)
    places = np.argwhere(lowest)
    inner = ((places > 0) & (places < len(shifts) - 1)).all(axis=1)
    places = places[inner]
    vectors = shifts[places].astype(np.float64)
    first = np.lexsort(vectors.T[::-1])
    half = first[len(first) // 2 :]  # t and -t have the same D: the later half in the order of t
    places, vectors = places[half], vectors[half]
    long_enough = np.linalg.norm(vectors, axis=1) * box.voxel_a > SHORTEST_A
    places, vectors = places[long_enough], vectors[long_enough]
    value = d[tuple(places.T)]
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        before, after = d[tuple((places - step).T)], d[tuple((places + step).T)]
        known = np.isfinite(before) & np.isfinite(after)
        before, after = np.where(known, before, 1.0), np.where(known, after, 1.0)
        curve = np.where(known, before + after - 2 * d[tuple(places.T)], 0.0)
        moved = np.clip((before - after) / np.maximum(2 * curve, 1e-9), -0.5, 0.5)
        vectors[:, axis] += moved
        value = value - moved**2 * curve / 2
    order = np.argsort(value)
    return vectors[order] * box.voxel_a, value[order]


def lattice_candidates(density: NDArray[np.floating], box: Box) -> list[Floats] | Verdict:
    """Cells (3, 3) that map the box onto itself, from the strictest tolerance to the loosest, Niggli reduced."""
    if not np.isfinite(density).all() or float(np.ptp(density)) < 1e-6:
        return Verdict(False, RULE, "The density is flat or not finite: no atoms, no lattice.")
    vectors, values = lattice_shifts(density, box)
    if len(values) < 3:
        return Verdict(False, RULE, f"{len(values)} shifts map the density onto itself; three are needed.")
    found: list[Floats] = []
    for attempt in range(N_ATTEMPTS):
        good = values <= max(values[2], 0.0) + FIRST_TOLERANCE * GROWTH**attempt
        lattice = spanned(vectors[good])
        if lattice is None:
            continue
        lattice = fitted(lattice, vectors[good])
        edges = np.linalg.norm(lattice, axis=1)
        if not any(np.allclose(edges, np.linalg.norm(other, axis=1), atol=0.1) for other in found):
            found.append(lattice)
    if not found:
        return Verdict(False, RULE, "No three independent shifts map the density onto itself: not a repeating lattice.")
    return found


def spanned(vectors: Floats) -> Floats | None:
    """The three shortest independent vectors, right-handed, or None."""
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(lengths)[:MOST_SPANNING]
    triples = np.array(list(combinations(order, 3)), dtype=np.int64).reshape(-1, 3)
    volumes = np.linalg.det(vectors[triples])
    spanning = np.abs(volumes) >= LEAST_SHAPE * lengths[triples].prod(axis=1)
    if not spanning.any():
        return None
    triples, volumes = triples[spanning], volumes[spanning]
    # The smallest volume, and of equal ones the shortest vectors.
    best = np.lexsort([lengths[triples].sum(axis=1), np.round(np.abs(volumes))])[0]
    cell = vectors[triples[best]]
    return cell if volumes[best] > 0 else -cell


def fitted(lattice: Floats, vectors: Floats) -> Floats:
    """The lattice nearest to all the vectors it explains."""
    for _ in range(3):
        whole = np.rint(vectors @ np.linalg.inv(lattice))
        explained = (np.linalg.norm(whole @ lattice - vectors, axis=1) < EXPLAINED_A) & whole.any(axis=1)
        if np.linalg.matrix_rank(whole[explained]) < 3:
            return lattice
        lattice = np.linalg.lstsq(whole[explained], vectors[explained], rcond=None)[0]
    return lattice


def corrected_cell(density: NDArray[np.floating], lattice: Floats, box: Box) -> list[Floats]:
    """A cell moved onto the shifts of the density nearest to it; empty where the density has none near it."""
    vectors, values = lattice_shifts(density, box)
    near = fitted(lattice, vectors[values <= LOOSE_TOLERANCE])
    lengths = np.linalg.norm(near, axis=1)
    usable = np.isfinite(near).all() and np.linalg.det(near) > LEAST_SHAPE * lengths.prod()
    return [near] if usable and not np.array_equal(near, lattice) else []
