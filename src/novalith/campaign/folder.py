"""The campaign folder: where each thing lies, and reading a finished one back.

::

    plan.toml          the resolved plan, versions, data-card hashes
    log/queue.log      the candidates to relax, in order, with the funnel that led to them
    log/results.log    one record a finished relaxation, appended when it ends
    index.sqlite       the results as a table, rebuilt from the log
    record.json        the finished campaign as data: what the report is made from
    candidates.csv     the ranked table
    unranked.csv       relaxations that did not converge, with how they ended
    rejected.csv       every proposal that stopped, where and why
    formulas.csv       the formulas tried in a chemical system, best first, with the reasons
    structures/        CIF (symmetrised), p1/ (CIF), poscar/, candidates.extxyz
    report.html        the report
    cache/             relaxed competing phases
    validation/        what validations of the best candidates found (see `novalith.campaign.validation`)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from novalith.campaign.codec import record_from_json
from novalith.campaign.findings import read_validation, with_validations
from novalith.campaign.record import RunRecord
from novalith.errors import CampaignError, CorruptDataError, InputError


@dataclass(frozen=True)
class CampaignFolder:
    """Paths inside a campaign folder."""

    root: Path

    @property
    def plan(self) -> Path:
        """The resolved plan."""
        return self.root / "plan.toml"

    @property
    def queue(self) -> Path:
        """The log of what is to be relaxed."""
        return self.root / "log" / "queue.log"

    @property
    def results(self) -> Path:
        """The log of finished relaxations."""
        return self.root / "log" / "results.log"

    @property
    def index(self) -> Path:
        """The SQLite index."""
        return self.root / "index.sqlite"

    @property
    def record(self) -> Path:
        """The finished campaign as data."""
        return self.root / "record.json"

    @property
    def structures(self) -> Path:
        """Where the crystals are written."""
        return self.root / "structures"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"

    @property
    def cache(self) -> Path:
        """Relaxed competing phases."""
        return self.root / "cache"


def load_run(root: Path) -> RunRecord:
    """A finished campaign as data, from its folder alone.

    Raises:
        InputError: there is no campaign in the folder.
        CampaignError: the campaign has not finished.
        CorruptDataError: the record cannot be read.
    """
    folder = CampaignFolder(root)
    if not folder.plan.is_file():
        raise InputError(f"{root} holds no campaign: plan.toml is missing. Give the --out folder of a discover run.")
    if not folder.record.is_file():
        raise CampaignError(f"The campaign in {root} has not finished. Run its command again: it goes on from there.")
    try:
        record = record_from_json(json.loads(folder.record.read_text(encoding="utf-8")), root)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(
            f"{folder.record} cannot be read ({error}). Delete it and run the campaign's command again: it is made "
            "anew from the logs."
        ) from error
    found = read_validation(root)
    return with_validations(record, found) if found else record
