"""Ways, maps and searches in a latent space where every answer is known."""

import numpy as np
import pytest
from toy_crystals import ENTRY, cell, toy_model

from novalith.errors import EmptyResultError, InputError, UnknownNameError
from novalith.materials import Crystal, Verdict
from novalith.recipes import crystal_models, latent_bench
from novalith.recipes.crystal_models import MODELS, SampleRequest
from novalith.recipes.latent import centre, interpolate, latent_map, spherical
from novalith.recipes.latent_bench import kept_models, neighbourhood_records, richest_way, search_records, way_records
from novalith.recipes.latent_search import Estimates, Goal, SearchSettings, screened, search, structure_judge
from novalith.recipes.voxel_bench import VoxelBench
from novalith.report import voxel_figures

ENDS = cell(3.6, "Li", "Cl"), cell(4.7, "Cs", "Cl")


def by_volume(crystals):
    """Volume per atom in place of a property; nothing beyond 60 Å³ has been seen."""
    values = np.array([c.volume / c.n_atoms for c in crystals])
    return Estimates(values, 0.01 * values, values < 60)


def test_a_spherical_way_keeps_its_distance_at_an_even_pace_of_the_angle():
    rng = np.random.default_rng(0)
    middle, a, b = rng.standard_normal((3, 50)).astype(np.float32)
    a, b = (middle + 2 * (x - middle) / np.linalg.norm(x - middle) for x in (a, b))
    way = spherical(a, b, np.linspace(0, 1, 7), middle)
    assert np.allclose(way[[0, -1]], [a, b], atol=1e-5)
    assert np.allclose(np.linalg.norm(way - middle, axis=1), 2.0, atol=1e-4)
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    assert np.allclose(steps, steps[0], rtol=1e-3)
    straight = spherical(middle + a, middle + 2 * a, [0.5], middle)  # no angle: the way is straight
    assert np.allclose(straight, middle + 1.5 * a, atol=1e-5)
    opposite = spherical(middle + a, middle - a, [0.25], middle)
    assert np.isfinite(opposite).all()


def test_a_way_begins_and_ends_with_its_crystals_as_the_model_returns_them():
    model = toy_model()
    way = interpolate(model, ENDS, 5)
    assert way.shares == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert [o.composition.formula for o in way.outcomes][:: len(way.shares) - 1] == ["LiCl", "CsCl"]
    assert way.outcomes[0].volume == pytest.approx(ENDS[0].volume, rel=1e-4)
    assert {"Na", "K", "Rb"} & {s for o in way.outcomes for s in o.species}  # what lies between lithium and caesium
    with pytest.raises(InputError, match="at least 2"):
        interpolate(model, ENDS, 1)
    with pytest.raises(InputError, match="elements"):
        interpolate(model, (cell(4.0, "Mg", "O"), ENDS[0]), 3)


def test_a_map_keeps_neighbours_together_and_repeats_itself():
    model = toy_model()
    rng = np.random.default_rng(1)
    groups = np.repeat(np.eye(6) * 20, 12, axis=0)
    model.training_codes = (groups + rng.standard_normal(groups.shape)).astype(np.float32)
    rows, points = latent_map(model, rng=np.random.default_rng(0))
    assert np.array_equal(rows, np.arange(72))
    apart = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(72, np.inf))
    assert (apart.argmin(axis=1) // 12 == np.arange(72) // 12).all()
    assert np.array_equal(latent_map(model, rng=np.random.default_rng(0))[1], points)
    assert len(latent_map(model, most=20, rng=np.random.default_rng(0))[0]) == 20
    model.training_codes = model.training_codes[:3]
    with pytest.raises(InputError, match="at least four"):
        latent_map(model, rng=np.random.default_rng(0))


def test_goals_are_read_and_weigh_the_uncertainty():
    said = Estimates(np.array([1.0, -2.0, 3.0]), np.array([0.5, 0.1, 0.0]), np.array([True, True, False]))
    assert Goal.parse("band_gap = max") == Goal("band_gap", "max")
    assert Goal.parse("band_gap=1.5").losses(said).tolist() == [1.0, 3.6, np.inf]
    assert Goal.parse("band_gap=min").losses(said).tolist() == [1.5, -1.9, np.inf]
    assert Goal.parse("band_gap=max").losses(said).tolist() == [-0.5, 2.1, np.inf]
    for text in ("band_gap", "band_gap=least", "=min", "band_gap=nan", "band_gap="):
        with pytest.raises(InputError, match="no goal"):
            Goal.parse(text)


@pytest.mark.parametrize(("aim", "known"), [("max", 60.0), ("40", 40.0)])
def test_the_search_comes_near_the_optimum_that_is_known(aim, known):
    result = search(toy_model(), Goal.parse(f"volume={aim}"), by_volume, rng=np.random.default_rng(0))
    assert known * 0.97 < result.found[0].value <= known * 1.01
    assert result.found[0].value <= 60  # beyond it the judge knows nothing
    first, last = result.trace[0], result.trace[-1]
    assert abs(last["best"] - known) < abs(first["best"] - known)
    losses = [found.loss for found in result.found]
    assert losses == sorted(losses)
    assert last["decoded"] == 12 * 32 == len(result.found) + sum(result.refused.values())
    assert set(result.reasons) == set(result.refused)


def test_the_search_repeats_itself_starts_where_told_and_says_why_it_finds_nothing():
    model, goal, few = toy_model(), Goal("volume", "max"), SearchSettings(3, 8, 3)
    runs = [search(model, goal, by_volume, settings=few, rng=np.random.default_rng(5)) for _ in range(2)]
    assert runs[0] == runs[1]
    near = SampleRequest(around=ENDS[0], spread=0.0)
    still = search(model, goal, by_volume, near, SearchSettings(1, 4, 2), rng=np.random.default_rng(0))
    assert {f.crystal.composition.formula for f in still.found} == {"LiCl"}
    assert still.refused == {"repeated": 3}
    with pytest.raises(EmptyResultError, match="unlike the crystals"):
        search(model, goal, lambda c: Estimates(*np.zeros((2, len(c))), np.zeros(len(c), bool)), settings=few,
               rng=np.random.default_rng(0))  # fmt: skip


def test_the_shipped_judge_knows_rock_salt_and_refuses_what_it_has_not_seen():
    salt = Crystal.from_arrays(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.845, ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    said = structure_judge("formation_energy")([salt, cell(1.9, "Cs", "Cl")])
    assert said.value[0] == pytest.approx(-2.1, abs=0.15)  # Materials Project: -2.11 eV/atom
    assert said.in_range.tolist() == [True, False]
    with pytest.raises(UnknownNameError):
        structure_judge("colour")([salt])


def test_screens_take_the_place_of_crystals_that_fail_them():
    good, touching, verdict = cell(4.1, "Cs", "Cl"), cell(1.5, "Cs", "Cl"), Verdict(False, "shape", "It is empty.")
    assert screened([good, verdict]) == [good, verdict]
    assert isinstance(screened([touching])[0], Verdict)


def test_the_bench_counts_ways_neighbourhoods_and_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(crystal_models, "MODELS", {**MODELS, **ENTRY})
    monkeypatch.setattr(latent_bench, "MODELS", {**MODELS, **ENTRY})
    monkeypatch.setattr(latent_bench, "structure_judge", lambda _: by_volume)
    with pytest.raises(InputError, match="no checkpoint"):
        kept_models(tmp_path)
    toy_model().save(tmp_path / "small.safetensors")
    bench = VoxelBench(None, tmp_path, n=40)
    ways, around, found = latent_bench.tables(bench, lambda _: None)
    assert [r["where"] for r in ways.records] == ["at the ends", "between"]
    assert ways.records[0]["decoded"] == 1.0
    still = around.records[0]
    assert (still["spread"], still["formula of the base"], still["formula not trained on"]) == (0.0, 1.0, 0.0)
    assert around.records[-1]["formula of the base"] < 1.0
    assert [r["way"] for r in found.records] == ["search", "random draws", "training crystals, by label"]
    drawn = voxel_figures.draw_voxels(bench, ["latent"], tmp_path / "figures")
    assert [p.name for p in drawn] == ["latent_map_small.svg", "interpolation_small.svg"]
    assert "formation energy (eV/atom)" in drawn[0].read_text(encoding="utf-8")
    assert "t = 0.5" in drawn[1].read_text(encoding="utf-8")


def test_records_repeat_themselves_and_a_rich_way_is_preferred():
    model, rngs = toy_model(), [np.random.default_rng(3) for _ in range(6)]
    assert way_records("toy", model, 3, rng=rngs[0]) == way_records("toy", model, 3, rng=rngs[1])
    assert neighbourhood_records("toy", model, 9, rng=rngs[2]) == neighbourhood_records("toy", model, 9, rng=rngs[3])
    how = SearchSettings(2, 8, 3)
    assert search_records("toy", model, by_volume, how, rng=rngs[4])[0]["codes"] == 16
    way = richest_way(model, rng=rngs[5])
    assert len({o.composition.formula for o in way.outcomes if isinstance(o, Crystal)}) > 2
    assert np.allclose(centre(model), model.training_codes.mean(axis=0))
