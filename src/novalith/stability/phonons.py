r"""Phonons: whether a crystal at rest would fall apart by vibrating.

Atoms are displaced one by one in a supercell; the forces give second derivatives of the energy, and

.. math:: \sum_{j\beta} D_{i\alpha,j\beta}(q)\,u_{j\beta} = \omega^2 u_{i\alpha}

the squared frequencies at a wave vector q. A negative :math:`\omega^2` (an *imaginary* frequency, written here as a
negative number) is a direction in which the energy falls: the crystal is not a minimum but a saddle.

Frequencies are exact, as far as the potential is, only at the wave vectors that fit into the supercell; all others are
interpolated and can dip below zero where nothing is wrong. The verdict rests on the exact ones. Supercells are even
multiples of the primitive cell, so that the corners and the middles of the faces of the Brillouin zone, where most
instabilities sit, are among them.

Computed by phonopy: Togo, Chaput, Tadano and Tanaka, J. Phys. Condens. Matter 35, 353001 (2023).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError, MissingExtraError
from novalith.materials import Crystal, Verdict
from novalith.relax.base import Potential
from novalith.relax.relaxer import RelaxSettings, relax
from novalith.represent.gene import primitive
from novalith.stability.cost import Cost, estimate

Array = NDArray[np.float64]

NAME = "phonons"
SOURCE = "Togo et al., J. Phys. Condens. Matter 35, 353001 (2023)"
#: Allowed for in the estimate: evaluations of the relaxation beforehand, seconds for everything that is no evaluation.
_N_RELAX, _OVERHEAD_S = 8, 1.0
#: Points of the band plot.
_N_PATH = 121


@dataclass(frozen=True)
class PhononSettings:
    """How phonons are computed.

    Attributes:
        supercell_a: shortest distance between images of a displaced atom, Å. The verdicts of the
            benchmark were computed with the default.
        displacement_a: Å; large enough that the noise of a network in single precision (1e-5 eV/Å) does not matter.
        threshold_thz: imaginary frequencies beyond this make a crystal unstable, THz.
        in_plane: the crystal is a monolayer with its vacuum along z; only multiples of a and b are taken.
        max_force_ev_per_a: of the relaxation beforehand.
    """

    supercell_a: float = 7.5
    displacement_a: float = 0.03
    threshold_thz: float = 0.2
    in_plane: bool = False
    max_force_ev_per_a: float = 0.005

    def __post_init__(self) -> None:
        for name in ("supercell_a", "displacement_a", "threshold_thz", "max_force_ev_per_a"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} is {value}; expected a positive number.")


@dataclass(frozen=True)
class Bands:
    """Frequencies along a path through the Brillouin zone, interpolated.

    Attributes:
        distance: (n,) along the path, 1/Å.
        frequencies_thz: (n, branches), imaginary ones negative.
        ticks: (distance, label) of the special points.
    """

    distance: tuple[float, ...]
    frequencies_thz: tuple[tuple[float, ...], ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Phonons:
    """What the vibrations of a crystal say.

    Attributes:
        verdict: whether it is dynamically stable, or why there is no answer.
        lowest_thz: lowest frequency at an exact wave vector, negative where imaginary; None without an answer.
        lowest_at: that wave vector, in fractions of the reciprocal cell.
        lowest_interpolated_thz: lowest frequency along the path of `bands`.
        highest_thz: highest frequency at an exact wave vector.
        multiples: of the primitive cell in the supercell.
        supercell_atoms: atoms in it.
        displacements: evaluations with a displaced atom.
        bands: for the plot.
        crystal: the relaxed primitive cell.
        potential: name and version.
        wall_s: time spent, s.
    """

    verdict: Verdict
    lowest_thz: float | None = None
    lowest_at: tuple[float, float, float] | None = None
    lowest_interpolated_thz: float | None = None
    highest_thz: float | None = None
    multiples: tuple[int, int, int] = (0, 0, 0)
    supercell_atoms: int = 0
    displacements: int = 0
    bands: Bands | None = None
    crystal: Crystal | None = None
    potential: str = ""
    wall_s: float = 0.0


def cost(crystal: Crystal, seconds_per_atom: float, settings: PhononSettings) -> Cost:
    """What `phonons` will take.

    Raises:
        MissingExtraError: phonopy is not installed.
    """
    cell = _cell(crystal, settings)
    multiples = _multiples(cell, settings)
    # The number of displacements is a matter of symmetry: a small supercell of even multiples has the same one.
    n_a, n_b, n_c = (min(n, 2) for n in multiples)
    evaluations = len(_phonopy(cell, (n_a, n_b, n_c), settings).supercells_with_displacements)
    before = estimate(NAME, _N_RELAX, cell.n_atoms, seconds_per_atom)
    after = estimate(NAME, evaluations, cell.n_atoms * math.prod(multiples), seconds_per_atom)
    return Cost(
        NAME, evaluations + _N_RELAX, after.atoms, before.seconds + after.seconds + _OVERHEAD_S, after.memory_gb
    )


def phonons(crystal: Crystal, potential: Potential, settings: PhononSettings) -> Phonons:
    """Relax a crystal and compute its vibrations.

    Args:
        crystal: any cell; it is reduced to the primitive one.
        potential: gives the forces.
        settings: how.

    Raises:
        MissingExtraError: phonopy is not installed.
    """
    start = time.perf_counter()
    label = potential.info.label
    tight = RelaxSettings(settings.max_force_ev_per_a, max_stress_gpa=0.05, in_plane=settings.in_plane)
    relaxation = relax(_cell(crystal, settings), potential, tight)
    if not relaxation.converged:
        reason = f"It did not relax ({relaxation.ending.value}): {relaxation.reason}"
        verdict = Verdict(False, f"{NAME}: no answer", reason, SOURCE)
        return Phonons(verdict, potential=label, wall_s=time.perf_counter() - start)
    cell = relaxation.final
    multiples = _multiples(cell, settings)
    calculation = _phonopy(cell, multiples, settings)
    forces = []
    for supercell in calculation.supercells_with_displacements:
        displaced = Crystal.from_arrays(supercell.cell, supercell.symbols, supercell.scaled_positions)
        forces.append(potential.evaluate(displaced).forces_ev_per_a)
    calculation.forces = np.array(forces)
    calculation.produce_force_constants()
    calculation.symmetrize_force_constants()
    exact = _exact_wave_vectors(multiples)
    frequencies = _frequencies(calculation, exact)
    bands = _bands(calculation, cell, settings)
    at = exact[int(frequencies.min(axis=1).argmin())]
    lowest = float(frequencies.min())
    return Phonons(
        verdict=_verdict(lowest, at, multiples, settings),
        lowest_thz=lowest,
        lowest_at=(float(at[0]), float(at[1]), float(at[2])),
        lowest_interpolated_thz=min(f for row in bands.frequencies_thz for f in row),
        highest_thz=float(frequencies.max()),
        multiples=multiples,
        supercell_atoms=cell.n_atoms * math.prod(multiples),
        displacements=len(forces),
        bands=bands,
        crystal=cell,
        potential=label,
        wall_s=time.perf_counter() - start,
    )


def _cell(crystal: Crystal, settings: PhononSettings) -> Crystal:
    """The primitive cell; a monolayer stays as it stands, with its vacuum along z."""
    return crystal if settings.in_plane else primitive(crystal)


def _multiples(cell: Crystal, settings: PhononSettings) -> tuple[int, int, int]:
    """Even multiples of each cell vector that keep images of one atom apart; one where the cell is that wide alone."""
    spacing = 1 / np.linalg.norm(np.linalg.inv(np.array(cell.lattice)), axis=0)
    wide = [
        1 if h >= 2 * settings.supercell_a else 2 * math.ceil(settings.supercell_a / (2 * h) - 1e-6) for h in spacing
    ]
    return wide[0], wide[1], 1 if settings.in_plane else wide[2]


def _phonopy(cell: Crystal, multiples: Sequence[int], settings: PhononSettings) -> Any:
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
    except ImportError:
        raise MissingExtraError("phonopy", "validate", "A phonon calculation") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of spglib's old interface, inside phonopy
        calculation = Phonopy(
            PhonopyAtoms(
                symbols=list(cell.species),
                cell=cell.lattice,
                scaled_positions=cell.frac_coords,
                masses=cell.to_atoms().get_masses(),  # phonopy has none of elements without a stable isotope
            ),
            supercell_matrix=np.diag(multiples),
            primitive_matrix=np.eye(3),
            log_level=0,
        )
        calculation.generate_displacements(distance=settings.displacement_a)
    return calculation


def _exact_wave_vectors(multiples: Sequence[int]) -> Array:
    """All q that fit into the supercell, in fractions of the reciprocal cell: (n, 3)."""
    axes = [np.arange(n) / n for n in multiples]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _frequencies(calculation: Any, wave_vectors: Array) -> Array:
    """(n, branches) in THz."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        calculation.run_qpoints(wave_vectors)
        return np.array(calculation.qpoints.frequencies, dtype=np.float64)


def _bands(calculation: Any, cell: Crystal, settings: PhononSettings) -> Bands:
    path = cell.to_atoms().cell.bandpath(npoints=_N_PATH, pbc=(True, True, not settings.in_plane))
    distance, ticks, labels = path.get_linear_kpoint_axis()
    frequencies = _frequencies(calculation, np.array(path.kpts))
    return Bands(
        distance=tuple(round(float(x), 5) for x in distance),
        frequencies_thz=tuple(tuple(round(float(f), 4) for f in row) for row in frequencies),
        ticks=tuple((round(float(x), 5), str(name)) for x, name in zip(ticks, labels, strict=True)),
    )


def _verdict(lowest: float, at: Array, multiples: Sequence[int], settings: PhononSettings) -> Verdict:
    cell = "x".join(str(n) for n in multiples)
    n = math.prod(multiples)
    limit = settings.threshold_thz
    if lowest >= -limit:
        reason = f"No imaginary mode beyond {limit:g} THz at the {n} wave vectors of a {cell} supercell."
        return Verdict(True, NAME, reason, SOURCE)
    where = ", ".join(f"{x:g}" for x in at)
    reason = f"An imaginary mode of {-lowest:.2f}i THz at q = ({where}): it would distort into another structure."
    return Verdict(False, NAME, reason, SOURCE)
