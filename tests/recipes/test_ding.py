"""DING: the published sizes and loss, what decoding does, conditions that steer, files that give the model back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CapabilityError, InputError
from novalith.propose.compositions import FormulaRequest, draw_formulas
from novalith.recipes.ding import (
    SIZES,
    Ding,
    DingSettings,
    decode_cells,
    decoding_figures,
    train_ding,
    train_from_file,
)
from novalith.recipes.ding_conditions import Conditions
from novalith.recipes.ding_latent import interpolate, neighbours
from novalith.recipes.ding_predictor import LAYOUT, DingPredictor, predict_counts, train_predictor
from novalith.recipes.ding_predictor import SIZES as PREDICTOR_SIZES
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.represent.composition_one_hot import encode_counts
from novalith.represent.formula_table import formula_keys, read_formulas

#: Salts of an alkali metal and a halogen; the "energy" tells the metal, the "volume" the halogen.
METALS, HALOGENS = ("Li", "Na", "K", "Rb"), ("F", "Cl", "Br", "I")
SALTS = [f"{m}{a or ''}{x}{b or ''}" for m in METALS for x in HALOGENS for a in (0, 2, 3) for b in (0, 4, 5)]
FORMULAS = list(dict.fromkeys(SALTS))
TABLE = read_formulas(FORMULAS)
FORMATION = np.array([METALS.index(next(m for m in METALS if f.startswith(m))) - 3.0 for f in FORMULAS])
VOLUME = np.array([10.0 * next(i for i, x in enumerate(HALOGENS) if x in f) + 10 for f in FORMULAS])
PROPERTIES = {"formation_energy": FORMATION, "volume_per_atom": VOLUME}
TINY = DingSettings(
    replace(SIZES["tiny"].vae, hidden=(64, 64), n_epochs=100, batch_size=16, beta=0.05, learning_rate=1e-2),
    prior="normal",
)


@pytest.fixture(scope="module")
def model() -> Ding:
    return train_ding(TABLE, PROPERTIES, TINY, rng=np.random.default_rng(0))[0]


def test_the_published_layout_and_sizes():
    assert LAYOUT.shape == (89, 11)
    assert not set(LAYOUT.elements) & {"Po", "At", "Rn", "Fr", "Ra", "Am"}
    paper = SIZES["paper"]
    assert (paper.vae.hidden, paper.vae.n_latent, paper.standardised) == ((512, 256, 128), 32, False)
    assert PREDICTOR_SIZES["paper"].widths == (1024, 1024, 1024, 512, 128, 64, 32)


def test_the_published_weights_are_beta_one_hundredth():
    # 10 CE + 0.05 sum(exp s + mu^2 - 1 - s) = 10 (CE + beta KL), KL with its half.
    mu, s = np.array([0.3, -1.2]), np.array([0.5, -2.0])
    published = 0.05 * (np.exp(s) + mu**2 - 1 - s).sum()
    kl = ((np.exp(s) + mu**2 - 1 - s) / 2).sum()
    assert 10 * SIZES["paper"].vae.beta * kl == pytest.approx(published)


def test_a_condition_steers_and_both_properties_are_met(model):
    for formation, metal in ((-3.0, "Li"), (0.0, "Rb")):
        for volume, halogen in ((10.0, "F"), (40.0, "I")):
            request = FormulaRequest(targets=(("formation_energy", formation), ("volume_per_atom", volume)))
            drawn = model.draw(300, request, rng=np.random.default_rng(0))
            names = [drawn.composition(row) for row in range(300) if row not in drawn.problems]
            right = [set(dict(c.counts)) == {metal, halogen} for c in names]
            assert len(names) > 200
            assert np.mean(right) > 0.9


def test_an_open_condition_is_filled_from_rows_near_the_given_one():
    rows = np.array([[0.0, 1.0], [0.0, 2.0], [5.0, 9.0]])
    counts = np.eye(3, 89, dtype=np.uint8)
    conditions = Conditions.of(("a", "b"), rows, counts, True, rng=np.random.default_rng(0))

    def filled(**given: float) -> np.ndarray:
        return conditions.filled(conditions.near(500, given, np.random.default_rng(0)), given)

    assert (filled(a=5.0) == [5.0, 9.0]).all()
    assert set(filled(a=0.1)[:, 1]) == {1.0, 2.0}
    assert (filled(b=3.0, a=1.0) == [1.0, 3.0]).all()
    assert len(np.unique(filled(), axis=0)) == 3


def test_the_prior_of_codes_draws_around_known_formulas(model):
    memory = Ding(model.settings, model.vae, model.conditions, prior="codes")
    request = FormulaRequest(targets=(("formation_energy", -2.0), ("volume_per_atom", 20.0)))
    drawn = memory.draw(300, request, rng=np.random.default_rng(0))
    known = set(formula_keys(TABLE).tolist())
    share = np.mean([key in known for key in formula_keys(drawn).tolist()])
    plain = model.draw(300, request, rng=np.random.default_rng(0))
    assert share > 0.9
    assert share >= np.mean([key in known for key in formula_keys(plain).tolist()])


def test_the_published_decoding_deletes_elements_that_argmax_keeps():
    cells = np.zeros((1, 89, 11), np.float32)
    cells[:, :, 0] = 1.0
    cells[0, LAYOUT.elements.index("Fe")] = [0.2, 0.45, 0.35, *[0.0] * 8]  # surely present, its count is not sure
    cells[0, LAYOUT.elements.index("O")] = [0.1, 0.0, 0.0, 0.9, *[0.0] * 7]
    assert decode_cells(cells, "argmax").sum() == 1 + 3
    assert decode_cells(cells, "threshold").sum() == 3


def test_figures_count_what_the_decodings_leave(model):
    figures = {f.decoding: f for f in decoding_figures(model, 500, rng=np.random.default_rng(0))}
    # What argmax leaves empty the threshold leaves empty too, and it loses elements that argmax keeps.
    assert figures["argmax"].empty <= figures["threshold"].empty
    assert figures["argmax"].lost <= figures["threshold"].lost


def test_the_same_seed_gives_the_same_draws_and_a_file_gives_the_model_back(model, tmp_path):
    request = FormulaRequest(targets=(("formation_energy", -1.0),))
    model.save(tmp_path / "a.safetensors")
    again = Ding.load(tmp_path / "a.safetensors")
    a, b = (formula_keys(m.draw(50, request, rng=np.random.default_rng(3))).tolist() for m in (model, again))
    assert a == b
    assert again.target_ranges == model.target_ranges == {"formation_energy": (-3, 0), "volume_per_atom": (10, 40)}


def test_without_a_condition_it_is_the_plain_autoencoder_and_refuses_targets():
    plain, _ = train_ding(TABLE, {}, SIZES["tiny"], rng=np.random.default_rng(0))
    assert len(plain.draw(20, FormulaRequest(), rng=np.random.default_rng(0))) == 20
    with pytest.raises(CapabilityError, match="cannot aim at formation_energy"):
        plain.draw(5, FormulaRequest(targets=(("formation_energy", 0.0),)), rng=np.random.default_rng(0))


def test_allowed_elements_hold_by_construction(model):
    request = FormulaRequest(allowed=frozenset({"Li", "Na", "F", "I"}))
    sample = draw_formulas(model, 5, request, max_draws=2000, rng=np.random.default_rng(0))
    assert sample.rejected.get("an element that is not allowed", 0) == 0
    assert len(sample.table) == 5


def test_rows_that_do_not_fit_are_told():
    table = read_formulas([*FORMULAS, "Li11F", "PoF2", "LiF2"])
    values = np.append(FORMATION, [0.0, 0.0, np.nan])
    _, problems = train_ding(table, {"formation_energy": values}, SIZES["tiny"], rng=np.random.default_rng(0))
    n = len(FORMULAS)
    assert set(problems) == {n, n + 1, n + 2}
    assert "11 times" in problems[n]
    assert "Po" in problems[n + 1]


def test_predictors_learn_and_come_back_from_a_file(tmp_path):
    settings = replace(PREDICTOR_SIZES["tiny"], n_epochs=40, batch_size=16, learning_rate=5e-3, averaging=0.9)
    for options in (
        {"baseline": False, "fractions": False},
        {"baseline": True},
        {"multiples": True, "dropout_epochs": 3},
    ):
        how = replace(settings, **options)
        predictor, problems, _ = train_predictor(TABLE, PROPERTIES, how, rng=np.random.default_rng(0))
        assert not problems
        error = np.abs(predictor.predict(TABLE, "volume_per_atom").value - VOLUME).mean()
        assert error < 0.25 * np.abs(VOLUME - VOLUME.mean()).mean()
        predictor.save(tmp_path / "p.safetensors")
        again = DingPredictor.load(tmp_path / "p.safetensors")
        a, b = (p.values(TABLE, "formation_energy").value for p in (predictor, again))
        assert a.tobytes() == b.tobytes()


def test_a_prediction_with_multiples_is_the_mean_over_those_that_fit():
    how = replace(PREDICTOR_SIZES["tiny"], multiples=True)
    fitted = train_predictor(TABLE, PROPERTIES, how, rng=np.random.default_rng(0))[0].fitted["formation_energy"]
    one = replace(fitted, settings=replace(how, multiples=False))
    counts = encode_counts(read_formulas(["LiF4"]), LAYOUT).counts  # 1 and 2 fit, three times four does not
    alone = [predict_counts(one, counts * np.uint8(k))[0] for k in (1, 2)]
    assert predict_counts(fitted, counts)[0] == pytest.approx(np.mean(alone), abs=1e-5)


def test_training_from_a_file_accounts_for_every_row(tmp_path):
    lines = [f"{f},{e},{e - 1},{v}" for f, e, v in zip(FORMULAS, FORMATION, VOLUME, strict=True)]
    bad = ["Li2F2,-1,-1,10", "Xx3,0,0,10", "LiF,-180,0,10", "K11F,0,0,10"]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["formula,delta_e,energy_pa,volume_pa", *lines, *bad]))
    for options in ({}, {"condition": "none"}, {"part": "predictor"}):
        order = TrainingOrder(path, tmp_path / "out.safetensors", size="tiny", epochs=1, options=options)
        summary = train_recipe("ding", order)
        assert summary.n_rows == len(FORMULAS)
        assert summary.n_rows + len(summary.set_aside) == len(FORMULAS) + len(bad)
        assert not list(tmp_path.glob("*.resume*"))
    with pytest.raises(InputError, match="give --data"):
        train_from_file(TrainingOrder(None, tmp_path / "x.safetensors"))


def test_neighbours_lie_around_a_formula_and_do_not_repeat(model):
    around = neighbours(model, "Na2Cl", 8, rng=np.random.default_rng(0))
    keys = formula_keys(around.table).tolist()
    assert len(set(keys)) == len(keys) > 0
    assert formula_keys(read_formulas(["Na4Cl2"])).tolist()[0] not in keys
    assert (np.diff(around.positions) >= 0).all()
    assert around.conditions[0].tolist() == [-2.0, 20.0]  # found by the model itself
    shared = [{"Na", "Cl"} & set(dict(around.table.composition(row).counts)) for row in range(len(keys))]
    assert np.mean([bool(s) for s in shared]) > 0.9
    with pytest.raises(CapabilityError, match="at most 10 fit"):
        neighbours(model, "Na11Cl", 3, rng=np.random.default_rng(0))


def test_the_way_between_two_formulas_starts_and_ends_at_them(model):
    ends = ({"formation_energy": -3, "volume_per_atom": 10}, {"formation_energy": 0, "volume_per_atom": 40})
    for conditions in (None, ends):
        way = interpolate(model, "LiF", "RbI", 9, conditions)
        assert way.positions.tolist() == np.linspace(0, 1, 9).tolist()
        assert set(dict(way.table.composition(0).counts)) == {"Li", "F"}
        assert set(dict(way.table.composition(8).counts)) == {"Rb", "I"}
    with pytest.raises(InputError, match="expected 2 or more"):
        interpolate(model, "LiF", "RbI", 1)
