"""The ladder from its top rung: each field gets its campaign, and one without proposals stops nothing."""

import csv

from novalith.campaign.fields import discover_in_fields
from novalith.campaign.plan import Plan
from novalith.campaign.record import RunRecord
from novalith.errors import EmptyResultError
from novalith.materials import PhaseField
from novalith.recipes.fields import ScoredField


def scored(name, score):
    return ScoredField(PhaseField.parse(name), score, 0.9, 0.01, reported=False, nearest=())


def empty_record(folder):
    return RunRecord(folder, folder.name, {}, {}, (), (), {}, (), "table", "MP2020-corrected PBE", 0, ())


def test_every_field_has_a_row_whatever_became_of_it(tmp_path):
    asked = []

    def run(plan, folder):
        asked.append(plan.ask)
        if plan.ask == "Ca-Na":
            raise EmptyResultError("No formula of Ca-Na can be neutral.")
        return empty_record(folder)

    fields = [scored("K-Br", 2.0), scored("Na-Ca", 1.0), scored("Mg-O", 0.5)]
    results = discover_in_fields(fields, lambda ask: Plan(ask=ask, budget=1), run, tmp_path)
    assert asked == ["Br-K", "Ca-Na", "Mg-O"]
    assert [record is None for _, record in results] == [False, True, False]
    with (tmp_path / "fields.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["field"] for row in rows] == asked
    assert "neutral" in rows[1]["note"]
