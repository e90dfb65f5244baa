"""The sequence model keeps every demand exactly, learns what it is shown, follows its condition and repeats itself."""

from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CapabilityError, CorruptDataError, EmptyResultError
from novalith.propose.compositions import FormulaRequest, unmet
from novalith.recipes.formula_guide import decode_sequences, encode_formulas
from novalith.recipes.sequence import SIZES, FormulaSequence, train_sequence
from novalith.represent.formula_table import formula_keys, read_formulas
from novalith.screen.chemistry import ChemistryOptions, judge_table
from novalith.training.loop import Supervision

CATIONS = {"Li": 1, "Na": 1, "K": 1, "Mg": 2, "Ca": 2, "Sr": 2, "Al": 3, "Ga": 3}
ANIONS = {"O": 2, "S": 2, "F": 1, "Cl": 1}
#: Binary and ternary salts; every pair of a cation and an anion, every pair of cations with oxygen.
SALTS = [f"{c}{ANIONS[a]}{a}{CATIONS[c]}" for c in CATIONS for a in ANIONS]
SALTS += [f"{c}2{d}2O{CATIONS[c] + CATIONS[d]}" for c in CATIONS for d in CATIONS if c < d]
TABLE = read_formulas(SALTS)
#: Oxides are given -3, all others -1.
ENERGY = np.where((TABLE.atomic_numbers == 8).any(axis=1), -3.0, -1.0)
SMALL = replace(SIZES["tiny"], n_epochs=150, batch_size=16, learning_rate=5e-3, dropout=0.0)


@pytest.fixture(scope="module")
def model():
    return train_sequence(TABLE, {"formation_energy": ENERGY}, SMALL, Supervision(), rng=np.random.default_rng(0))[0]


def draw(model, n=400, seed=1, **request):
    return model.draw(n, FormulaRequest(**request), rng=np.random.default_rng(seed))


def test_formulas_survive_encoding_and_those_that_do_not_fit_are_named():
    table = read_formulas(["Fe2O3", "Li4SnS4", "H", "Ca21O", "LiNaKRbCsFClBrI", "AmO2", "Al20O29", "x"])
    encoded = encode_formulas(table)
    assert encoded.rows.tolist() == [0, 1, 2]
    assert (formula_keys(decode_sequences(encoded.sequences)) == formula_keys(table.select(encoded.rows))).all()
    assert "20" not in encoded.refused[4]
    assert "plutonium" in encoded.refused[5]
    assert "atoms" in encoded.refused[6]


def test_it_learns_the_salts(model):
    drawn = draw(model)
    known = np.isin(formula_keys(drawn), formula_keys(TABLE)).mean()
    assert known > 0.5
    assert judge_table(drawn, ChemistryOptions("smact14")).balanced.mean() > 0.8
    reversed_salts = read_formulas([f"{c}7{a}5" for c in CATIONS for a in ANIONS])
    assert model.log_likelihood(TABLE).mean() > model.log_likelihood(reversed_salts).mean() + 2


def test_likelihoods_add_up(model):
    """The probabilities of all formulas of one element and one count sum to no more than 1, and match the draws."""
    drawn = formula_keys(draw(model, 20_000))
    share = (drawn == formula_keys(read_formulas(["MgO"]))[0]).mean()
    # Mg2O2 and other multiples are written as MgO too; their likelihood is small.
    said = np.exp(model.log_likelihood(read_formulas(["MgO"]))[0])
    assert said == pytest.approx(share, rel=0.5, abs=0.01)


@pytest.mark.parametrize(
    "request_",
    [
        FormulaRequest(allowed=frozenset({"Li", "Na", "O", "S"})),
        FormulaRequest(require=frozenset({"Li", "O"})),
        FormulaRequest(rules=ChemistryOptions("icsd24"), n_elements=(2, 4)),
        FormulaRequest(rules=ChemistryOptions("smact14", pauling=False), n_elements=(2, 8)),
        FormulaRequest(n_elements=(3, 3), max_atoms=7),
        FormulaRequest(
            allowed=frozenset({"Li", "Al", "O", "Cl"}),
            require=frozenset({"Li", "Cl"}),
            rules=ChemistryOptions("icsd24"),
            n_elements=(2, 4),
            max_atoms=12,
        ),
    ],
)
def test_every_draw_satisfies_the_request_without_rejection(model, request_):
    drawn = model.draw(500, request_, rng=np.random.default_rng(3))
    assert len(drawn) == 500
    assert not any(unmet(drawn, request_))


def test_the_condition_is_followed(model):
    shares = [
        (draw(model, targets=(("formation_energy", e),)).atomic_numbers == 8).any(axis=1).mean() for e in (-3.0, -1.0)
    ]
    assert shares[0] > shares[1] + 0.5
    guided = model.drawing_with(guidance=3.0)
    assert (draw(guided, targets=(("formation_energy", -3.0),)).atomic_numbers == 8).any(axis=1).mean() >= shares[0]


def test_same_seed_same_bytes_and_a_checkpoint_draws_the_same(model, tmp_path):
    first, again, other = (draw(model, seed=s).counts.tobytes() for s in (1, 1, 2))
    assert first == again != other
    model.save(tmp_path / "model.safetensors")
    copies = [FormulaSequence.load(tmp_path / "model.safetensors") for _ in range(2)]
    assert draw(copies[0]).counts.tobytes() == draw(copies[1]).counts.tobytes()
    assert copies[0].target_ranges == model.target_ranges
    (tmp_path / "text").write_text("no model")
    with pytest.raises(CorruptDataError):
        FormulaSequence.load(tmp_path / "text")


def test_a_recurrent_network_is_the_same_recipe():
    recurrent = replace(SMALL, network="gru", n_epochs=40)
    model = train_sequence(TABLE, {}, recurrent, Supervision(), rng=np.random.default_rng(0))[0]
    drawn = draw(model, rules=ChemistryOptions("icsd24"), n_elements=(2, 8))
    assert judge_table(drawn, ChemistryOptions("icsd24")).balanced.all()


def test_what_cannot_be_is_refused_with_the_reason(model):
    with pytest.raises(EmptyResultError, match="Mg, Ca"):
        draw(model, allowed=frozenset({"Mg", "Ca"}), rules=ChemistryOptions("icsd24"), n_elements=(2, 2))
    with pytest.raises(CapabilityError, match="Xe"):
        draw(model, require=frozenset({"Xe"}))
    with pytest.raises(CapabilityError, match="band_gap"):
        draw(model, targets=(("band_gap", 1.0),))
    with pytest.raises(EmptyResultError, match="fits"):
        train_sequence(read_formulas(["Ca21O"] * 10), {}, SMALL, Supervision(), rng=np.random.default_rng(0))
