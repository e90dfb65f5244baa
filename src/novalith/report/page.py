"""The report page: a run record in, one HTML file out.

The page needs nothing but itself. Its content security policy forbids every request and runs only the scripts whose
hashes it lists, so that text from data could not act even if it reached the page unescaped; the template escapes every
value. Structure views are drawn by 3Dmol.js (Rego, Koes, Bioinformatics 31, 1322, 2015), bundled under its BSD licence.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from novalith.campaign.doubts import POTENTIAL_ERROR_EV_PER_ATOM
from novalith.campaign.properties import PROPERTIES
from novalith.campaign.record import RunRecord
from novalith.report.cards import make_cards
from novalith.report.citations import bibtex, citations_of
from novalith.report.figures.funnel import funnel_figure
from novalith.report.notation import (
    formula_html,
    mev,
    number,
    property_name,
    property_unit,
    significant,
    spacegroup_html,
)
from novalith.represent.gene import SYMPREC
from novalith.screen.novelty import MATCHER_ANGLE_DEG, MATCHER_LTOL, MATCHER_STOL, Grade
from novalith.store.files import write_atomic

#: Shown in the headline: how many candidates lie within these energies above the hull, eV/atom.
WINDOWS_EV_PER_ATOM = (0.0, 0.05, 0.1)


def write_report(record: RunRecord, path: Path) -> None:
    """Write the report of a run; an existing file is replaced in one step.

    Raises:
        UnknownNameError: the record cites something that no card describes.
        StorageError: the file cannot be written.
    """
    write_atomic(path, render_report(record))


def render_report(record: RunRecord) -> str:
    """The page as text; the same record gives the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("novalith.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        formula=formula_html,
        spacegroup=spacegroup_html,
        mev=mev,
        number=number,
        significant=significant,
        property_name=property_name,
        property_unit=property_unit,
        plan_value=_plan_value,
    )
    scripts = (_part("vendor/3Dmol-min.js"), _part("templates/report.js"))
    cards = make_cards(record)
    works = citations_of(record.cited)
    return environment.get_template("report.html.j2").render(
        record=record,
        cards=cards,
        scenes=[card.scene for card in cards],
        headline=_headline(record),
        properties=[name for name in PROPERTIES if any(name in (row.properties or {}) for row in record.ranked)],
        why_formula={formula: reason for formula, _, reason in record.formulas},
        funnel=funnel_figure(record.funnel),
        citations=works,
        bibtex=bibtex(works),
        tolerances={"symprec": SYMPREC, "ltol": MATCHER_LTOL, "stol": MATCHER_STOL, "angle": MATCHER_ANGLE_DEG},
        potential_error_ev_per_atom=POTENTIAL_ERROR_EV_PER_ATOM,
        script_hashes=" ".join(f"'sha256-{_sha256(s)}'" for s in scripts),
        scripts=[Markup(s) for s in scripts],  # noqa: S704  our own files, not data
        style=Markup(_part("templates/report.css")),  # noqa: S704  our own file, not data
    )


def _part(name: str) -> str:
    """A file of this package as text, without bytes that an HTML parser would change before hashing."""
    text = files("novalith.report").joinpath(name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _headline(record: RunRecord) -> Mapping[str, object]:
    """Figures of the first screen."""
    energies = [row.energy_above_hull_ev_per_atom for row in record.ranked]
    return {
        "best": record.ranked[0] if record.ranked else None,
        "windows": [(limit, sum(e <= limit for e in energies)) for limit in WINDOWS_EV_PER_ATOM],
        "formulas": len({row.crystal.composition.formula for row in record.ranked}),
        "new_formulas": sum(row.novelty.grade is Grade.NEW_FORMULA for row in record.ranked),
        "generators": sorted({row.lineage.generator for row in record.ranked}),
        "stopped_most": _stopped_most(record),
        "doubted": sum(bool(row.doubts) for row in record.ranked),
    }


def _stopped_most(record: RunRecord) -> tuple[str, str, int] | None:
    """The (stage, reason, count) that stopped most candidates."""
    all_reasons = [(stage.name, reason, n) for stage in record.funnel for reason, n in stage.rejected.items()]
    return max(all_reasons, key=lambda r: (r[2], r[0], r[1])) if all_reasons else None


def _plan_value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value) or "none"
    return "none" if value in ("", None) else str(value)
