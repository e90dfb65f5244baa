"""Validations by name: what each would cost, and one finding a crystal and check, whatever was computed.

`Toolbox` holds what checks share (potentials, loaded once), so that a list of crystals costs one load.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from novalith.data.library import Library
from novalith.errors import InputError, MissingExtraError, UnknownNameError
from novalith.materials import Crystal, Verdict
from novalith.relax.base import OutOfReachError, Potential
from novalith.relax.potentials import load_potential, potential_info
from novalith.relax.relaxer import relax
from novalith.represent.layers import Monolayer, as_monolayer, monolayer_of
from novalith.stability import elasticity, exfoliation, phonons, second_opinion
from novalith.stability.cost import Cost, Limits, estimate, pace

#: Every check by its name, and what it answers.
CHECKS: Mapping[str, str] = {
    "formation-energy": "energy against the elements, relaxed",
    "phonons": "vibrations: is it a minimum at all",
    "elasticity": "elastic constants: does it resist every strain",
    "exfoliation": "what lifting one layer off costs, with dispersion",
    "second-opinion": "whether another potential agrees",
}
FORMATION = "formation-energy"
#: Check -> (package, the extra of novalith that installs it).
_NEEDS = {
    "phonons": ("phonopy", "validate"),
    "exfoliation": ("dftd3", "validate"),
    "second-opinion": ("sevenn", "sevennet"),
}


@dataclass(frozen=True)
class Finding:
    """What one check found of one crystal.

    Attributes:
        check: its name.
        verdict: passed or not, and why; a check that gave no answer has not passed.
        values: name with unit -> number.
        wall_s: time spent, s.
        potential: name and version.
        bands: phonon bands for the plot, where there are any.
    """

    check: str
    verdict: Verdict
    values: Mapping[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    potential: str = ""
    bands: phonons.Bands | None = None


@dataclass
class Toolbox:
    """What the checks work with.

    Attributes:
        potential: name of the potential.
        limits: what one check of one crystal may take.
        library: bundled tables.
    """

    potential: str = "chgnet"
    limits: Limits = field(default_factory=Limits)
    library: Library = field(default_factory=Library)

    def __post_init__(self) -> None:
        potential_info(self.potential)

    @cached_property
    def first(self) -> Potential:
        """The potential."""
        return load_potential(self.potential)

    @cached_property
    def second(self) -> Potential:
        """The other one."""
        return load_potential("sevennet")

    @cached_property
    def with_dispersion(self) -> Potential:
        """The potential with D3."""
        if self.first.info.dispersion:
            return self.first
        return load_potential(f"{self.potential}-d3")


def check_names(text: str) -> tuple[str, ...]:
    """Names of checks from "phonons,elasticity"; "all" gives every one.

    Raises:
        UnknownNameError: no check has this name.
    """
    names = tuple(dict.fromkeys(n for n in text.replace(",", " ").split() if n))
    for name in names:
        if name != "all" and name not in CHECKS:
            raise UnknownNameError("check", name, [*CHECKS, "all"])
    return tuple(CHECKS) if "all" in names else names


def require(checks: Iterable[str]) -> None:
    """Make sure that what the checks need is installed, before anything is computed.

    Raises:
        MissingExtraError: a package is not; says the command.
    """
    for check in checks:
        package, extra = _NEEDS.get(check, ("", ""))
        if package and find_spec(package) is None:
            raise MissingExtraError(package, extra, f"The check {check!r}")


def cost_of(check: str, crystal: Crystal, tools: Toolbox) -> Cost | Verdict:
    """What a check will take, or the verdict that says why it cannot be made at all.

    Raises:
        MissingExtraError: a package that it needs is not installed.
    """
    try:
        seconds = pace(crystal, tools.first)
    except OutOfReachError as error:
        return Verdict(False, f"{check}: no answer", str(error))
    if check == "phonons":
        return phonons.cost(crystal, seconds, _phonon_settings(crystal))
    if check == "elasticity":
        slab = _slab(crystal)
        if slab is not None:
            reason = "It is a monolayer in vacuum: elastic constants of a bulk crystal mean nothing."
            return Verdict(False, f"{check}: no answer", reason)
        return elasticity.cost(crystal, seconds)
    if check == "exfoliation":
        layer = _layer(crystal)
        return exfoliation.cost(layer, seconds) if isinstance(layer, Monolayer) else layer
    if check == "second-opinion":
        return second_opinion.cost(crystal, seconds)
    return estimate(check, 10, crystal.n_atoms, seconds)


def run_check(check: str, crystal: Crystal, tools: Toolbox) -> Finding:
    """Make a check, unless its cost is over the limits.

    Raises:
        UnknownNameError: no check has this name.
        MissingExtraError: a package that it needs is not installed.
    """
    if check not in CHECKS:
        raise UnknownNameError("check", check, CHECKS)
    told = cost_of(check, crystal, tools)
    verdict = told if isinstance(told, Verdict) else told.verdict(tools.limits)
    if not verdict.passed:
        return Finding(check, verdict, potential=tools.first.info.label)
    try:
        return _RUNNERS[check](crystal, tools)
    except (
        InputError,
        OutOfReachError,
    ) as error:  # no reference of an element, a neighbourless atom: this crystal's own
        return Finding(check, Verdict(False, f"{check}: no answer", str(error)), potential=tools.first.info.label)


def _slab(crystal: Crystal) -> Monolayer | None:
    read = as_monolayer(crystal)
    return read if isinstance(read, Monolayer) else None


def _layer(crystal: Crystal) -> Monolayer | Verdict:
    """The crystal itself where it is a monolayer, or a layer of it where it is layered."""
    return _slab(crystal) or monolayer_of(crystal)


def _phonon_settings(crystal: Crystal) -> phonons.PhononSettings:
    return phonons.PhononSettings(in_plane=_slab(crystal) is not None)


def _formation(crystal: Crystal, tools: Toolbox) -> Finding:
    relaxation = relax(crystal, tools.first, second_opinion.SETTINGS)
    label = tools.first.info.label
    if not relaxation.converged:
        reason = f"It did not relax ({relaxation.ending.value}): {relaxation.reason}"
        return Finding(FORMATION, Verdict(False, f"{FORMATION}: no answer", reason), potential=label)
    energy = second_opinion.mp2020_formation_energy(relaxation, tools.library)
    verdict = Verdict(
        energy < 0, FORMATION, f"Formation energy {energy:.3f} eV/atom against the elements of the Materials Project."
    )
    return Finding(FORMATION, verdict, {"formation_energy_ev_per_atom": energy}, potential=label)


def _phonons(crystal: Crystal, tools: Toolbox) -> Finding:
    slab = _slab(crystal)
    result = phonons.phonons(crystal if slab is None else slab.crystal, tools.first, _phonon_settings(crystal))
    values = {
        "lowest_thz": result.lowest_thz,
        "lowest_interpolated_thz": result.lowest_interpolated_thz,
        "highest_thz": result.highest_thz,
        "supercell_atoms": result.supercell_atoms,
    }
    return _finding("phonons", result, values, result.bands)


def _elasticity(crystal: Crystal, tools: Toolbox) -> Finding:
    result = elasticity.elasticity(crystal, tools.first)
    values = {
        "bulk_modulus_gpa": result.bulk_modulus_gpa,
        "shear_modulus_gpa": result.shear_modulus_gpa,
        "poisson_ratio": result.poisson_ratio,
        **result.named_constants,
    }
    return _finding("elasticity", result, values)


def _exfoliation(crystal: Crystal, tools: Toolbox) -> Finding:
    layer = _layer(crystal)
    if isinstance(layer, Verdict):
        return Finding("exfoliation", layer)
    result = exfoliation.exfoliation_energy(layer, None, tools.with_dispersion)
    values = {
        "exfoliation_energy_ev_per_atom": result.energy_ev_per_atom,
        "exfoliation_energy_mev_per_a2": result.energy_mev_per_a2,
        "of_which_dispersion_ev_per_atom": result.dispersion_ev_per_atom,
        "layer_gap_a": result.gap_a,
    }
    return _finding("exfoliation", result, values)


def _second_opinion(crystal: Crystal, tools: Toolbox) -> Finding:
    result = second_opinion.second_opinion(crystal, tools.first, tools.second, tools.library)
    one, two = result.formation_energies_ev_per_atom or (None, None)
    values = {
        "formation_energy_ev_per_atom": one,
        "second_formation_energy_ev_per_atom": two,
        "disagreement_ev_per_atom": result.disagreement_ev_per_atom,
        "force_left_ev_per_a": result.force_left_ev_per_a,
    }
    return Finding("second-opinion", result.verdict, _numbers(values), result.wall_s, " and ".join(result.potentials))


def _finding(
    check: str, result: Any, values: Mapping[str, float | None], bands: phonons.Bands | None = None
) -> Finding:
    return Finding(check, result.verdict, _numbers(values), result.wall_s, result.potential, bands)


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(float(value), 6) + 0.0 for name, value in values.items() if value is not None}


_RUNNERS = {
    FORMATION: _formation,
    "phonons": _phonons,
    "elasticity": _elasticity,
    "exfoliation": _exfoliation,
    "second-opinion": _second_opinion,
}
