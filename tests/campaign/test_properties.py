"""Every ranked crystal gets the eight properties, or says that it has none; older folders stay readable without."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from novalith.campaign.codec import record_from_json, record_to_json
from novalith.campaign.outputs import CANDIDATE_COLUMNS, csv_text, table_row
from novalith.campaign.properties import PROPERTIES, property_columns, with_properties
from novalith.campaign.record import RankedCrystal, RunRecord
from novalith.materials import Crystal, Lineage
from novalith.screen.novelty import Grade, Novelty

FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def row(rank, cation, anion, a):
    positions = FCC + [[x + 0.5, y, z] for x, y, z in FCC]
    crystal = Crystal.from_arrays([[a, 0, 0], [0, a, 0], [0, 0, a]], [cation] * 4 + [anion] * 4, positions)
    return RankedCrystal(
        rank, f"{cation}{anion}", crystal, crystal, 225, "Fm-3m", -1.0, 0.01, ((cation + anion, 1.0),),
        Novelty(Grade.NEW_FORMULA, "mp-1", "NaCl", None, "none"), Lineage("substitution"), 0.01, 3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return with_properties([row(1, "Na", "Cl", 5.64), row(2, "Mg", "O", 4.21), row(3, "Lr", "O", 4.9)])


def test_eight_properties_with_deviation_and_range(rows):
    for ranked in rows[:2]:
        assert tuple(ranked.properties) == PROPERTIES
        for value, uncertainty, in_range in ranked.properties.values():
            assert isinstance(value, float)
            assert uncertainty > 0
            assert isinstance(in_range, bool)
    assert len(PROPERTIES) == 8


def test_an_element_that_no_training_crystal_holds_has_no_prediction(rows):
    assert rows[2].properties == {}


def test_columns_of_the_table(rows):
    text = csv_text(CANDIDATE_COLUMNS, map(table_row, rows))
    read = list(csv.DictReader(io.StringIO(text)))
    assert "predicted_band_gap_ev" in read[0]
    assert float(read[0]["predicted_bulk_modulus_gpa"]) == rows[0].properties["bulk_modulus"][0]
    assert float(read[1]["predicted_poisson_ratio_uncertainty"]) == rows[1].properties["poisson_ratio"][1]
    assert all(read[2][name] == "" for name in property_columns())
    out = {name for name, (_, _, known) in rows[0].properties.items() if not known}
    assert set(read[0]["predictions_out_of_range"].split()) == out


def test_a_record_keeps_properties_and_an_older_one_has_none(rows):
    record = RunRecord(
        Path("run"), "x", {}, {}, (), (*rows, replace(rows[0], rank=4, id="old", properties=None)), {}, (), "table",
        "s", 4, (),
    )  # fmt: skip
    again = record_from_json(record_to_json(record), Path("run"))
    assert again.ranked == record.ranked
    assert table_row(again.ranked[3])[-len(property_columns()) :] == ("",) * len(property_columns())


def test_no_rows_ask_no_network():
    assert with_properties(()) == ()
