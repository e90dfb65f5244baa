"""An autoregressive generator of sequences of pairs (symbol, amount), masked exactly by a guide.

    p(sequence) = product over k of p(symbol_k | before) p(amount_k | symbol_k, before),   the last symbol is the end

A *guide* knows what the sequences mean: it describes each state by numbers that the network reads, and names the
symbols and amounts that may follow. Masked choices have probability zero, so that whatever the guide demands holds for
every sequence drawn, and nothing is drawn twice for it.

With a condition c, some of which is hidden at random in training, sampling follows

    log p = log p(. | nothing) + w (log p(. | c) - log p(. | nothing))          w = 1 is the plain conditional model

Ho and Salimans, Classifier-free diffusion guidance (2022), applied to logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from novalith.errors import EmptyResultError

if TYPE_CHECKING:
    from torch import Tensor

    from novalith.networks.pair_sequence import PairSequenceNetwork, PairSequenceSizes
    from novalith.training.loop import EpochReport, Supervision, TrainingSettings

Floats = NDArray[np.float32]
Index = NDArray[np.int64]
#: Marks the places behind the end of a sequence.
PADDING = -1


class Guide(Protocol):
    """What sequences mean. States are opaque to the generator."""

    def start(self, n: int) -> Any:
        """The states of n empty sequences."""

    def features(self, state: Any) -> Floats:
        """(n, n_features) what the network reads of each state, each number 0 or 1."""

    def amount_features(self, state: Any, symbol: Index) -> Floats:
        """(n, n_amount_features) what it reads before choosing the amount of a symbol, likewise 0 or 1."""

    def symbols(self, state: Any) -> NDArray[np.bool_]:
        """(n, S + 1) which symbols may follow; the last column is the end."""

    def amounts(self, state: Any, symbol: Index) -> NDArray[np.bool_]:
        """(n, A) which amounts of the symbol may follow."""

    def extend(self, state: Any, symbol: Index, amount: Index) -> Any:
        """The states after one more pair."""

    def select(self, state: Any, rows: Index) -> Any:
        """The states of some of the sequences."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """Encoded sequences.

    Attributes:
        symbols: (n, T), `PADDING` behind the end.
        amounts: (n, T) likewise.
    """

    symbols: Index
    amounts: Index

    def __len__(self) -> int:
        return len(self.symbols)

    def select(self, rows: Index | NDArray[np.bool_]) -> Sequences:
        """Some of the sequences."""
        return Sequences(self.symbols[rows], self.amounts[rows])


@dataclass(frozen=True)
class DrawSettings:
    """How to draw.

    Attributes:
        temperature: divides the logits; below 1 prefers what is likely.
        guidance: w of the module's text; used where a condition is given.
        block: sequences drawn at a time.
        precision: of the matrices, as in `TrainingSettings`.
    """

    temperature: float = 1.0
    guidance: float = 1.0
    block: int = 8192
    precision: str = "bfloat16"


@dataclass
class SequenceGenerator:
    """A network and how its sequences are read.

    Attributes:
        network: see `novalith.networks.pair_sequence`.
        curve: its loss curve.
    """

    network: PairSequenceNetwork
    curve: tuple[EpochReport, ...] = field(default=(), repr=False)

    @classmethod
    def of_sizes(cls, sizes: PairSequenceSizes, *, rng: np.random.Generator) -> SequenceGenerator:
        """A generator that has learned nothing yet."""
        import torch

        from novalith.networks.pair_sequence import PairSequenceNetwork

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            return cls(PairSequenceNetwork(sizes))

    def fit(
        self,
        data: Sequences,
        guide: Guide,
        condition: Floats | None,
        how: Fitting,
        *,
        rng: np.random.Generator,
    ) -> None:
        """Learn from sequences.

        Args:
            data: what to learn; each within what the guide allows.
            guide: describes the states; its masks play no part in learning.
            condition: (n, c) or None; entries that `how.hide` hides are replaced at every step.
            how: training, validation, progress.
            rng: seeds it.
        """
        import torch

        from novalith.training.loop import Supervision, train

        order = rng.permutation(len(data))
        n_held = int(how.held * len(data))
        held, learned = order[:n_held], order[n_held:]
        examples = _Examples(data, guide, condition)

        def loss(batch: Tensor, generator: Any) -> Tensor:
            halves = examples.by_length(learned[batch.numpy()])
            losses = [self._loss(examples.batch(rows, how.hide, generator)) for rows in halves]
            return torch.cat(losses).mean()

        def validation() -> float:
            return float(np.mean(self._nats(examples, held)))

        supervision = Supervision(validation if n_held else None, how.supervision.resume_path, how.supervision.watch)
        self.curve = train(self.network, loss, len(learned), how.settings, supervision, rng=rng)

    def log_likelihood(self, data: Sequences, guide: Guide, condition: Floats | None) -> NDArray[np.float64]:
        """(n,) log p of each sequence, nats."""
        return -self._nats(_Examples(data, guide, condition), np.arange(len(data)))

    def draw(
        self,
        n: int,
        guide: Guide,
        condition: Floats | None,
        settings: DrawSettings,
        *,
        rng: np.random.Generator,
    ) -> Sequences:
        """Draw n sequences; `condition` is one row (c,) for all of them.

        Raises:
            EmptyResultError: the guide allows no sequence at all.
        """
        import torch

        from novalith.training.loop import half_precision

        if not guide.symbols(guide.start(1)).any():
            raise EmptyResultError("No sequence satisfies what is asked.")
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        self.network.eval()
        with torch.no_grad(), half_precision(torch.device("cpu"), settings.precision):
            sizes = [min(settings.block, n - start) for start in range(0, n, settings.block)]
            parts = [self._block(size, guide, condition, settings, generator) for size in sizes]
        none = np.zeros((0, self.network.sizes.n_pairs), dtype=np.int64)
        return Sequences(
            np.concatenate([none, *(p.symbols for p in parts)]), np.concatenate([none, *(p.amounts for p in parts)])
        )

    def _block(
        self, n: int, guide: Guide, condition: Floats | None, settings: DrawSettings, generator: Any
    ) -> Sequences:
        import torch

        network, sizes = self.network, self.network.sizes
        symbols = np.full((n, sizes.n_pairs), PADDING, dtype=np.int64)
        amounts = np.full((n, sizes.n_pairs), PADDING, dtype=np.int64)
        given = self._conditions(n, condition, settings.guidance)
        state, rows = guide.start(n), np.arange(n)
        feature = torch.from_numpy(guide.features(state))
        runs = [(c, *network.begin(feature, c)) for c in given]
        for k in range(sizes.n_pairs):  # the guide lets every sequence end within them
            logits = _guided([network.symbol_logits(h) for _, h, _ in runs], settings.guidance)
            symbol = _choose(logits, guide.symbols(state), settings.temperature, generator)
            going = np.flatnonzero(symbol < sizes.n_symbols)
            if not len(going):
                break
            rows, symbol, state = rows[going], symbol[going], guide.select(state, going)
            index = torch.from_numpy(going)
            runs = [(c[index], h[index], network.remember(memory, index)) for c, h, memory in runs]
            chosen = torch.from_numpy(symbol)
            extra = torch.from_numpy(guide.amount_features(state, symbol))
            logits = _guided([network.amount_logits(h, chosen, extra) for _, h, _ in runs], settings.guidance)
            amount = _choose(logits, guide.amounts(state, symbol), settings.temperature, generator)
            symbols[rows, k], amounts[rows, k] = symbol, amount
            state = guide.extend(state, symbol, amount)
            pair = (chosen, torch.from_numpy(amount))
            feature = torch.from_numpy(guide.features(state))
            runs = [(c, *network.step(pair, feature, c, memory)) for c, _, memory in runs]
        return Sequences(symbols, amounts)

    def _conditions(self, n: int, condition: Floats | None, guidance: float) -> list[Tensor]:
        """The conditions to run side by side: the given one, and nothing where guidance asks for the difference."""
        import torch

        width = self.network.sizes.n_condition
        nothing = torch.zeros(n, width)
        if condition is None:
            return [nothing]
        given = torch.from_numpy(np.tile(condition.astype(np.float32), (n, 1)))
        return [given] if guidance == 1.0 else [given, nothing]

    def _loss(self, batch: _Batch) -> Tensor:
        """(n,) negative log-likelihood, nats."""
        import torch

        network = self.network
        state = network(batch.symbols.clamp(min=0), batch.amounts.clamp(min=0), batch.features, batch.condition)
        end = network.sizes.n_symbols
        ends = torch.full_like(batch.symbols[:, :1], PADDING)
        following = torch.cat([batch.symbols, ends], dim=1)
        first_after = torch.cat([torch.zeros_like(ends), batch.symbols], dim=1) >= 0
        target = torch.where(following >= 0, following, end)
        symbol = network.symbol_logits(state).float().log_softmax(dim=-1)
        nats = -symbol.gather(2, target[..., None])[..., 0]
        loss = torch.where(first_after, nats, 0.0).sum(dim=1)
        present = batch.symbols >= 0
        amount = network.amount_logits(state[:, :-1], batch.symbols.clamp(min=0), batch.amount_features).float()
        nats = -amount.log_softmax(dim=-1).gather(2, batch.amounts.clamp(min=0)[..., None])[..., 0]
        return loss + torch.where(present, nats, 0.0).sum(dim=1)

    def _nats(self, examples: _Examples, rows: Index) -> NDArray[np.float64]:
        import torch

        self.network.eval()
        with torch.no_grad():
            parts = [
                self._loss(examples.batch(rows[i : i + 4096], None, None)).numpy() for i in range(0, len(rows), 4096)
            ]
        return np.concatenate([np.zeros(0), *parts]).astype(np.float64)


#: Hides parts of a condition: (n, c) and a torch generator -> (n, c).
Hide = Callable[["Tensor", Any], "Tensor"]


@dataclass(frozen=True)
class Fitting:
    """How a generator learns.

    Attributes:
        settings: of the training loop.
        supervision: resumption and progress.
        hide: hides parts of a condition at every step; None hides nothing.
        held: share of the sequences that judges when to stop.
    """

    settings: TrainingSettings
    supervision: Supervision
    hide: Hide | None = None
    held: float = 0.05


@dataclass(frozen=True)
class _Batch:
    symbols: Tensor
    amounts: Tensor
    features: Tensor
    amount_features: Tensor
    condition: Tensor


class _Examples:
    """Sequences with what the guide says of each of their states, worked out once and kept as bytes."""

    def __init__(self, data: Sequences, guide: Guide, condition: Floats | None) -> None:
        self._data, self._condition = data, condition
        n = len(data)
        blocks = [self._describe(data.select(np.arange(i, min(i + 16_384, n))), guide) for i in range(0, n, 16_384)]
        empty = self._describe(data.select(np.arange(0)), guide)
        self._features, self._amount_features = (np.concatenate([empty[j], *(b[j] for b in blocks)]) for j in range(2))
        self._lengths = (data.symbols >= 0).sum(axis=1)

    def _describe(self, data: Sequences, guide: Guide) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        n, t = data.symbols.shape
        state = guide.start(n)
        features, amount_features = [guide.features(state)], []
        for k in range(t):
            # Behind the end the last pair is repeated; nothing there is read.
            symbol, amount = np.maximum(data.symbols[:, k], 0), np.maximum(data.amounts[:, k], 0)
            amount_features.append(guide.amount_features(state, symbol))
            state = guide.extend(state, symbol, amount)
            features.append(guide.features(state))
        # Every feature is 0 or 1, so a byte holds it.
        return np.stack(features, axis=1).astype(np.uint8), np.stack(amount_features, axis=1).astype(np.uint8)

    def by_length(self, rows: Index) -> list[Index]:
        """The shorter and the longer half of some rows: padding all to the longest would double the work."""
        ordered = rows[np.argsort(self._lengths[rows], kind="stable")]
        return [half for half in np.array_split(ordered, 2) if len(half)]

    def batch(self, rows: Index, hide: Hide | None, generator: Any) -> _Batch:
        """The examples of some rows, cut to the longest of them."""
        import torch

        t = int(self._lengths[rows].max(initial=1))
        n_condition = 0 if self._condition is None else self._condition.shape[1]
        condition = torch.zeros(len(rows), n_condition)
        if self._condition is not None:
            condition = torch.from_numpy(self._condition[rows])
            condition = condition if hide is None else hide(condition, generator)
        return _Batch(
            torch.from_numpy(self._data.symbols[rows, :t]),
            torch.from_numpy(self._data.amounts[rows, :t]),
            torch.from_numpy(self._features[rows, : t + 1]).float(),
            torch.from_numpy(self._amount_features[rows, :t]).float(),
            condition,
        )


def _guided(logits: list[Tensor], guidance: float) -> Tensor:
    if len(logits) == 1:
        return logits[0].float()
    with_condition, without = (x.float().log_softmax(dim=-1) for x in logits)
    return without + guidance * (with_condition - without)


def _choose(logits: Tensor, mask: NDArray[np.bool_], temperature: float, generator: Any) -> Index:
    """One allowed choice a row, by the Gumbel trick."""
    import torch

    noise = torch.empty(logits.shape).exponential_(generator=generator).log()
    scores = (logits / temperature - noise).masked_fill(~torch.from_numpy(mask), -torch.inf)
    return scores.argmax(dim=-1).numpy()
