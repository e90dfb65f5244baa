"""What a finished (or interrupted) campaign folder holds, as data: the only thing that a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from novalith.materials import Crystal, Lineage
from novalith.screen.novelty import Novelty
from novalith.stability.checks import Finding
from novalith.stability.hull import Phase


@dataclass(frozen=True)
class FunnelStage:
    """One stage of the ladder: entered = kept + the sum of the rejections.

    Attributes:
        name: what the stage does ("distances").
        entered: candidates that came in.
        kept: candidates that went on.
        rejected: reason -> number of candidates that stopped here for it.
    """

    name: str
    entered: int
    kept: int
    rejected: Mapping[str, int]

    def __post_init__(self) -> None:
        if self.entered != self.kept + sum(self.rejected.values()):
            raise ValueError(
                f"Stage {self.name!r} loses candidates: {self.entered} in, {self.kept} kept, "
                f"{dict(self.rejected)} rejected."
            )


@dataclass(frozen=True)
class RankedCrystal:
    """One row of the ranked table with everything its card shows.

    Attributes:
        rank: 1 for the first.
        id: slug and content hash of the proposal; names the files in `structures/`.
        crystal: the relaxed crystal.
        proposed: the crystal before relaxation.
        spacegroup: number of the relaxed crystal at `SYMPREC` (see `novalith.represent.gene`).
        spacegroup_symbol: Hermann-Mauguin symbol.
        formation_energy_ev_per_atom: from the potential and its elemental references.
        energy_above_hull_ev_per_atom: against the competing phases without the candidate; negative below the hull.
        decomposition: (formula, molar fraction of atoms) of the competing phases it would fall into.
        novelty: grade and nearest known material.
        lineage: what led to it.
        max_force_ev_per_a: largest force left.
        n_steps: optimiser steps.
        doubts: sentences on what could be wrong with this candidate.
        properties: predicted property name -> (value, uncertainty or None, whether the model knows such crystals).
        energy_ev_per_atom: total energy by the potential, eV/atom, on its own scale.
    """

    rank: int
    id: str
    crystal: Crystal
    proposed: Crystal
    spacegroup: int
    spacegroup_symbol: str
    formation_energy_ev_per_atom: float
    energy_above_hull_ev_per_atom: float
    decomposition: tuple[tuple[str, float], ...]
    novelty: Novelty
    lineage: Lineage
    max_force_ev_per_a: float
    n_steps: int
    doubts: tuple[str, ...] = ()
    properties: Mapping[str, tuple[float, float | None, bool]] | None = None
    energy_ev_per_atom: float | None = None


@dataclass(frozen=True)
class RunRecord:
    """A campaign as data.

    Attributes:
        folder: where it lies.
        title: what was asked ("Li-Sn-S-Cl").
        plan: the resolved plan, section -> key -> value, as in `plan.toml`.
        versions: package -> version, and data card -> sha256.
        funnel: the stages in order.
        ranked: the table, best first.
        unranked: id -> (formula, ending) of relaxations that did not converge.
        competing: the phases of the hull, candidates excluded.
        hull_mode: "table" or "same-potential".
        energy_scale: the scale of every energy in the record.
        n_relaxations: relaxations spent.
        cited: BibTeX keys of exactly what was used.
        formulas: (formula, score in nats, reason) of the formulas that were tried in a chemical system, best first;
            empty where the request named them.
    """

    folder: Path
    title: str
    plan: Mapping[str, Mapping[str, object]]
    versions: Mapping[str, str]
    funnel: tuple[FunnelStage, ...]
    ranked: tuple[RankedCrystal, ...]
    unranked: Mapping[str, tuple[str, str]]
    competing: tuple[Phase, ...]
    hull_mode: str
    energy_scale: str
    n_relaxations: int
    cited: tuple[str, ...]
    validations: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    formulas: tuple[tuple[str, float, str], ...] = ()
