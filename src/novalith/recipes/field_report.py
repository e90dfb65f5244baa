"""The benchmark of field scorers as tables of text and records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from novalith.recipes.field_bench import (
    N_BACKGROUND,
    PROTOCOLS,
    Collapse,
    Discrimination,
    dealt_folds,
    discriminate,
    reliability,
)
from novalith.recipes.field_training import FieldTraining
from novalith.recipes.vasylenko import published_figures


@dataclass(frozen=True)
class Table:
    """A table for people and for programs.

    Attributes:
        title: one line.
        records: one dictionary a row.
        text: as printed.
    """

    title: str
    records: list[dict[str, Any]]
    text: str


@dataclass(frozen=True)
class BenchRequest:
    """What to run.

    Attributes:
        protocol: one of `PROTOCOLS`, or empty for all.
        folds: how many of them to run; see `dealt_folds`.
        members: of the learned scorers.
        seed: of everything random.
    """

    protocol: str
    folds: int
    members: int
    seed: int


def published_table(n_epochs: int, rng: np.random.Generator) -> Table:
    """The published figures beside those computed anew."""
    f = published_figures(n_epochs, rng)
    mean, spread = float(np.mean(f.folds_below)), float(np.std(f.folds_below))
    rows = [
        ("training fields below 0.5 (score rounded to three decimals)", "0.794", f"{f.training_below_half:.4f}"),
        ("five validation folds below the threshold, mean", "0.793", f"{mean:.4f} +- {spread:.4f}"),
        ("folds", "", " ".join(f"{share:.4f}" for share in f.folds_below)),
        ("rank of Li-Sn-S-Cl among 303", "5", str(f.ranks["Li-Sn-S-Cl"])),
        ("rank of Li-P-S-O among 303", "8", str(f.ranks["Li-P-S-O"])),
        ("largest |published score - norm of standardised vector|", "", f"{f.published_minus_norm:.6f}"),
    ]
    if f.network_minus_norm is not None and f.largest_output is not None:
        rows += [
            (f"the same of the network trained here, {n_epochs} epochs", "", f"{f.network_minus_norm:.4f}"),
            ("largest number that this network decodes", "", f"{f.largest_output:.4f}"),
        ]
    title = "Published ranking of phase fields (Vasylenko et al. 2021)"
    lines = [f"{what:62s}{published:>10s}  {ours}" for what, published, ours in (("", "published", "here"), *rows)]
    records = [{"figure": what, "published": published, "here": ours} for what, published, ours in rows]
    return Table(title, records, "\n".join([title, *lines]))


def discrimination_tables(request: BenchRequest, watch: Callable[[str], None]) -> list[Table]:
    """One table a protocol, for every scorer and background; autoencoders come with their collapse."""
    settings = FieldTraining(n_members=request.members)
    tables = []
    for protocol in [request.protocol] if request.protocol else PROTOCOLS:
        # Each protocol has a stream of its own, so that one alone gives the same figures as all together.
        rng = np.random.default_rng([request.seed, list(PROTOCOLS).index(protocol) if protocol in PROTOCOLS else 0])
        rows, collapses = discriminate(protocol, request.folds, settings, rng, watch)
        tables.append(_discrimination_table(protocol, request, rows, collapses))
    return tables


def reliability_table(arity: int, members: int, seed: int) -> Table:
    """Said and seen probabilities of held-out fields of an arity."""
    result = reliability(arity, FieldTraining(n_members=members), np.random.default_rng(seed))
    title = f"Calibration: a tenth of the fields of {arity} elements held out, seed {seed}, {members} member(s)"
    rows = [(s, o) for s, o in zip(result.said, result.seen, strict=True) if not np.isnan(s)]
    lines = [f"expected calibration error {result.error:.3f}", f"{'said':>6s}{'seen':>8s}"]
    lines += [f"{said:6.3f}{seen:8.3f}" for said, seen in rows]
    records = [{"error": result.error}, *({"said": said, "seen": seen} for said, seen in rows)]
    return Table(title, records, "\n".join([title, *lines]))


def _discrimination_table(
    protocol: str, request: BenchRequest, rows: list[Discrimination], collapses: list[Collapse]
) -> Table:
    title = (
        f"{protocol}: held-out reported fields against {N_BACKGROUND:,} random ones, {request.folds} of "
        f"{dealt_folds(protocol)} folds, seed {request.seed}, {request.members} member(s)"
    )
    head = (
        f"{'background':13s}{'scorer':15s}{'ROC AUC':>9s}{'spread':>8s}{'top 1 %':>9s}{'top 5 %':>9s}{'top 10 %':>10s}"
    )
    lines = [
        f"{r.background:13s}{r.scorer:15s}{r.auc:9.4f}{r.spread:8.4f}{r.recall[0]:9.3f}{r.recall[1]:9.3f}{r.recall[2]:10.3f}"
        for r in rows
    ]
    seen: dict[str, Collapse] = {c.scorer: c for c in collapses}
    for name, r in ((name, c.report) for name, c in seen.items()):
        kl = " ".join(map(str, r.kl_per_dimension))
        lines.append(
            f"{name}: reconstruction {r.reconstruction:.3f} against {r.constant:.3f} of a constant, {r.active_units} "
            f"active units, collapsed: {'yes' if r.collapsed else 'no'}, KL a dimension {kl}"
        )
    return Table(
        title, [asdict(row) for row in rows] + [asdict(c) for c in collapses], "\n".join([title, head, *lines])
    )
