"""The scorer of fields: what it promises of folds, order, files, hidden fields and bad input."""

import csv
import io
import json

import numpy as np
import pytest

from novalith.data.hidden import Hidden
from novalith.data.reported_fields import reported_fields
from novalith.errors import CapabilityError, EmptyResultError
from novalith.materials import PhaseField
from novalith.recipes.field_backgrounds import field_keys, independent, matched, two_anion_matched, uniform
from novalith.recipes.field_bench import roc_auc
from novalith.recipes.field_output import COLUMNS, fields_csv, show_fields, show_reasons
from novalith.recipes.field_training import TINY, out_of_fold, without_fields
from novalith.recipes.fields import (
    default_scorer,
    group_reported,
    load_scorer,
    rank_fields,
    train_scorer,
    trained_arities,
)
from novalith.represent.field_evidence import describe_fields, gather_encoded
from novalith.represent.phase_field import encode_fields
from novalith.screen.field_limits import FieldLimits


@pytest.fixture(scope="module")
def groups():
    return group_reported(reported_fields())


def test_backgrounds_hold_nothing_reported_and_follow_their_frequencies(groups):
    rows = groups[3]
    known = frozenset(field_keys(rows))
    for background in (uniform(rows), matched(rows), independent(groups, 3)):
        drawn = background.draw(3000, known, np.random.default_rng(0))
        assert len(set(field_keys(drawn))) == 3000
        assert not known & set(field_keys(drawn))
    oxygen = encode_fields([PhaseField.parse("O")])[0, 0]
    shares = [
        (b.draw(3000, frozenset(), np.random.default_rng(0)) == oxygen).any(axis=1).mean()
        for b in (uniform(rows), matched(rows))
    ]
    assert shares[0] < 0.05 < 0.1 < shares[1]


def test_two_anion_fields_have_two_anions_at_least():
    rows = encode_fields([PhaseField.parse(n) for n in ("Li-Sn-S-Cl", "Na-Mg-O-F", "K-Zn-Se-Br", "Ba-Ti-N-O")])
    drawn = two_anion_matched(rows).draw(10, frozenset(), np.random.default_rng(0))
    anions = encode_fields([PhaseField((s,)) for s in ("S", "Cl", "O", "F", "Se", "Br", "N")]).ravel()
    assert (np.isin(drawn, anions).sum(axis=1) >= 2).all()


def test_evidence_of_a_fold_does_not_know_its_fields(groups):
    """The leak that counts taken one at a time have: a fold's features equal those of lists without the whole fold."""
    rows, random = groups[3][:60], groups[3][60:90]
    features, labels = out_of_fold(groups, rows, random, TINY, np.random.default_rng(0))
    folds = np.random.default_rng(0).permutation(np.arange(len(rows)) % TINY.n_folds)
    for fold in range(TINY.n_folds):
        others = without_fields(groups, rows[folds == fold])
        expected = describe_fields(gather_encoded(others, 3), rows[folds == fold])
        assert np.array_equal(features[:60][folds == fold], expected)
    assert labels.tolist() == [1] * 60 + [0] * 30


def test_training_repeats_itself_and_survives_the_file(tmp_path):
    lists = [f for f in reported_fields() if len(f) <= 3][:2500]
    a, b = (train_scorer(lists, [2], TINY, rng=np.random.default_rng(5)) for _ in range(2))
    a.save(tmp_path / "a")
    b.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    rows = encode_fields([f for f in lists if len(f) == 2][:50])
    back = load_scorer(tmp_path / "a", lists)
    assert np.allclose(back.scores(rows)[0], a.scores(rows)[0], atol=0.02)
    with pytest.raises(CapabilityError, match=r"\[2\]"):
        back.scores(encode_fields([PhaseField.parse("Li-P-S")]))


def test_too_few_fields_to_learn_from():
    with pytest.raises(EmptyResultError, match="of 4 elements"):
        train_scorer([f for f in reported_fields() if len(f) < 4], [4], TINY, rng=np.random.default_rng(0))


def test_reported_fields_stand_above_random_ones():
    """With hidden fields taken out of the lists; the weights are those of the wheel."""
    lists = [f for f in reported_fields() if len(f) == 4]
    asked = lists[::60]
    scorer = default_scorer(Hidden.of([f.name for f in asked]))
    held = encode_fields(asked)
    assert not scorer.knows(held).any()
    known = frozenset(field_keys(group_reported(lists)[4]))
    random = matched(np.sort(encode_fields(lists), axis=1)).draw(3000, known, np.random.default_rng(0))
    assert roc_auc(scorer.scores(held)[0], scorer.scores(random)[0]) > 0.9
    probability = scorer.scores(held)[1].mean(), scorer.scores(random)[1].mean()
    assert probability[1] < 0.25 < 0.7 < probability[0]


def test_the_order_of_the_elements_changes_nothing():
    a, b = (default_scorer().score_fields([PhaseField(tuple(n.split("-")))])[0] for n in ("Li-Sn-S-Cl", "Cl-S-Sn-Li"))
    assert a == b


def test_scores_come_in_the_order_of_the_file_for_all_arities():
    names = ["Li-Sn-S-Cl", "Na-Cl", "Fe", "Li-La-Zr-Ta-O", "Li-P-S", "Co-Cr-Fe-Mn-Ni-O", "Li-P-S-O"]
    scored = default_scorer().score_fields([PhaseField.parse(n) for n in names])
    assert [s.field for s in scored] == [PhaseField.parse(n) for n in names]
    known = [s.probability is not None for s in scored]
    assert known == [True, True, False, True, True, False, True]
    assert [s.reported for s in scored][:3] == [False, True, True]
    assert trained_arities([s.field for s in scored]) == (2, 3, 4, 5)


def test_nearest_fields_exchange_one_element_and_are_reported():
    scorer = default_scorer()
    scored = scorer.score_fields([PhaseField.parse("Li-Sn-S-Cl")])[0]
    assert scored.nearest
    for field, likeness in scored.nearest:
        assert len(set(field.elements) & set(scored.field.elements)) == 3
        assert scorer.knows(encode_fields([field]))[0]
        assert 0 < likeness < 1
    likeness = [value for _, value in scored.nearest]
    assert likeness == sorted(likeness, reverse=True)


def test_ranked_fields_keep_the_limits_and_are_new():
    limits = FieldLimits(require=frozenset({"Li"}), n_anions=2, no_toxic=True, no_redox_active=True)
    ranked = rank_fields(limits, 20)
    assert len(ranked) == 20
    assert all(limits.admits(f.field) and not f.reported for f in ranked)
    assert [f.score for f in ranked] == sorted((f.score for f in ranked), reverse=True)
    assert all(f.why is not None and len(f.why.pairs) == 6 for f in ranked)
    parts = ranked[0].why.reported_parts + ranked[0].why.unreported_parts
    assert len(parts) == 10


def test_csv_and_json_hold_the_same_rows(tmp_path):
    scored = default_scorer().score_fields([PhaseField.parse("Li-P-S-O"), PhaseField.parse("Fe")])
    rows = list(csv.DictReader(io.StringIO(fields_csv(scored))))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["field"] == "Li-O-P-S"
    assert rows[1]["probability"] == ""
    path = tmp_path / "out.csv"
    assert json.loads(show_fields(scored, path, True))["fields"] == rows
    assert path.read_text(encoding="utf-8") == fields_csv(scored)


def test_reasons_can_be_read():
    scored = default_scorer().score_fields([PhaseField.parse("Li-Sn-S-Cl")], with_reasons=True)[0]
    text = show_reasons(scored, False)
    assert "Li-S-Sn" in text
    assert text.count("log lift") == 6
    assert json.loads(show_reasons(scored, True))["field"] == "Cl-Li-S-Sn"


def test_roc_auc_is_the_chance_of_the_right_order():
    assert roc_auc(np.array([3.0, 1.0]), np.array([2.0, 0.0])) == 0.75
    assert roc_auc(np.array([1.0]), np.array([1.0, 1.0])) == 0.5
