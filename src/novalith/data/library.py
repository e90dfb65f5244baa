"""The one door to the bundled tables: what is known of materials, less what is hidden.

======================  ============================================================  ==========================
attribute               content                                                       hidden by
======================  ============================================================  ==========================
`structures`            crystals of the Materials Project with properties             formula, system, id
`hull_energies`         lowest formation energy a formula, Materials Project          formula, system
`reported`              formulas with experimental evidence                           formula, system
`oqmd`                  lowest formation energy a formula, OQMD                       formula, system
`wyckoff_prior`         how often crystals use which Wyckoff positions                nothing: see below
`elemental_references`  energies of the elements by a potential                       nothing: the zero of a scale
======================  ============================================================  ==========================

The Wyckoff prior counts, over 88,678 crystals, how often a space group, a number of atoms and a list of Wyckoff letters
occur together. It holds no element, no formula, no cell and no coordinate, so a hidden material cannot be recovered
from it; that some crystal used a pattern is all it says.

Every table is read when it is first asked for and kept by the `Library` that asked. Nothing is kept by this module, so
a library that hides cannot see through one that does not. The tables and their units are described by their cards
(`novalith.data.cards`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.data.hidden import Hidden
from novalith.errors import CorruptDataError, InputError, UnknownNameError
from novalith.materials import Composition, Crystal, Gene, Orbit

if TYPE_CHECKING:
    from pyarrow import Table

__all__ = ["BUNDLE", "Hidden", "KnownStructure", "Library", "WyckoffPattern"]

#: Where the tables lie.
BUNDLE = Path(__file__).parent / "bundle"

#: The tables store whole numbers of these parts; 1/3, 1/8 and 1/12 of a cell edge are whole.
LENGTH_PARTS_PER_A, ANGLE_PARTS_PER_DEG, COORDINATE_PARTS = 100_000, 100_000, 1_200_000
HULL_PARTS_PER_EV, OQMD_PARTS_PER_EV = 10_000, 1_000

#: Columns of the table of structures that are not properties.
_GEOMETRY = frozenset("id formula a b c alpha beta gamma sites coordinates spacegroup orbits".split())


@dataclass(frozen=True)
class KnownStructure:
    """A crystal of the Materials Project.

    Attributes:
        id: "mp-22862".
        crystal: relaxed by DFT, in the cell in which it was published.
        gene: found at 0.1 Å, as everywhere in this package.
        formula: reduced formula as `Composition.formula` spells it.
        properties: what is known of it, units in the names: formation_energy_ev_per_atom,
            energy_above_hull_ev_per_atom, band_gap_ev, bulk_modulus_gpa, shear_modulus_gpa, poisson_ratio,
            refractive_index, dielectric_electronic, dielectric_total, piezoelectric_modulus_c_per_m2.
    """

    id: str
    crystal: Crystal
    gene: Gene
    formula: str
    properties: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, order=True)
class WyckoffPattern:
    """Wyckoff positions that crystals were found to occupy together.

    Attributes:
        spacegroup: 1 to 230.
        n_atoms: in the conventional cell.
        letters: one a position, repeated as often as it is occupied.
        count: how many crystals.
    """

    spacegroup: int
    n_atoms: int
    letters: tuple[str, ...]
    count: int


class Library:
    """Bundled knowledge of materials, blind to what is hidden.

    Args:
        hidden: what none of the tables may show.
    """

    def __init__(self, hidden: Hidden | None = None) -> None:
        self.hidden = Hidden() if hidden is None else hidden

    @cached_property
    def structures(self) -> tuple[KnownStructure, ...]:
        """Known crystals, sorted by id."""
        table = _read("structures.parquet")
        ids, formulas = table["id"].to_pylist(), table["formula"].to_pylist()
        rows = [i for i, (f, id_) in enumerate(zip(formulas, ids, strict=True)) if not self._hides(f, id_)]
        return tuple(_known_structures(table, rows))

    def structures_of(self, formula: str) -> tuple[KnownStructure, ...]:
        """Known crystals of a formula in any spelling; empty where there is none.

        Raises:
            InputError: the formula cannot be read.
        """
        return self._by_formula.get(Composition.parse(formula).formula, ())

    @cached_property
    def hull_energies(self) -> Mapping[str, float]:
        """Reduced formula -> lowest formation energy in the Materials Project, eV/atom, MP2020-corrected PBE."""
        return self._energies("hull.parquet", HULL_PARTS_PER_EV)

    @cached_property
    def reported(self) -> frozenset[str]:
        """Reduced formulas of materials that somebody made or measured."""
        formulas = _lines("reported.txt")
        return frozenset(f for f in formulas if not self._hides(f))

    @cached_property
    def oqmd(self) -> Mapping[str, float]:
        """Reduced formula -> lowest formation energy in OQMD, eV/atom, on its own scale: for novelty, not for hulls."""
        return self._energies("oqmd.parquet", OQMD_PARTS_PER_EV)

    @cached_property
    def wyckoff_prior(self) -> tuple[WyckoffPattern, ...]:
        """Patterns of Wyckoff positions with the number of crystals that show them, sorted."""
        table = _read("wyckoff_prior.parquet")
        columns = (table[name].to_pylist() for name in ("spacegroup", "n_atoms", "letters", "count"))
        return tuple(WyckoffPattern(s, n, tuple(letters), k) for s, n, letters, k in zip(*columns, strict=True))

    def elemental_references(self, potential: str) -> Mapping[str, float]:
        """Element -> energy of its reference solid by a potential, eV/atom: the zero of its formation energies.

        Raises:
            UnknownNameError: no references of this potential are bundled.
        """
        records = json.loads("\n".join(_lines("elemental_references.json")))
        if potential not in records:
            raise UnknownNameError("potential with elemental references", potential, records)
        return MappingProxyType(dict(records[potential]["energies_ev_per_atom"]))

    @cached_property
    def _by_formula(self) -> dict[str, tuple[KnownStructure, ...]]:
        groups: dict[str, list[KnownStructure]] = {}
        for known in self.structures:
            groups.setdefault(known.formula, []).append(known)
        return {formula: tuple(group) for formula, group in groups.items()}

    def _hides(self, formula: str, id_: str | None = None) -> bool:
        return bool(self.hidden) and self.hidden.hides_reduced(formula, id_)

    def _energies(self, file: str, parts_per_ev: int) -> Mapping[str, float]:
        table = _read(file)
        formulas, energies = table["formula"].to_pylist(), table["formation_energy"].to_numpy()
        values = (energies / parts_per_ev).tolist()
        return MappingProxyType({f: e for f, e in zip(formulas, values, strict=True) if not self._hides(f)})


def _read(file: str) -> Table:
    """A table of the bundle.

    Raises:
        CorruptDataError: the file is missing or is not what it was.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(BUNDLE / file)
    except (OSError, pa.ArrowException) as error:
        raise _corrupt(file, error) from None


def _lines(file: str) -> list[str]:
    try:
        return (BUNDLE / file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _corrupt(file, error) from None


def _corrupt(file: str, error: Exception) -> CorruptDataError:
    return CorruptDataError(
        f"The bundled table {file} cannot be read ({error}). Run 'novalith data verify', then install novalith again."
    )


def _known_structures(table: Table, rows: Sequence[int]) -> Iterator[KnownStructure]:
    """The crystals of some rows."""
    column = {name: table[name].to_pylist() for name in ("id", "formula", "sites", "spacegroup", "orbits")}
    lattices = _lattices(
        np.stack([table[n].to_numpy() for n in ("a", "b", "c")], axis=1) / LENGTH_PARTS_PER_A,
        np.stack([table[n].to_numpy() for n in ("alpha", "beta", "gamma")], axis=1) / ANGLE_PARTS_PER_DEG,
    )
    coordinates = table["coordinates"].combine_chunks()
    offsets = coordinates.offsets.to_numpy()
    positions = coordinates.values.to_numpy() / COORDINATE_PARTS
    properties = {name: table[name].to_pylist() for name in table.column_names if name not in _GEOMETRY}
    orbits = {text: _orbit(text) for i in rows for text in column["orbits"][i].split()}
    for i in rows:
        try:
            yield KnownStructure(
                id=column["id"][i],
                crystal=Crystal.from_arrays(
                    lattices[i].tolist(),
                    _species(column["sites"][i]),
                    positions[offsets[i] : offsets[i + 1]].reshape(-1, 3).tolist(),
                ),
                gene=Gene(column["spacegroup"][i], tuple(orbits[text] for text in column["orbits"][i].split())),
                formula=column["formula"][i],
                properties=MappingProxyType({n: v[i] for n, v in properties.items() if v[i] is not None}),
            )
        except (InputError, ValueError) as error:
            raise _corrupt("structures.parquet", error) from None


def _species(sites: str) -> list[str]:
    """One symbol a site from runs such as "Na:4 Cl:4"."""
    runs = (run.partition(":") for run in sites.split())
    return [symbol for symbol, _, number in runs for _ in range(int(number))]


def _orbit(text: str) -> Orbit:
    """From "Na:4a"."""
    symbol, _, position = text.partition(":")
    return Orbit(symbol, int(position[:-1]), position[-1])


def _lattices(lengths_a: Any, angles_deg: Any) -> Any:
    """Cell vectors as rows, (n, 3, 3) in Å: a along x, b in the xy plane, right-handed; inputs (n, 3)."""
    cos_alpha, cos_beta, cos_gamma = np.cos(np.radians(angles_deg)).T
    sin_gamma = np.sin(np.radians(angles_deg[:, 2]))
    unit = np.zeros((len(lengths_a), 3, 3))
    unit[:, 0, 0] = 1.0
    unit[:, 1, 0], unit[:, 1, 1] = cos_gamma, sin_gamma
    unit[:, 2, 0] = cos_beta
    unit[:, 2, 1] = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    unit[:, 2, 2] = np.sqrt(1.0 - unit[:, 2, 0] ** 2 - unit[:, 2, 1] ** 2)
    unit[np.abs(unit) < 1e-12] = 0.0  # right angles stay right
    return unit * lengths_a[:, :, None]
