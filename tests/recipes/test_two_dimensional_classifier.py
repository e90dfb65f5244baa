"""The classifier of formulas: what it learns, what it stores, and what its rates mean."""

import tomllib

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.errors import EmptyResultError, InputError
from novalith.predict.positive_unlabelled import (
    BaggingSettings,
    area_under_roc,
    false_positive_rate,
    fit_positive_unlabelled,
    largest_prior,
    precision,
    reached,
)
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.recipes.two_dimensional_bench import matched_weights
from novalith.recipes.two_dimensional_classifier import (
    WEIGHTS,
    _with_fractions,
    default_classifier,
    formula_features,
    load_classifier,
    save_classifier,
    without_listed,
)
from novalith.represent.composition_features import magpie_features
from novalith.represent.formula_table import read_formulas

METALS = ("Ti", "Zr", "Hf", "V", "Nb", "Ta", "Mo", "W", "Sn", "Pt")
LISTED = [f"{m}{x}{n}" for m in METALS for x in ("S", "Se", "Te") for n in ("", 2, 3)]


def test_the_forest_finds_positives_that_hide_among_the_unlabelled():
    rng = np.random.default_rng(0)
    draw = lambda n, centre: rng.normal(centre, 1.0, size=(n, 3)).astype(np.float32)  # noqa: E731
    unlabelled = np.concatenate([draw(900, 0.0), draw(100, 4.0)])
    forest = fit_positive_unlabelled(draw(300, 4.0), unlabelled, BaggingSettings(20, smallest_leaf=5), rng=rng)
    positives, negatives = forest.predict(draw(2000, 4.0)).value, forest.predict(draw(400, 0.0)).value
    assert area_under_roc(positives, negatives) > 0.98
    fresh = forest.predict(np.concatenate([draw(9000, 0.0), draw(1000, 4.0)])).value
    assert largest_prior(positives, fresh) == pytest.approx(0.1, abs=0.02)


def test_rates_are_those_of_a_population_made_by_hand():
    positives, negatives = np.array([0.9, 0.8, 0.4, 0.2]), np.array([0.85, 0.3, 0.1, 0.1])
    unlabelled = np.concatenate([positives, *[negatives] * 3])  # a quarter of it is positive
    at = np.array([0.5, 0.25])
    recall, rate = reached(positives, at), reached(unlabelled, at)
    assert recall.tolist() == [0.5, 0.75]
    assert precision(recall, rate, 0.25).tolist() == pytest.approx([2 / 5, 3 / 9])
    assert false_positive_rate(recall, rate, 0.25).tolist() == pytest.approx([0.25, 0.5])
    with pytest.raises(InputError, match="share from 0 to 1"):
        precision(recall, rate, 1.5)


def test_the_area_counts_pairs_and_weights():
    assert area_under_roc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == pytest.approx(3.5 / 4)
    assert area_under_roc(np.array([1.0]), np.array([0.0, 2.0]), np.array([3.0, 1.0])) == pytest.approx(0.75)


def test_weights_match_the_frequencies_of_elements():
    table, wanted = read_formulas(["NaCl", "KCl", "NaBr", "KBr", "MgO"]), read_formulas(["NaCl", "NaBr", "NaCl", "KBr"])
    weights = matched_weights(table, wanted)
    share = weights / weights.sum()
    assert share[[0, 2]].sum() == pytest.approx(0.75, abs=0.02)
    assert share[4] < 1e-3


def test_stoichiometry_joins_the_statistics():
    table = read_formulas(["MoS2"])
    features = formula_features(table)
    assert features.shape == (1, 139)
    assert (features[:, :132] == magpie_features(table)).all()
    assert features[0, 132] == 2
    assert features[0, 133] == pytest.approx((1 / 9 + 4 / 9) ** 0.5)
    assert features[0, -1] == 3
    assert formula_features(table, "magpie").shape == (1, 132)


def test_listed_unreadable_and_repeated_formulas_leave_the_unlabelled():
    table = read_formulas(["NaCl", "ClNa", "S2Mo", "Xx2", "MgO"])
    left = without_listed(table, read_formulas(["MoS2"]))
    assert [left.composition(i).formula for i in range(len(left))] == ["NaCl", "MgO"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twod")
    (folder / "layers.csv").write_text("formula\n" + "\n".join(LISTED) + "\n", encoding="utf-8")
    orders = [TrainingOrder(folder / "layers.csv", folder / f"{i}.safetensors", size="tiny") for i in range(2)]
    return folder, [train_recipe("two-dimensional", order) for order in orders]


def test_training_from_a_list_is_repeatable_and_tells_layers_from_rock_salts(trained):
    folder, (summary, _) = trained
    assert (folder / "0.safetensors").read_bytes() == (folder / "1.safetensors").read_bytes()
    assert summary.figures["area_under_roc_held_out_systems"] > 0.9
    classifier = load_classifier(folder / "0.safetensors")
    scores = classifier.scores(read_formulas(["MoS2", "NaCl", "no formula", "Fe3O4"]))
    assert scores[0] > 0.7
    assert np.isnan(scores[2])
    assert max(scores[1], scores[3]) < 0.3


def test_what_is_stored_predicts_the_same(trained, tmp_path):
    classifier = load_classifier(trained[0] / "0.safetensors")
    save_classifier(classifier, tmp_path / "again.safetensors")
    table = read_formulas([*LISTED, "NaCl", "Fe2O3", "BaTiO3"])
    again = load_classifier(tmp_path / "again.safetensors")
    assert (again.scores(table) == classifier.scores(table)).all()
    assert again.held_out == classifier.held_out


def test_likeness_is_read_and_the_published_forest_is_an_option(trained, tmp_path):
    classifier = load_classifier(trained[0] / "0.safetensors")
    assert classifier.settings.features == "likeness"
    assert len(classifier.trees.boosted) == 2
    order = TrainingOrder(
        trained[0] / "layers.csv", tmp_path / "m.safetensors", size="tiny", options={"features": "magpie"}
    )
    train_recipe("two-dimensional", order)
    published = load_classifier(tmp_path / "m.safetensors")
    assert published.trees.boosted == () and published.trees.likeness is None
    assert published.trees.forest.feature.max() < 132
    assert published.scores(read_formulas(["MoS2"]))[0] > 0.5


def test_all_kinds_of_trees_mean_the_same_odds(trained):
    trees = load_classifier(trained[0] / "0.safetensors").trees
    table = read_formulas(sorted(Library().hull_energies)[::20])
    plain = formula_features(table)
    seen = np.concatenate([plain, trees.likeness.features(table)], axis=1)
    odds = [
        t.scores(_with_fractions(c, table)) + trees.offset for t, c in zip(trees.boosted, (seen, plain), strict=True)
    ]
    answers = [trees.forest.predict(seen).value, *(1 / (1 + np.exp(-o)) for o in odds)]
    assert trees.scores(table) == pytest.approx(np.mean(answers, axis=0))
    assert np.ptp([np.mean(a) for a in answers]) < 0.05


def test_a_training_without_a_list_says_what_it_needs(tmp_path):
    with pytest.raises(InputError, match="--data FILE"):
        train_recipe("two-dimensional", TrainingOrder(None, tmp_path / "x.safetensors"))
    with pytest.raises(EmptyResultError, match="0 positives"):
        empty = np.zeros((0, 2), np.float32)
        fit_positive_unlabelled(empty, np.ones((3, 2), np.float32), BaggingSettings(2), rng=np.random.default_rng(0))


def test_the_shipped_weights_are_small_and_have_a_card():
    assert WEIGHTS.stat().st_size < 2_000_000
    card = tomllib.loads(WEIGHTS.with_suffix(".toml").read_text(encoding="utf-8"))
    classifier = default_classifier()
    assert card["trees"] == classifier.settings.forest.n_trees
    assert card["boosted_trees"] == sum(len(b.feature) for b in classifier.trees.boosted)
    assert classifier.held_out.area_under_roc > 0.94
    scores = classifier.scores(read_formulas(["MoS2", "CdI2", "MgAl2O4", "Fe3Al"]))
    assert scores[:2].min() > 0.8 > 0.5 > scores[2:].max()
