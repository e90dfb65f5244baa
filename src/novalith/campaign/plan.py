"""The plan of a campaign: every choice that can change a result, resolved and written down.

`Plan` <-> `plan.toml`. A resumed campaign must have the same plan; what cannot change a result (number of workers,
where the folder lies) is not part of it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from novalith.errors import CampaignError, ContradictionError, CorruptDataError, InputError, UnknownNameError
from novalith.materials import PhaseField
from novalith.propose.base import Request
from novalith.propose.registry import EVERY_PROPOSER, PROPOSERS
from novalith.propose.request import parse_request
from novalith.propose.structures import NAME as STRUCTURES

HULL_MODES = ("table", "same-potential")
POTENTIALS = ("chgnet",)

#: Relaxations of a campaign unless the user says otherwise: about four minutes on two cores for cells of fifteen atoms.
DEFAULT_BUDGET = 160


@dataclass(frozen=True)
class Plan:
    """Every choice that can change a result.

    Attributes:
        ask: the chemical system or formula, as typed; empty for whatever `structures` are made of.
        require: elements that every candidate must hold; for a chemical system all of it unless `subsystems`.
        deny: elements that no candidate may hold.
        subsystems: whether candidates may lack some of the elements of the system.
        spacegroup: exact space group, 0 for any.
        max_atoms: largest number of atoms in a primitive cell.
        generators: names of the proposers, in the order in which they take turns.
        budget: number of relaxations.
        hull: "table" (the MP hull table) or "same-potential" (competing phases relaxed with the same potential).
        potential: name of the potential.
        max_force_ev_per_a: convergence of the forces, eV/Å.
        max_steps: step cap of one relaxation.
        seed: of every random choice.
        keep_known: whether known structures are relaxed and ranked beside the new ones.
        hidden: formulas, chemical systems and ids removed from every table before anything is read.
        reference: folder or file of the user's own known materials, empty for none; the checksum of its contents is
            kept beside those of the data cards.
        structures: folder or file of structures that the generator `structures` proposes, empty for none; their
            checksum is kept likewise.
    """

    ask: str
    require: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    subsystems: bool = False
    spacegroup: int = 0
    max_atoms: int = 24
    generators: tuple[str, ...] = PROPOSERS
    budget: int = DEFAULT_BUDGET
    hull: str = "table"
    potential: str = "chgnet"
    max_force_ev_per_a: float = 0.05
    max_steps: int = 250
    seed: int = 0
    keep_known: bool = False
    hidden: tuple[str, ...] = ()
    reference: str = ""
    structures: str = ""

    def __post_init__(self) -> None:
        if not self.generators:
            raise InputError(f"No generator was named; choose from {', '.join(PROPOSERS)}.")
        for name in self.generators:
            if name not in EVERY_PROPOSER:
                raise UnknownNameError("generator", name, EVERY_PROPOSER)
        if len(set(self.generators)) != len(self.generators):
            raise InputError(f"A generator is named twice in {','.join(self.generators)}.")
        if self.hull not in HULL_MODES:
            raise UnknownNameError("hull", self.hull, HULL_MODES)
        if self.potential not in POTENTIALS:
            raise UnknownNameError("potential", self.potential, POTENTIALS)
        if self.budget < 1:
            raise InputError(f"The budget is {self.budget} relaxations; expected at least 1.")
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}; expected 0 or more.")
        if bool(self.structures) != (STRUCTURES in self.generators):
            raise ContradictionError(
                f"The generator {STRUCTURES} and a folder of structures belong together; name both, or none of them."
            )
        if self.ask or not self.structures:
            self.request()  # refuses contradictions before anything is written
        elif self.generators != (STRUCTURES,):
            raise ContradictionError(
                "Nothing to look for: only given structures can be proposed without a chemical system or a formula."
            )

    @property
    def title(self) -> str:
        """What the campaign is about, in one word."""
        return self.ask or self.structures

    def request(self, elements: tuple[str, ...] = ()) -> Request:
        """What the proposers are asked for, without the formulas.

        Args:
            elements: those of the given structures, for a plan that asks for nothing else.
        """
        if self.structures and not self.ask:
            return Request(
                PhaseField(elements),
                require=frozenset(self.require),
                deny=frozenset(self.deny) & frozenset(elements),
                spacegroup=self.spacegroup or None,
                max_atoms=self.max_atoms,
            )
        request = parse_request(
            self.ask,
            require=",".join(self.require),
            deny=",".join(self.deny),
            spacegroup=self.spacegroup or None,
            max_atoms=self.max_atoms,
        )
        return request if self.subsystems else replace(request, require=request.allowed)

    def to_toml(self, versions: Mapping[str, str], cards: Mapping[str, str]) -> str:
        """The plan with the versions and data-card hashes it was resolved with."""
        sections = {"plan": asdict(self), "versions": dict(versions), "cards": dict(cards)}
        lines = ["# Written by novalith; the same command in the same folder goes on from here."]
        for name, values in sections.items():
            lines += ["", f"[{name}]", *(f"{_toml(k)} = {_toml(v)}" for k, v in values.items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Plan:
        """The inverse of `asdict`, from TOML or JSON.

        Raises:
            CorruptDataError: a key is missing or unknown.
        """
        known = {f.name for f in fields(cls)}
        if set(record) != known:
            raise CorruptDataError(
                f"The plan has the keys {sorted(set(record) ^ known)} too many or too few; "
                "it was written by another version of novalith or edited by hand."
            )
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        return cls(**values)


def _toml(value: object) -> str:
    """A string, number, boolean or list of strings as TOML, which writes these as JSON does."""
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class ResolvedPlan:
    """A plan with the versions and data it runs on.

    Attributes:
        plan: the choices.
        versions: package -> version; the potential with the hash of its weights among them.
        cards: data card -> sha256.
    """

    plan: Plan
    versions: Mapping[str, str]
    cards: Mapping[str, str]

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits over everything that can change a result."""
        content = json.dumps([asdict(self.plan), dict(self.versions), dict(self.cards)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def to_toml(self) -> str:
        """As written to `plan.toml`."""
        return self.plan.to_toml(self.versions, self.cards)


def read_plan(path: Path) -> ResolvedPlan:
    """The plan of a campaign folder.

    Raises:
        CorruptDataError: the file is not TOML or not a plan.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
        return ResolvedPlan(Plan.from_mapping(record["plan"]), record["versions"], record["cards"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise CorruptDataError(f"{path} is not a plan that novalith wrote: {error}.") from error


def check_same(path: Path, found: ResolvedPlan, asked: ResolvedPlan) -> None:
    """Make sure that a folder belongs to the plan that is asked for.

    Raises:
        CampaignError: it does not; the first differences are named.
    """
    if found == asked:
        return
    sections = (
        ("", asdict(found.plan), asdict(asked.plan)),
        ("version of ", found.versions, asked.versions),
        ("data card ", found.cards, asked.cards),
    )
    differences = [
        f"{kind}{key}: {old.get(key)!r} there, {new.get(key)!r} now"
        for kind, old, new in sections
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]
    raise CampaignError(
        f"{path.parent} holds a campaign with another plan ({'; '.join(differences[:3])}). "
        "Use the same options to go on with it, or another --out for a new one."
    )
