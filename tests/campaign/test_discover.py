"""The spine end to end on the bundled data, small: a folder that explains itself, resumes, and hides what it must."""

import csv
import json
import shutil
from dataclasses import replace

import pytest

from novalith.campaign.discover import discover
from novalith.campaign.folder import CampaignFolder, load_run
from novalith.campaign.plan import Plan
from novalith.data.door import read_structures
from novalith.errors import CampaignError, EmptyResultError, InputError
from novalith.screen.duplicates import group_duplicates
from novalith.store.log import read_log

PLAN = Plan(ask="K-Br", budget=4, seed=2, max_atoms=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("campaign") / "run"
    return out, discover(PLAN, out, workers=2)


def rows(out):
    with (out / "candidates.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_the_table_holds_what_scripts_rely_on(run):
    out, record = run
    header = (out / "candidates.csv").read_text().splitlines()[0]
    assert header.startswith(
        "rank,id,formula,spacegroup,n_atoms,formation_energy_ev_per_atom,energy_above_hull_ev_per_atom,converged,"
        "novelty,nearest_known,generator"
    )
    assert [int(row["rank"]) for row in rows(out)] == list(range(1, len(record.ranked) + 1))
    assert all(row["converged"] == "True" for row in rows(out))


def test_every_ranked_crystal_is_written_new_distinct_and_relaxed(run):
    out, record = run
    assert record.ranked
    written = dict(read_structures(out / "structures").accepted)
    assert set(written) >= {row.id for row in record.ranked}
    crystals = [row.crystal for row in record.ranked]
    assert group_duplicates(crystals) == list(range(len(crystals)))
    for row in record.ranked:
        assert row.max_force_ev_per_a <= PLAN.max_force_ev_per_a
        assert set(row.crystal.species) == {"K", "Br"}
        assert row.novelty.grade.value != "known structure"


def test_in_is_kept_plus_rejected_from_the_first_stage_to_the_last(run):
    _, record = run
    for before, after in zip(record.funnel, record.funnel[1:], strict=False):
        assert after.entered == before.kept, (before.name, after.name)
    assert record.funnel[-1].kept == len(record.ranked)


def test_the_folder_alone_gives_the_record_back(run):
    out, record = run
    assert load_run(out) == record


def test_resuming_after_losing_everything_but_the_logs_gives_the_same_table(run, tmp_path):
    out, _ = run
    table = (out / "candidates.csv").read_bytes()
    copy = tmp_path / "copy"
    shutil.copytree(out / "log", copy / "log")
    shutil.copy(out / "plan.toml", copy)
    folder = CampaignFolder(copy)
    records, _ = read_log(folder.results)
    data = folder.results.read_bytes()
    folder.results.write_bytes(data[: len(data) - 40])  # the last record is torn: its relaxation is done again
    discover(PLAN, copy, workers=1)
    assert (copy / "candidates.csv").read_bytes() == table
    again, _ = read_log(folder.results)
    assert sorted(r["id"] for r in again) == sorted(r["id"] for r in records)


def test_another_plan_in_the_same_folder_is_refused(run):
    out, _ = run
    with pytest.raises(CampaignError, match="budget: 4 there, 7 now"):
        discover(replace(PLAN, budget=7), out)


def test_a_space_group_that_was_asked_for_is_kept_or_the_candidate_is_rejected(tmp_path):
    record = discover(
        Plan(ask="KBr", budget=2, seed=1, spacegroup=221, max_atoms=8, hidden=("KBr",)), tmp_path / "run", workers=1
    )
    assert all(row.spacegroup == 221 for row in record.ranked)
    assert record.n_relaxations >= 1


def test_what_cannot_be_is_said_before_work_begins(tmp_path):
    with pytest.raises(InputError, match="no reference energy of Rn"):
        discover(Plan(ask="Rn-O", budget=1), tmp_path / "helium")
    with pytest.raises(EmptyResultError, match=r"charge|neutral|states"):
        discover(Plan(ask="Na-K-Ca-Ba", budget=1, max_atoms=3), tmp_path / "impossible")


def test_the_record_is_plain_json(run):
    out, _ = run
    record = json.loads((out / "record.json").read_text())
    assert record["energy_scale"] == "MP2020-corrected PBE"
    assert "folder" not in record
