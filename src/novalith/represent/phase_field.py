"""Phase fields as arrays: element numbers, element features, and the published vectors.

A field of k elements is a row of k element indices (position in `ELEMENTS`, atomic number minus one). Order carries no
meaning: `encode_fields` sorts each row by electronegativity, so two spellings of one field give the same bytes.

The published representation (Vasylenko et al., Nat. Commun. 12, 5561, 2021) instead lays the 37 features of the
elements end to end in the order written, 4 x 37 = 148 numbers, and feeds all 24 orders of a field.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from novalith.data.reported_fields import FOLDER
from novalith.errors import CapabilityError
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, PhaseField

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Arities whose fields the learned scorers know.
ARITIES = (2, 3, 4, 5)

#: Columns of `element_properties.csv` that describe chemistry; the rest serves the user's limits.
CHEMISTRY = (
    "electronegativity", "group", "row", "mendeleev_number", "atomic_radius_a", "highest_oxidation_state",
    "lowest_oxidation_state", "mean_ionic_radius_a", "is_metal", "is_f_block", "is_transition_metal",
    "electron_affinity_ev", "first_ionization_ev", "atomic_mass_u",
)  # fmt: skip


@dataclass(frozen=True)
class ElementTable:
    """Features of elements.

    Attributes:
        names: one a column.
        values: (118, columns) by atomic number minus one; NaN where the source has nothing.
    """

    names: tuple[str, ...]
    values: Floats

    @property
    def covered(self) -> frozenset[str]:
        """Elements with every feature."""
        return frozenset(s for s, row in zip(ELEMENTS, self.values, strict=True) if not np.isnan(row).any())


@lru_cache(maxsize=1)
def published_features() -> ElementTable:
    """The 37 features of 92 elements as published (lrcfmd/PhaseFieldRanking, from Magpie's elemental data)."""
    return _read_table("element_features_37.csv", None)


@lru_cache(maxsize=1)
def chemistry_features() -> ElementTable:
    """Fourteen public properties of all elements, standardised to mean 0 and deviation 1; unknown ones are the mean.

    From the periodic table of pymatgen; group, row and the three kinds are known for every element.
    """
    table = _read_table("element_properties.csv", CHEMISTRY)
    mean, deviation = np.nanmean(table.values, axis=0), np.nanstd(table.values, axis=0)
    filled = np.where(np.isnan(table.values), mean, table.values)
    return ElementTable(table.names, (filled - mean) / deviation)


def _read_table(file: str, columns: Sequence[str] | None) -> ElementTable:
    with (FOLDER / file).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = tuple(columns or [name for name in rows[0] if name != "element"])
    values = np.full((len(ELEMENTS), len(names)), np.nan)
    for row in rows:
        values[ATOMIC_NUMBERS[row["element"]] - 1] = [float(row[name] or "nan") for name in names]
    return ElementTable(names, values)


def encode_fields(fields: Sequence[PhaseField]) -> Indices:
    """Fields of one arity as (n, k) element indices, each row ordered by electronegativity.

    Raises:
        CapabilityError: the fields have different numbers of elements.
    """
    arities = sorted({len(field) for field in fields})
    if len(arities) > 1:
        raise CapabilityError(f"Fields of {arities} elements cannot share one array; encode each arity by itself.")
    rows = [[ATOMIC_NUMBERS[s] - 1 for s in field.elements] for field in fields]
    return canonical(np.array(rows, dtype=np.int64).reshape(len(rows), arities[0] if arities else 0))


def decode_fields(indices: Indices) -> list[PhaseField]:
    """The inverse of `encode_fields`, without loss."""
    return [PhaseField(tuple(ELEMENTS[i] for i in row)) for row in indices.tolist()]


def canonical(indices: Indices) -> Indices:
    """Each row sorted by electronegativity (unknown ones at the mean), ties by atomic number."""
    keys: Indices = _electronegativity_rank()[indices]
    keys.sort(axis=1)
    return _by_rank()[keys]


@lru_cache(maxsize=1)
def _by_rank() -> Indices:
    electronegativity = chemistry_features().values[:, CHEMISTRY.index("electronegativity")]
    return np.argsort(electronegativity, kind="stable")


@lru_cache(maxsize=1)
def _electronegativity_rank() -> Indices:
    return np.argsort(_by_rank(), kind="stable")


def group_by_arity(fields: Sequence[PhaseField]) -> dict[int, Indices]:
    """Arity -> encoded fields of that arity, arities ascending, order within an arity kept."""
    arities = sorted({len(field) for field in fields})
    return {k: encode_fields([field for field in fields if len(field) == k]) for k in arities}


def published_vectors(rows: Sequence[Sequence[str]]) -> Floats:
    """The published vectors (n, 37 k): features of each symbol end to end, in the order written, repeats allowed.

    Raises:
        CapabilityError: an element outside the published table of 92.
    """
    table = published_features()
    missing = sorted({s for row in rows for s in row} - table.covered)
    if missing:
        raise CapabilityError(
            f"The published table of element features has no row for {', '.join(missing)}; it holds 92 elements. "
            "Leave these fields out, or use the default scorer."
        )
    indices = np.array([[ATOMIC_NUMBERS[s] - 1 for s in row] for row in rows], dtype=np.int64)
    return table.values[indices].reshape(len(indices), -1)


def permuted_vectors(vectors: Floats, n_elements: int) -> Floats:
    """All orders of the elements: (n, 37 k) -> (n, k!, 37 k), the published way to forget the order."""
    blocks = vectors.reshape(len(vectors), n_elements, -1)
    orders = np.array(list(permutations(range(n_elements))))
    return blocks[:, orders].reshape(len(vectors), len(orders), -1)
