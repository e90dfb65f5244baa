"""Competing phases by one potential: what is relaxed, what is remembered, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from novalith.materials import Composition, Crystal, PhaseField
from novalith.relax.base import Ending, PotentialInfo, Relaxation
from novalith.relax.settings import RelaxSettings
from novalith.stability.same_potential import relaxed_phases

FIELD = PhaseField.parse("Mg-O")


def crystal(formula: str, a: float) -> Crystal:
    species = [s for s, n in Composition.parse(formula).counts for _ in range(n)]
    return Crystal.from_arrays(np.eye(3) * a, species, [[i / len(species), 0, 0] for i in range(len(species))])


def known(id_: str, formula: str, a: float, energy: float) -> SimpleNamespace:
    properties = {"formation_energy_ev_per_atom": energy}
    return SimpleNamespace(id=id_, crystal=crystal(formula, a), formula=formula, properties=properties)


class ShelfOfFour:
    """A few structures, and a table that knows one formula more."""

    structures = (
        known("a", "MgO", 4.2, -3.0),
        known("b", "MgO", 4.4, -2.9),
        known("c", "MgO", 4.6, -2.0),
        known("d", "Mg", 3.2, 0.0),
        known("e", "CaO", 4.8, -3.2),
        known("f", "MgO2", 4.9, -2.1),
    )
    hull_energies: Mapping[str, float] = {"MgO": -3.0, "Mg3O": -1.0, "CaO": -3.2, "Mg": 0.0}

    def elemental_references(self, potential: str) -> Mapping[str, float]:
        assert potential == "springs"
        return {"Mg": -1.0, "O": -5.0}


class Springs:
    """Gives -6 eV/atom to a cell of 4.2 Å and 0.5 more each 0.2 Å further; MgO2 never converges."""

    info = PotentialInfo("springs", "1", "spring scale", "nobody")

    def __init__(self, settings: RelaxSettings | None = None) -> None:
        self.settings = settings or RelaxSettings()
        self.asked: list[str] = []

    def run(self, tasks: Iterable[tuple[str, Crystal]]) -> Iterator[tuple[str, Relaxation]]:
        for id_, start in reversed(list(tasks)):  # a pool answers in any order
            self.asked.append(id_)
            ending = Ending.CAPPED if id_ == "f" else Ending.CONVERGED
            energy = -6.0 + 2.5 * (start.lattice[0][0] - 4.2)
            yield id_, Relaxation(start, start, ending, energy, 0.0, 0.0, 1, 1, "spring scale", "springs 1")


def test_the_lowest_polymorphs_become_phases_and_the_rest_is_missing() -> None:
    pool = Springs()
    phases, missing = relaxed_phases(ShelfOfFour(), FIELD, pool, {})  # type: ignore[arg-type]
    assert [(p.id, p.composition.formula) for p in phases] == [
        ("element", "Mg"),
        ("a by springs", "MgO"),
        ("b by springs", "MgO"),
        ("element", "O2"),
    ]
    # (2 * -6 + 1 + 5) / 2 = -3 for the first; 0.5 eV/atom more for the second
    assert [p.formation_energy_ev_per_atom for p in phases] == pytest.approx([0.0, -3.0, -2.5, 0.0])
    assert {p.energy_scale for p in phases} == {"spring scale"}
    assert missing == ("Mg3O", "MgO2")


def test_a_second_call_relaxes_nothing_and_other_settings_relax_again() -> None:
    cache: dict[str, dict[str, Any]] = {}
    first = relaxed_phases(ShelfOfFour(), FIELD, Springs(), cache)  # type: ignore[arg-type]
    again = Springs()
    assert relaxed_phases(ShelfOfFour(), FIELD, again, cache) == first  # type: ignore[arg-type]
    assert again.asked == []
    tighter = Springs(RelaxSettings(max_force_ev_per_a=0.01))
    relaxed_phases(ShelfOfFour(), FIELD, tighter, cache)  # type: ignore[arg-type]
    assert sorted(tighter.asked) == ["a", "b", "f"]
