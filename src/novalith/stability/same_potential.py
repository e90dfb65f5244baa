"""Competing phases relaxed by the potential that relaxed the candidates: the *same-potential* hull.

Candidate and competitors then share one model and one relaxation, so errors that they have in common cancel. The price
is completeness: only formulas with a bundled structure can be relaxed. Formulas of the Materials Project's table
without one, and those whose relaxation did not converge, are named as missing, and every verdict on such a hull is an
optimistic one: a phase more can only lower it. Elements stand at zero by the potential's own bundled references.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, MutableMapping
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol

from novalith.data.library import KnownStructure, Library
from novalith.materials import Composition, Crystal, PhaseField
from novalith.relax.base import Ending, PotentialInfo, Relaxation
from novalith.relax.settings import RelaxSettings
from novalith.stability.hull import ELEMENT_ID, Phase, judge_formation_energy
from novalith.stability.references import formation_energy
from novalith.stability.table import table_phases

#: Potentials order polymorphs otherwise than DFT when these differ by less than about 20 meV/atom, so that the lowest
#: one alone would not do; more than two seldom change a hull.
POLYMORPHS = 2

#: Endings that another attempt would repeat; a dead worker or a full clock may end otherwise next time.
_REPEATABLE = (Ending.CONVERGED, Ending.CAPPED, Ending.EXPLODED, Ending.NAN)


class Relaxer(Protocol):
    """What is needed of `novalith.relax.pool.RelaxationPool`."""

    @property
    def info(self) -> PotentialInfo:
        """The potential that relaxes."""

    @property
    def settings(self) -> RelaxSettings:
        """When each relaxation stops."""

    def run(self, tasks: Iterable[tuple[str, Crystal]]) -> Iterator[tuple[str, Relaxation]]:
        """Relax crystals and yield (id, relaxation) as each is done."""


class RelaxedPhases(NamedTuple):
    """Competing phases of one potential.

    Attributes:
        phases: elements at zero and the relaxed phases, sorted by formula and id.
        missing: formulas known to exist that are not among them, sorted: a doubt on every verdict.
    """

    phases: tuple[Phase, ...]
    missing: tuple[str, ...]


def relaxed_phases(
    library: Library,
    field: PhaseField,
    pool: Relaxer,
    cache: MutableMapping[str, dict[str, Any]],
    *,
    polymorphs: int = POLYMORPHS,
) -> RelaxedPhases:
    """Relax the bundled structures of a field and take their formation energies as competing phases.

    Args:
        library: where the structures, the table of known formulas and the elemental references come from.
        field: elements of the hull.
        pool: relaxes; its potential and settings are part of every cache key.
        cache: key -> result; results found there are not relaxed again, new ones are added.
        polymorphs: structures relaxed a formula, by rising formation energy in the Materials Project.

    Raises:
        InputError: the potential has no reference energy of an element of the field.
    """
    chosen = {known.id: known for known in _lowest_polymorphs(library, field, polymorphs)}
    results = _relax_missing(chosen, pool, cache)
    references = library.elemental_references(pool.info.name)
    scale = pool.info.energy_scale
    phases = [Phase(Composition(((s, 1),)), 0.0, ELEMENT_ID, scale) for s in field.elements]
    for symbol in field.elements:
        formation_energy(Composition(((symbol, 1),)), 0.0, references)  # says which reference is lacking
    for id_ in sorted(results):
        composition, result = chosen[id_].crystal.composition.reduced, results[id_]
        if result["ending"] != Ending.CONVERGED.value:
            continue
        energy = formation_energy(composition, result["energy_ev_per_atom"], references)
        if judge_formation_energy(energy).passed:
            phases.append(Phase(composition, energy, f"{id_} by {pool.info.name}", scale))
    found = {p.composition.formula for p in phases}
    known = {p.composition.formula for p in table_phases(library, field)} | {k.formula for k in chosen.values()}
    return RelaxedPhases(
        phases=tuple(sorted(phases, key=lambda p: (p.composition.formula, p.id))),
        missing=tuple(sorted(known - found)),
    )


def _lowest_polymorphs(library: Library, field: PhaseField, polymorphs: int) -> list[KnownStructure]:
    """Compounds of the field, the lowest polymorphs of each formula; elements have their references."""
    groups: dict[str, list[KnownStructure]] = {}
    for known in library.structures:
        inside = known.crystal.composition.field
        if len(inside) > 1 and field.covers(inside):
            groups.setdefault(known.formula, []).append(known)
    return [known for formula in sorted(groups) for known in sorted(groups[formula], key=_order)[:polymorphs]]


def _order(known: KnownStructure) -> tuple[float, str]:
    """By formation energy where it is known, then by id."""
    return known.properties.get("formation_energy_ev_per_atom", float("inf")), known.id


def _relax_missing(
    chosen: dict[str, KnownStructure], pool: Relaxer, cache: MutableMapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Results by id, from the cache or relaxed now."""
    keys = {id_: _key(known.crystal, pool) for id_, known in chosen.items()}
    results = {id_: cache[key] for id_, key in keys.items() if key in cache}
    tasks = [(id_, known.crystal) for id_, known in chosen.items() if id_ not in results]
    for id_, relaxation in pool.run(tasks) if tasks else ():
        results[id_] = {"ending": relaxation.ending.value, "energy_ev_per_atom": relaxation.energy_ev_per_atom}
        if relaxation.ending in _REPEATABLE:
            cache[keys[id_]] = results[id_]
    return results


def _key(crystal: Crystal, pool: Relaxer) -> str:
    """Content address of a relaxation: crystal, potential with its weights, settings."""
    parts = {"crystal": crystal.content_id, "potential": pool.info.label, "settings": asdict(pool.settings)}
    return "phase-" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
