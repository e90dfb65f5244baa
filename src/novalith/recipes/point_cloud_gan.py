"""Crystals of a requested composition from a generative adversarial network of point clouds, for any elements.

    x' = G(z, c),   c = counts of the cell, one-hot, and optionally the formation energy

After Kim, Noh, Gu, Aspuru-Guzik and Jung, ACS Cent. Sci. 6, 1412 (2020): Wasserstein loss with gradient penalty 10,
several critic steps to one of the generator, Adam (0.5, 0.999), a classifier Q that reads the counts off the points
(weights 1 and 0.3 on real crystals, 0 and 0.3 on generated ones), pooling per element, noise on empty slots. The
networks are others (`novalith.networks.slot_points`): they see distances over the faces of the cell, which the
published convolutions over slots cannot. A hinge on distances and volume (`novalith.training.contacts`), its limits
fitted to the training crystals, is added to the generator's loss. The training set is made by
`novalith.recipes.substituted_training_set` from bundled structures, so that any system can be learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, InputError
from novalith.generate.gan import WassersteinGan
from novalith.materials import Candidate, Composition, Crystal, Lineage, Verdict
from novalith.recipes.substituted_training_set import FEWEST_CRYSTALS, TrainingSet
from novalith.represent.point_cloud import (
    PointLayout,
    decode_points,
    decoded_counts,
    doubled,
    encode_points,
    niggli_reduced,
)
from novalith.screen.contact_windows import ContactWindows, fit_windows
from novalith.store.checkpoint import Checkpoint, load_checkpoint, rebuilds, save_checkpoint

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from novalith.training.adversarial import AdversarialReport, AdversarialSettings, Auxiliary
    from novalith.training.contacts import ContactTable

BIBTEX = """@article{kim2020generative,
  title = {Generative adversarial networks for crystal structure prediction},
  author = {Kim, Sungwon and Noh, Juhwan and Gu, Geun Ho and Aspuru-Guzik, Alan and Jung, Yousung},
  journal = {ACS Central Science}, volume = {6}, pages = {1412--1420}, year = {2020}, doi = {10.1021/acscentsci.0c00426}
}"""

NAME = "point-cloud-gan"
Floats = NDArray[np.float32]
#: Largest noise on an entry of an empty slot and the threshold below which an entry gets it (published code).
NOISE_MEAN, NOISE_DEVIATION, NOISE_BELOW = 1e-3, 10**-2.5, 0.01
#: Weight of the counts beside the slots in the classifier's loss, and in the generator's (published code).
COUNT_WEIGHT = 0.3
#: Steps in which the occupancy of slots is learned from the counts alone; wrong slots are gone after about 60.
SETTLING_STEPS = 150


@dataclass(frozen=True)
class PointGanSettings:
    """Sizes and training.

    Attributes:
        n_noise: numbers of z that the whole crystal shares.
        width: of the generator's states.
        critic_width: of the critic's states.
        n_epochs: passes over the rows.
        batch_size: rows a step.
        rate: learning rate of the generator; the critic's is twice, the classifier's half of it.
        critic_steps: steps of the critic to one of the generator.
        contact_weight: of the hinge on distances; 0 leaves it out.
        averaging: share of the old average of the generator kept at each of its steps.
        max_atoms: larger training cells are left out.
        with_energy: whether the formation energy is a condition, the second one beside the composition.
    """

    n_noise: int = 16
    width: int = 32
    critic_width: int = 32
    n_epochs: int = 150
    batch_size: int = 16
    rate: float = 3e-4
    critic_steps: int = 2
    contact_weight: float = 1.0
    averaging: float = 0.95
    max_atoms: int = 12
    with_energy: bool = False


#: `default` trains in well under an hour on one core; `paper` has the rates and steps of the paper's code.
SIZES = {
    "tiny": PointGanSettings(4, 8, 8, 2, 16, max_atoms=10),
    "default": PointGanSettings(),
    "paper": PointGanSettings(512, 64, 64, 501, 32, 5e-5, 5, 0.0, 0.0, 28),
}


@dataclass(frozen=True, eq=False)
class Rows:
    """A training set as arrays.

    Attributes:
        rows: (n, 2 + slots, 3).
        counts: (n, elements).
        energies: (n,) formation energies, eV/atom.
        crystals: what the rows were made from, one each.
    """

    rows: Floats
    counts: NDArray[np.int64]
    energies: Floats
    crystals: tuple[Crystal, ...]


@dataclass(frozen=True)
class Draw:
    """One product as it came out of the network.

    Attributes:
        counts: atoms of each element that the occupied slots hold, in the order of the layout.
        asked: atoms of each element that were asked for.
        crystal: what the array decodes to, or why it does not.
    """

    counts: tuple[int, ...]
    asked: tuple[int, ...]
    crystal: Crystal | Verdict

    @property
    def as_asked(self) -> bool:
        """Whether the network itself kept to the composition."""
        return self.counts == self.asked


def training_rows(training: TrainingSet, layout: PointLayout, max_atoms: int, *, rng: np.random.Generator) -> Rows:
    """Niggli cells in slots, and where they fit doubled cells along a random axis beside them.

    Raises:
        InputError: fewer than `FEWEST_CRYSTALS` crystals fit.
    """
    kept, energies = [], []
    most = dict(layout.slots)
    for labelled in training.crystals:
        crystal = niggli_reduced(labelled.crystal)
        for copy in (crystal, doubled(crystal, int(rng.integers(3)))):
            small = copy.n_atoms <= max_atoms
            if small and all(n <= most.get(s, 0) for s, n in copy.composition.counts):
                kept.append(copy)
                energies.append(labelled.formation_energy_ev_per_atom)
    if len(kept) < FEWEST_CRYSTALS:
        raise InputError(
            f"{len(kept)} training cells have at most {max_atoms} atoms and fit the slots {layout}; at least "
            f"{FEWEST_CRYSTALS} are needed. Allow more atoms or more slots, or make a larger training set."
        )
    rows = np.stack([encode_points(c, layout) for c in kept]).astype(np.float32)
    counts = np.stack([layout.counts(c.composition) for c in kept])
    return Rows(rows, counts, np.array(energies, dtype=np.float32), tuple(kept))


class PointCloudGan:
    """A generator of crystals of the elements of a layout.

    Args:
        layout: elements and slots.
        settings: sizes and training.
    """

    def __init__(self, layout: PointLayout, settings: PointGanSettings | None = None) -> None:
        self.layout = layout
        self.settings = settings or PointGanSettings()
        self.windows = ContactWindows(())
        self.formulas: tuple[str, ...] = ()
        self._volume, self._energy = 15.0, (0.0, 1.0)
        self._gan = self._make_gan()

    def fit(
        self, training: TrainingSet, resume_path: Path | None = None, watch: Any = lambda _: None,
        *, rng: np.random.Generator,
    ) -> tuple[AdversarialReport, ...]:  # fmt: skip
        """Train and return the learning curve; the same set and `rng` give the same model.

        Raises:
            InputError: too few crystals of the set fit the layout.
        """
        from novalith.networks.slot_points import ROW_SCALE
        from novalith.training.adversarial import AdversarialSupervision

        data = training_rows(training, self.layout, self.settings.max_atoms, rng=rng)
        volumes = np.array([c.volume / c.n_atoms for c in data.crystals])
        self._volume = float(np.median(volumes))
        self._energy = (float(data.energies.mean()), max(float(data.energies.std()), 1e-3))
        self.windows = fit_windows(c.crystal for c in training.crystals)
        self.formulas = tuple(sorted(training.formulas))
        self._gan = self._make_gan()
        table = contact_table(self.windows, self.layout, volumes)
        self._gan.fit_watched(
            data.rows * ROW_SCALE,
            self._condition(data.counts, data.energies),
            supervision=AdversarialSupervision(resume_path=resume_path, watch=watch),
            auxiliary=lambda: self._auxiliary(table),
            rng=rng,
        )
        return self._gan.curve

    def draw(
        self, composition: Composition, n: int, energy_ev_per_atom: float | None = None, *, rng: np.random.Generator
    ) -> list[Draw]:
        """Draw `n` products of a cell with exactly these atoms, none masked, repaired or left out.

        Args:
            composition: atoms of the cell, not a reduced formula: Mg2O2 is another request than MgO.
            n: how many.
            energy_ev_per_atom: formation energy asked for, where the model was trained with it.
            rng: same seed, same products.

        Raises:
            CapabilityError: the model lacks an element or slots for it, or an energy is given to a model without.
        """
        if (energy_ev_per_atom is not None) and not self.settings.with_energy:
            raise CapabilityError(
                "The model was trained without formation energies; train it with --target formation_energy."
            )
        from novalith.networks.slot_points import ROW_SCALE

        counts = np.tile(self.layout.counts(composition), (n, 1))
        asked = self._energy[0] if energy_ev_per_atom is None else energy_ev_per_atom
        condition = self._condition(counts, np.full(n, asked, dtype=np.float32))
        rows = self._gan.sample(n, condition, rng=rng).astype(np.float64) / ROW_SCALE
        found = decoded_counts(rows, self.layout)
        wanted = tuple(int(k) for k in counts[0]) if n else ()
        return [
            Draw(tuple(int(k) for k in row), wanted, decode_points(points, self.layout))
            for row, points in zip(found, rows, strict=True)
        ]

    def candidates(
        self, composition: Composition, n: int, energy_ev_per_atom: float | None = None, *, rng: np.random.Generator
    ) -> list[Candidate]:
        """The decoded products of `draw` that have the requested atoms, with their lineage."""
        move = f"drawn for a cell of {composition} by a network trained on {self.layout.field}"
        if energy_ev_per_atom is not None:
            move += f", asked for a formation energy of {energy_ev_per_atom:g} eV/atom"
        return [
            Candidate(d.crystal, Lineage(NAME, move=move))
            for d in self.draw(composition, n, energy_ev_per_atom, rng=rng)
            if d.as_asked and isinstance(d.crystal, Crystal)
        ]

    def save(self, path: Path) -> None:
        """Write the model."""
        config = {
            "settings": asdict(self.settings),
            "slots": [list(s) for s in self.layout.slots],
            "volume": self._volume,
            "energy": list(self._energy),
            "windows": [[list(p), low, high] for p, low, high in self.windows.windows],
            "origin": self.windows.origin,
        }
        save_checkpoint(Checkpoint(NAME, self._gan.tensors(), config, {"formulas": list(self.formulas)}), path)

    @classmethod
    @rebuilds
    def load(cls, path: Path) -> PointCloudGan:
        """Read what `save` wrote.

        Raises:
            StorageError: the file cannot be opened.
            CorruptDataError: it is no such model.
        """
        stored = load_checkpoint(path, NAME)
        config = stored.config
        layout = PointLayout(tuple((str(s), int(n)) for s, n in config["slots"]))
        model = cls(layout, PointGanSettings(**config["settings"]))
        model._volume, model._energy = float(config["volume"]), tuple(config["energy"])
        windows = tuple(((str(p[0]), str(p[1])), float(low), float(high)) for p, low, high in config["windows"])
        model.windows = ContactWindows(windows, config["origin"])
        model.formulas = tuple(stored.vocabulary["formulas"])
        model._gan = model._make_gan()
        model._gan.restore(
            stored.tensors, model._condition(np.zeros((1, len(layout.slots)), int), np.zeros(1, np.float32)).shape[1]
        )
        return model

    def _make_gan(self) -> WassersteinGan:
        from novalith.networks.slot_points import SlotGenerator

        width = SlotGenerator.noise_width([n for _, n in self.layout.slots], self.settings.n_noise)
        return WassersteinGan(self._build, width, _adversarial(self.settings))

    def _build(self, n_condition: int) -> tuple[Any, Any]:
        from novalith.networks.slot_points import SlotCritic, SlotGenerator

        s, slots = self.settings, [n for _, n in self.layout.slots]
        n_properties = int(s.with_energy)
        self._generator = SlotGenerator(slots, s.n_noise, n_properties, self._volume, s.width)
        settle_occupancy(self._generator, slots, n_properties)
        return self._generator, SlotCritic(slots, n_condition, s.critic_width)

    def _condition(self, counts: NDArray[np.int64], energies: Floats) -> Floats:
        import torch

        from novalith.networks.slot_points import count_condition

        one_hot = count_condition(torch.from_numpy(counts), [n for _, n in self.layout.slots]).numpy()
        if not self.settings.with_energy:
            return one_hot
        scaled = ((energies - self._energy[0]) / self._energy[1]).astype(np.float32)
        return np.concatenate([one_hot, scaled[:, None]], axis=1)

    def _auxiliary(self, table: ContactTable) -> Auxiliary:
        """The classifier, and everything that the generator hears beside the critic."""
        import torch
        from torch.nn import functional

        from novalith.networks.slot_points import EMPTY_BELOW, ROW_SCALE, CountClassifier, rows_to_points
        from novalith.training.adversarial import Auxiliary
        from novalith.training.contacts import contact_loss

        slots = [n for _, n in self.layout.slots]
        classifier, generator, weight = CountClassifier(slots), self._generator, self.settings.contact_weight

        def counts_of(condition: Tensor) -> list[Tensor]:
            parts = condition[:, : sum(slots) + len(slots)].split([n + 1 for n in slots], dim=1)
            return [part.argmax(dim=1) for part in parts]

        def noisy(scaled: Tensor, source: torch.Generator) -> Tensor:
            rows = scaled / ROW_SCALE
            noise = (NOISE_MEAN + NOISE_DEVIATION * torch.randn(rows.shape, generator=source)).abs()
            return torch.where(rows.detach() < NOISE_BELOW, rows + noise, rows)

        def real_loss(rows: Tensor, condition: Tensor, source: torch.Generator) -> Tensor:
            occupancy, numbers = classifier(noisy(rows, source))
            there = (rows[:, 2:].sum(dim=2) >= ROW_SCALE * EMPTY_BELOW).float()
            loss = functional.binary_cross_entropy_with_logits(occupancy, there)
            for logits, count in zip(numbers, counts_of(condition), strict=True):
                loss = loss + COUNT_WEIGHT * functional.cross_entropy(logits, count)
            return loss

        def fake_loss(rows: Tensor, condition: Tensor, source: torch.Generator) -> Tensor:
            counts = counts_of(condition)
            _, numbers = classifier(noisy(rows, source))
            loss = occupancy_loss(generator.occupancy(condition), counts, slots)
            for logits, count in zip(numbers, counts, strict=True):
                loss = loss + COUNT_WEIGHT * functional.cross_entropy(logits, count)
            if weight:
                points = rows_to_points(rows, generator.kinds)
                limits = table.of(points.kinds)
                loss = loss + weight * contact_loss(points.cells, points.positions, points.occupied, limits).mean()
            return loss

        return Auxiliary(classifier, real_loss, fake_loss, self.settings.rate / 2)


def occupancy_loss(logits: Tensor, counts: Sequence[Tensor], slots: Sequence[int]) -> Tensor:
    """Cross entropy of "as many slots as atoms": the likeliest slots shall be occupied, whichever they are.

    Args:
        logits: (n, slots) log-odds.
        counts: (n,) of each element.
        slots: of each element.
    """
    import torch
    from torch.nn import functional

    total, start = torch.zeros((), device=logits.device), 0
    for count, n in zip(counts, slots, strict=True):
        ranked = logits[:, start : start + n].sort(dim=1, descending=True).values
        wanted = (torch.arange(n, device=logits.device) < count[:, None]).to(logits.dtype)
        total = total + functional.binary_cross_entropy_with_logits(ranked, wanted)
        start += n
    return total


def settle_occupancy(generator: Any, slots: Sequence[int], n_properties: int) -> None:
    """Teach the generator how many slots a count occupies, for every count from none to all, before the game begins.

    It needs no crystal, only `occupancy_loss`; the adversarial training goes on with the same loss.
    """
    import torch

    from novalith.networks.slot_points import count_condition

    most = max(slots)
    counts = torch.stack([torch.arange(most + 1).clamp(max=n) for n in slots], dim=1)
    condition = torch.cat([count_condition(counts, slots), torch.zeros(most + 1, n_properties)], dim=1)
    optimiser = torch.optim.Adam(generator.count.parameters(), lr=1e-2)
    with torch.enable_grad():
        for _ in range(SETTLING_STEPS):
            optimiser.zero_grad()
            occupancy_loss(generator.occupancy(condition), list(counts.T), slots).backward()
            optimiser.step()


def contact_table(windows: ContactWindows, layout: PointLayout, volumes_a3: NDArray[np.float64]) -> ContactTable:
    """Limits for the hinge: pairs from the windows, nearest neighbours from the widest of them, volumes 1 to 99 %."""
    import torch

    from novalith.training.contacts import ContactTable

    n = len(layout.elements)
    lowest, highest = torch.zeros(n, n), torch.zeros(n)
    for (a, b), low, high in windows.windows:
        i, j = layout.elements.index(a), layout.elements.index(b)
        lowest[i, j] = lowest[j, i] = low
        if i != j:
            highest[i], highest[j] = max(float(highest[i]), high), max(float(highest[j]), high)
    highest[highest == 0] = float("inf")
    return ContactTable(lowest, highest, torch.tensor(np.quantile(volumes_a3, [0.01, 0.99]), dtype=torch.float32))


def _adversarial(settings: PointGanSettings) -> AdversarialSettings:
    from novalith.training.adversarial import AdversarialSettings

    return AdversarialSettings(
        n_epochs=settings.n_epochs,
        batch_size=settings.batch_size,
        generator_rate=settings.rate,
        critic_rate=2.0 * settings.rate,
        betas=(0.5, 0.999),
        critic_steps=settings.critic_steps,
        penalty=10.0,
        decay=0.95 ** (30 / settings.n_epochs),
        averaging=settings.averaging,
    )
