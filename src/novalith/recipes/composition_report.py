"""The records of the bench of formula generators as text tables; shares in per cent, published figures beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from novalith.recipes.composition_bench import ARITIES, PUBLISHED, PUBLISHED_NOVELTY, PUBLISHED_RECOVERY

Record = Mapping[str, Any]

#: Elements shown of each histogram.
N_SHOWN = 12


def bench_text(records: Sequence[Record]) -> str:
    """All tables, one after another."""
    parts = [
        ("Neutral and balanced (smact14, all-metal formulas not let through), % of draws", validity_table(records)),
        ("The same of distinct formulas, and with the states of icsd24", strict_table(records)),
        ("Recovery of the left-out tenth (of the training formulas), and share new, % by number of elements",
         recovery_table(records)),
        ("Novelty and uniqueness, %", uniqueness_table(records)),
        ("Distance to the training formulas (total variation), all-metal formulas", distance_table(records)),
        ("Most frequent elements, % of formulas", element_table(records)),
        ("Budgets and speed", budget_table(records)),
        ("Learning curves", curve_table(records)),
    ]  # fmt: skip
    return "\n\n".join(f"{title}\n{text}" for title, text in parts)


def validity_table(records: Sequence[Record]) -> str:
    """Training and generated shares with the published generated ones."""
    rows = []
    for r in records:
        f, train = r["figures"], r["figures"]["training"]["smact14"]
        published = PUBLISHED.get(r["data_set"], (float("nan"), float("nan")))
        rows.append([
            r["data_set"], r["model"], f"{f['n_draws']:,}", _pc(f["decoded"]),
            _pc(train["neutral"]), _pc(f["neutral_smact14"]), f"{published[0]:.1f}",
            _pc(train["balanced"]), _pc(f["balanced_smact14"]), f"{published[1]:.1f}",
        ])  # fmt: skip
    return _aligned(
        ["set", "model", "draws", "decoded", "neutral: training", "drawn", "published",
         "balanced: training", "drawn", "published"], rows)  # fmt: skip


def strict_table(records: Sequence[Record]) -> str:
    """Shares of distinct formulas under both state sets, and of draws under icsd24."""
    rows = []
    for r in records:
        f = r["figures"]
        old, new, train = f["distinct"]["smact14"], f["distinct"]["icsd24"], f["training"]["icsd24"]
        rows.append([
            r["data_set"], r["model"], _pc(old["neutral"]), _pc(old["balanced"]), _pc(train["neutral"]),
            _pc(f["neutral_icsd24"]), _pc(train["balanced"]), _pc(f["balanced_icsd24"]), _pc(new["balanced"]),
        ])  # fmt: skip
    return _aligned(
        ["set", "model", "smact14 distinct neutral", "balanced", "icsd24 training neutral", "drawn",
         "training balanced", "drawn", "distinct balanced"], rows)  # fmt: skip


def recovery_table(records: Sequence[Record]) -> str:
    """Recovered and new shares by arity, with the published ones."""
    rows = []
    for r in records:
        cells = [r["data_set"], r["model"], f"{r['figures']['n_draws']:,}"]
        for k in ARITIES:
            found = r["figures"]["recovered"][str(k)]
            cells += [f"{_pc(found['left_out'])} ({_pc(found['training'])})", _pc(found["new"])]
        rows.append(cells)
    published = [cell for k in ARITIES for cell in (f"{PUBLISHED_RECOVERY[k]:.1f}", "")]
    rows.append(["icsd", "published", "2,000,000", *published])
    return _aligned(["set", "model", "draws", "binary", "new", "ternary", "new", "quaternary", "new"], rows)


def uniqueness_table(records: Sequence[Record]) -> str:
    """Novelty against the set and against all bundled lists; uniqueness after so many draws."""
    rows = []
    for r in records:
        f = r["figures"]
        after = ", ".join(f"{int(n):,}: {_pc(share)}" for n, share in f["uniqueness"].items())
        rows.append([r["data_set"], r["model"], _pc(f["novelty"]), _pc(f.get("novelty_all_lists")), after])
    rows.append(["icsd", "published", f"{PUBLISHED_NOVELTY:.1f}", "", "330,000: about 73 (oqmd 68, mp 86)"])
    return _aligned(["set", "model", "not in the set", "in no list", "distinct of so many draws"], rows)


def distance_table(records: Sequence[Record]) -> str:
    """Total variation of elements and arities; share of all-metal formulas."""
    rows = []
    for r in records:
        f = r["figures"]
        rows.append([
            r["data_set"], r["model"], f"{f['element_tv']:.3f}", f"{f['arity_tv']:.3f}",
            _pc(f["training"]["smact14"]["metals"]), _pc(f["metals"]),
        ])  # fmt: skip
    return _aligned(["set", "model", "elements", "arities", "all metals: training", "drawn"], rows)


def element_table(records: Sequence[Record]) -> str:
    """The elements that occur in most formulas."""
    rows = []
    for r in records:
        f = r["figures"]
        n = max(1, round(f["n_draws"] * f["decoded"]))
        top = sorted(f["elements"].items(), key=lambda item: -item[1])[:N_SHOWN]
        rows.append([r["data_set"], r["model"], " ".join(f"{s} {100 * count / n:.0f}" for s, count in top)])
    return _aligned(["set", "model", "elements"], rows)


def budget_table(records: Sequence[Record]) -> str:
    """Training times, settings, speeds and memory."""
    rows = []
    for r in records:
        f, spent = r["figures"], r["training_run"]
        seconds = f["seconds"]
        rows.append([
            r["data_set"], r["model"], f"{spent['cpu_seconds']:.0f}" + (" (resumed)" if spent["resumed"] else ""),
            f"{f['draws_per_second']:,.0f}", f"{seconds['draw']:.0f}", f"{seconds['rules']:.0f}",
            f"{seconds['distinct']:.0f}", f"{f['peak_memory_mb']:,.0f}", r["about"],
        ])  # fmt: skip
    return _aligned(
        ["set", "model", "training, CPU s", "draws/s", "drawing, s", "rules, s", "distinct, s", "peak MB", "settings"],
        rows,
    )


def curve_table(records: Sequence[Record], n_shown: int = 8) -> str:
    """Neutral and balanced shares against epochs, a few points of each model."""
    lines = []
    for r in records:
        curve = r["training_run"]["curve"]
        step = max(1, -(-len(curve) // n_shown))
        points = [p for i, p in enumerate(reversed(curve)) if i % step == 0][::-1]
        told = ", ".join(
            f"{p['epoch']:.0f}: {_pc(p['neutral'])}/{_pc(p['balanced'])}" for p in points if "neutral" in p
        )
        lines.append(f"{r['data_set']}  {r['model']}  epoch: neutral/balanced  {told or 'not kept'}")
    return "\n".join(lines)


def _pc(share: float | None) -> str:
    return "-" if share is None or share != share else f"{100 * share:.1f}"


def _aligned(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]]
    return "\n".join(lines)
