r"""What real DFT has to compute for a list of candidates: each of them, and every element they hold.

.. math:: \Delta E_f = \frac{E}{n} - \sum_i c_i\,\mu_i

with energies and elements :math:`\mu` of *one* code, functional and set of settings: a scale of its own, which meets no
other energies. Solid elements are their ground states; H, N, O, F, Cl and Br are molecules in a box,
as in experiments, so that PBE's overbinding of O2 (about 0.4 eV/atom) is in the formation energies of oxides unless a
correction is added, and none is here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from novalith.data.library import Library
from novalith.errors import CapabilityError, EmptyResultError, InputError
from novalith.materials import Crystal
from novalith.represent.gene import primitive
from novalith.represent.layers import Monolayer, as_monolayer

#: Bond lengths of the molecules, Å (NIST Computational Chemistry Comparison and Benchmark Database, measured).
MOLECULES = {"H": 0.741, "N": 1.098, "O": 1.208, "F": 1.412, "Cl": 1.988, "Br": 2.281}
#: The box of a molecule, Å: three different edges, so that its symmetry does not exceed that of the molecule.
BOX_A = (9.0, 8.5, 8.0)
#: Moments that calculations start from, Bohr magnetons, as the sets of the Materials Project have them for the metals
#: that are magnetic in most compounds; O2 has two unpaired electrons.
MOMENTS = {"Cr": 5.0, "Mn": 5.0, "Fe": 5.0, "Co": 5.0, "Ni": 5.0, "V": 5.0, "Eu": 10.0, "Gd": 7.0}
_OXYGEN_MOMENT = 1.0
#: The Materials Project's ground states of elements have 0; those of tables without energies are not known to be.
_GROUND_STATE_EV_PER_ATOM = 0.001
#: Spacing of k-points in metals over that in other crystals: with the same one magnesium was 0.05 eV/atom off.
METAL_SHARE = 0.6
#: Ground states that the bundle holds without an energy: graphite.
_CHOSEN = {"C": "mp-48"}


@dataclass(frozen=True)
class DftSettings:
    """How DFT is done.

    Attributes:
        cutoff_ev: of the plane waves; oxides need 600 in GPAW.
        kspacing_per_a: largest distance between k-points, 1/Å (with the factor 2 pi); in metals `METAL_SHARE` of it.
        smearing_ev: width of the Fermi distribution of solids.
        relax: relax positions and cell; otherwise the energy at the geometry that came in.
        functional: name of the functional.
    """

    cutoff_ev: float = 600.0
    kspacing_per_a: float = 0.4
    smearing_ev: float = 0.05
    relax: bool = False
    functional: str = "PBE"

    def __post_init__(self) -> None:
        for name, low in (("cutoff_ev", 100.0), ("kspacing_per_a", 0.05), ("smearing_ev", 0.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= low):
                raise InputError(f"{name} is {value}; expected at least {low:g}.")


@dataclass(frozen=True)
class Calculation:
    """One cell to compute.

    Attributes:
        name: of its folder.
        crystal: the cell.
        element: the element whose reference it is, empty for a candidate.
        molecule: in a box: one k-point, no smearing, no relaxation of the cell.
        kpoints: grid that contains the centre of the zone.
        moments: Bohr magnetons a site, empty where nothing is magnetic.
    """

    name: str
    crystal: Crystal
    element: str
    molecule: bool
    kpoints: tuple[int, int, int]
    moments: tuple[float, ...]


def plan_calculations(
    targets: Sequence[tuple[str, Crystal]], settings: DftSettings, library: Library
) -> tuple[Calculation, ...]:
    """The candidates, then the elements that they hold in alphabetical order.

    Args:
        targets: (id, crystal).
        settings: for the grids of k-points.
        library: where the structures of the elements come from.

    Raises:
        EmptyResultError: no targets.
        CapabilityError: no structure of an element is at hand.
    """
    if not targets:
        raise EmptyResultError("There is no crystal to compute.")
    elements = sorted({s for _, crystal in targets for s in crystal.composition.field.elements})
    cells = [_solid(name, crystal, "", settings) for name, crystal in targets]
    return (*cells, *(reference(s, settings, library) for s in elements))


def reference(symbol: str, settings: DftSettings, library: Library) -> Calculation:
    """The reference state of an element.

    Raises:
        CapabilityError: no structure of it is at hand.
    """
    name = f"element-{symbol}"
    if symbol in MOLECULES:
        half = MOLECULES[symbol] / 2 / BOX_A[2]
        molecule = Crystal.from_arrays(np.diag(BOX_A), [symbol] * 2, [[0.5, 0.5, 0.5 - half], [0.5, 0.5, 0.5 + half]])
        moments = (_OXYGEN_MOMENT,) * 2 if symbol == "O" else ()
        return Calculation(name, molecule, symbol, True, (1, 1, 1), moments)
    return _solid(name, _element(symbol, library), symbol, settings)


def _element(symbol: str, library: Library) -> Crystal:
    """The bundled ground state of an element, else the measured packing, else the lowest that is bundled."""
    known = [k for k in library.structures if k.crystal.composition.field.elements == (symbol,)]
    energies = {k.id: k.properties.get("formation_energy_ev_per_atom", math.inf) for k in known}
    lowest = min(known, key=lambda k: (energies[k.id], k.crystal.n_atoms), default=None)
    chosen = next((k.crystal for k in known if k.id == _CHOSEN.get(symbol)), None)
    if chosen is not None:
        return chosen
    if lowest is not None and energies[lowest.id] <= _GROUND_STATE_EV_PER_ATOM:
        return lowest.crystal
    packed = _packing(symbol)
    if packed is not None:
        return packed
    if lowest is None:
        raise CapabilityError(
            f"There is no structure of the element {symbol} at hand, so DFT has no reference for it. Leave candidates "
            "with it out."
        )
    return lowest.crystal


def _packing(symbol: str) -> Crystal | None:
    """The measured crystal of a simple metal at its measured edges (ASE, after Ashcroft and Mermin)."""
    from ase.build import bulk
    from ase.data import atomic_numbers, reference_states

    state = reference_states[atomic_numbers[symbol]]
    if state is None or state.get("symmetry") not in ("fcc", "bcc", "hcp", "diamond"):
        return None
    return Crystal.from_atoms(bulk(symbol))


def kpoint_grid(crystal: Crystal, spacing_per_a: float, in_plane: bool) -> tuple[int, int, int]:
    """The smallest grid whose points are no farther apart; one point along the vacuum of a monolayer."""
    reciprocal = 2 * math.pi * np.linalg.norm(np.linalg.inv(np.array(crystal.lattice)), axis=0)
    a, b, c = (max(1, math.ceil(length / spacing_per_a - 1e-9)) for length in reciprocal)
    return (a, b, 1) if in_plane else (a, b, c)


def _solid(name: str, crystal: Crystal, element: str, settings: DftSettings) -> Calculation:
    read = as_monolayer(crystal)
    slab = isinstance(read, Monolayer)
    cell = read.crystal if isinstance(read, Monolayer) else primitive(crystal)
    moments = tuple(MOMENTS.get(s, 0.6) for s in cell.species) if set(cell.species) & set(MOMENTS) else ()
    spacing = settings.kspacing_per_a * (METAL_SHARE if _metallic(cell) else 1.0)
    return Calculation(name, cell, element, False, kpoint_grid(cell, spacing, slab), moments)


def _metallic(crystal: Crystal) -> bool:
    """Whether it holds metals alone: their Fermi surfaces need a finer grid."""
    from pymatgen.core import Element

    return all(Element(s).is_metal for s in set(crystal.species))
