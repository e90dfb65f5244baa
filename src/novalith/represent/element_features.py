"""The published element features that follow from public properties, computed anew.

Of the 37 columns of the published table these can be had from the periodic table of pymatgen and the covalent radii of
ASE (Cordero et al., Dalton Trans. 2832, 2008). The others are results of one set of DFT calculations (BCC... and GS...
columns), tabulated scales (Pettifor, MendeleevNumber) or measurements without a single public source (ICSDVolume,
Polarizability), and are shipped as published.
"""

from __future__ import annotations

import re
import warnings

import numpy as np

from novalith.materials import ELEMENTS
from novalith.represent.phase_field import ElementTable, published_features

_CAPACITY = {"s": 2, "p": 6, "d": 10, "f": 14}
REPRODUCED = (
    "Number", "AtomicWeight", "AtomicVolume", "Column", "Row", "Electronegativity", "FirstIonizationEnergy",
    "CovalentRadius", "NsValence", "NpValence", "NdValence", "NfValence", "NValance",
    "NsUnfilled", "NpUnfilled", "NdUnfilled", "NfUnfilled", "NUnfilled",
)  # fmt: skip


def public_features() -> ElementTable:
    """The columns `REPRODUCED` for all elements, NaN where the public sources have nothing."""
    from ase.data import covalent_radii
    from pymatgen.core import Element
    from scipy.constants import N_A

    values = np.full((len(ELEMENTS), len(REPRODUCED)), np.nan)
    for i, symbol in enumerate(ELEMENTS[:103]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pymatgen warns of each property it does not know
            element = Element(symbol)
            density = element.data.get("Density of solid")  # kg/m3
            electronegativity = element.X
        mass = float(element.atomic_mass)
        volume = mass * 1e-3 / N_A / density * 1e30 if isinstance(density, int | float) else np.nan
        ionisation = element.ionization_energies[0] if element.ionization_energies else np.nan
        valence = valence_electrons(symbol)
        unfilled = {shell: _CAPACITY[shell] - n if n else 0 for shell, n in valence.items()}
        values[i] = [
            i + 1, mass, volume, _column(element.group, element.Z), _row(element.Z), electronegativity,
            np.nan if ionisation is None else ionisation, covalent_radii[i + 1] * 100,
            *(valence[s] for s in "spdf"), sum(valence.values()),
            *(unfilled[s] for s in "spdf"), sum(unfilled.values()),
        ]  # fmt: skip
    return ElementTable(REPRODUCED, values)


def valence_electrons(symbol: str) -> dict[str, int]:
    """Electrons outside of the noble-gas core by shell letter, from the ground-state configuration."""
    from pymatgen.core import Element

    configuration = Element(symbol).data["Electronic structure"]["0"]
    shells = dict.fromkeys("spdf", 0)
    for letter, number in re.findall(r"\d([spdf])(\d+)", configuration.split("]")[-1]):
        shells[letter] += int(number)
    return shells


def _row(z: int) -> int:
    return next(row for row, last in enumerate((2, 10, 18, 36, 54, 86, 118), start=1) if z <= last)


def _column(group: int, z: int) -> int:
    # The published table counts every lanthanide and actinide to column 3.
    return 3 if 57 <= z <= 71 or 89 <= z <= 103 else group


def agreement(relative_tolerance: float = 0.01) -> dict[str, float]:
    """For each reproduced column the share of the 92 published elements that agrees within a tolerance."""
    published, public = published_features(), public_features()
    shares = {}
    for j, name in enumerate(public.names):
        ours, theirs = public.values[:, j], published.values[:, published.names.index(name)]
        listed = ~np.isnan(theirs)
        close = np.isclose(ours[listed], theirs[listed], rtol=relative_tolerance, atol=1e-9)
        shares[name] = round(float(close.mean()), 3)
    return shares
