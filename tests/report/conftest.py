"""A campaign as its report meets it, and the page made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from specimens import PHASES, ranked_rows

from novalith.campaign.record import FunnelStage, RunRecord
from novalith.materials import Composition
from novalith.relax.base import MP2020_PBE
from novalith.report.page import render_report
from novalith.stability.hull import Phase


@pytest.fixture(scope="session")
def record():
    phases = [Phase(Composition.parse(f), e, "MP hull table", MP2020_PBE) for f, e in PHASES.items()]
    return RunRecord(
        folder=Path("run"),
        title="Li-Co-O and neighbours",
        plan={"plan": {"ask": "Li-Co-O", "budget": 120, "seed": 0, "deny": (), "subsystems": False}},
        versions={"novalith": "0.1.0", "chgnet": "0.4.2", "hull": "ab" * 32},
        funnel=(
            FunnelStage("proposed", 412, 397, {"no free parameters left": 15}),
            FunnelStage("distances", 397, 240, {"Na-Cl too close": 100, "O-O too close": 57}),
            FunnelStage("duplicates", 240, 131, {"equal to an earlier proposal": 109}),
            FunnelStage("relaxation", 131, 5, {"capped": 120, "exploded": 6}),
        ),
        ranked=ranked_rows(),
        unranked={"Li2CoO3-0123456789": ("Li2CoO3", "capped")},
        competing=tuple(phases),
        hull_mode="table",
        energy_scale=MP2020_PBE,
        n_relaxations=131,
        cited=("chgnet", "hull"),
    )


@pytest.fixture(scope="session")
def empty_record(record):
    return replace(
        record,
        ranked=(),
        funnel=(
            FunnelStage("proposed", 12, 12, {}),
            FunnelStage("charge", 12, 0, {"no neutral assignment": 9, "electronegativity": 3}),
        ),
        n_relaxations=0,
    )


@pytest.fixture(scope="session")
def text(record):
    """The page of the record."""
    return render_report(record)
