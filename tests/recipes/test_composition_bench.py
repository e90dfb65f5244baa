"""The bench counts what a generator with a known answer draws, splits alike for every model, and resumes."""

import json

import numpy as np
import pytest

from novalith.errors import StorageError, UnknownNameError
from novalith.propose.compositions import CompositionModel
from novalith.recipes import composition_bench
from novalith.recipes.composition_bench import (
    BenchModel,
    draw_and_count,
    figures_of,
    read_data_set,
    run,
    split_formulas,
)
from novalith.recipes.composition_figures import Reference, measure, total_variation
from novalith.recipes.composition_report import bench_text
from novalith.represent.formula_sets import pack, unpack
from novalith.represent.formula_table import read_formulas

ANIONS = "F Cl Br I O S Se Te N P".split()
CATIONS = "Li Na K Rb Cs Mg Ca Sr Ba Sc Y La Ti Zr Hf".split()
BINARIES = [f"{c}{a}{x}" for c in CATIONS for a in ANIONS for x in (1, 2, 3)]
TERNARIES = [f"{c}Al{a}{x}" for c in CATIONS for a in ANIONS for x in (1, 2)]
KNOWN = read_formulas(BINARIES + TERNARIES)


class Repeater(CompositionModel):
    """Draws from a list, in turn, and now and then nothing."""

    name, honours = "repeater", frozenset()

    def __init__(self, formulas):
        self.formulas = formulas
        self.at = 0

    elements = ("Na",)
    target_ranges = {}  # noqa: RUF012

    def draw(self, n, request, *, rng):  # noqa: ARG002  the contract's names
        texts = [self.formulas[(self.at + i) % len(self.formulas)] for i in range(n)]
        self.at += n
        return read_formulas(texts)

    def save(self, path):
        path.write_text(json.dumps(self.formulas))


def load(path):
    return Repeater(json.loads(path.read_text()))


def test_a_tenth_of_each_arity_is_left_out_the_same_each_time():
    split = split_formulas("test", KNOWN)
    again = split_formulas("test", read_formulas((BINARIES + TERNARIES)[::-1]))
    assert split.left_out.tolist() == again.left_out.tolist()
    arity = (unpack(split.left_out).atomic_numbers > 0).sum(axis=1)
    assert (arity == 2).sum() == 45
    assert (arity == 3).sum() == 30
    assert not set(split.training.tolist()) & set(split.left_out.tolist())
    assert len(split.training) + len(split.left_out) == len(BINARIES) + len(TERNARIES)
    assert len(split.table) == len(split.training)


def test_the_figures_are_those_of_draws_whose_answer_is_known():
    split = split_formulas("test", KNOWN)
    held = unpack(split.left_out)
    texts = [held.composition(i).formula for i in range(len(held))]
    found = [t for t, k in zip(texts, (held.atomic_numbers > 0).sum(axis=1).tolist(), strict=True) if k == 2][:9]
    # Two formulas of metals alone, and an empty row that decodes to nothing.
    model = Repeater([*found, "KNaLiTi7Zr8Hf5", "KFeTi7", ""])
    drawn = draw_and_count(model, 24_000, rng=np.random.default_rng(0))
    figures = figures_of(drawn, split, pack(read_formulas(["KFeTi7"])))
    assert figures["n_draws"] == 24_000
    assert figures["decoded"] == pytest.approx(11 / 12)
    assert figures["n_distinct"] == 11
    assert figures["uniqueness"] == {"10000": 11 / 10_000, "24000": 11 / 24_000}
    assert figures["recovered"]["2"]["left_out"] == pytest.approx(9 / 45)
    assert figures["recovered"]["2"]["training"] == 0
    assert figures["recovered"]["2"]["new"] == 0
    assert figures["recovered"]["3"] == {"training": 0, "left_out": 0, "new": 1, "n_left_out": 30}
    assert figures["novelty"] == pytest.approx(2 / 11)
    assert figures["novelty_all_lists"] == pytest.approx(1 / 11)
    assert figures["metals"] == pytest.approx(2 / 11)
    assert figures["elements"]["Fe"] == 2000


def test_neutral_and_balanced_shares_are_those_of_the_rules():
    split = split_formulas("test", KNOWN)
    drawn = draw_and_count(Repeater(["NaCl", "NaCl", "ClNa7", "TiZrHf"]), 4000, rng=np.random.default_rng(0))
    figures = figures_of(drawn, split)
    assert figures["neutral_smact14"] == 0.75  # Cl +7 with seven Na -1, against the order of electronegativities
    assert figures["balanced_smact14"] == 0.5
    assert figures["distinct"]["smact14"]["balanced"] == pytest.approx(1 / 3)
    assert "novelty_all_lists" not in figures


def test_equal_sets_are_at_no_distance_and_disjoint_ones_at_one():
    same, other = read_formulas(BINARIES), read_formulas(["PdPtAu", "PdPtW"])
    assert measure(same, Reference.of(same))["distance"] == 0
    far = measure(other, Reference.of(same))
    assert far["element_tv"] == far["pair_tv"] == far["arity_tv"] == 1
    assert total_variation(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == 0.5
    assert measure(read_formulas([""]), Reference.of(same))["decoded"] == 0


def test_models_are_trained_once_and_records_become_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(composition_bench, "known_formulas", lambda: pack(read_formulas(["KFeTi7"])))
    trained, said = [], []

    def train(table, *_):
        trained.append(len(table))
        return Repeater(list(table.formulas[:50]))

    split = split_formulas("icsd", KNOWN)
    model = BenchModel("repeater", train, load, lambda _: [{"epoch": 1, "neutral": 0.5, "balanced": 0.4}], "of fifty")
    first = run([model], [split], 12_000, tmp_path, say=said.append)
    second = run([model], [split], 12_000, tmp_path, say=said.append)
    run([model], [split], 13_000, tmp_path, say=said.append)
    assert trained == [len(split.training)]
    assert first == second
    assert len(said) == 4  # the second run had nothing to do
    text = bench_text(first)
    for expected in ("80.3", "82.7", "1: 50.0/40.0", "of fifty", "12,000"):
        assert expected in text


def test_an_unknown_set_and_a_missing_folder_are_told(tmp_path):
    with pytest.raises(UnknownNameError, match="icsd-filtered"):
        read_data_set("icsdd", tmp_path)
    with pytest.raises(StorageError, match="folder of the data"):
        read_data_set("icsd", tmp_path)
