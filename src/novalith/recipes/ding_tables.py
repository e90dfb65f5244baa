"""The figures of generation for a target as tables of text and records (`novalith.recipes.ding_bench`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from novalith.data.targets import TARGETS
from novalith.recipes.ding_bench import N_FLOORS, PUBLISHED, TAIL, BenchSettings
from novalith.recipes.field_report import Table

#: Property -> heading and decimals.
_SHORT = {"formation_energy": ("Hf", 3), "energy_per_atom": ("E", 3), "volume_per_atom": ("V", 2)}


def generation_tables(
    records: Sequence[Mapping[str, Any]],
    floor: Mapping[str, float],
    settings: BenchSettings,
    predictor_errors: Mapping[str, float] | None = None,
    model: str = "ding",
) -> list[Table]:
    """All tables of a run.

    Args:
        records: of `novalith.recipes.ding_bench.run`.
        floor: property -> the judge's own error on held-out formulas.
        settings: of the run.
        predictor_errors: property -> validation error of our predictor networks, where they were trained.
        model: whose generation errors stand beside the published figures.
    """
    tables = [readings_table(records, floor, predictor_errors or {}, model)]
    for kind in dict.fromkeys(r["kind"] for r in records):
        own = [r for r in records if r["kind"] == kind]
        tables += [errors_table(kind, own, floor, settings), draws_table(kind, own, settings)]
    return tables


def readings_table(
    records: Sequence[Mapping[str, Any]], floor: Mapping[str, float], predictor_errors: Mapping[str, float], model: str
) -> Table:
    """The published errors, which are those of predictors, beside the errors of what is generated."""
    title = (
        "Two readings: errors of predictors on held-out compounds (what was published, often quoted as errors of "
        "generation), and distances of generated formulas from on-manifold targets"
    )
    mine = {r["choice"]: r for r in records if r["kind"] == "on-manifold" and r["model"] == model}
    rows: list[dict[str, Any]] = []
    for name, value in floor.items():
        row: dict[str, Any] = {
            "property": name,
            "unit": TARGETS[name].unit,
            "published_predictor": PUBLISHED.get(name),
            "our_predictor": predictor_errors.get(name),
            "judge": value,
        }
        for choice, record in mine.items():
            row[f"generated_{choice}"] = (record["error"]["median"] or {}).get(name)
            row[f"generated_{choice}_p90"] = (record["error"]["p90"] or {}).get(name)
        rows.append(row)
    head = f"{'':18s}{'unit':>9s}{'published':>11s}{'our':>11s}{'judge':>9s}"
    lines = [f"{'':18s}{'':>9s}{'predictor':>11s}{'predictor':>11s}", head]
    lines[0] += f"{'':9s}" + "".join(f"{model + ' ' + choice:>22s}" for choice in mine)
    lines[1] += "".join(f"{'median':>12s}{'p90':>10s}" for _ in mine)
    for row in rows:
        cells = f"{row['property']:18s}{row['unit']:>9s}{_cell(row['published_predictor'], 11, 4)}"
        cells += f"{_cell(row['our_predictor'], 11, 4)}{_cell(row['judge'], 9, 4)}"
        for choice in mine:
            cells += _cell(row[f"generated_{choice}"], 12, 4) + _cell(row[f"generated_{choice}_p90"], 10, 4)
        lines.append(cells)
    return Table(title, rows, "\n".join([title, *lines]))


def errors_table(
    kind: str, records: Sequence[Mapping[str, Any]], floor: Mapping[str, float], settings: BenchSettings
) -> Table:
    """|judge - target| of each generator: over the targets, the middle of their medians and 90th percentiles."""
    told = ", ".join(f"{_SHORT[n][0]} {v:.4f} {TARGETS[n].unit}" for n, v in floor.items())
    title = f"{_described(kind, settings)}: |judge - target|; the judge's own errors are {told}"
    head = f"{'generator':24s}{'choice':10s}"
    head += "".join(f"{_SHORT[n][0] + ' median':>11s}{'p90':>8s}" for n in floor)
    head += f"{'in floors':>20s}{'hits':>7s}" + "".join(f"{_SHORT[n][0]:>8s}" for n in floor)
    lines = [head]
    for r in records:
        cells = f"{r['model']:24s}{r['choice']:10s}"
        for n in floor:
            cells += _cell((r["error"]["median"] or {}).get(n), 11, _SHORT[n][1])
            cells += _cell((r["error"]["p90"] or {}).get(n), 8, _SHORT[n][1])
        ratios = [(r["error"]["median_in_floors"] or {}).get(n) for n in floor]
        cells += f"{' / '.join('-' if x is None else f'{x:.1f}' for x in ratios):>20s}{r['hits']['n']:7d}"
        cells += "".join(_cell((r["hits"]["median"] or {}).get(n), 8, _SHORT[n][1]) for n in floor)
        lines.append(cells)
    lines.append(
        "hits: formulas of the reference table that were not trained on, and their |tabulated - target|, median"
    )
    return Table(title, [_flat(r) for r in records], "\n".join([title, *lines]))


def draws_table(kind: str, records: Sequence[Mapping[str, Any]], settings: BenchSettings) -> Table:
    """What became of the draws."""
    title = f"{_described(kind, settings)}: what became of the draws"
    names = ("valid", "distinct", "known", "out_of_range", "within_floors", "success_per_draw", "balanced")
    head = ("valid", "distinct", "known", "no number", f"within {N_FLOORS}", "a draw", "balanced")
    lines = [f"{'generator':24s}{'choice':10s}{'formulas':>9s}" + "".join(f"{h:>10s}" for h in head)]
    for r in records:
        cells = "".join(f"{r[name]:10.4f}" for name in names)
        lines.append(f"{r['model']:24s}{r['choice']:10s}{r['formulas_per_target']:9.1f}{cells}")
    lines += [
        "valid: of the draws, readable; distinct: of the draws, different; known: of those, trained on (left out)",
        f"no number: outside of the judge's range; within {N_FLOORS}: of the counted, within so many floors in all",
        "properties; a draw: the same, of all draws; balanced: pass the chemistry rules",
    ]
    return Table(title, [_flat(r) for r in records], "\n".join([title, *lines]))


def _described(kind: str, settings: BenchSettings) -> str:
    what = f"{settings.n_targets} {kind} targets"
    if kind == "corner":
        what += f" (each property on its own from its lowest or highest {100 * TAIL:g} %)"
    return f"{what}, {settings.n_draws} draws each, {settings.n_formulas} formulas counted"


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without its list of targets."""
    return {key: value for key, value in record.items() if key != "targets"}


def _cell(value: float | None, width: int, decimals: int) -> str:
    return f"{'-':>{width}s}" if value is None else f"{value:{width}.{decimals}f}"
