"""Networks that write sequences of pairs (symbol, amount), a pair a step: a causal transformer or a recurrent network.

x_k = symbol_k + amount_k + W features_k + V condition          (x_0 without a pair)
h   = blocks of causal self-attention and two dense layers      Vaswani et al., NeurIPS 2017 (pre-norm)
h   = gated recurrent units                                     Cho et al., EMNLP 2014
p(symbol_{k+1} | ...) = softmax(U h_k)
p(amount_{k+1} | symbol_{k+1}, ...) = softmax(mlp([h_k, symbol_{k+1}, amount features]))

Symbol number S is the end of a sequence. Features of a state and of an amount are whatever the caller knows beyond the
pairs themselves. Shapes: n sequences, at most T pairs, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from novalith.networks.dense import Dense

KINDS = ("transformer", "gru")


@dataclass(frozen=True)
class PairSequenceSizes:
    """Sizes of the network.

    Attributes:
        n_symbols: S; the end is one more.
        n_amounts: A; amounts are 0 .. A - 1.
        n_pairs: T, longest sequence.
        n_features: numbers that describe a state.
        n_amount_features: numbers that describe the amounts of a given symbol.
        n_condition: numbers of the condition; 0 for none.
        width: d.
        depth: blocks, or recurrent layers.
        heads: of the attention.
        dropout: in training.
        kind: a member of `KINDS`.
    """

    n_symbols: int
    n_amounts: int
    n_pairs: int
    n_features: int = 0
    n_amount_features: int = 0
    n_condition: int = 0
    width: int = 160
    depth: int = 4
    heads: int = 5
    dropout: float = 0.1
    kind: str = "transformer"


#: Per layer: keys and values so far, or the hidden state.
Memory = list[Any]


class _Block(nn.Module):  # type: ignore[misc]
    """Causal attention and a dense part, each after a norm and added to its input."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_dense = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(n, t, d) new positions after those of the past -> (n, t, d) and all keys and values."""
        n, t, d = x.shape
        query, key, value = (
            part.view(n, t, self.heads, d // self.heads).transpose(1, 2)
            for part in self.project(self.norm_attention(x)).chunk(3, dim=-1)
        )
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        # A single new position sees everything before it; only whole sequences need the triangle.
        seen = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=t > 1)
        x = x + self.dropout(self.join(seen.transpose(1, 2).reshape(n, t, d)))
        return x + self.dropout(self.dense(self.norm_dense(x))), (key, value)


class PairSequenceNetwork(nn.Module):  # type: ignore[misc]
    """See the module."""

    def __init__(self, sizes: PairSequenceSizes) -> None:
        super().__init__()
        s = self.sizes = sizes
        self.symbol, self.amount = nn.Embedding(s.n_symbols, s.width), nn.Embedding(s.n_amounts, s.width)
        self.start = nn.Parameter(torch.zeros(s.width))
        self.features = nn.Linear(s.n_features, s.width, bias=False) if s.n_features else None
        self.condition = Dense([s.n_condition, s.width, s.width]) if s.n_condition else None
        if s.kind == "transformer":
            self.blocks = nn.ModuleList(_Block(s.width, s.heads, s.dropout) for _ in range(s.depth))
        else:
            self.blocks = nn.ModuleList(nn.GRU(s.width, s.width, batch_first=True) for _ in range(s.depth))
        self.dropout = nn.Dropout(s.dropout)
        self.norm = nn.LayerNorm(s.width)
        self.next_symbol = nn.Linear(s.width, s.n_symbols + 1)
        self.next_amount = Dense([2 * s.width + s.n_amount_features, s.width, s.n_amounts], dropout=s.dropout)
        for table in (self.symbol, self.amount):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, symbols: Tensor, amounts: Tensor, features: Tensor, condition: Tensor) -> Tensor:
        """States of whole sequences.

        Args:
            symbols: (n, t) of pairs 1 .. t; any number where a sequence is over.
            amounts: (n, t).
            features: (n, t + 1, n_features) of the states 0 .. t.
            condition: (n, n_condition).

        Returns:
            (n, t + 1, d).
        """
        start = self.start.expand(len(symbols), 1, -1)
        x = torch.cat([start, self.symbol(symbols) + self.amount(amounts)], dim=1)
        return self._run(x, features, condition, None)[0]

    def begin(self, features: Tensor, condition: Tensor) -> tuple[Tensor, Memory]:
        """The state before the first pair: (n, n_features), (n, n_condition) -> (n, d) and a memory."""
        h, memory = self._run(self.start.expand(len(features), 1, -1), features[:, None], condition, None)
        return h[:, 0], memory

    def step(
        self, pair: tuple[Tensor, Tensor], features: Tensor, condition: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """The state after one more (symbol, amount): (n,), (n,), (n, n_features) -> (n, d) and the longer memory."""
        x = (self.symbol(pair[0]) + self.amount(pair[1]))[:, None]
        h, memory = self._run(x, features[:, None], condition, memory)
        return h[:, 0], memory

    def symbol_logits(self, state: Tensor) -> Tensor:
        """(..., d) -> (..., S + 1)."""
        y: Tensor = self.next_symbol(state)
        return y

    def amount_logits(self, state: Tensor, symbol: Tensor, amount_features: Tensor) -> Tensor:
        """(..., d), (...), (..., n_amount_features) -> (..., A)."""
        y: Tensor = self.next_amount(torch.cat([state, self.symbol(symbol), amount_features], dim=-1))
        return y

    def remember(self, memory: Memory, rows: Tensor) -> Memory:
        """The memory of some of the sequences."""
        if self.sizes.kind == "transformer":
            return [(key[rows], value[rows]) for key, value in memory]
        return [hidden[:, rows] for hidden in memory]

    def _run(self, x: Tensor, features: Tensor, condition: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        if self.features is not None:
            x = x + self.features(features)
        if self.condition is not None:
            x = x + self.condition(condition)[:, None]
        x = self.dropout(x)
        new: Memory = []
        for layer, block in enumerate(self.blocks):
            past = None if memory is None else memory[layer]
            if self.sizes.kind == "transformer":
                x, kept = block(x, past)
            else:
                y, kept = block(x, past)
                x = x + self.dropout(y)
            new.append(kept)
        return self.norm(x), new
