"""Validation of a short list: costs first, results kept and reused, findings read back as they were."""

import csv
import json

import numpy as np
import pytest

from novalith.campaign.discover import discover
from novalith.campaign.findings import _doubts, read_validation, row_from_json, row_to_json
from novalith.campaign.folder import load_run
from novalith.campaign.plan import Plan
from novalith.campaign.validation import Target, gather_targets, told_costs, validate, validate_run
from novalith.data.writers import write_cif
from novalith.errors import CorruptDataError, EmptyResultError, InputError
from novalith.materials import Crystal
from novalith.stability.checks import Toolbox

pytest.importorskip("phonopy", reason="the extra 'validate' is not installed")

FACE = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
SALT = Crystal.from_arrays(FACE * 5.69, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
WRONG = Crystal.from_arrays(np.eye(3) * 3.45, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
TARGETS = (Target("rock-salt", SALT), Target("caesium-chloride", WRONG))
CHECKS = ("formation-energy", "phonons")


class Listener:
    def __init__(self):
        self.notes = []

    def stage(self, name, total):
        self.notes.append(f"{name}: {total}")

    def advance(self, n):
        pass

    def note(self, sentence):
        self.notes.append(sentence)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out, listener = tmp_path_factory.mktemp("run") / "validation", Listener()
    return out, listener, validate(TARGETS, CHECKS, Toolbox(), out, observer=listener)


def test_costs_are_told_before_anything_is_made(run):
    _, listener, _ = run
    begin = next(i for i, note in enumerate(listener.notes) if note.startswith("Validating"))
    before = listener.notes[:begin]
    assert len(before) == 5
    assert "evaluations of up to 128 atoms" in before[1]
    assert before[-1].startswith("In all about")


def test_one_finding_a_crystal_and_check(run):
    out, _, rows = run
    assert [(row.id, row.finding.check) for row in rows] == [(t.id, c) for t in TARGETS for c in CHECKS]
    passed = {(row.id, row.finding.check): row.finding.verdict.passed for row in rows}
    assert passed["rock-salt", "phonons"]
    assert not passed["caesium-chloride", "phonons"]
    with (out / "validation.csv").open() as handle:
        table = list(csv.DictReader(handle))
    assert [line["passed"] for line in table] == [str(row.finding.verdict.passed) for row in rows]
    assert "lowest_thz=" in table[3]["values"]


def test_findings_are_read_back_as_they_were(run):
    out, _, rows = run
    found = read_validation(out.parent)
    assert found["rock-salt"] == tuple(row.finding for row in rows[:2])
    assert row_from_json(json.loads(json.dumps(row_to_json(rows[1])))) == rows[1]


def test_nothing_is_made_twice(run, monkeypatch):
    out, _, rows = run
    monkeypatch.setattr("novalith.campaign.validation.run_check", lambda *_: pytest.fail("made again"))
    listener = Listener()
    assert validate(TARGETS, CHECKS, Toolbox(), out, observer=listener) == rows
    assert listener.notes[0] == "Everything was validated before."


def test_a_stopped_validation_goes_on(tmp_path, monkeypatch):
    from novalith.stability import checks

    def stop(check, crystal, tools):
        if check == "phonons":
            raise KeyboardInterrupt
        return checks.run_check(check, crystal, tools)

    monkeypatch.setattr("novalith.campaign.validation.run_check", stop)
    with pytest.raises(KeyboardInterrupt):
        validate(TARGETS[:1], CHECKS, Toolbox(), tmp_path / "v")
    made = []
    monkeypatch.setattr(
        "novalith.campaign.validation.run_check", lambda c, x, t: made.append(c) or checks.run_check(c, x, t)
    )
    assert len(validate(TARGETS[:1], CHECKS, Toolbox(), tmp_path / "v")) == 2
    assert made == ["phonons"]


def test_costs_alone(tmp_path):
    lines = told_costs(TARGETS[:1], ("exfoliation",), Toolbox())
    assert "no stack of layers" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_targets_from_files_need_a_folder_for_the_results(tmp_path):
    write_cif(SALT, tmp_path / "salt.cif", symprec=None, name="salt")
    with pytest.raises(InputError, match="--out"):
        gather_targets([tmp_path / "salt.cif"], 5, None)
    targets, refused, folder = gather_targets([tmp_path / "salt.cif"], 5, tmp_path / "v")
    assert [t.id for t in targets] == ["salt"]
    assert not refused
    assert folder == tmp_path / "v"


def test_nothing_to_validate_is_said(tmp_path):
    with pytest.raises(EmptyResultError):
        validate((), CHECKS, Toolbox(), tmp_path / "v")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "validation.json").write_text("[{}]")
    with pytest.raises(CorruptDataError, match=r"validation\.json"):
        read_validation(tmp_path)


def test_findings_of_a_campaign_stay_in_its_folder(tmp_path):
    record = discover(Plan(ask="K-Br", budget=3, seed=2, max_atoms=8), tmp_path / "run", workers=1)
    first = record.ranked[0]
    shown = validate_run(record, ("elasticity", "exfoliation"), 1, Toolbox(), Listener())
    assert set(shown.validations) == {first.id}
    again = load_run(tmp_path / "run")
    assert again.validations == shown.validations
    assert again.ranked[0].doubts[0].startswith("Validation, exfoliation")
    assert again.ranked[0].energy_above_hull_ev_per_atom == first.energy_above_hull_ev_per_atom
    targets, _, folder = gather_targets([tmp_path / "run"], 1, None)
    assert [t.id for t in targets] == [first.id]
    assert folder == tmp_path / "run" / "validation"


def test_a_doubt_that_phonons_settle_is_dropped(run):
    _, _, rows = run
    told = "Zero temperature, no vibrations, no disorder; phonons were not computed."
    assert _doubts((told,), (rows[1].finding,)) == ("Zero temperature, no vibrations, no disorder.",)
    assert _doubts((told,), (rows[0].finding,)) == (told,)
    assert _doubts((told,), (rows[3].finding,))[0].startswith("Validation, phonons: An imaginary mode")


def test_the_report_shows_findings_and_bands(run):
    pytest.importorskip("jinja2")
    from novalith.report.figures.phonons import phonon_figure

    _, _, rows = run
    picture = str(phonon_figure(rows[3].finding.bands))
    assert "frequency (THz)" in picture
    assert "#D55E00" in picture, "imaginary branches stand out"
    assert "#D55E00" not in str(phonon_figure(rows[1].finding.bands))
