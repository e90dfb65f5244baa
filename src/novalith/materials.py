"""The vocabulary: what each rung of the ladder is made of.

======================  =====================================================  =======================
object                  meaning                                                example
======================  =====================================================  =======================
`PhaseField`            a set of elements                                      Cl-Li-S-Sn
`Composition`           whole numbers of atoms per element                     Li4SnS4
`Gene`                  a space group and its occupied Wyckoff orbits          225: Cl 4b, Na 4a
`Crystal`               a cell (Å) and the sites in it (fractional)            what a CIF holds
`Candidate`             a crystal with the lineage that led to it              a row of the report
`Verdict`               what a rule said of a material, and why                too close: Na-Cl 0.4 Å
======================  =====================================================  =======================

All are frozen, validated on construction, equal and hashable by content, and convert from and to pymatgen and ASE.
Nothing here imports a heavy library before a conversion asks for it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from novalith.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Composition as PymatgenComposition
    from pymatgen.core import Structure

Vector = tuple[float, float, float]

#: Symbols by atomic number (IUPAC 2016); the index of a symbol is its atomic number minus one.
ELEMENTS: tuple[str, ...] = tuple(
    """H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
    Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
    Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
    Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og""".split()
)
ATOMIC_NUMBERS: Mapping[str, int] = {symbol: i + 1 for i, symbol in enumerate(ELEMENTS)}

#: Counts above this are typing errors or units gone wrong, not formulas of crystals.
MAX_COUNT = 100_000
_ISOTOPES = {"D": "deuterium (write H)", "T": "tritium (write H)"}
_TOKEN = re.compile(r"([A-Z][a-z]?)|(\()|(\))|(\d+(?:\.\d+)?)")


def check_element(symbol: str) -> str:
    """Return `symbol` if it is a chemical element.

    Raises:
        UnknownNameError: it is not one; isotopes and look-alike letters are named as what they are.
    """
    if symbol in ATOMIC_NUMBERS:
        return symbol
    if symbol in _ISOTOPES:
        raise InputError(f"{symbol!r} is an isotope, not an element symbol: {_ISOTOPES[symbol]}.")
    foreign = [c for c in symbol if not c.isascii()]
    if foreign:
        raise InputError(
            f"Element symbol {symbol!r} holds the character {foreign[0]!r} (U+{ord(foreign[0]):04X}), which only "
            "looks like a Latin letter. Type it again on a Latin keyboard."
        )
    raise UnknownNameError("element", symbol, ELEMENTS)


@dataclass(frozen=True, order=True)
class PhaseField:
    """A set of elements, without amounts.

    Attributes:
        elements: distinct symbols in alphabetical order.
    """

    elements: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.elements:
            raise InputError("A phase field needs at least one element; none was given.")
        repeated = [s for s, n in Counter(self.elements).items() if n > 1]
        if repeated:
            raise InputError(
                f"Phase field {'-'.join(self.elements)!r} repeats {', '.join(repeated)}; name each element once."
            )
        for symbol in self.elements:
            check_element(symbol)
        object.__setattr__(self, "elements", tuple(sorted(self.elements)))

    @classmethod
    def parse(cls, text: str) -> PhaseField:
        """Read "Li-Sn-S-Cl", "Li,Sn,S,Cl" or "Li Sn S Cl"."""
        return cls(tuple(s for s in re.split(r"[-,\s]+", text.strip()) if s))

    @property
    def name(self) -> str:
        """Symbols joined by hyphens in alphabetical order, the usual name of a chemical system."""
        return "-".join(self.elements)

    def __str__(self) -> str:
        return self.name

    def __len__(self) -> int:
        return len(self.elements)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.elements

    def covers(self, other: PhaseField) -> bool:
        """Whether every element of `other` belongs to this field."""
        return set(other.elements) <= set(self.elements)


def _parse_formula(text: str) -> dict[str, float]:
    """Amounts per element of a formula with optional parentheses and decimal amounts."""
    stripped = text.strip()
    if not stripped:
        raise InputError("The formula is empty; write for example Li3PO4 or Ca(OH)2.")
    _refuse_foreign(stripped, text)
    stack: list[dict[str, float]] = [{}]
    last: dict[str, float] | None = None
    position = 0
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise InputError(
                f"Formula {text!r} cannot be read at {stripped[position:]!r} (character {position + 1}); "
                "write element symbols with amounts, for example Li3PO4 or Ca(OH)2."
            )
        symbol, opening, closing, amount = match.groups()
        if symbol:
            _merge(stack[-1], last)
            last = {_formula_symbol(symbol, text): 1.0}
        elif opening:
            _merge(stack[-1], last)
            last = None
            stack.append({})
        elif closing:
            if len(stack) == 1:
                raise InputError(f"Formula {text!r} closes a bracket that was never opened.")
            _merge(stack[-1], last)
            last = stack.pop()
        else:
            if last is None:
                raise InputError(f"Formula {text!r} has the amount {amount} before any element.")
            if float(amount) == 0:
                raise InputError(f"Formula {text!r} holds an amount of zero; leave that element out.")
            if list(last) == ["Po"] and float(amount) >= 3:  # LiFePo4: no polonium compound has that many in a row
                raise InputError(f"Formula {text!r} reads as polonium (Po{amount}). Did you mean PO{amount}?")
            _merge(stack[-1], {s: n * float(amount) for s, n in last.items()})
            last = None
        position = match.end()
    _merge(stack[-1], last)
    if len(stack) > 1:
        raise InputError(f"Formula {text!r} opens a bracket that is never closed.")
    return stack[0]


def _refuse_foreign(stripped: str, text: str) -> None:
    foreign = next((c for c in stripped if not c.isascii()), None)
    if foreign is not None:
        raise InputError(
            f"Formula {text!r} holds the character {foreign!r} (U+{ord(foreign):04X}), which is not plain Latin text. "
            "Type it again on a Latin keyboard, subscripts as plain digits."
        )


def _merge(into: dict[str, float], part: Mapping[str, float] | None) -> None:
    for symbol, amount in (part or {}).items():
        into[symbol] = into.get(symbol, 0.0) + amount


def _formula_symbol(symbol: str, text: str) -> str:
    try:
        return check_element(symbol)
    except InputError as error:
        raise InputError(f"Formula {text!r}: {error}") from None


@lru_cache(maxsize=200_000)
def _reduced_formula(counts: tuple[tuple[str, int], ...]) -> str:
    import warnings

    from pymatgen.core import Composition as PymatgenComposition

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity", category=UserWarning)  # noble gases
        return str(PymatgenComposition(dict(counts)).reduced_formula)


@dataclass(frozen=True, order=True)
class Composition:
    """Whole numbers of atoms per element.

    Attributes:
        counts: (symbol, number) pairs in alphabetical order, numbers from 1 to `MAX_COUNT`.
    """

    counts: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if not self.counts:
            raise InputError("A composition needs at least one element; none was given.")
        for symbol, number in self.counts:
            check_element(symbol)
            if isinstance(number, bool) or int(number) != number or not 1 <= number <= MAX_COUNT:
                raise InputError(f"The count of {symbol} is {number}; expected a whole number from 1 to {MAX_COUNT}.")
        if len({s for s, _ in self.counts}) != len(self.counts):
            raise InputError(f"An element is listed twice in {self.counts}.")
        object.__setattr__(self, "counts", tuple(sorted((s, int(n)) for s, n in self.counts)))

    @classmethod
    def parse(cls, text: str) -> Composition:
        """Read a formula such as "Li3PO4" or "Ca(OH)2"; amounts must be whole numbers.

        Raises:
            InputError: unknown symbols, isotopes, unbalanced brackets, fractions, zero or huge counts.
        """
        amounts = _parse_formula(text)
        fractional = [f"{s}{n:g}" for s, n in amounts.items() if abs(n - round(n)) > 1e-9]
        if fractional:
            raise InputError(
                f"Formula {text!r} has fractional amounts ({', '.join(fractional)}); crystals need whole numbers: "
                "multiply it out, or name the chemical system instead."
            )
        for symbol, number in amounts.items():
            if number > MAX_COUNT:
                raise InputError(f"Formula {text!r} asks for {number:g} {symbol}; at most {MAX_COUNT} are accepted.")
        return cls(tuple((s, round(n)) for s, n in amounts.items()))

    @classmethod
    def from_species(cls, species: Iterable[str]) -> Composition:
        """Count the atoms in a list of symbols."""
        return cls(tuple(Counter(species).items()))

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return sum(n for _, n in self.counts)

    @property
    def reduced(self) -> Composition:
        """The same ratio in the smallest whole numbers."""
        divisor = math.gcd(*(n for _, n in self.counts))
        return Composition(tuple((s, n // divisor) for s, n in self.counts))

    @property
    def formula(self) -> str:
        """Reduced formula in pymatgen's order and spelling: the key of every bundled table."""
        return _reduced_formula(self.counts)

    @property
    def anonymous(self) -> tuple[int, ...]:
        """Sorted reduced counts, for example (1, 1, 3) for a perovskite."""
        return tuple(sorted(n for _, n in self.reduced.counts))

    @property
    def field(self) -> PhaseField:
        """The elements without their amounts."""
        return PhaseField(tuple(s for s, _ in self.counts))

    def fraction(self, symbol: str) -> float:
        """Share of atoms that are `symbol` (0 to 1)."""
        return dict(self.counts).get(symbol, 0) / self.n_atoms

    def to_pymatgen(self) -> PymatgenComposition:
        """As a pymatgen Composition."""
        from pymatgen.core import Composition as PymatgenComposition

        return PymatgenComposition(dict(self.counts))

    def __str__(self) -> str:
        return self.formula


@dataclass(frozen=True, order=True)
class Orbit:
    """One occupied Wyckoff orbit.

    Attributes:
        element: the symbol that occupies it.
        multiplicity: atoms of the orbit in the conventional cell.
        letter: Wyckoff letter of International Tables A ("A" stands for the 27th orbit of Pmmm).
    """

    element: str
    multiplicity: int
    letter: str

    def __post_init__(self) -> None:
        check_element(self.element)
        if not re.fullmatch(r"[a-zA]", self.letter):
            raise InputError(f"Wyckoff letter {self.letter!r} is not one of a-z or A.")
        if not 1 <= self.multiplicity <= 192:
            raise InputError(f"Wyckoff multiplicity {self.multiplicity} is impossible; expected 1 to 192.")

    def __str__(self) -> str:
        return f"{self.element} {self.multiplicity}{self.letter}"


@dataclass(frozen=True, order=True)
class Gene:
    """A space group with its occupied Wyckoff orbits: all of a crystal but its numbers.

    Attributes:
        spacegroup: number in International Tables A, 1 to 230.
        orbits: occupied orbits, sorted; an orbit with free coordinates may occur more than once.
    """

    spacegroup: int
    orbits: tuple[Orbit, ...]

    def __post_init__(self) -> None:
        check_spacegroup(self.spacegroup)
        if not self.orbits:
            raise InputError("A gene needs at least one occupied orbit.")
        object.__setattr__(self, "orbits", tuple(sorted(self.orbits)))

    @property
    def composition(self) -> Composition:
        """Atoms of the conventional cell."""
        counts: Counter[str] = Counter()
        for orbit in self.orbits:
            counts[orbit.element] += orbit.multiplicity
        return Composition(tuple(counts.items()))

    @property
    def skeleton(self) -> tuple[int, tuple[tuple[int, str, int], ...]]:
        """The gene without names of elements: orbits with the index of their (anonymous) element.

        Elements are numbered in the order that makes the result smallest, so that genes which differ only in their
        elements have equal skeletons.
        """
        from itertools import permutations

        names = sorted({o.element for o in self.orbits})
        if len(names) > 6:  # 720 orders at the most; beyond that the order of the names must do
            orders: Iterable[Sequence[str]] = [names]
        else:
            orders = permutations(names)
        return self.spacegroup, min(
            tuple(sorted((o.multiplicity, o.letter, order.index(o.element)) for o in self.orbits)) for order in orders
        )

    def __str__(self) -> str:
        return f"{self.spacegroup}: " + ", ".join(str(o) for o in self.orbits)


def check_spacegroup(number: int) -> int:
    """Return `number` if it is a space-group number.

    Raises:
        InputError: it is outside 1 to 230.
    """
    if isinstance(number, bool) or not 1 <= number <= 230:
        raise InputError(f"Space group {number} does not exist; expected a number from 1 to 230.")
    return number


@dataclass(frozen=True)
class Crystal:
    """A periodic cell and the atoms in it.

    Attributes:
        lattice: three cell vectors as rows, Å.
        species: one symbol a site.
        frac_coords: one fractional position a site, in [0, 1).
    """

    lattice: tuple[Vector, Vector, Vector]
    species: tuple[str, ...]
    frac_coords: tuple[Vector, ...]

    def __post_init__(self) -> None:
        if len(self.species) != len(self.frac_coords):
            raise InputError(
                f"A crystal needs one position a site: {len(self.species)} species, {len(self.frac_coords)} positions."
            )
        if not self.species:
            raise InputError("A crystal needs at least one site.")
        for symbol in set(self.species):
            check_element(symbol)
        numbers = [x for row in (*self.lattice, *self.frac_coords) for x in row]
        if not all(math.isfinite(x) for x in numbers):
            raise InputError("A cell vector or a position is not a finite number.")
        if not self.volume > 1e-3:
            raise InputError(
                f"The cell volume is {self.volume:.3g} Å3; expected a right-handed cell of positive volume."
            )

    @classmethod
    def from_arrays(cls, lattice: Any, species: Iterable[str], frac_coords: Any) -> Crystal:
        """From arrays: lattice (3, 3) in Å, species (n,), fractional coordinates (n, 3), wrapped into the cell."""
        return cls(
            lattice=tuple(tuple(float(x) for x in row) for row in lattice),  # type: ignore[arg-type]
            species=tuple(str(s) for s in species),
            frac_coords=tuple(tuple(_wrap(float(x)) for x in row) for row in frac_coords),  # type: ignore[misc]
        )

    @classmethod
    def from_structure(cls, structure: Structure) -> Crystal:
        """From an ordered pymatgen Structure; oxidation states are dropped.

        Raises:
            InputError: a site is partially occupied or shared, or holds something that is not an element.
        """
        if not structure.is_ordered:
            sites = [str(s.species) for s in structure if not s.is_ordered]
            raise InputError(
                f"{structure.composition.reduced_formula} is disordered ({len(sites)} sites, the first {sites[0]}); "
                "expand it to ordered cells first."
            )
        lattice = structure.lattice.matrix
        species = [getattr(s.specie, "symbol", str(s.specie)) for s in structure]
        if _triple(lattice) < 0:  # the same crystal in a right-handed setting: all three vectors reversed
            return cls.from_arrays(-lattice, species, -structure.frac_coords)
        return cls.from_arrays(lattice, species, structure.frac_coords)

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> Crystal:
        """From ASE Atoms with three periodic directions."""
        if not all(atoms.pbc):
            raise InputError("A crystal is periodic in three directions; these atoms are not.")
        lattice, coordinates = atoms.cell[:], atoms.get_scaled_positions(wrap=False)
        if _triple(lattice) < 0:
            lattice, coordinates = -lattice, -coordinates
        return cls.from_arrays(lattice, atoms.get_chemical_symbols(), coordinates)

    def to_structure(self) -> Structure:
        """As a pymatgen Structure."""
        from pymatgen.core import Structure

        return Structure(self.lattice, list(self.species), self.frac_coords)

    def to_atoms(self) -> Atoms:
        """As ASE Atoms, periodic in three directions."""
        from ase import Atoms

        return Atoms(symbols=list(self.species), cell=self.lattice, scaled_positions=self.frac_coords, pbc=True)

    @property
    def composition(self) -> Composition:
        """Atoms of the cell."""
        return Composition.from_species(self.species)

    @property
    def n_atoms(self) -> int:
        """Number of sites in the cell."""
        return len(self.species)

    @property
    def volume(self) -> float:
        """Cell volume, Å3."""
        return _triple(self.lattice)

    @cached_property
    def content_id(self) -> str:
        """Sixteen hexadecimal digits of a SHA-256 over the numbers as written (nine decimals) and the species."""
        lines = [" ".join(f"{x + 0.0:.9f}" for x in row) for row in self.lattice]
        lines += [
            s + " " + " ".join(f"{x + 0.0:.9f}" for x in row)
            for s, row in zip(self.species, self.frac_coords, strict=True)
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """As plain lists and strings; floats keep all their digits."""
        return {
            "lattice": [list(r) for r in self.lattice],
            "species": list(self.species),
            "frac_coords": [list(r) for r in self.frac_coords],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Crystal:
        """The inverse of `to_json`."""
        return cls(
            lattice=tuple(tuple(map(float, r)) for r in record["lattice"]),  # type: ignore[arg-type]
            species=tuple(record["species"]),
            frac_coords=tuple(tuple(map(float, r)) for r in record["frac_coords"]),  # type: ignore[misc]
        )


def _wrap(x: float) -> float:
    """Into [0, 1); a number a rounding error below a whole one becomes 0."""
    wrapped = x % 1.0
    return 0.0 if wrapped >= 1.0 - 1e-12 else wrapped


def _triple(lattice: Any) -> float:
    """Signed volume of three row vectors."""
    (a, b, c), (d, e, f), (g, h, i) = lattice
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


@dataclass(frozen=True)
class Verdict:
    """What a rule said of a material.

    Attributes:
        passed: whether the material may go on.
        rule: short name of the rule, the key under which rejections are counted.
        reason: one sentence with the numbers behind the verdict; never empty when `passed` is False.
        source: the paper, table or standard the rule comes from.
    """

    passed: bool
    rule: str
    reason: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if not self.passed and not self.reason:
            raise ValueError(f"A rejection by {self.rule!r} must give its reason.")


@dataclass(frozen=True)
class Lineage:
    """Where a candidate comes from: each rung that led to it.

    Attributes:
        generator: name of the proposer that made the crystal.
        move: one sentence on what it did ("Li4GeS4 (mp-30249) with Ge replaced by Sn").
        parents: ids of the materials it was made from, empty for a crystal made from nothing.
        gene: the gene it was realised from, where there was one.
        scores: (name, value) pairs gathered on the way down, units in the names.
    """

    generator: str
    move: str = ""
    parents: tuple[str, ...] = ()
    gene: Gene | None = None
    scores: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A crystal on its way to the report, with its lineage.

    Attributes:
        crystal: the structure as proposed or as relaxed.
        lineage: what led to it.
    """

    crystal: Crystal
    lineage: Lineage = field(compare=False)

    @property
    def id(self) -> str:
        """Slug of the reduced formula (without brackets) and a hash of the content: never an order number."""
        composition = self.crystal.composition.reduced
        counts = dict(composition.counts)
        order = dict.fromkeys(re.findall("[A-Z][a-z]?", composition.formula))
        return "".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in order) + f"-{self.crystal.content_id[:10]}"

    def with_score(self, name: str, value: float) -> Candidate:
        """A copy whose lineage carries one score more."""
        scores = (*self.lineage.scores, (name, float(value)))
        return replace(self, lineage=replace(self.lineage, scores=scores))
