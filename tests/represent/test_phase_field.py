"""Fields as arrays: order carries no meaning, nothing is lost, counts are those of a list counted by hand."""

from itertools import permutations

import numpy as np
import pytest

from novalith.data.hidden import Hidden
from novalith.data.reported_fields import read_fields, read_training_lists, reported_fields, two_anion_rows
from novalith.errors import CapabilityError, EmptyResultError, InputError
from novalith.materials import ELEMENTS, PhaseField
from novalith.represent.element_features import agreement
from novalith.represent.field_evidence import describe_fields, gather_evidence, learned_similarity
from novalith.represent.phase_field import (
    canonical,
    decode_fields,
    encode_fields,
    group_by_arity,
    permuted_vectors,
    published_features,
    published_vectors,
)


def fields(*names):
    return [PhaseField.parse(name) for name in names]


@pytest.mark.parametrize("name", ["Na-Cl", "Li-P-S", "Li-Sn-S-Cl", "Li-La-Zr-Ta-O"])
def test_encoding_forgets_the_order_and_nothing_else(name):
    field = PhaseField.parse(name)
    (code,) = encode_fields([field])
    assert decode_fields(code[None]) == [field]
    assert all((canonical(np.array([order])) == code).all() for order in permutations(code))


def test_elements_are_ordered_from_the_least_to_the_most_electronegative():
    assert [ELEMENTS[i] for i in encode_fields(fields("O-Li-S-Sn"))[0]] == ["Li", "Sn", "S", "O"]


def test_one_array_holds_one_arity():
    with pytest.raises(CapabilityError, match=r"\[2, 3\]"):
        encode_fields(fields("Na-Cl", "Li-P-S"))
    assert {k: len(v) for k, v in group_by_arity(fields("Na-Cl", "Li-P-S", "K-Cl")).items()} == {2: 2, 3: 1}


def test_published_table_has_92_elements_and_37_features():
    table = published_features()
    assert len(table.names) == 37
    assert len(table.covered) == 92


def test_published_features_follow_from_public_properties():
    shares = agreement()
    assert len(shares) == 18
    assert sum(share == 1.0 for share in shares.values()) >= 14
    assert min(shares.values()) > 0.85


def test_published_vectors_of_all_orders():
    vectors = published_vectors([("Li", "Sn", "S", "Cl")])
    assert vectors.shape == (1, 148)
    orders = permuted_vectors(vectors, 4)
    assert orders.shape == (1, 24, 148)
    assert (orders[0, -1] == published_vectors([("Cl", "S", "Sn", "Li")])[0]).all()


def test_an_element_outside_the_published_table_is_named():
    with pytest.raises(CapabilityError, match="Og"):
        published_vectors([("Og", "O", "S", "Li")])


def test_pairs_and_contexts_equal_a_count_by_hand():
    evidence = gather_evidence(fields("Li-S", "Li-P-S", "Li-Sn-S", "Na-P-S", "Li-P-S-Cl"), 3)
    li, s, p, na = (ELEMENTS.index(x) for x in ("Li", "S", "P", "Na"))
    assert evidence.pairs[3][li, s] == 2
    assert evidence.pairs[2][li, s] == 1
    assert evidence.pairs[4][s, p] == 1
    table = evidence.reported[3]
    row = table.rows(np.sort([[p, s]]))[0]
    assert {ELEMENTS[i] for i in np.flatnonzero(table.partners[row])} == {"Li", "Na"}
    assert table.partners[table.rows(np.array([[na, ELEMENTS.index("U")]]))].sum() == 0


def test_elements_are_alike_when_they_share_contexts():
    lists = reported_fields()
    groups = {k: np.sort(encode_fields([f for f in lists if len(f) == k]), axis=1) for k in (2, 3)}
    similarity = learned_similarity(groups)
    near = [ELEMENTS[i] for i in np.argsort(-similarity[ELEMENTS.index("Rb")])[:2]]
    assert set(near) == {"K", "Cs"}
    assert (np.diag(similarity) == 0).all()


@pytest.mark.parametrize("arity", [2, 3, 4, 5])
def test_descriptions_are_finite_and_the_same_for_every_order(arity):
    lists = reported_fields()
    evidence = gather_evidence(lists, arity)
    rows = encode_fields([f for f in lists if len(f) == arity][:40])
    described = describe_fields(evidence, rows)
    assert np.isfinite(described).all()
    assert (describe_fields(evidence, rows[:, ::-1]) == described).all()


def test_a_reported_field_does_not_count_itself():
    others = fields("Li-S", "Li-P", "P-S", "Na-P-S", "Li-Sn-S", "Li-P-Se")
    asked = encode_fields(fields("Li-P-S"))
    without = describe_fields(gather_evidence(others, 3), asked)
    with_itself = describe_fields(gather_evidence([*others, *fields("Li-P-S")], 3), asked)
    counts = ~np.isclose(without, with_itself, atol=1e-6)
    # What is left of itself are the smooth statistics (affinity, embedding, similarity), never a count or a membership.
    whole = np.isclose(np.expm1(without), np.round(np.expm1(without)), atol=1e-4)
    assert not (counts & whole & (without > 0)).any()


def test_lists_hold_what_they_should():
    lists = reported_fields()
    assert len(lists) == len(set(lists)) > 35_000
    assert PhaseField.parse("Li-P-S") in lists
    assert len(two_anion_rows()) == 2021
    assert sum(len(set(row)) < 4 for row in two_anion_rows()) == 94


def test_hidden_systems_and_formulas_are_not_reported():
    left = reported_fields(Hidden.of(["Li-P-S", "NaCl"]))
    assert len(left) == len(reported_fields()) - 2
    assert not {PhaseField.parse("Li-P-S"), PhaseField.parse("Na-Cl")} & set(left)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Li Li S O", "repeats Li"),
        ("Li Xx S O", "Unknown element 'Xx'"),
        ("Li D S O", "deuterium"),
        ("Li Na K Rb Cs F Cl Br I", "9 elements"),
        ("Li Sо S", "U\\+043E"),
    ],
)
def test_a_bad_line_is_named_with_its_rule(tmp_path, line, said):
    file = tmp_path / "fields.txt"
    file.write_text(f"Li S\n\n# comment\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"line 4: .*{said}"):
        read_fields(file)


def test_an_empty_file_says_what_to_write(tmp_path):
    file = tmp_path / "fields.txt"
    file.write_text("# nothing\n")
    with pytest.raises(EmptyResultError, match="one a line"):
        read_fields(file)


def test_training_lists_may_repeat_elements_and_say_so(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("As As Cd Cl\nLi P S\nLi P S\n")
    lists, repeated = read_training_lists([file])
    assert lists == tuple(fields("Li-P-S", "As-Cd-Cl")[::-1])
    assert repeated == 1
