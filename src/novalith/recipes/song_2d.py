"""Recipe `song-2d`: from millions of formulas to a ranked table of monolayers.

    formulas -> chemistry rules -> classifier, s >= t -> template of a known layer -> shortlist -> relaxation in plane
      -> still one layer -> formation energy < 0 -> exfoliation energy < 0.2 eV/atom -> (phonons) -> table

In = kept + rejected at every stage, each rejection with its reason, each stage with its time. Song et al. did the
relaxations and energies by DFT; here they come from a machine-learned potential with D3 dispersion. Formation energies
are taken without the dispersion, on the Materials Project's scale, and are held against its bulk phases as well: a free
layer lies above the hull by at least its exfoliation energy.

No row of the table says that a material is two-dimensional: it says which formula scored s, which known layer it was
made from, and what came of it.

Song, Siriwardane, Zhao and Hu, ACS Appl. Mater. Interfaces 13, 53303 (2021), arXiv:2012.09314.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from novalith.data.library import Library
from novalith.errors import InputError
from novalith.materials import Candidate, Crystal, Verdict
from novalith.propose.monolayers import LayerTemplates, layer_templates, moves, realise_layer
from novalith.recipes.formula_stream import FormulaBlock
from novalith.recipes.song_2d_costs import IN_PLANE, cost_of_exfoliation, cost_of_phonons, told_costs
from novalith.recipes.song_2d_formulas import ScreenedFormulas, Stage, screen_formulas
from novalith.recipes.two_dimensional_classifier import BIBTEX, TwoDimensionalClassifier
from novalith.relax.base import OutOfReachError, Potential, Relaxation
from novalith.relax.pool import RelaxationPool
from novalith.relax.potentials import load_potential, potential_info
from novalith.relax.relaxer import RelaxSettings
from novalith.represent.layers import Monolayer, as_monolayer
from novalith.screen.chemistry import ChemistryOptions
from novalith.stability.checks import require
from novalith.stability.cost import Limits
from novalith.stability.exfoliation import LIMIT_EV_PER_ATOM, exfoliation_energy
from novalith.stability.hull import ConvexHull
from novalith.stability.phonons import phonons
from novalith.stability.second_opinion import mp2020_formation_energy
from novalith.stability.table import table_phases

__all__ = ["BIBTEX", "Monolayers", "Song2dOrder", "song_2d"]

RELAX = RelaxSettings(in_plane=True)


@dataclass(frozen=True)
class Song2dOrder:
    """What to do.

    Attributes:
        threshold: least score s of the classifier; the review counts from 0.95, the often quoted table from 0.5.
        top: layers relaxed at most.
        per_formula: templates tried for one formula, each of another shape.
        max_atoms: most atoms of a layer.
        phonons: of how many of the best layers the vibrations are computed.
        exfoliation_limit_ev_per_atom: energies below it are kept.
        potential: without dispersion; D3 is added.
        n_workers: relaxations at a time.
        rules: of chemistry; None asks nothing.
        limits: what the exfoliation energy and the phonons of one layer may take; what would take more is not made.
    """

    threshold: float = 0.95
    top: int = 40
    per_formula: int = 1
    max_atoms: int = 12
    phonons: int = 0
    exfoliation_limit_ev_per_atom: float = LIMIT_EV_PER_ATOM
    potential: str = "chgnet"
    n_workers: int = 1
    rules: ChemistryOptions | None = field(default_factory=ChemistryOptions)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise InputError(f"The threshold is {self.threshold}; expected a score from 0 to 1.")
        for name in ("top", "per_formula", "max_atoms", "n_workers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; expected 1 or more.")
        if potential_info(self.potential).dispersion:
            raise InputError(
                f"Give the potential without dispersion ({self.potential.removesuffix('-d3')}); D3 is added."
            )


@dataclass(frozen=True, eq=False)
class LayerRow:
    """A monolayer on its way to the table.

    Attributes:
        candidate: the layer with its lineage.
        monolayer: as proposed, with its bulk parent.
        score: s of its formula.
        relaxed: after relaxation.
        formation_energy_ev_per_atom: MP2020 scale, without dispersion.
        above_hull_ev_per_atom: above the bulk phases of the Materials Project's table.
        exfoliation_ev_per_atom: with dispersion.
        exfoliation_mev_per_a2: per area.
        bulk_from: which bulk the exfoliation energy is against.
        lowest_thz: of the phonons, where they were computed.
        phonons: what they say.
        known: "reported" where the formula was made by somebody, "computed" where the Materials Project has it, or "".
    """

    candidate: Candidate
    monolayer: Monolayer
    score: float
    relaxed: Crystal | None = None
    formation_energy_ev_per_atom: float | None = None
    above_hull_ev_per_atom: float | None = None
    exfoliation_ev_per_atom: float | None = None
    exfoliation_mev_per_a2: float | None = None
    bulk_from: str = ""
    lowest_thz: float | None = None
    phonons: str = ""
    known: str = ""

    @property
    def id(self) -> str:
        """Of the candidate."""
        return self.candidate.id


@dataclass(frozen=True, eq=False)
class Monolayers:
    """The answer.

    Attributes:
        rows: those that passed everything, best first.
        rejected: (id, reason) of every layer that was relaxed and did not pass.
        stages: the funnel.
        formulas: the first half, with the numbers above each threshold.
        refused_templates: (name, why) of the user's structures that are no monolayers.
        wall_s: of the whole run, s.
    """

    rows: tuple[LayerRow, ...]
    rejected: tuple[tuple[str, str], ...]
    stages: tuple[Stage, ...]
    formulas: ScreenedFormulas
    refused_templates: tuple[tuple[str, Verdict], ...]
    wall_s: float


def song_2d(
    blocks: Iterable[FormulaBlock],
    classifier: TwoDimensionalClassifier,
    order: Song2dOrder,
    library: Library,
    brought: tuple[tuple[str, Crystal], ...] = (),
    report: Callable[[str], None] = lambda _: None,
) -> Monolayers:
    """Run the pipeline.

    Args:
        blocks: the stream of formulas.
        classifier: the shipped one or the user's.
        order: what to do.
        library: bundled tables, less what is hidden.
        brought: (name, slab): further templates of the user.
        report: told a sentence after each stage, and what exfoliation energies and phonons will cost before them.

    Raises:
        MissingExtraError: a package that the validation of layers needs is not installed.
    """
    require(["exfoliation", *(["phonons"] if order.phonons else [])])
    start = time.perf_counter()
    formulas = screen_formulas(blocks, classifier, order.rules, order.threshold)
    for stage in formulas.stages:
        report(_told(stage))
    templates = layer_templates(library, brought)
    rows, proposing, shortlisting = _proposed(formulas, templates, order)
    stages = [*formulas.stages, proposing, shortlisting]
    report(_told(proposing))
    report(_told(shortlisting))
    rejected: list[tuple[str, str]] = []
    potential = None
    for work in (_relaxed, _formed, _exfoliated, _vibrating):
        if work is _vibrating and not order.phonons:
            continue
        if potential is None and work is not _relaxed:
            potential = load_potential(f"{order.potential}-d3")
        if potential is not None and (told := _told_cost(work, rows, order, potential)):
            report(told)
        rows, stage, lost = work(rows, order, library, potential)
        rejected += lost
        stages.append(stage)
        report(_told(stage))
    rows = sorted(rows, key=_rank)
    wall = time.perf_counter() - start
    return Monolayers(tuple(rows), tuple(rejected), tuple(stages), formulas, templates.refused, wall)


def _told(stage: Stage) -> str:
    r = stage.record()
    return f"{r['stage']}: {r['in']} in, {r['kept']} kept, {r['rejected']} rejected in {r['seconds']} s. {r['why']}"


def _told_cost(work: Any, rows: list[LayerRow], order: Song2dOrder, potential: Potential) -> str:
    """What a stage will cost, before it; empty where it costs nothing worth telling."""
    relaxed = [(row.monolayer, row.relaxed) for row in sorted(rows, key=_rank) if row.relaxed is not None]
    costs = []
    if work is _exfoliated:
        costs = [cost_of_exfoliation(layer, crystal, potential) for layer, crystal in relaxed]
    elif work is _vibrating:
        costs = [cost_of_phonons(crystal, potential) for _, crystal in relaxed[: order.phonons]]
    return told_costs(costs, order.limits)


def _rank(row: LayerRow) -> tuple[float, str]:
    """By the energy above the bulk phases, then by id."""
    return row.above_hull_ev_per_atom or 0.0, row.id


def _proposed(
    formulas: ScreenedFormulas, templates: LayerTemplates, order: Song2dOrder
) -> tuple[list[LayerRow], Stage, Stage]:
    """Layers for the formulas: the best by log s + log-likelihood of the substitution."""
    proposing, shortlisting = Stage("template of a known layer"), Stage(f"shortlist of {order.top}")
    known = templates.formulas
    found: list[tuple[float, int, Any]] = []
    with proposing.timed():
        for row in range(len(formulas.table)):
            composition = formulas.table.composition(row)
            if composition.formula in known:
                proposing.take("is itself a layer of the templates")
                continue
            best = moves(templates, composition, order.per_formula)
            proposing.take("" if best else "no likely substitution into a layer of its anonymous formula")
            found += [(float(np.log(formulas.scores[row])) + move.score, row, move) for move in best]
    rows: list[LayerRow] = []
    with shortlisting.timed():
        found.sort(key=lambda item: (-item[0], item[1]))
        for _, row, move in found:
            if move.template.layer.crystal.n_atoms > order.max_atoms:
                shortlisting.take(f"more than {order.max_atoms} atoms")
            elif len(rows) == order.top:
                shortlisting.take("less likely than the shortlist")
            else:
                shortlisting.take()
                candidate, layer = realise_layer(templates, move)
                score = float(formulas.scores[row])
                rows.append(LayerRow(candidate.with_score("classifier_score", score), layer, score))
    return rows, proposing, shortlisting


_Answer = tuple[list[LayerRow], Stage, list[tuple[str, str]]]


def _relaxed(rows: list[LayerRow], order: Song2dOrder, library: Library, potential: Potential | None) -> _Answer:
    """Relax in the plane; a layer that fell apart or grew into its image is none any more."""
    del library, potential  # the workers load their own
    stage, kept, lost = Stage("relaxation in the plane, still one layer"), [], []
    with stage.timed():
        done: dict[str, Relaxation] = {}
        if rows:
            with RelaxationPool(f"{order.potential}-d3", RELAX, order.n_workers) as pool:
                done = dict(pool.run((row.id, row.candidate.crystal) for row in {r.id: r for r in rows}.values()))
        for row in rows:
            relaxation = done[row.id]
            reason = "" if relaxation.converged else f"relaxation {relaxation.ending.value}"
            if not reason and isinstance(as_monolayer(relaxation.final), Verdict):
                reason = "no longer one layer"
            stage.take(reason)
            if reason:
                lost.append((row.id, f"{reason}: {relaxation.reason}" if relaxation.reason else reason))
            else:
                kept.append(replace(row, relaxed=relaxation.final))
    return kept, stage, lost


def _formed(rows: list[LayerRow], order: Song2dOrder, library: Library, potential: Potential | None) -> _Answer:
    """Energy against the elements, and against the bulk phases."""
    del potential
    stage, kept, lost = Stage("formation energy below 0"), [], []
    with stage.timed():
        plain = load_potential(order.potential) if rows else None
        for row in rows:
            try:
                energy, above = _energies(row, plain, library)
            except (InputError, OutOfReachError) as error:
                stage.take("no formation energy")
                lost.append((row.id, str(error)))
                continue
            stage.take("" if energy < 0 else "formation energy not below 0")
            if energy < 0:
                known = _known(row.candidate, library)
                kept.append(
                    replace(row, formation_energy_ev_per_atom=energy, above_hull_ev_per_atom=above, known=known)
                )
            else:
                lost.append((row.id, f"formation energy {energy:.3f} eV/atom"))
    return kept, stage, lost


def _known(candidate: Candidate, library: Library) -> str:
    formula = candidate.crystal.composition.reduced.formula
    return "reported" if formula in library.reported else "computed" if formula in library.hull_energies else ""


def _energies(row: LayerRow, plain: Potential | None, library: Library) -> tuple[float, float]:
    from novalith.relax.base import Ending

    if plain is None or row.relaxed is None:
        raise InputError(f"{row.id} was not relaxed.")
    crystal = row.relaxed
    answer = plain.evaluate(crystal)
    single_point = Relaxation(
        crystal, crystal, Ending.CONVERGED, answer.energy_ev / crystal.n_atoms, None, None, 0, 1,
        plain.energy_scale, plain.info.label,
    )  # fmt: skip
    energy = mp2020_formation_energy(single_point, library)
    composition = crystal.composition.reduced
    hull = ConvexHull(table_phases(library, composition.field))
    return energy, energy - hull.energy(composition)


def _exfoliated(rows: list[LayerRow], order: Song2dOrder, library: Library, potential: Potential | None) -> _Answer:
    """What lifting the layer off its bulk costs: the substituted bulk of the template, or a stack of its own."""
    del library
    limit = order.exfoliation_limit_ev_per_atom
    stage, kept, lost = Stage(f"exfoliation energy below {limit:g} eV/atom"), [], []
    with stage.timed():
        for row in rows:
            read = as_monolayer(row.relaxed) if row.relaxed is not None else None
            if potential is None or row.relaxed is None or not isinstance(read, Monolayer):
                stage.take("no exfoliation energy")
                continue
            over = cost_of_exfoliation(row.monolayer, row.relaxed, potential).verdict(order.limits)
            if not over.passed:
                stage.take("exfoliation energy over the limits")
                lost.append((row.id, over.reason))
                continue
            result = exfoliation_energy(read, row.monolayer.parent, potential)
            energy = result.energy_ev_per_atom
            if energy is None:
                reason = "no exfoliation energy"
            elif energy < 0:
                reason = "its bulk is not the ground state"
            else:
                reason = "" if energy < limit else "exfoliation energy too high"
            stage.take(reason)
            if reason:
                lost.append((row.id, result.verdict.reason))
                continue
            kept.append(
                replace(
                    row,
                    relaxed=result.layer or row.relaxed,
                    exfoliation_ev_per_atom=energy,
                    exfoliation_mev_per_a2=result.energy_mev_per_a2,
                    bulk_from=result.bulk_from,
                )
            )
    return kept, stage, lost


def _vibrating(rows: list[LayerRow], order: Song2dOrder, library: Library, potential: Potential | None) -> _Answer:
    """Phonons of the best layers; the others, and those whose phonons would be too dear, go on without."""
    del library
    stage, kept, lost = Stage(f"phonons of the best {order.phonons}"), [], []
    with stage.timed():
        for place, row in enumerate(sorted(rows, key=_rank)):
            if place >= order.phonons or potential is None or row.relaxed is None:
                stage.take()
                kept.append(row)
                continue
            over = cost_of_phonons(row.relaxed, potential).verdict(order.limits)
            if not over.passed:
                stage.take()
                kept.append(replace(row, phonons=f"not made: {over.reason}"))
                continue
            result = phonons(row.relaxed, potential, IN_PLANE)
            stage.take("" if result.verdict.passed else "phonons did not pass")
            if result.verdict.passed:
                kept.append(replace(row, lowest_thz=result.lowest_thz, phonons=result.verdict.reason or "stable"))
            else:
                lost.append((row.id, result.verdict.reason))
    return kept, stage, lost
