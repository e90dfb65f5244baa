"""Volumes of crystals from their composition, calibrated on known structures.

    V / N = sum_i x_i (a_i + b_i s),    s = sqrt(sum_i x_i (X_i - <X>)^2)

with atomic fractions x_i, Pauling electronegativities X_i and, per element, two coefficients: a_i, its volume among
like neighbours (Å3), and b_i, what the charge transfer measured by s adds or takes (Na shrinks in salt, Cl grows). The
form follows the data-mined lattice scaling of Chu et al. (Comput. Mater. Sci. 146, 184,
2018), which applies it to radii. The coefficients are found by ridge regression on relative errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Composition

#: Weight of the ridge on (a_i - a_0) / a_0 and b_i / a_0, in units of one structure with unit relative error; chosen
#: by five-fold cross-validation on the bundled structures from 0.03, 0.1, 0.3, 1 (median relative error 5.4 %).
RIDGE = 0.03
#: Crystals larger or smaller than this per atom (Å3) are molecular, hydrogen-rich or faulty and spoil the fit.
FITTED_RANGE = (4.0, 80.0)
#: The fit may give the smallest cations next to nothing, or less; this keeps their sizes comparable.
SMALLEST_ATOM_A3 = 2.0


@dataclass(frozen=True, eq=False)
class VolumeModel:
    """Volumes per element.

    Attributes:
        base: a_i by atomic number minus one, Å3.
        transfer: b_i, Å3 per unit of s.
    """

    base: np.ndarray[Any, Any]
    transfer: np.ndarray[Any, Any]

    def volume(self, composition: Composition) -> float:
        """Volume of as many atoms as the composition counts, Å3."""
        x, s = _fractions([composition])
        per_atom = float((x @ self.base + s * (x @ self.transfer))[0])
        return max(per_atom, FITTED_RANGE[0]) * composition.n_atoms

    def shares(self, composition: Composition) -> dict[str, float]:
        """Volume of one atom of each element in a compound of that composition, Å3, at least `SMALLEST_ATOM_A3`."""
        _, s = _fractions([composition])
        per_atom = self.base + float(s[0]) * self.transfer
        return {e: max(float(per_atom[ATOMIC_NUMBERS[e] - 1]), SMALLEST_ATOM_A3) for e, _ in composition.counts}


def fit_volumes(compositions: Sequence[Composition], volumes_a3: Sequence[float]) -> VolumeModel:
    """Fit the model to crystals of the given compositions and cell volumes (Å3)."""
    size = np.array([c.n_atoms for c in compositions], dtype=float)
    per_atom = np.asarray(volumes_a3, dtype=float) / size
    x, s = _fractions(compositions)
    kept = (per_atom > FITTED_RANGE[0]) & (per_atom < FITTED_RANGE[1])
    x, s, per_atom = x[kept], s[kept], per_atom[kept]
    start = _start(float(np.median(per_atom)) if len(per_atom) else 20.0)
    scale = np.concatenate([start, start])
    # unknowns: u = (a - a_0) / a_0 and w = b / a_0, so that the ridge is without units
    design = np.hstack([x, x * s[:, None]]) / per_atom[:, None] * scale
    target = 1.0 - (x @ start) / per_atom
    solution = np.linalg.solve(design.T @ design + RIDGE * np.eye(len(scale)), design.T @ target) * scale
    return VolumeModel(start + solution[: len(start)], solution[len(start) :])


def _start(typical: float) -> np.ndarray[Any, Any]:
    """a_0: spheres of the atomic radii (Slater 1964, from pymatgen), scaled to a typical volume per atom."""
    from pymatgen.core import Element

    radii = np.array([float(Element(s).atomic_radius or np.nan) for s in ELEMENTS])
    cubes = radii**3
    cubes = np.where(np.isnan(cubes), np.nanmedian(cubes), cubes)
    return typical * (cubes / np.median(cubes)) ** 0.5


def _fractions(compositions: Sequence[Composition]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Atomic fractions (n, 118) and spread of electronegativity (n,)."""
    x = np.zeros((len(compositions), len(ELEMENTS)))
    for row, composition in zip(x, compositions, strict=True):
        for symbol, number in composition.counts:
            row[ATOMIC_NUMBERS[symbol] - 1] = number
    x /= x.sum(axis=1, keepdims=True)
    electronegativity = electronegativities()
    mean = x @ electronegativity
    return x, np.sqrt(np.maximum(x @ electronegativity**2 - mean**2, 0.0))


@cache
def electronegativities() -> np.ndarray[Any, Any]:
    """Pauling electronegativities by atomic number minus one (pymatgen); 2.0 for the noble gases without one."""
    import warnings

    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")
        values = np.array([float(Element(s).X) for s in ELEMENTS])
    return np.where(np.isnan(values), 2.0, values)
