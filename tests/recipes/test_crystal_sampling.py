"""Every draw is counted, and what is drawn goes down the ladder with one more command."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from toy_crystals import ENTRY, cell, toy_model

from novalith.cli.main import build
from novalith.data.door import read_structures
from novalith.data.writers import write_cif
from novalith.errors import (
    CapabilityError,
    ContradictionError,
    EmptyResultError,
    InputError,
    UnknownNameError,
)
from novalith.materials import PhaseField
from novalith.recipes import crystal_models, crystal_sampling
from novalith.recipes.crystal_models import MODELS
from novalith.recipes.crystal_sampling import SampleOrder, draw, recipe_of
from novalith.recipes.latent_search import Estimates
from novalith.recipes.point_cloud_gan import SIZES, PointCloudGan
from novalith.recipes.substituted_training_set import LabelledCrystal, TrainingSet
from novalith.represent.point_cloud import PointLayout


@pytest.fixture(autouse=True)
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(crystal_models, "MODELS", {**MODELS, **ENTRY})
    path = tmp_path / "toy.safetensors"
    toy_model().save(path)
    return path


@pytest.fixture
def ends(tmp_path):
    files = tmp_path / "LiCl.cif", tmp_path / "CsCl.cif"
    for file, crystal in zip(files, (cell(3.6, "Li", "Cl"), cell(4.7, "Cs", "Cl")), strict=True):
        write_cif(crystal, file, symprec=None, name=file.stem, notes=())
    return files


def rows(path):
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def run(*arguments):
    build()([str(a) for a in arguments], standalone_mode=False)


def test_every_draw_is_kept_or_rejected_with_its_reason(checkpoint):
    drawn = draw(SampleOrder(checkpoint=checkpoint, n=30, deny=("Li",), seed=1))
    assert len(drawn.candidates) == 30
    assert not any("Li" in c.crystal.species for c in drawn.candidates)
    numbers = [number for number, _ in drawn.rejected]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) <= drawn.n_drawn
    assert set(drawn.reasons) == {"cell", "denied"}
    assert f"{drawn.n_drawn} drawn = 30 kept + {len(numbers)} rejected" in drawn.told
    assert drawn.candidates == draw(SampleOrder(checkpoint=checkpoint, n=30, deny=("Li",), seed=1)).candidates
    assert drawn.candidates != draw(SampleOrder(checkpoint=checkpoint, n=30, deny=("Li",), seed=2)).candidates


def test_draws_around_a_crystal_stay_near_it(checkpoint, ends):
    near = draw(SampleOrder(checkpoint=checkpoint, around=ends[1], spread=0.05, n=20))
    assert {c.crystal.composition.formula for c in near.candidates} == {"CsCl"}
    assert "around CsCl with a spread of 0.05" in near.candidates[0].lineage.move
    far = draw(SampleOrder(checkpoint=checkpoint, around=ends[1], spread=1.0, n=20))
    assert len({c.crystal.composition.formula for c in far.candidates}) > 2
    with pytest.raises(EmptyResultError, match="20 drawn = 0 kept"):
        draw(SampleOrder(checkpoint=checkpoint, around=ends[1], spread=0.05, n=2, require=("Rb",)))


def test_orders_that_do_not_fit_are_refused(checkpoint, ends, tmp_path):
    with pytest.raises(ContradictionError, match="name one of them"):
        draw(SampleOrder(checkpoint=checkpoint, around=ends[0], between=ends))
    with pytest.raises(CapabilityError, match="cannot be asked for a field"):
        draw(SampleOrder(checkpoint=checkpoint, system="K-Br"))
    with pytest.raises(ContradictionError, match="holds a model of the recipe toy; court"):
        recipe_of("court", checkpoint)
    with pytest.raises(UnknownNameError, match="Did you mean 'court'"):
        recipe_of("cuort", None)
    with pytest.raises(ContradictionError, match="Br cannot be both"):
        draw(SampleOrder(checkpoint=checkpoint, require=("Br", "K"), deny=("Br",)))
    with pytest.raises(InputError, match="at least 1"):
        draw(SampleOrder(checkpoint=checkpoint, n=0))
    with pytest.raises(InputError, match="no goal"):
        draw(SampleOrder(checkpoint=checkpoint, optimise="volume"))
    two = tmp_path / "two.csv"
    texts = [file.read_text(encoding="utf-8") for file in ends]
    with two.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("id", "cif"), *enumerate(texts)])
    with pytest.raises(InputError, match="holds 2 structures; expected one"):
        draw(SampleOrder(checkpoint=checkpoint, around=two))


def test_the_way_between_two_crystals_is_written_with_its_strip(checkpoint, ends, tmp_path):
    run("sample", "--checkpoint", checkpoint, "--between", *ends, "-n", 7, "--out", tmp_path / "way")
    table = rows(tmp_path / "way" / "proposals.csv")
    assert {row["formula"] for row in table} >= {"LiCl", "CsCl"}
    assert {row["generator"] for row in table} == {"toy"}
    strip = (tmp_path / "way" / "interpolation.svg").read_text(encoding="utf-8")
    assert strip.count("<image") == 7 + 1  # and the scale of the colours
    assert "density (e/Å³)" in strip


def test_an_optimum_is_searched_and_its_trace_written(checkpoint, tmp_path, monkeypatch, capsys):
    def judge(crystals):
        values = np.array([c.volume for c in crystals])
        return Estimates(values, 0 * values, values < 150)

    monkeypatch.setattr(crystal_sampling, "structure_judge", lambda _: judge)
    out = tmp_path / "best"
    run("sample", "--checkpoint", checkpoint, "--optimise", "volume=max", "-n", 5, "--out", out, "--json")
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts == {"drawn": 384, "kept": 5, "rejected": 379} == {
        "drawn": 384, "kept": len(rows(out / "proposals.csv")), "rejected": len(rows(out / "rejected.csv")),
    }  # fmt: skip
    assert float(rows(out / "trace.csv")[-1]["best"]) > 130
    best = dict(read_structures(out / "structures").accepted)
    assert all(130 < crystal.volume < 150 for crystal in best.values())


def test_two_commands_lead_from_a_model_to_a_report(checkpoint, ends, tmp_path, capsys):
    drawn, campaign = tmp_path / "drawn", tmp_path / "campaign"
    run("sample", "--checkpoint", checkpoint, "--around", ends[1], "--spread", 0.4, "-n", 6, "--out", drawn)
    said = capsys.readouterr().out
    table, refused = rows(drawn / "proposals.csv"), rows(drawn / "rejected.csv")
    assert f"{len(table) + len(refused)} drawn = {len(table)} kept + {len(refused)} rejected" in said
    run("discover", "--structures", drawn, "--budget", 2, "--keep-known", "--workers", 1, "--out", campaign)
    ranked = rows(campaign / "candidates.csv")
    assert ranked
    assert {row["generator"] for row in ranked} == {"toy"}
    assert all("around CsCl" in row["move"] for row in ranked)
    assert (campaign / "report.html").stat().st_size > 10_000


def test_options_of_networks_with_codes_are_refused_elsewhere(tmp_path):
    with pytest.raises(CapabilityError, match="needs a network"):
        run("sample", "MgO", "--family", "perovskite", "--out", tmp_path / "out")
    with pytest.raises(InputError, match="novalith train point-cloud-gan"):
        run("sample", "MgO", "--recipe", "point-cloud-gan", "--out", tmp_path / "out")
    with pytest.raises(InputError, match="Nothing to look for"):
        run("sample", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_of_points_come_through_the_same_door_and_count_their_draws(tmp_path, capsys):
    crystals = [cell(a, "Mg", "O") for a in np.linspace(2.6, 2.7, 12)]
    labelled = [LabelledCrystal(f"{i}", c, "mp-1", "", -3.0 + 0.1 * i, 0.0, "") for i, c in enumerate(crystals)]
    gan = PointCloudGan(PointLayout((("Mg", 2), ("O", 2))), dataclasses.replace(SIZES["tiny"], with_energy=True))
    gan.fit(TrainingSet(PhaseField(("Mg", "O")), tuple(labelled), (), 12, "made"), rng=np.random.default_rng(0))
    path, out = tmp_path / "points.safetensors", tmp_path / "out"
    gan.save(path)
    run("sample", "MgO", "--model", path, "--target", "formation_energy=-2", "-n", 3, "--out", out)
    said, table = capsys.readouterr().out, rows(out / "proposals.csv")
    refused = rows(out / "rejected.csv")
    assert f"point-cloud-gan: {len(table) + len(refused)} drawn = {len(table)} kept" in said
    assert all("for a formation energy of -2 eV/atom" in row["move"] for row in table)
    with pytest.raises(CapabilityError, match="band_gap"):
        run("sample", "MgO", "--model", path, "--target", "band_gap=1", "--out", tmp_path / "other")
    with pytest.raises(CapabilityError, match="asked of imatgen, court, hoffmann"):
        run("sample", "MgO", "--model", path, "--family", "perovskite", "--out", tmp_path / "other")


def test_the_model_that_ships_draws_its_own_system_alone():
    drawn = draw(SampleOrder(recipe="imatgen", system="V-O", n=3))
    assert {s for c in drawn.candidates for s in c.crystal.species} <= {"V", "O"}
    assert drawn.candidates[0].lineage.generator == "imatgen"
    with pytest.raises(CapabilityError, match="Ti has no image in a model of O-V"):
        draw(SampleOrder(recipe="imatgen", system="Ti-O", n=3))
