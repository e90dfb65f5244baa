"""Training crystals for any chemical system, made from the bundled structures and labelled with a potential.

Known structures of other systems have their elements replaced by those of the wanted one
(`novalith.propose.substitution`, which also ranks them), are relaxed by the potential, and keep its energy as their
label,

    E_f = E - sum_i c_i mu_i   (eV/atom; `novalith.stability.references`),   E_hull against the bundled table.

This is how Kim et al. (ACS Cent. Sci. 6, 1412, 2020) made theirs, with DFT in place of the potential. A crystal leaves
the set when it does not fit the limits, when its relaxation ends without a sane energy, when it lies too far above the
hull, or when an earlier one is the same: given = kept + rejected.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from novalith.errors import CorruptDataError, EmptyResultError, StorageError
from novalith.materials import Candidate, Crystal, PhaseField, Verdict
from novalith.propose.base import Request
from novalith.propose.oxidation_states import neutral_states
from novalith.propose.substitution import Substitution
from novalith.relax.base import Ending, Relaxation
from novalith.relax.pool import RelaxationPool
from novalith.relax.potentials import CHGNET
from novalith.relax.settings import RelaxSettings
from novalith.screen.distances import Distances
from novalith.screen.duplicates import group_duplicates
from novalith.stability.hull import ConvexHull, judge_formation_energy
from novalith.stability.references import formation_energy
from novalith.stability.table import TABLE_REFERENCES, table_phases
from novalith.store.cache import FolderCache, cache_key
from novalith.store.files import write_atomic

if TYPE_CHECKING:
    from novalith.data.library import Library

FORMAT = "novalith training set 1"
#: Below this number no network is trained: it could only repeat what it was shown.
FEWEST_CRYSTALS = 10


@dataclass(frozen=True)
class SetLimits:
    """What belongs to a training set.

    Attributes:
        n_crystals: how many substituted structures are relaxed, the likeliest first.
        max_atoms: most atoms in a cell.
        max_counts: (element, most atoms of it in a cell) pairs; an element not named has no limit of its own.
        only_neutral: whether formulas without a neutral assignment of common oxidation states are left out.
        max_above_hull_ev_per_atom: farther above the hull of the bundled table a crystal is no example to learn from.
        max_steps: evaluations a relaxation may take; labels need not be converged to the last meV.
    """

    n_crystals: int = 600
    max_atoms: int = 20
    max_counts: tuple[tuple[str, int], ...] = ()
    only_neutral: bool = True
    max_above_hull_ev_per_atom: float = 0.5
    max_steps: int = 60


@dataclass(frozen=True)
class LabelledCrystal:
    """A training crystal.

    Attributes:
        id: of the candidate before relaxation.
        crystal: as relaxed.
        template: id of the structure whose elements were replaced: copies of one template stay on one side of a split.
        move: which elements were replaced.
        formation_energy_ev_per_atom: by the potential, against the elements of the bundled table.
        energy_above_hull_ev_per_atom: against the bundled table.
        ending: how the relaxation ended.
    """

    id: str
    crystal: Crystal
    template: str
    move: str
    formation_energy_ev_per_atom: float
    energy_above_hull_ev_per_atom: float
    ending: str


@dataclass(frozen=True)
class TrainingSet:
    """Crystals to learn from, and what it took to make them.

    Attributes:
        field: their elements.
        crystals: kept ones, in the order of the ranking.
        rejected: (id, why) of the others.
        n_relaxations: relaxations spent.
        potential: name and version of what relaxed them.
    """

    field: PhaseField
    crystals: tuple[LabelledCrystal, ...]
    rejected: tuple[tuple[str, Verdict], ...]
    n_relaxations: int
    potential: str

    def without_formulas(self, formulas: Iterable[str]) -> TrainingSet:
        """The set less all crystals of some reduced formulas: what a test of unseen compositions may learn from."""
        hidden = set(formulas)
        return replace(self, crystals=tuple(c for c in self.crystals if c.crystal.composition.formula not in hidden))

    @property
    def formulas(self) -> Counter[str]:
        """Reduced formulas and their numbers of crystals."""
        return Counter(c.crystal.composition.formula for c in self.crystals)

    def save(self, path: Path) -> None:
        """Write one JSON file."""
        record = {
            "format": FORMAT,
            "field": self.field.name,
            "n_relaxations": self.n_relaxations,
            "potential": self.potential,
            "crystals": [{**asdict(c), "crystal": c.crystal.to_json()} for c in self.crystals],
            "rejected": [[id_, v.rule, v.reason] for id_, v in self.rejected],
        }
        write_atomic(path, json.dumps(record, allow_nan=False))

    @classmethod
    def load(cls, path: Path) -> TrainingSet:
        """Read what `save` wrote.

        Raises:
            StorageError: the file cannot be opened.
            CorruptDataError: it is not a training set.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}. Give a training set written before.") from None
        except ValueError as error:
            raise CorruptDataError(
                f"{path} is not JSON ({error}); a training set written by novalith was expected."
            ) from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise CorruptDataError(f"{path} is not a training set of the form {FORMAT!r}; make it again.")
        crystals = (LabelledCrystal(**{**c, "crystal": Crystal.from_json(c["crystal"])}) for c in record["crystals"])
        rejected = ((id_, Verdict(False, rule, reason)) for id_, rule, reason in record["rejected"])
        return cls(
            PhaseField.parse(record["field"]), tuple(crystals), tuple(rejected), record["n_relaxations"],
            record["potential"],
        )  # fmt: skip


def holds_training_set(path: Path) -> bool:
    """Whether a file is a training set of any version, rather than structures."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return FORMAT.rsplit(" ", 1)[0].encode() in stream.read(200)


def substituted_candidates(library: Library, field: PhaseField, limits: SetLimits) -> list[Candidate]:
    """The likeliest substituted structures that hold every element of a field and keep within the limits.

    Raises:
        EmptyResultError: fewer than `FEWEST_CRYSTALS` were found; says which limit to raise.
    """
    request = Request(field, require=frozenset(field.elements), max_atoms=limits.max_atoms)
    most = dict(limits.max_counts)
    found: list[Candidate] = []
    # The ranking is fixed, so the generator is never asked.
    for candidate in Substitution(library).propose(request, np.random.default_rng(0)):
        if len(found) == limits.n_crystals:
            break
        composition = candidate.crystal.composition
        if any(n > most.get(symbol, n) for symbol, n in composition.counts):
            continue
        if limits.only_neutral and neutral_states(composition.reduced) is None:
            continue
        if Distances().check(candidate.crystal).passed:
            found.append(candidate)
    _check_enough(len(found), field, "structures can be substituted into")
    return found


def labelled_set(
    candidates: Sequence[Candidate],
    field: PhaseField,
    library: Library,
    limits: SetLimits,
    *,
    workers: int = 1,
    cache: Path | None = None,
) -> TrainingSet:
    """Relax candidates and keep those worth learning from.

    Args:
        candidates: as substituted.
        field: their elements.
        library: elemental references and the table of the hull.
        limits: which to keep, how long to relax.
        workers: relaxations at a time.
        cache: folder of relaxations done before; what is found there is not relaxed again.

    Raises:
        EmptyResultError: fewer than `FEWEST_CRYSTALS` are left.
    """
    results = relaxed_records([(c.id, c.crystal) for c in candidates], limits.max_steps, workers, cache)
    hull = ConvexHull(table_phases(library, field))
    references = library.elemental_references(TABLE_REFERENCES)
    kept: list[LabelledCrystal] = []
    rejected: list[tuple[str, Verdict]] = []
    for candidate in candidates:
        answer = _label(candidate, results[candidate.id], hull, references, limits)
        if isinstance(answer, Verdict):
            rejected.append((candidate.id, answer))
        else:
            kept.append(answer)
    first = group_duplicates([c.crystal for c in kept])
    for i, j in enumerate(first):
        if i != j:
            rejected.append((kept[i].id, Verdict(False, "duplicate", f"The same crystal as {kept[j].id}.")))
    crystals = tuple(c for i, c in enumerate(kept) if first[i] == i)
    _check_enough(len(crystals), field, "crystals are left of", rejected)
    return TrainingSet(field, crystals, tuple(rejected), len(candidates), CHGNET.label)


def relaxed_records(
    crystals: Sequence[tuple[str, Crystal]], max_steps: int, workers: int, cache: Path | None
) -> dict[str, dict[str, Any]]:
    """Relax crystals by the default potential: id -> {"ending", "energy", "final", "n_steps"}, cached by content."""
    settings = RelaxSettings(max_steps=max_steps)
    store: Any = FolderCache(cache) if cache is not None else {}
    keys = {
        id_: cache_key(crystal=c.to_json(), potential=CHGNET.label, settings=asdict(settings)) for id_, c in crystals
    }
    records = {id_: store[key] for id_, key in keys.items() if key in store}
    missing = [(id_, c) for id_, c in crystals if id_ not in records]
    if missing:
        with RelaxationPool(CHGNET.name, settings, workers) as pool:
            for id_, relaxation in pool.run(missing):
                records[id_] = _record(relaxation)
                if relaxation.ending is not Ending.FAILED and relaxation.ending is not Ending.TIMED_OUT:
                    store[keys[id_]] = records[id_]
    return records


def potential_energies(
    crystals: Sequence[tuple[str, Crystal]], library: Library, *, workers: int = 1, cache: Path | None = None
) -> dict[str, float | Verdict]:
    """Formation energies (eV/atom) of crystals as they are, by the default potential, or why there is none.

    They are on the scale of the bundled table, whose elements are the reference.

    Args:
        crystals: (id, crystal), every id once.
        library: elemental references.
        workers: evaluations at a time.
        cache: folder of evaluations done before.
    """
    records = relaxed_records(crystals, 0, workers, cache)
    references = library.elemental_references(TABLE_REFERENCES)
    found: dict[str, float | Verdict] = {}
    for id_, crystal in crystals:
        energy = _energy(records[id_])
        strange = ", ".join(sorted(set(crystal.species) - set(references)))
        if strange:
            found[id_] = Verdict(False, "reference", f"There is no reference energy of {strange} to label it with.")
        elif isinstance(energy, Verdict):
            found[id_] = energy
        else:
            formation = formation_energy(crystal.composition.reduced, energy, references)
            said = judge_formation_energy(formation)
            found[id_] = formation if said.passed else said
    return found


def _energy(record: dict[str, Any]) -> float | Verdict:
    """Energy of a record, eV/atom, or how its relaxation ended without one."""
    energy = record["energy_ev_per_atom"]
    if record["ending"] not in {Ending.CONVERGED.value, Ending.CAPPED.value} or energy is None:
        return Verdict(False, "relaxation", f"The relaxation ended {record['ending']}: {record['reason']}")
    return float(energy)


def _record(relaxation: Relaxation) -> dict[str, Any]:
    return {
        "ending": relaxation.ending.value,
        "energy_ev_per_atom": relaxation.energy_ev_per_atom,
        "final": relaxation.final.to_json(),
        "n_steps": relaxation.n_steps,
        "reason": relaxation.reason,
    }


def _label(
    candidate: Candidate, record: dict[str, Any], hull: ConvexHull, references: Any, limits: SetLimits
) -> LabelledCrystal | Verdict:
    energy = _energy(record)
    if isinstance(energy, Verdict):
        return energy
    crystal = Crystal.from_json(record["final"])
    composition = crystal.composition.reduced
    formation = formation_energy(composition, energy, references)
    verdict = judge_formation_energy(formation)
    if not verdict.passed:
        return verdict
    above = formation - hull.energy(composition)
    if above > limits.max_above_hull_ev_per_atom:
        highest = limits.max_above_hull_ev_per_atom
        return Verdict(False, "hull", f"{above:.3f} eV/atom above the hull; at most {highest:g} is an example.")
    lineage = candidate.lineage
    return LabelledCrystal(
        candidate.id, crystal, lineage.parents[0], lineage.move, formation, above, record["ending"]
    )  # fmt: skip


def _check_enough(n: int, field: PhaseField, what: str, rejected: Sequence[tuple[str, Verdict]] = ()) -> None:
    if n < FEWEST_CRYSTALS:
        told = "".join(f" {id_}: {verdict.reason}" for id_, verdict in rejected[:3])
        raise EmptyResultError(
            f"{n} {what} {field}; a network needs at least {FEWEST_CRYSTALS} training crystals. Allow more atoms or "
            "formulas that are not neutral, raise the limit above the hull, or choose elements that the bundled "
            f"structures know better.{f' Left out, among others:{told}' if told else ''}"
        )
