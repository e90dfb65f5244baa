"""Which elements a phase field may be made of: the user's limits, each with its source.

===================  =========================================================================================
limit                source
===================  =========================================================================================
radioactive          no stable isotope: Tc, Pm and everything from Po on (IUPAC; flag of pymatgen's periodic table)
toxic                As Cd Hg Pb: class 1 of ICH Q3D(R2) (2022); As Be Cd Cr Ni: group 1 of IARC Monographs 100C (2012);
                     Tl: acute toxicity category 2, Regulation (EC) 1272/2008 (CLP), Annex VI
redox-active         d- and f-block elements with two or more positive common oxidation states (pymatgen's list)
supply risk          Herfindahl-Hirschman index of production, to 10,000: Gaultois et al., Chem. Mater. 25, 2911 (2013)
price                US$/kg as of 2013: the cost table of pymatgen (Wolfram Alpha, Wikipedia)
===================  =========================================================================================

An element whose value is unknown does not pass a limit on that value, and the reason says so. The p block is not called
redox-active: Sn(IV), P(V) or Sb(V) are the skeleton of many solid electrolytes. Chromium counts as toxic though only
its hexavalent compounds are carcinogenic. A limit is a coarse sieve, not an assessment of safety.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache

from novalith.data.reported_fields import FOLDER
from novalith.errors import ContradictionError, EmptyResultError, InputError
from novalith.materials import ELEMENTS, PhaseField, check_element

TOXIC = frozenset("As Be Cd Cr Hg Ni Pb Tl".split())
#: Elements that are anions wherever they stand beside a metal, and elements that are sometimes.
ANIONS = frozenset("N O F S Cl Se Br Te I".split())
SOMETIMES_ANIONS = frozenset("H P As".split())


@dataclass(frozen=True)
class FieldLimits:
    """What a phase field may hold.

    Attributes:
        arity: number of elements, 2 to 5.
        require: elements that every field holds.
        allow: the only elements that may occur beside the required ones; empty for all.
        deny: elements that may not occur.
        n_anions: number of anions (`ANIONS`; `SOMETIMES_ANIONS` count as the field needs it), or None for any.
        no_radioactive: leave out elements without a stable isotope.
        no_toxic: leave out `TOXIC`.
        no_redox_active: leave out elements whose oxidation state changes easily.
        max_hhi: largest Herfindahl-Hirschman index of production, or None.
        max_price_usd_per_kg: largest price, or None.
    """

    arity: int = 4
    require: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    n_anions: int | None = None
    no_radioactive: bool = False
    no_toxic: bool = False
    no_redox_active: bool = False
    max_hhi: float | None = None
    max_price_usd_per_kg: float | None = None

    def __post_init__(self) -> None:
        for symbol in sorted(self.require | self.allow | self.deny):
            check_element(symbol)
        if not 2 <= self.arity <= 5:
            raise InputError(f"--arity is {self.arity}; fields of 2 to 5 elements can be ranked.")
        self._check_numbers()
        both = sorted(self.require & self.deny)
        if both:
            raise ContradictionError(f"{', '.join(both)} cannot be both required and denied.")
        both = sorted(self.allow & self.deny)
        if both:
            raise ContradictionError(f"{', '.join(both)} cannot be both allowed and denied.")
        if len(self.require) > self.arity:
            raise ContradictionError(
                f"{len(self.require)} elements are required ({', '.join(sorted(self.require))}), but a field of arity "
                f"{self.arity} has room for {self.arity}."
            )
        self._check_anions()
        for symbol in sorted(self.require):
            reason = self.refusal(symbol)
            if reason:
                raise ContradictionError(f"{symbol} is required but {reason}. Drop one of the two.")

    def _check_numbers(self) -> None:
        for name, value in (("--max-hhi", self.max_hhi), ("--max-price", self.max_price_usd_per_kg)):
            if value is not None and not value > 0:
                raise InputError(f"{name} is {value:g}; expected a positive number.")

    def _check_anions(self) -> None:
        if self.n_anions is None:
            return
        if not 0 <= self.n_anions <= self.arity:
            raise ContradictionError(f"A field of {self.arity} elements cannot have {self.n_anions} anions.")
        sure = sorted(self.require & ANIONS)
        if len(sure) > self.n_anions:
            raise ContradictionError(f"{', '.join(sure)} are required, which is more than {self.n_anions} anions.")
        cations = sorted(self.require - ANIONS - SOMETIMES_ANIONS)
        if len(cations) > self.arity - self.n_anions:
            raise ContradictionError(
                f"{self.n_anions} anions leave room for {self.arity - self.n_anions} other elements, but "
                f"{', '.join(cations)} are required."
            )

    def refusal(self, symbol: str) -> str:
        """Why an element may not occur, naming the rule; empty when it may."""
        facts = _facts()[symbol]
        if symbol in self.deny:
            return "is denied"
        if self.allow and symbol not in self.allow | self.require:
            return "is not among the allowed elements"
        if self.no_radioactive and facts.radioactive:
            return "has no stable isotope (--no-radioactive)"
        if self.no_toxic and symbol in TOXIC:
            return "is on the list of toxic elements (--no-toxic)"
        if self.no_redox_active and facts.redox_active:
            return "changes its oxidation state easily (--no-redox-active)"
        return _too_much("supply-risk index", "--max-hhi", facts.hhi, self.max_hhi) or _too_much(
            "price", "--max-price", facts.price_usd_per_kg, self.max_price_usd_per_kg
        )

    def elements(self, known: frozenset[str]) -> tuple[str, ...]:
        """Elements that may occur, by atomic number.

        Args:
            known: elements that are considered unless they are asked for by name.

        Raises:
            EmptyResultError: too few are left; the message counts the reasons.
        """
        named = self.require | self.allow
        kept, refused = [], dict[str, int]()
        for symbol in ELEMENTS:
            if symbol not in known and symbol not in named:
                continue
            reason = self.refusal(symbol)
            if reason:
                refused[reason.split(" (unknown")[0]] = refused.get(reason.split(" (unknown")[0], 0) + 1
            else:
                kept.append(symbol)
        if len(kept) < self.arity:
            why = "; ".join(f"{n} because each {reason}" for reason, n in sorted(refused.items()))
            raise EmptyResultError(
                f"The limits leave {len(kept)} elements ({', '.join(kept) or 'none'}), too few for fields of "
                f"{self.arity}: {why}. Relax a limit."
            )
        return tuple(kept)

    def admits(self, field: PhaseField) -> bool:
        """Whether a field satisfies every limit."""
        symbols = set(field.elements)
        return (
            len(field) == self.arity
            and self.require <= symbols
            and not any(self.refusal(s) for s in field.elements)
            and self.has_roles(len(symbols & ANIONS), len(symbols & SOMETIMES_ANIONS))
        )

    def has_roles(self, n_sure: int, n_sometimes: int) -> bool:
        """Whether so many sure and so many possible anions can make the number asked for."""
        return self.n_anions is None or n_sure <= self.n_anions <= n_sure + n_sometimes


def _too_much(what: str, rule: str, value: float | None, limit: float | None) -> str:
    if limit is None:
        return ""
    if value is None:
        return f"has no known {what} ({rule})"
    return f"has a {what} above {limit:g} ({rule})" if value > limit else ""


@dataclass(frozen=True)
class _Facts:
    radioactive: bool
    redox_active: bool
    hhi: float | None
    price_usd_per_kg: float | None


@lru_cache(maxsize=1)
def _facts() -> dict[str, _Facts]:
    with (FOLDER / "element_properties.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    facts = {}
    for row in rows:
        positive = [s for s in row["common_oxidation_states"].split() if int(s) > 0]
        inner = row["is_transition_metal"] == "1" or row["is_f_block"] == "1"
        hhi, price = row["hhi_production"], row["price_usd_per_kg"]
        facts[row["element"]] = _Facts(
            row["is_radioactive"] == "1",
            inner and len(positive) > 1,
            float(hhi) if hhi else None,
            float(price) if price else None,
        )
    return facts
