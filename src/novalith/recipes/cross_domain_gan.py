"""Ternary crystals from two sets of binaries that share an element, by translation across the two domains.

From crystals A-X and B-X (nickel and palladium hydrides, or any two binaries with a common element):

    1. two translators G: A-X -> B-X and F: B-X -> A-X are learned (`novalith.generate.cyclegan`);
    2. feature transfer: the metal block of G(a) is put beside the atoms of a, which gives a pseudo-ternary A-B-X, and
       that of F(b) beside b, which gives a pseudo-ternary B-A-X;
    3. a second pair of translators between the two sets of pseudo-ternaries moves atoms and cell, under geometric
       constraints (`novalith.training.contacts`: periodic, with gradients). What it makes are the products.

After CrystalGAN: Nouira, Sokolovska, Crivello, "CrystalGAN: learning to discover crystallographic structures with
generative adversarial networks" (2018). Theirs maps every point alone, knows no periodic images, and its geometric loss
reads distances back from files, so that nothing was learned from it. An origin is arbitrary, so the transferred block
is moved by a random vector; the cell is scaled to the volume expected of the larger contents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import ContradictionError, EmptyResultError, InputError
from novalith.generate.cyclegan import CycleGan, CycleSettings
from novalith.materials import Candidate, Composition, Crystal, Lineage, PhaseField, Verdict
from novalith.propose.templates import template_table
from novalith.recipes.substituted_training_set import FEWEST_CRYSTALS, SetLimits, substituted_candidates
from novalith.represent.point_cloud import niggli_reduced
from novalith.screen.contact_windows import PUBLISHED_WINDOW_A, ContactWindows, fit_windows
from novalith.store.checkpoint import Checkpoint, load_checkpoint, rebuilds, save_checkpoint

if TYPE_CHECKING:
    from novalith.data.library import Library
    from novalith.training.adversarial import AdversarialSupervision
    from novalith.training.contacts import ContactTable

BIBTEX = """@misc{nouira2018crystalgan,
  title = {{CrystalGAN}: learning to discover crystallographic structures with generative adversarial networks},
  author = {Nouira, Asma and Sokolovska, Nataliya and Crivello, Jean-Claude},
  year = {2018}, eprint = {1810.11203}, archivePrefix = {arXiv}
}"""

NAME = "cross-domain-gan"
Floats = NDArray[np.float32]
#: Volumes of products are held to the expected one times these.
VOLUME_RANGE = (0.8, 1.3)


@dataclass(frozen=True)
class BinaryPair:
    """Two binary systems with one common element.

    Attributes:
        first: A, the element of the first alone.
        second: B, the element of the second alone.
        shared: X.
    """

    first: str
    second: str
    shared: str

    @classmethod
    def of(cls, first: PhaseField, second: PhaseField) -> BinaryPair:
        """From two fields of two elements.

        Raises:
            InputError: a field has not two elements.
            ContradictionError: they share none, or are the same.
        """
        for given in (first, second):
            if len(given) != 2:
                raise InputError(f"{given} has {len(given)} elements; a domain is a binary system such as Ni-H.")
        common = sorted(set(first.elements) & set(second.elements))
        if len(common) != 1:
            told = "are the same system" if common else "share no element"
            raise ContradictionError(
                f"{first} and {second} {told}. Give two binaries with one common element, such as Ni-H and Pd-H."
            )
        (a,), (b,) = (set(f.elements) - set(common) for f in (first, second))
        return cls(a, b, common[0])

    @property
    def elements(self) -> tuple[str, str, str]:
        """A, B, X."""
        return self.first, self.second, self.shared

    @property
    def field(self) -> PhaseField:
        """The ternary system."""
        return PhaseField(self.elements)


@dataclass(frozen=True)
class CrossDomainSettings:
    """Sizes and training.

    Attributes:
        n_crystals: binaries taken of each domain.
        max_atoms: most atoms in a binary cell.
        n_pseudo: pseudo-ternaries of each side that the second stage learns from.
        first: of the first pair of translators.
        second: of the second; its constraint weight 0 leaves the geometric constraints out.
    """

    n_crystals: int = 60
    max_atoms: int = 6
    n_pseudo: int = 240
    first: CycleSettings = field(default_factory=lambda: CycleSettings(n_epochs=120))
    second: CycleSettings = field(default_factory=lambda: CycleSettings(n_epochs=40, constraint_weight=5.0))


#: `paper` has the numbers of crystals, layers, epochs and the batch of the authors' code; its networks are ours.
SIZES = {
    "tiny": CrossDomainSettings(
        12, 4, 16, CycleSettings(8, 1, 2, n_epochs=2), CycleSettings(8, 1, 2, n_epochs=2, constraint_weight=5.0)
    ),
    "default": CrossDomainSettings(),
    "paper": CrossDomainSettings(
        35,
        24,
        70,
        CycleSettings(100, 10, n_epochs=100, batch_size=35, rate=1e-4),
        CycleSettings(100, 5, n_epochs=100, batch_size=35, rate=1e-4, constraint_weight=5.0),
    ),
}


def binary_crystals(library: Library, metal: str, shared: str, settings: CrossDomainSettings) -> list[Crystal]:
    """Niggli cells of a binary system: known binaries of any elements with these two put in, at their volume.

    Raises:
        EmptyResultError: fewer than `FEWEST_CRYSTALS` were found.
    """
    limits = SetLimits(settings.n_crystals, settings.max_atoms, only_neutral=False)
    found = substituted_candidates(library, PhaseField((metal, shared)), limits)
    return [niggli_reduced(c.crystal) for c in found]


def transfer_block(
    host: Crystal, donor: Crystal, element: str, shift: NDArray[np.float64], volume_a3: float
) -> Crystal:
    """The host with the donor's atoms of one element beside its own: the feature transfer, on crystals.

    Args:
        host: keeps its atoms and the shape of its cell.
        donor: its atoms of `element` are copied at their fractional positions.
        element: which atoms to copy.
        shift: fractional vector that the copied atoms are moved by.
        volume_a3: the cell is scaled to this volume.

    Raises:
        InputError: the donor holds no such atom.
    """
    copied = [f for s, f in zip(donor.species, donor.frac_coords, strict=True) if s == element]
    if not copied:
        raise InputError(f"The donor {donor.composition} holds no {element}; there is nothing to transfer.")
    lattice = np.asarray(host.lattice) * (volume_a3 / host.volume) ** (1 / 3)
    positions = np.concatenate([np.asarray(host.frac_coords), np.asarray(copied) + shift])
    return Crystal.from_arrays(lattice, (*host.species, *[element] * len(copied)), positions)


@dataclass(frozen=True, eq=False)
class SlotRows:
    """Which slots of a row array belong to which element.

    Attributes:
        elements: in the order of their slots.
        n_each: slots of every element.
    """

    elements: tuple[str, ...]
    n_each: tuple[int, ...]

    @property
    def kinds(self) -> list[int]:
        """Index of the element of every slot."""
        return [i for i, n in enumerate(self.n_each) for _ in range(n)]

    def encode(self, crystals: Sequence[Crystal]) -> Floats:
        """Crystals as (n, 3 + slots, 4); an element has at least as many slots as atoms."""
        from novalith.networks.crystal_pairs import POSITION_A

        rows = np.zeros((len(crystals), 3 + sum(self.n_each), 4), dtype=np.float32)
        for row, crystal in zip(rows, crystals, strict=True):
            row[:3, :3] = crystal.lattice
            start, species = 3, np.array(crystal.species)
            for symbol, n in zip(self.elements, self.n_each, strict=True):
                mine = np.asarray(crystal.frac_coords)[species == symbol]
                row[start : start + len(mine), :3] = mine * POSITION_A
                row[start : start + len(mine), 3] = 1.0
                start += n
        return rows

    def decode(self, row: Floats) -> Crystal | Verdict:
        """A crystal, or why there is none."""
        from novalith.networks.crystal_pairs import POSITION_A

        lattice = row[:3, :3].astype(np.float64)
        if not np.isfinite(row).all() or np.linalg.det(lattice) < 1.0:
            return Verdict(False, "points", f"The cell has a volume of {np.linalg.det(lattice):.3g} Å3.")
        there = row[3:, 3] > 0.5
        species = [self.elements[k] for k, seen in zip(self.kinds, there, strict=True) if seen]
        return Crystal.from_arrays(lattice, species, row[3:][there, :3].astype(np.float64) / POSITION_A)


class CrossDomainGan:
    """Both stages for one pair of binaries.

    Args:
        pair: the binaries.
        settings: sizes and training.

    Attributes:
        windows: limits on distances that the second stage is held to.
    """

    def __init__(self, pair: BinaryPair, settings: CrossDomainSettings | None = None) -> None:
        self.pair = pair
        self.settings = settings or CrossDomainSettings()
        self.windows = ContactWindows(())
        self._domains: tuple[list[Crystal], list[Crystal]] = ([], [])
        self._volumes: dict[str, float] = {}

    def fit(
        self, first: Sequence[Crystal], second: Sequence[Crystal], volumes_a3: dict[str, float],
        resume_path: Path | None = None, watch: Any = lambda _: None, *, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Learn from crystals A-X and B-X.

        Args:
            first: of A and X.
            second: of B and X.
            volumes_a3: expected volume of an atom of each of the three elements, Å3.
            resume_path: where the state of the stage under way is kept, with ".first" or ".second" behind it.
            watch: called after each epoch.
            rng: same crystals and seed, same model.

        Raises:
            EmptyResultError: a domain has fewer than `FEWEST_CRYSTALS` crystals.
            InputError: a crystal is of other elements than its domain.
        """
        a, b, x = self.pair.elements
        for crystals, metal in ((first, a), (second, b)):
            if len(crystals) < FEWEST_CRYSTALS:
                raise EmptyResultError(
                    f"{len(crystals)} crystals of {metal}-{x} came, {FEWEST_CRYSTALS} is the least. "
                    "Allow more atoms in a cell, or give more structures."
                )
            strange = next((c for c in crystals if set(c.species) != {metal, x}), None)
            if strange is not None:
                raise InputError(f"{strange.composition} is no crystal of {metal}-{x}.")
        self._domains = (list(first), list(second))
        self._volumes = dict(volumes_a3)
        self.windows = pair_windows(first, second, self.pair)
        self._make()
        one = [self._slots_one(metal).encode(domain) for metal, domain in zip((a, b), self._domains, strict=True)]
        supervise = [_supervision(resume_path, stage, watch) for stage in ("first", "second")]
        self._first.fit(one[0], one[1], None, supervise[0], rng=rng)
        sides = [self.pseudo_ternaries(side, self.settings.n_pseudo, rng=rng) for side in (0, 1)]
        two = [self._two.encode(side) for side in sides]
        table = self._contact_table([c for side in sides for c in side])

        def constraint(points: Any) -> Any:
            from novalith.training.contacts import contact_loss

            return contact_loss(points.cells, points.positions, points.occupied, table.of(points.kinds))

        self._second.fit(two[0], two[1], constraint, supervise[1], rng=rng)

    def pseudo_ternaries(self, side: int, n: int, *, rng: np.random.Generator) -> list[Crystal]:
        """`n` results of the feature transfer, before the second stage: on hosts A-X (side 0) or B-X (side 1)."""
        hosts, metals = self._domains[side], self.pair.elements[:2]
        chosen = [hosts[i] for i in rng.integers(len(hosts), size=n)]
        translated = self._first.translate(self._slots_one(metals[side]).encode(chosen), bool(side), rng=rng)
        other = self._slots_one(metals[1 - side])
        made = []
        for host, row in zip(chosen, translated, strict=True):
            donor = other.decode(row)
            if isinstance(donor, Verdict):  # the translator bounds its strain; a flat cell falls back to the host's
                donor = Crystal(host.lattice, tuple(_renamed(host, metals[side], metals[1 - side])), host.frac_coords)
            union = Composition.from_species((*host.species, *(s for s in donor.species if s == metals[1 - side])))
            volume = sum(k * self._volumes[s] for s, k in union.counts)
            made.append(transfer_block(host, donor, metals[1 - side], rng.random(3), volume))
        return made

    def draw(self, n: int, *, rng: np.random.Generator) -> list[Crystal | Verdict]:
        """`n` products, from both sides in turn; same seed, same products."""
        products: list[list[Crystal | Verdict]] = []
        for side in (0, 1):
            inputs = self.pseudo_ternaries(side, math.ceil(n / 2), rng=rng)
            rows = self._second.translate(self._two.encode(inputs), bool(side), rng=rng)
            products.append([self._two.decode(row) for row in rows])
        return [p for both in zip(*products, strict=True) for p in both][:n]

    def candidates(self, n: int, *, rng: np.random.Generator) -> list[Candidate]:
        """The products of `draw` that decode, with their lineage."""
        a, b, x = self.pair.elements
        move = f"translated from pseudo-ternaries of {a}-{x} and {b}-{x}"
        drawn = self.draw(n, rng=rng)
        return [Candidate(c, Lineage(NAME, move=move)) for c in drawn if isinstance(c, Crystal)]

    def cycle_errors_a(self, *, rng: np.random.Generator) -> tuple[float, float]:
        """Root-mean-square displacement (Å) after A -> B -> A and B -> A -> B in the first stage."""
        rows = [self._slots_one(m).encode(d) for m, d in zip(self.pair.elements[:2], self._domains, strict=True)]
        forward = self._first.cycle_error_a(rows[0], False, rng=rng)
        return forward, self._first.cycle_error_a(rows[1], True, rng=rng)

    @property
    def curves(self) -> tuple[Any, Any]:
        """The learning curves of both stages."""
        return self._first.curve, self._second.curve

    def save(self, path: Path) -> None:
        """Write both stages and the binaries that products start from."""
        tensors = {f"first.{n}": t for n, t in self._first.tensors().items()}
        tensors |= {f"second.{n}": t for n, t in self._second.tensors().items()}
        config = {
            "settings": asdict(self.settings),
            "pair": list(self.pair.elements),
            "volumes": self._volumes,
            "windows": [[list(p), low, high] for p, low, high in self.windows.windows],
            "origin": self.windows.origin,
            "domains": [[c.to_json() for c in domain] for domain in self._domains],
        }
        save_checkpoint(Checkpoint(NAME, tensors, config), path)

    @classmethod
    @rebuilds
    def load(cls, path: Path) -> CrossDomainGan:
        """Read what `save` wrote.

        Raises:
            StorageError: the file cannot be opened.
            CorruptDataError: it is no such model.
        """
        stored = load_checkpoint(path, NAME)
        config, given = stored.config, dict(stored.config["settings"])
        stages = {name: CycleSettings(**given[name]) for name in ("first", "second")}
        model = cls(BinaryPair(*config["pair"]), CrossDomainSettings(**{**given, **stages}))
        model._volumes = {str(s): float(v) for s, v in config["volumes"].items()}
        windows = tuple(((str(p[0]), str(p[1])), float(low), float(high)) for p, low, high in config["windows"])
        model.windows = ContactWindows(windows, config["origin"])
        first, second = ([Crystal.from_json(c) for c in domain] for domain in config["domains"])
        model._domains = (first, second)
        model._make()
        for name, stage in (("first.", model._first), ("second.", model._second)):
            stage.restore({k.removeprefix(name): t for k, t in stored.tensors.items() if k.startswith(name)})
        return model

    def _make(self) -> None:
        """Networks and slots for the domains at hand."""
        x = self.pair.shared
        crystals = [c for domain in self._domains for c in domain]
        self._n_metal = max(sum(s != x for s in c.species) for c in crystals)
        self._n_shared = max(sum(s == x for s in c.species) for c in crystals)
        self._two = SlotRows(self.pair.elements, (self._n_metal, self._n_metal, self._n_shared))
        self._first = CycleGan(self._slots_one(self.pair.first).kinds, self.settings.first)
        self._second = CycleGan(self._two.kinds, self.settings.second)

    def _slots_one(self, metal: str) -> SlotRows:
        return SlotRows((metal, self.pair.shared), (self._n_metal, self._n_shared))

    def _contact_table(self, pseudo: Sequence[Crystal]) -> ContactTable:
        """Limits by element for the constraint; volumes around what is expected of the pseudo-ternaries."""
        from novalith.recipes.point_cloud_gan import contact_table
        from novalith.represent.point_cloud import PointLayout

        layout = PointLayout(tuple(zip(self._two.elements, self._two.n_each, strict=True)))
        volumes = np.array([c.volume / c.n_atoms for c in pseudo])
        return contact_table(
            self.windows, layout, np.array([volumes.min() * VOLUME_RANGE[0], volumes.max() * VOLUME_RANGE[1]])
        )


def _supervision(path: Path | None, stage: str, watch: Any) -> AdversarialSupervision:
    from novalith.training.adversarial import AdversarialSupervision

    resume = None if path is None else path.with_name(f"{path.name}.{stage}")
    return AdversarialSupervision(resume_path=resume, watch=watch)


def expected_volumes(library: Library, pair: BinaryPair) -> dict[str, float]:
    """Volume of one atom of each element in a compound of all three, Å3 (`novalith.propose.volumes`)."""
    return template_table(library).volumes.shares(Composition(tuple((s, 1) for s in pair.elements)))


def pair_windows(first: Sequence[Crystal], second: Sequence[Crystal], pair: BinaryPair) -> ContactWindows:
    """Windows of distances in A-B-X: those of both domains, A-B between A-A and B-B, and nothing of a kind below 1.8 Å.

    Shortest distances of A-A, B-B and X-X are held to the published lower limit; the upper limit of every kind and all
    others are the 1 to 99 % of the binaries.
    """
    fitted = {p: (low, high) for c in (first, second) for p, low, high in fit_windows(c).windows}
    a, b, x = pair.elements
    both_x = [fit_windows(c).of((x, x)) for c in (first, second)]
    ranges = [w for w in both_x if w is not None]
    if ranges:
        fitted[x, x] = (min(w[0] for w in ranges), max(w[1] for w in ranges))
    own = [fitted[m, m] for m in (a, b) if (m, m) in fitted]
    if own:
        key = (a, b) if a < b else (b, a)
        fitted[key] = (float(np.mean([w[0] for w in own])), float(np.mean([w[1] for w in own])))
    floor = PUBLISHED_WINDOW_A[0]
    same_class = {tuple(sorted(p)) for p in ((a, a), (b, b), (x, x), (a, b))}
    windows = tuple(
        (p, max(low, floor) if p in same_class else low, max(high, floor)) for p, (low, high) in sorted(fitted.items())
    )
    return ContactWindows(windows, f"1 to 99 % of {len(first)} and {len(second)} binaries")


def _renamed(crystal: Crystal, old: str, new: str) -> list[str]:
    return [new if s == old else s for s in crystal.species]
