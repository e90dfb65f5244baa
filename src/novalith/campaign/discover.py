"""The main job: from a request to ranked crystals in a folder that survives being killed.

Three steps, each resumable from what lies in the folder:

1. *gather*: proposers and screens fill the queue; written whole to `log/queue.log`.
2. *relax*: each finished relaxation is appended to `log/results.log` before the next is counted.
3. *finish*: the ranked table, the structures and the record are made from the two logs, again and again the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from novalith.campaign.codec import candidate_from_json, candidate_to_json, relaxation_from_json, relaxation_to_json
from novalith.campaign.finish import CHARGE_RULE, Surroundings, judge_results
from novalith.campaign.folder import CampaignFolder
from novalith.campaign.funnel import Funnel
from novalith.campaign.gather import BUDGET, READING, Gathered, gather, proposal_stages
from novalith.campaign.known import Known, known_materials, read_references
from novalith.campaign.observer import Observer, Silence
from novalith.campaign.outputs import write_outputs
from novalith.campaign.plan import Plan, ResolvedPlan, check_same, read_plan
from novalith.campaign.properties import CITED as PREDICTOR_CITED
from novalith.campaign.properties import with_properties
from novalith.campaign.record import RunRecord
from novalith.data.cards import load_cards, load_software
from novalith.data.library import Library
from novalith.errors import InputError
from novalith.materials import Candidate, Composition
from novalith.propose.base import Request
from novalith.propose.formulas import formulas_of
from novalith.propose.registry import load_proposers
from novalith.propose.structures import NAME as STRUCTURES
from novalith.propose.structures import Given, read_given
from novalith.recipes.compose import formulas_for
from novalith.recipes.formula_ranking import RankedFormula
from novalith.relax.base import Relaxation
from novalith.relax.pool import RelaxationPool
from novalith.relax.potentials import potential_info
from novalith.relax.settings import RelaxSettings
from novalith.screen.cell import CellSanity
from novalith.screen.distances import Distances
from novalith.stability.same_potential import relaxed_phases
from novalith.stability.table import TABLE_REFERENCES, table_phases
from novalith.store.cache import FolderCache, cache_key
from novalith.store.files import folder_lock, make_folder, write_atomic
from novalith.store.index import rebuild_index
from novalith.store.log import AppendLog, read_log, write_log
from novalith.store.provenance import versions

Cache = MutableMapping[str, dict[str, Any]]


@dataclass(frozen=True)
class _Job:
    """A campaign at work: the plan and everything it is resolved to."""

    plan: Plan
    resolved: ResolvedPlan
    request: Request
    known: Known
    given: Given | None
    references: Mapping[str, float]
    folder: CampaignFolder
    workers: int
    pool: RelaxationPool | None
    observer: Observer

    @contextmanager
    def open_pool(self) -> Iterator[RelaxationPool]:
        """The workers that were lent, or new ones."""
        if self.pool is not None:
            yield self.pool
            return
        with RelaxationPool(self.plan.potential, self.settings, self.workers) as pool:
            yield pool

    @property
    def settings(self) -> RelaxSettings:
        return settings_of(self.plan)


def discover(
    plan: Plan,
    out: Path,
    *,
    workers: int = 1,
    cache: Cache | None = None,
    pool: RelaxationPool | None = None,
    observer: Observer | None = None,
) -> RunRecord:
    """Run a campaign, or go on with the one in the folder.

    Args:
        plan: every choice that can change the result.
        out: the campaign folder; made if need be.
        workers: relaxations at a time; cannot change the result.
        cache: where relaxations of other campaigns are looked up and kept; by default only the folder's own results
            are reused.
        pool: open workers to use instead of `workers` new ones; their settings must be those of the plan.
        observer: hears of the progress.

    Raises:
        CampaignError: the folder belongs to another plan, or another process writes to it.
        EmptyResultError: a stage left nothing.
        StorageError: the folder may not be written to, or the disk is full.
    """
    if pool is not None and pool.settings != settings_of(plan):
        raise InputError("The pool that was lent relaxes with other settings than the plan asks for.")
    own, checksums = read_references(plan.reference)
    given = read_given(Path(plan.structures)) if plan.structures else None
    if given is not None:
        checksums |= {"structures": given.checksum}
    known = known_materials(plan.hidden, own)
    request = plan.request(_rankable(given.elements, known.library, plan) if given is not None else ())
    job = _Job(
        plan=plan,
        resolved=resolve(plan, checksums),
        request=request,
        known=known,
        given=given,
        references=_references(known.library, plan, request),
        folder=CampaignFolder(make_folder(out)),
        workers=workers,
        pool=pool,
        observer=observer or Silence(),
    )
    with folder_lock(out):
        _claim(job)
        gathered = _gathered(job)
        results = _relaxed(job, gathered.queue, cache)
        around = _surroundings(job, gathered.queue)
        job.observer.note("Ranking and writing structures.")
        ranked, funnel = judge_results(plan, gathered.queue, results, around)
        rebuild_index(job.folder.index, [_index_row(c, results[c.id]) for c in gathered.queue])
        job.observer.note("Predicting properties of the ranked crystals.")
        record = replace(_record(job, gathered, results, around), ranked=with_properties(ranked))
        record = replace(record, funnel=(*gathered.funnel.summary(), *funnel.summary()))
        write_outputs(record, job.folder, [*gathered.funnel.rejections, *funnel.rejections], job.resolved.run_id)
    return record


def settings_of(plan: Plan) -> RelaxSettings:
    """When the relaxations of a plan stop."""
    return RelaxSettings(max_force_ev_per_a=plan.max_force_ev_per_a, max_steps=plan.max_steps)


def resolve(plan: Plan, own_data: Mapping[str, str]) -> ResolvedPlan:
    """The plan with the versions of the code, the potential and the data that it runs on.

    Args:
        plan: the choices.
        own_data: name -> sha256 of what the user brought.
    """
    potential = potential_info(plan.potential)
    code = {**versions(), f"potential {potential.name}": potential.version}
    return ResolvedPlan(plan, code, {card.key: card.sha256 for card in load_cards()} | dict(own_data))


def _rankable(elements: Sequence[str], library: Library, plan: Plan) -> tuple[str, ...]:
    """The elements that have a reference energy."""
    references = _all_references(library, plan)
    return tuple(s for s in elements if s in references)


def _all_references(library: Library, plan: Plan) -> Mapping[str, float]:
    return library.elemental_references(TABLE_REFERENCES if plan.hull == "table" else plan.potential)


def _references(library: Library, plan: Plan, request: Request) -> Mapping[str, float]:
    references = _all_references(library, plan)
    unknown = ",".join(sorted(request.allowed - set(references)))
    if unknown:
        raise InputError(
            f"There is no reference energy of {unknown} for {plan.potential}, so nothing with it can be ranked. "
            f"Leave it out, or deny it with --deny {unknown}."
        )
    return references


def _claim(job: _Job) -> None:
    """Write the plan into a new folder, or make sure that an old one belongs to it."""
    if job.folder.plan.exists():
        check_same(job.folder.plan, read_plan(job.folder.plan), job.resolved)
        return
    make_folder(job.folder.queue.parent)
    write_atomic(job.folder.plan, job.resolved.to_toml())


def _gathered(job: _Job) -> Gathered:
    """The queue, from its log or made now."""
    if job.folder.queue.exists():
        (head, *rows), _ = read_log(job.folder.queue)
        # A queue that was written before the budget was a stage has no count of it.
        stages = [s for s in proposal_stages(job.plan) if s != BUDGET or s in head["funnel"]["entered"]]
        funnel = Funnel.from_json(stages, head["funnel"])
        queue = tuple(candidate_from_json(row) for row in rows)
        return Gathered(queue, funnel, head["drawn"], tuple(tuple(entry) for entry in head.get("formulas", ())))
    ranked, chosen = _formulas(job)
    job.observer.stage("Proposing and screening", job.plan.budget)
    gathered = gather(
        job.plan,
        replace(job.request, formulas=chosen),
        load_proposers(job.plan.generators, job.known.library, job.given),
        (CellSanity(), Distances(), *(() if job.request.composition else (CHARGE_RULE,))),
        job.known.novelty,
        advance=job.observer.advance,
    )
    if job.given is not None:
        gathered.funnel.refuse(READING, job.given.refused)
    gathered = replace(gathered, formulas=tuple((r.composition.formula, r.score, r.reason) for r in ranked))
    head = {"funnel": gathered.funnel.to_json(), "drawn": gathered.drawn, "formulas": gathered.formulas}
    write_log(job.folder.queue, [head, *(candidate_to_json(c) for c in gathered.queue)])
    return gathered


def _formulas(job: _Job) -> tuple[tuple[RankedFormula, ...], tuple[Composition, ...]]:
    """The formulas of a chemical system with their reasons, and those to try; none where all crystals are given."""
    if job.plan.generators == (STRUCTURES,):
        return (), ()
    job.observer.note("Choosing formulas.")
    # A stream of its own: the proposers count theirs up from 0.
    ranked = formulas_for(job.request, job.known.library, rng=np.random.default_rng([job.plan.seed, 2**20]))
    return ranked, tuple(r.composition for r in ranked) or formulas_of(job.request, job.known.library)


def _relaxed(job: _Job, queue: Sequence[Candidate], cache: Cache | None) -> dict[str, Relaxation]:
    """A result for every candidate of the queue: from the log, from the cache, or relaxed now."""
    version = potential_info(job.plan.potential).version
    settings = asdict(job.settings)
    keys = {c.id: cache_key(crystal=c.crystal.to_json(), potential=version, settings=settings) for c in queue}
    job.observer.stage("Relaxing", len(queue))
    with AppendLog(job.folder.results) as log:
        results = {row["id"]: relaxation_from_json(row["relaxation"]) for row in log.records}
        job.observer.advance(len(results))

        def keep(identifier: str, relaxation: Relaxation) -> None:
            log.append({"id": identifier, "relaxation": relaxation_to_json(relaxation)})
            results[identifier] = relaxation
            job.observer.advance(1)

        todo = [c for c in queue if c.id not in results]
        for candidate in todo:
            if cache is not None and keys[candidate.id] in cache:
                keep(candidate.id, relaxation_from_json(cache[keys[candidate.id]]))
        tasks = [(c.id, c.crystal) for c in todo if c.id not in results]
        if tasks:
            with job.open_pool() as pool:
                for identifier, relaxation in pool.run(tasks):
                    keep(identifier, relaxation)
                    if cache is not None:
                        cache[keys[identifier]] = relaxation_to_json(relaxation)
    return results


def _surroundings(job: _Job, queue: Sequence[Candidate]) -> Surroundings:
    """The competing phases, from the table or relaxed with the same potential."""
    fields = [job.request.field]
    if not job.plan.ask:  # as many systems as the structures have; nothing else needs a hull
        fields = sorted({c.crystal.composition.field for c in queue})
    library = job.known.library
    if job.plan.hull == "table":
        found = dict.fromkeys(phase for field in fields for phase in table_phases(library, field))
        return Surroundings(job.known.novelty, job.references, tuple(found), ())
    job.observer.note("Relaxing the competing phases with the same potential.")
    found = {}
    missing: dict[str, None] = {}
    with job.open_pool() as pool:
        for field in fields:
            relaxed = relaxed_phases(library, field, pool, FolderCache(job.folder.cache))
            found |= dict.fromkeys(relaxed.phases)
            missing |= dict.fromkeys(relaxed.missing)
    return Surroundings(job.known.novelty, job.references, tuple(found), tuple(missing))


def _record(job: _Job, gathered: Gathered, results: Mapping[str, Relaxation], around: Surroundings) -> RunRecord:
    """What is known before ranking."""
    cards = {f"card {key}": sha256 for key, sha256 in job.resolved.cards.items()}
    choices = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(job.plan).items()}
    return RunRecord(
        folder=job.folder.root,
        title=job.plan.title,
        plan={"plan": choices, "drawn": dict(gathered.drawn)},
        versions={**job.resolved.versions, **cards},
        funnel=(),
        ranked=(),
        unranked={
            c.id: (c.crystal.composition.formula, results[c.id].ending.value)
            for c in gathered.queue
            if not results[c.id].converged
        },
        competing=around.phases,
        hull_mode=job.plan.hull,
        energy_scale=potential_info(job.plan.potential).energy_scale,
        n_relaxations=len(results),
        cited=_cited(job.plan, gathered),
        formulas=gathered.formulas,
    )


def _cited(plan: Plan, gathered: Gathered) -> tuple[str, ...]:
    """Keys of the cards of exactly the data, models and methods that the plan and the makers of its crystals used."""
    by_generator: dict[str, set[str]] = {
        STRUCTURES: {c.lineage.generator for c in gathered.queue} & {card.key for card in load_software()},
        "substitution": {"substitution"},
        "prototypes": set(),
        "random-symmetric": {"wyckoff_prior", "pyxtal"},
    }
    keys = {"structures", "hull", "reported", "oqmd", "elemental_references", "oxidation_states"}
    keys |= {"formula-generator", "composition-predictor"} if gathered.formulas else set()
    keys |= {plan.potential, PREDICTOR_CITED, "pymatgen", "spglib", "ase", "smact"}
    return tuple(sorted(keys.union(*(by_generator[name] for name in plan.generators))))


def _index_row(candidate: Candidate, relaxation: Relaxation) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "formula": candidate.crystal.composition.formula,
        "generator": candidate.lineage.generator,
        "ending": relaxation.ending.value,
        "energy_ev_per_atom": relaxation.energy_ev_per_atom,
        "max_force_ev_per_a": relaxation.max_force_ev_per_a,
        "n_steps": relaxation.n_steps,
    }
