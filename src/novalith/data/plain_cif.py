"""The plainest CIF, read fast: one block in P1, one row a fully occupied atom, as pymatgen writes it.

Tables of thousands of structures are mostly written so, and the general reader takes a hundred times as long. Text that
departs from the form in the least (another symmetry, another column, an uncertainty in brackets, a charge) is not read
here but left to `novalith.data.door_cif`; what is read meets the same limits.
"""

from __future__ import annotations

import re

import numpy as np

from novalith.data.door_checks import LARGEST_COORDINATE, SHORTEST_DISTANCE_A, RefusalError, check_parameters
from novalith.materials import ATOMIC_NUMBERS, Crystal

_NUMBER = r"-?\d+\.\d+"
_WORD = r"(?:'[^'\n]*'|[^\s'\"#;_]\S*)"
_FORM = re.compile(
    r"\s*(?:#[^\n]*\n)?data_\S*\n"
    r"(?:_symmetry_space_group_name_H-M +'P 1'\n)"
    + "".join(
        rf"_cell_{kind}_{axis} +(?P<{axis}>{_NUMBER})\n"
        for kind, axes in (("length", "abc"), ("angle", ("alpha", "beta", "gamma")))
        for axis in axes
    )
    + r"_symmetry_Int_Tables_number +1\n"
    rf"(?:_chemical_formula_(?:structural|sum) +{_WORD}\n|_cell_volume +{_NUMBER}\n|_cell_formula_units_Z +\d+\n)*"
    r"loop_\n _symmetry_equiv_pos_site_id\n _symmetry_equiv_pos_as_xyz\n  1  'x, y, z'\n"
    r"loop_\n _atom_site_type_symbol\n _atom_site_label\n _atom_site_symmetry_multiplicity\n"
    r" _atom_site_fract_x\n _atom_site_fract_y\n _atom_site_fract_z\n _atom_site_occupancy\n"
    rf"(?P<rows>(?:  [A-Z][a-z]?  \w+  1(?:  {_NUMBER}){{3}}  1(?:\.0)?\n?)+)\s*"
)


def read_plain_cif(text: str, where: str, max_sites: int) -> Crystal | None:
    """The crystal of a plain CIF; None where the text is anything else.

    Raises:
        RefusalError: it is of that form and describes no crystal: an impossible cell, atoms on one another.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    rows = [line.split() for line in match["rows"].splitlines()]
    species = [row[0] for row in rows]
    if len(rows) > max_sites or not ATOMIC_NUMBERS.keys() >= set(species):
        return None
    lengths = [float(match[axis]) for axis in ("a", "b", "c")]
    angles = [float(match[axis]) for axis in ("alpha", "beta", "gamma")]
    check_parameters(lengths, angles, where)
    positions = np.array([row[3:6] for row in rows], dtype=float)
    if np.abs(positions).max() > LARGEST_COORDINATE:
        return None
    lattice = _lattice(lengths, angles)
    _check_overlap(lattice, positions, species, where)
    return Crystal.from_arrays(lattice.tolist(), species, positions.tolist())


def _lattice(lengths: list[float], angles: list[float]) -> np.ndarray:
    from pymatgen.core import Lattice

    return np.array(Lattice.from_parameters(*lengths, *angles).matrix)


def _check_overlap(lattice: np.ndarray, positions: np.ndarray, species: list[str], where: str) -> None:
    from pymatgen.optimization.neighbors import find_points_in_spheres

    points = positions @ lattice
    first, second, _, distances = find_points_in_spheres(
        points, points, r=SHORTEST_DISTANCE_A, pbc=np.array([1, 1, 1], dtype=np.int64), lattice=lattice, tol=1e-8
    )
    apart = first != second
    if apart.any() or (distances > 1e-8).any():
        k = int(np.argmax(apart | (distances > 1e-8)))
        a, b = sorted((int(first[k]), int(second[k])))
        raise RefusalError(
            "overlap",
            f"{where}: sites {a + 1} ({species[a]}) and {b + 1} ({species[b]}) are {distances[k]:.4f} Å apart, closer "
            f"than {SHORTEST_DISTANCE_A:g} Å. Merge them, or give special positions with more digits.",
        )
