"""What a model of voxel images gives back, in numbers: sites, cells, atoms, matches; and what it makes when asked.

*Site distance*: assignment of decoded to true sites with the least sum of minimum-image distances, over the number of
pairs (Å); atoms without a partner are counted apart. *Match*: pymatgen's StructureMatcher with stol 0.5, ltol 0.3 and
angle_tol 10 and its root-mean-square displacement over (V / N)^(1/3), the protocol of Xie et al. (ICLR 2022). Crystals
that do not decode count as no match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Crystal, Verdict
from novalith.recipes.court import SYMPREC_A, Court
from novalith.recipes.court_families import kind_of
from novalith.recipes.court_images import image_of
from novalith.recipes.court_training import FamilySet

MATCH_STOL, MATCH_LTOL, MATCH_ANGLE_TOL_DEG = 0.5, 0.3, 10.0
#: A site farther than this from its partner is counted as misplaced, Å.
FAR_A = 0.5
#: Crystals judged at a time.
AT_ONCE = 64


def site_distance(decoded: Crystal, true: Crystal) -> tuple[float, int]:
    """Mean distance of assigned sites (Å, in the true cell, of any species) and the number without a partner."""
    from scipy.optimize import linear_sum_assignment

    delta = np.asarray(decoded.frac_coords)[:, None] - np.asarray(true.frac_coords)
    delta -= np.round(delta)
    apart = np.linalg.norm(delta @ np.asarray(true.lattice), axis=2)
    rows, columns = linear_sum_assignment(apart)
    return float(apart[rows, columns].mean()), abs(decoded.n_atoms - true.n_atoms)


def match_rms(decoded: Crystal, true: Crystal) -> float | None:
    """Normalised root-mean-square displacement of matching crystals, None where they do not match."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(stol=MATCH_STOL, ltol=MATCH_LTOL, angle_tol=MATCH_ANGLE_TOL_DEG)
    found = matcher.get_rms_dist(decoded.to_structure(), true.to_structure())
    return None if found is None else float(found[0])


def reconstructed(
    model: Court, crystals: Sequence[Crystal], energies: NDArray[np.floating[Any]], *, fitted: bool = True
) -> list[tuple[Crystal | Verdict, Crystal | Verdict]]:
    """Of each crystal what comes back: as read, and moved onto its symmetry. An energy of NaN stands for unknown."""
    from novalith.represent.gene import symmetrised

    found: list[tuple[Crystal | Verdict, Crystal | Verdict]] = []
    for start in range(0, len(crystals), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        given = np.asarray(energies)[rows]
        codes = model.encode_prepared(crystals[rows], given)
        read = model.read(model.decoded(codes, given), fitted=fitted)
        found += [(c, c if isinstance(c, Verdict) else symmetrised(c, SYMPREC_A)) for c in read]
    return found


def exact_readings(
    model: Court, crystals: Sequence[Crystal], *, fitted: bool = True
) -> list[tuple[Crystal | Verdict, Crystal | Verdict]]:
    """As `reconstructed`, of exact images: what reading alone loses."""
    from novalith.represent.gene import symmetrised

    found: list[tuple[Crystal | Verdict, Crystal | Verdict]] = []
    for start in range(0, len(crystals), AT_ONCE):
        images = np.stack([image_of(c, model.settings.n) for c in crystals[start : start + AT_ONCE]])
        found += [
            (c, c if isinstance(c, Verdict) else symmetrised(c, SYMPREC_A)) for c in model.read(images, fitted=fitted)
        ]
    return found


def reconstruction_records(
    model: Court,
    test: FamilySet,
    most: int | None = None,
    *,
    known_energy: bool = False,
    exact: bool = False,
    fitted: bool = True,
) -> list[dict[str, Any]]:
    """Figures of each kind within a family, then of all; elements that the model lacks make a crystal unreadable.

    Args:
        model: of the family.
        test: crystals that it was not trained on.
        most: the first so many of them; all where None.
        known_energy: whether the model is told their energies.
        exact: whether it reads their own images instead of those that come back from the autoencoder.
        fitted: whether sites and species are fitted to the images, or taken from the network alone.
    """
    rows = np.arange(len(test.crystals))[:most]
    known = set(model.classes.symbols)
    inside = np.array([i for i in rows if set(test.crystals[i].species) <= known], dtype=int)
    chosen = [test.crystals[i] for i in inside]
    energies = test.energies[inside] if known_energy else np.full(len(inside), np.nan)
    products = (
        exact_readings(model, chosen, fitted=fitted) if exact else reconstructed(model, chosen, energies, fitted=fitted)
    )
    measured = [_measured(product, true) for product, true in zip(products, chosen, strict=True)]
    kinds = [kind_of(c, model.family) for c in chosen]
    strangers = len(rows) - len(inside)
    records = [
        _record(f"{model.family.name} {kind}", [m for m, k in zip(measured, kinds, strict=True) if k == kind], 0)
        for kind in sorted(set(kinds))
    ]
    return [*records, _record(f"{model.family.name}, all", measured, strangers)]


def _measured(product: tuple[Crystal | Verdict, Crystal | Verdict], true: Crystal) -> dict[str, float] | None:
    read, final = product
    if isinstance(read, Verdict) or isinstance(final, Verdict):
        return None
    distance, alone = site_distance(read, true)
    rms = match_rms(final, true)
    return {
        "distance": distance,
        "alone": alone,
        "edge": abs(read.lattice[0][0] - true.lattice[0][0]),
        "right count": float(alone == 0),
        "right formula": float(read.composition == true.composition),
        "rms": np.nan if rms is None else rms,
    }


def _record(name: str, measured: Sequence[dict[str, float] | None], strangers: int) -> dict[str, Any]:
    good = [m for m in measured if m is not None]
    n = len(measured) + strangers

    def mean(key: str) -> float | None:
        return float(np.mean([m[key] for m in good])) if good else None

    rms = [m["rms"] for m in good if np.isfinite(m["rms"])]
    return {
        "crystals": name,
        "n": n,
        "decoded, %": 100 * len(good) / max(n, 1),
        "site distance, A": mean("distance"),
        "unmatched atoms": mean("alone"),
        "edge error, A": mean("edge"),
        "right number of atoms, %": 100 * sum(m["right count"] for m in good) / max(n, 1),
        "right formula, %": 100 * sum(m["right formula"] for m in good) / max(n, 1),
        "match, %": 100 * len(rms) / max(n, 1),
        "rms of matches": float(np.mean(rms)) if rms else None,
        "unknown element": strangers,
    }
