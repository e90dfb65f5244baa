"""Predicted properties of ranked crystals, by the shipped graph network: values to judge by, never to rank by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from novalith.campaign.record import RankedCrystal
from novalith.data.targets import TARGETS

#: BibTeX key of the predictor.
CITED = "structure-predictor"
#: The properties, in the order of tables.
PROPERTIES = (
    "formation_energy", "energy_per_atom", "band_gap", "bulk_modulus", "shear_modulus", "poisson_ratio",
    "dielectric_constant", "refractive_index",
)  # fmt: skip
#: Digits that are kept: differences beyond them are those of processors.
_DIGITS = 5


def with_properties(ranked: Sequence[RankedCrystal]) -> tuple[RankedCrystal, ...]:
    """The same rows with predicted properties; what has no prediction (an unknown element) is left out of a row."""
    if not ranked:
        return ()
    from novalith.recipes.cgcnn import default_structure_predictor

    said = default_structure_predictor().predict_all([row.crystal for row in ranked])
    rows = []
    for i, row in enumerate(ranked):
        known = {name: said[name] for name in PROPERTIES if name in said and np.isfinite(said[name].value[i])}
        properties = {
            name: (_rounded(p.value[i]), _rounded(p.uncertainty[i]), bool(p.in_range[i])) for name, p in known.items()
        }
        rows.append(replace(row, properties=properties))
    return tuple(rows)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def property_columns() -> tuple[str, ...]:
    """Headers of `candidates.csv`: value and uncertainty of each property, and which of them are out of range."""
    names = (f"predicted_{name}{_unit(name)}" for name in PROPERTIES)
    return (*(c for name in names for c in (name, f"{name}_uncertainty")), "predictions_out_of_range")


def property_cells(row: RankedCrystal) -> tuple[str, ...]:
    """The cells of a row under `property_columns`; empty where nothing is predicted."""
    cells: list[str] = []
    properties = row.properties or {}
    for name in PROPERTIES:
        value, uncertainty, _ = properties.get(name, (None, None, True))
        cells += ["" if x is None else f"{x:.{_DIGITS}g}" for x in (value, uncertainty)]
    return (*cells, " ".join(name for name in PROPERTIES if name in properties and not properties[name][2]))


def _unit(name: str) -> str:
    unit = TARGETS[name].unit.replace("/", "_per_").replace("eV", "ev").replace("GPa", "gpa")
    return f"_{unit}" if unit else ""
