"""What `song-2d` writes: a table, the funnel, the thresholds and one CIF a monolayer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from novalith.data.door import read_structures
from novalith.data.library import Library
from novalith.data.writers import write_cif
from novalith.errors import ContradictionError
from novalith.materials import Crystal, Verdict
from novalith.propose.compositions import FormulaRequest
from novalith.recipes.bench_tables import Table, table_of_records
from novalith.recipes.compose import default_sequence
from novalith.recipes.formula_stream import FormulaBlock, drawn_blocks, file_blocks
from novalith.recipes.sequence import FormulaSequence
from novalith.recipes.song_2d import LayerRow, Monolayers, Song2dOrder, song_2d
from novalith.recipes.two_dimensional_classifier import default_classifier, load_classifier
from novalith.store.files import make_folder, write_atomic

#: What is drawn: nothing is asked of charges, which the rules judge afterwards; 97 % of listed monolayers are inside.
DRAWN = FormulaRequest(n_elements=(2, 5), max_atoms=20)

COLUMNS = (
    "rank", "id", "formula", "known", "score", "template", "move", "substitution_log_likelihood", "n_atoms",
    "formation_energy_ev_per_atom", "above_hull_ev_per_atom", "exfoliation_ev_per_atom", "exfoliation_mev_per_a2",
    "bulk", "lowest_phonon_thz", "phonons", "file",
)  # fmt: skip


@dataclass(frozen=True)
class Song2dRun:
    """A run as it was ordered on the command line.

    Attributes:
        out: folder of the results, and of the drawn blocks.
        order: what to do.
        formulas: CSV of formulas; None draws them.
        column: of the CSV.
        draw: how many formulas to draw.
        templates: files and folders of the user's monolayers.
        classifier: the user's weights; None takes the shipped ones.
        seed: of the draws.
    """

    out: Path
    order: Song2dOrder
    formulas: Path | None = None
    column: str = "formula"
    draw: int = 0
    templates: tuple[Path, ...] = ()
    classifier: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.formulas is None) == (self.draw == 0):
            raise ContradictionError("Give either --formulas FILE or --draw N: formulas come from one of them.")

    def blocks(self) -> Iterator[FormulaBlock]:
        """The stream of formulas."""
        if self.formulas is not None:
            return file_blocks(self.formulas, self.column)
        return drawn_blocks(fast_sequence(), self.draw, DRAWN, self.out / "drawn", self.seed)


def fast_sequence() -> FormulaSequence:
    """The shipped sequence model in half precision and without sharpened conditions: a sixth of the time of a draw."""
    default = default_sequence()
    model = default.drawing_with()
    model.drawing = replace(default.drawing, precision="bfloat16", guidance=1.0)
    return model


def run_song_2d(run: Song2dRun, library: Library, report: Callable[[str], None] = lambda _: None) -> Monolayers:
    """Run the pipeline and write its folder."""
    classifier = default_classifier() if run.classifier is None else load_classifier(run.classifier)
    brought, refused = read_templates(run.templates)
    make_folder(run.out)
    found = song_2d(run.blocks(), classifier, run.order, library, tuple(brought), report)
    found = replace(found, refused_templates=(*refused, *found.refused_templates))
    write_output(found, run.out)
    return found


def read_templates(paths: Sequence[Path]) -> tuple[list[tuple[str, Crystal]], list[tuple[str, Verdict]]]:
    """(name, structure) of the user's files, and (name, why) of what could not be read."""
    accepted: list[tuple[str, Crystal]] = []
    refused: list[tuple[str, Verdict]] = []
    for path in paths:
        reading = read_structures(path)
        accepted += reading.accepted
        refused += reading.refused
    return accepted, refused


def records(found: Monolayers) -> list[dict[str, Any]]:
    """The table, best first."""
    return [_record(place, row) for place, row in enumerate(found.rows, 1)]


def tables(found: Monolayers) -> list[Table]:
    """Funnel, thresholds and monolayers for people."""
    short = ("rank", "formula", "known", "score", "template", "formation_energy_ev_per_atom", "above_hull_ev_per_atom",
             "exfoliation_ev_per_atom", "exfoliation_mev_per_a2")  # fmt: skip
    return [
        table_of_records("Funnel", [stage.record() for stage in found.stages]),
        table_of_records("Formulas that pass the rules and reach a score", found.formulas.threshold_records()),
        table_of_records("Monolayers", [{name: r[name] for name in short} for r in records(found)]),
    ]


def write_output(found: Monolayers, out: Path) -> None:
    """Write `monolayers.csv`, `rejected.csv`, `funnel.json` and `structures/*.cif` into a folder."""
    make_folder(out / "structures")
    rows = records(found)
    for row, record in zip(found.rows, rows, strict=True):
        notes = (
            f"Formula scored s = {row.score:.3f}; made from {row.candidate.lineage.move}.",
            "Relaxed in the plane by a machine-learned potential with D3 dispersion; not a DFT result.",
        )
        write_cif(row.relaxed or row.candidate.crystal, out / record["file"], symprec=None, name=row.id, notes=notes)
    write_atomic(out / "monolayers.csv", _csv(COLUMNS, [[r[name] for name in COLUMNS] for r in rows]))
    refused = [[name, verdict.reason] for name, verdict in found.refused_templates]
    write_atomic(out / "rejected.csv", _csv(("id", "reason"), [list(pair) for pair in found.rejected]))
    write_atomic(out / "refused_templates.csv", _csv(("id", "reason"), refused))
    funnel = {"stages": [s.record() for s in found.stages], "above": found.formulas.threshold_records()}
    write_atomic(out / "funnel.json", json.dumps(funnel | {"wall_s": round(found.wall_s, 1)}, indent=2))


def _record(place: int, row: LayerRow) -> dict[str, Any]:
    lineage = row.candidate.lineage
    cells = (
        place, row.id, row.candidate.crystal.composition.reduced.formula, row.known, round(row.score, 4),
        lineage.parents[0], lineage.move, _rounded(dict(lineage.scores)["substitution_log_likelihood"]),
        row.candidate.crystal.n_atoms,
        _rounded(row.formation_energy_ev_per_atom), _rounded(row.above_hull_ev_per_atom),
        _rounded(row.exfoliation_ev_per_atom), _rounded(row.exfoliation_mev_per_a2), row.bulk_from,
        _rounded(row.lowest_thz), row.phonons, f"structures/{place:03d}-{row.id}.cif",
    )  # fmt: skip
    return dict(zip(COLUMNS, cells, strict=True))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _csv(header: tuple[str, ...], rows: list[list[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()
