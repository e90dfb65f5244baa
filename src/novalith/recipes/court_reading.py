"""Sites and species fitted to an image: every atom in it is a Gaussian whose width is known.

    1. places and columns   v ~ log(1 + sum_j G_j g(r - r_j; 0.7 Å) / d0): all r_j and G_j by damped Gauss-Newton from
                            the cores; while a misfit is left, one atom more, where most is lacking or by parting the
                            site that is explained worst, k in all for the least misfit / 0.35^k
    2. species              each site the element with the least (log G_j - log G_e)^2 / 2 s^2 + misfit of u / 2 t^2,
                            from the largest shares in non-negative least squares; sites in turn until none changes
                            (iterated conditional modes: Besag, J. R. Stat. Soc. B 48, 259, 1986)

A core is good to a voxel, and a network tells neighbours in a row apart by one voxel's height at a time. The fit uses
all voxels of an atom at once, and shares out exactly what two atoms have in common: atoms that melt into one core come
apart again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.materials import ATOMIC_NUMBERS
from novalith.recipes.court_images import BEND, COLUMN_RATIO, COLUMN_SIGMA_A, axis_of, column
from novalith.represent.density_coordinates import SAME_SITE_A, ionic_radius_a

Floats = NDArray[np.float64]

#: Atoms whose fitted column is below this are none.
LEAST_COLUMN = 0.5
#: One atom more is tried where the misfit of log(1 + columns / d0) is above the first, root mean square; several where
#: it is above the second or a site is higher than every column. Images on the way between two crystals have 0.02 to
#: 0.08 without lacking an atom; beryllium melted into oxygen has 0.026.
MISFIT, LARGE_MISFIT = 0.02, 0.08
HIGHEST_COLUMN = 1.03 * COLUMN_RATIO**31
#: Each must leave no more than this share of the misfit.
HELPFUL = 0.35
#: At most so many atoms are added to the cores.
MOST_ADDED = 6
#: Errors of log G and of u that decoded images have, natural logarithms.
COLUMN_ERROR, DENSITY_ERROR = 0.02, 0.03
#: Elements whose columns are farther from the fitted one than the nearest by so many errors are not tried.
TRIED_ERRORS = 3.0
#: Weight of the rule that the shares of the elements of a site sum to one, beside the images of all sites.
_WHOLE = 10.0
#: Images farther than so many widths are left out.
_REACH = 5.0
#: The halves of a site are tried so far to either side of it, Å.
_SPLIT_A = 0.7
#: No further atom is tried where two have left more than this share of the misfit.
HOPELESS = 0.6
_ROUNDS, _TRIAL_ROUNDS, _SWEEPS, _LONGEST_MOVE_A = 12, 5, 4, 0.2


@dataclass(frozen=True, eq=False)
class ColumnFit:
    """Sites fitted to an image of columns.

    Attributes:
        frac: (m, 3).
        heights: (m,) G.
        misfit: root mean square over the voxels of the logarithms.
    """

    frac: Floats
    heights: Floats
    misfit: float


def factors(frac: Floats, edge_a: float, sigma_a: float, n: int) -> tuple[Floats, Floats]:
    """(m, 3, n) unit Gaussians along each axis with all their images, and their derivatives by the fractions."""
    most = int(np.ceil(_REACH * sigma_a / edge_a)) + 1
    apart = (axis_of(n) - frac[:, :, None])[..., None] - np.arange(-most, most + 1)  # (m, 3, n, images)
    each = np.exp(-((apart * edge_a) ** 2) / (2 * sigma_a**2))
    return each.sum(axis=-1), (each * apart).sum(axis=-1) * (edge_a / sigma_a) ** 2


def _product(x: Floats, y: Floats, z: Floats) -> Floats:
    """(m, n), (m, n), (m, n) -> (m, n^3)."""
    planes = (y[:, :, None] * z[:, None, :]).reshape(len(y), 1, -1)
    return (x[:, :, None] * planes).reshape(len(x), x.shape[1] ** 3)


def fit_columns(v: NDArray[Any], frac: Floats, heights: Floats, edge_a: float, rounds: int = _ROUNDS) -> ColumnFit:
    """Places and heights that explain an image v (n, n, n) of logarithms best, from some that are near."""
    n, wanted = v.shape[0], np.asarray(v, dtype=float).reshape(-1)
    unit = (2 * np.pi * COLUMN_SIGMA_A**2) ** -1.5

    def seen(frac: Floats, heights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        g, slope = factors(frac, edge_a, COLUMN_SIGMA_A, n)
        shapes = unit * _product(g[:, 0], g[:, 1], g[:, 2])
        total = BEND + heights @ shapes
        return g, slope, shapes, total

    frac, heights = frac.astype(float), np.maximum(heights.astype(float), LEAST_COLUMN)
    g, slope, shapes, total = seen(frac, heights)
    residual = wanted - np.log(total / BEND)
    damping = 1e-3
    for _ in range(rounds):
        weighted = (unit * heights)[:, None] / total
        moved = [
            weighted * _product(*(slope[:, b] if a == b else g[:, b] for b in range(3))) / edge_a for a in range(3)
        ]
        jacobian = np.concatenate([*moved, heights[:, None] * shapes / total])  # Å and log G
        normal, gradient = jacobian @ jacobian.T, jacobian @ residual
        normal[np.diag_indices_from(normal)] *= 1 + damping
        normal[np.diag_indices_from(normal)] += 1e-9 * np.trace(normal) / len(normal) + 1e-30
        steps = np.linalg.solve(normal, gradient).reshape(4, -1)
        steps[:3] *= np.minimum(1.0, _LONGEST_MOVE_A / np.maximum(np.linalg.norm(steps[:3], axis=0), 1e-12))
        trial = frac + steps[:3].T / edge_a, heights * np.exp(np.clip(steps[3], -0.7, 0.7))
        came = seen(*trial)
        left = wanted - np.log(came[3] / BEND)
        if left @ left < residual @ residual:
            small = np.abs(steps).max() < 1e-4
            (frac, heights), (g, slope, shapes, total), residual = trial, came, left
            damping = max(damping / 10, 1e-9)
            if small:
                break
        elif damping > 1e3:
            break
        else:
            damping = max(damping, 1e-4) * 10
    return ColumnFit(frac, heights, float(np.sqrt((residual @ residual) / len(residual))))


def explained(fit: ColumnFit, edge_a: float, n: int) -> Floats:
    """(n, n, n) log(1 + columns / d0) of a fit."""
    g, _ = factors(fit.frac, edge_a, COLUMN_SIGMA_A, n)
    shapes = (2 * np.pi * COLUMN_SIGMA_A**2) ** -1.5 * _product(g[:, 0], g[:, 1], g[:, 2])
    found: Floats = np.log1p(fit.heights @ shapes / BEND).reshape(n, n, n)
    return found


def all_sites(v: NDArray[Any], frac: Floats, edge_a: float) -> ColumnFit:
    """The fit from the places of cores, atoms added where they lack and taken away where there are none."""
    n = v.shape[0]
    at = np.floor(frac * n).astype(int) % n
    start = BEND * np.expm1(np.asarray(v, dtype=float)[tuple(at.T)]) * (2 * np.pi * COLUMN_SIGMA_A**2) ** 1.5
    fit = _merged(v, fit_columns(v, frac, start, edge_a), edge_a)
    found = [fit]
    large = fit.misfit > LARGE_MISFIT or fit.heights.max() > HIGHEST_COLUMN
    while found[-1].misfit > MISFIT and len(found) <= (MOST_ADDED if large else 1):
        tries = [fit_columns(v, *start, edge_a, _TRIAL_ROUNDS) for start in _one_more(v, found[-1], edge_a)]
        best = min(tries, key=lambda f: f.misfit)
        found.append(fit_columns(v, best.frac, best.heights, edge_a))
        if len(found) > 2 and found[-1].misfit > HOPELESS * found[-3].misfit:
            break
    fit = min(enumerate(found), key=lambda item: item[1].misfit / HELPFUL ** item[0])[1]
    fit = _merged(v, fit, edge_a)
    there = fit.heights >= LEAST_COLUMN
    if there.any() and not there.all():
        fit = fit_columns(v, fit.frac[there], fit.heights[there], edge_a)
    return fit


def _merged(v: NDArray[Any], fit: ColumnFit, edge_a: float) -> ColumnFit:
    """Sites that came to lie on one place made one."""
    left = np.argsort(-fit.heights)
    kept: list[int] = []
    heights = fit.heights.copy()
    for j in left.tolist():
        away = fit.frac[kept] - fit.frac[j]
        same = np.flatnonzero(np.linalg.norm(away - np.round(away), axis=1) * edge_a < SAME_SITE_A)
        if len(same):
            heights[kept[int(same[0])]] += heights[j]
        else:
            kept.append(j)
    return fit if len(kept) == len(left) else fit_columns(v, fit.frac[kept], heights[kept], edge_a)


def _one_more(v: NDArray[Any], fit: ColumnFit, edge_a: float) -> list[tuple[Floats, Floats]]:
    """Starts with one atom more: where most is lacking, or the worst and the highest site parted along each axis."""
    n = v.shape[0]
    lacking = np.asarray(v, dtype=float) - explained(fit, edge_a, n)
    peak = (np.array(np.unravel_index(int(lacking.argmax()), lacking.shape)) + 0.5) / n
    starts = [(np.vstack([fit.frac, peak]), np.append(fit.heights, np.median(fit.heights) / 2))]
    away = fit.frac - peak
    worst = {int(np.linalg.norm(away - np.round(away), axis=1).argmin()), int(fit.heights.argmax())}
    for j in sorted(worst):
        half = fit.heights.copy()
        half[j] /= 2
        for move in np.eye(3) * _SPLIT_A / edge_a:
            frac = np.vstack([fit.frac, fit.frac[j] - move])
            frac[j] += move
            starts.append((frac, np.append(half, half[j])))
    return starts


def likeliest(
    u: NDArray[Any], fit: ColumnFit, edge_a: float, symbols: tuple[str, ...], prior: Floats | None = None
) -> list[str]:
    """The element of each site by its column and the density.

    Args:
        u: (n, n, n) log(1 + density / d0).
        fit: the sites.
        edge_a: of the cell, Å.
        symbols: elements that may be.
        prior: (m, elements) log probabilities.
    """
    n, wanted = u.shape[0], np.asarray(u, dtype=float).reshape(-1)
    numbers = np.array([ATOMIC_NUMBERS[s] for s in symbols])
    columns = np.log([column(int(z)) for z in numbers])
    off = (np.log(fit.heights)[:, None] - columns) / COLUMN_ERROR
    cost = off**2 / 2 - (0.0 if prior is None else prior)
    shown = {}
    for j, row in enumerate(np.abs(off)):
        tried = np.flatnonzero(row <= row.min() + TRIED_ERRORS)
        radii = [ionic_radius_a(int(numbers[k])) for k in tried]
        parts = [factors(fit.frac[j : j + 1], edge_a, s, n)[0][0] for s in radii]
        shapes = np.stack([_product(*(p[None, a] for a in range(3)))[0] for p in parts])
        weight = numbers[tried] / (2 * np.pi * np.array(radii) ** 2) ** 1.5
        shown[j] = tried, weight[:, None] * shapes
    chosen = _first_choice(wanted, [images for _, images in shown.values()])
    total = BEND + sum(shown[j][1][k] for j, k in enumerate(chosen))
    for _ in range(_SWEEPS):
        changed = False
        for j in range(len(chosen)):
            tried, images = shown[j]
            others = total - images[chosen[j]]
            misfit = ((wanted - np.log((others + images) / BEND)) ** 2).sum(axis=1) / (2 * DENSITY_ERROR**2)
            best = int((misfit + cost[j, tried]).argmin())
            changed |= best != chosen[j]
            chosen[j], total = best, others + images[best]
        if not changed:
            break
    return [symbols[shown[j][0][k]] for j, k in enumerate(chosen)]


def _first_choice(wanted: Floats, images: list[Floats]) -> list[int]:
    """Of the images of the elements that each site may be, those with the largest shares in non-negative least squares.

    Sites that change one at a time do not leave a start in which several are wrong together.
    """
    from scipy.optimize import nnls

    weight = np.exp(-wanted) / BEND
    rows = np.concatenate(images) * weight
    site = np.repeat(np.arange(len(images)), [len(i) for i in images])
    whole = (site == np.arange(len(images))[:, None]).astype(float) * _WHOLE
    normal = rows @ rows.T + whole.T @ whole
    gradient = rows @ (1 - np.exp(-wanted)) + _WHOLE * whole.sum(axis=0)
    root = np.linalg.cholesky(normal + 1e-9 * np.trace(normal) / len(normal) * np.eye(len(normal)))
    shares, _ = nnls(root.T, np.linalg.solve(root, gradient), maxiter=100 * len(normal))
    return [int(shares[site == j].argmax()) for j in range(len(images))]
