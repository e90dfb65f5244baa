"""The contract of composition predictors, with a model whose values are known: the mean atomic number."""

import json

import numpy as np
import pytest

from novalith.errors import UnknownNameError
from novalith.predict.base import Prediction
from novalith.predict.composition import CompositionPredictor, TrainingDomain
from novalith.represent.composition_features import fractions_of
from novalith.represent.formula_table import read_formulas

TRAINING = read_formulas(["NaCl", "Na2O", "Fe2O3", "NaFeO2", "MgCl2"])


class MeanNumber(CompositionPredictor):
    def __init__(self, uncertainty):
        self._domain = TrainingDomain.of(TRAINING, {"band_gap": np.array([14.0, 10.0, 15.2, np.nan, 16.0])})
        self._uncertainty = uncertainty

    @property
    def domain(self):
        return self._domain

    def values(self, table, target):
        del target
        value = (fractions_of(table) * table.atomic_numbers).sum(axis=1)
        spread = None if self._uncertainty is None else np.full(len(table), self._uncertainty)
        return Prediction(value, spread)


def test_values_stay_in_their_rows_and_what_is_foreign_is_named():
    formulas = ["NaCl", "Xy2", "KCl", "Fe2O3", "FeO9", "Na3Fe", "NaMgFeO", "ClO"]
    told = MeanNumber(None).predict(read_formulas(formulas), "band_gap")
    assert told.uncertainty is None
    assert told.value[0] == pytest.approx(14) and told.value[3] == pytest.approx(15.2)
    assert np.isnan(told.value[[1, 2]]).all()
    assert told.in_range.tolist() == [True, False, False, True, False, False, False, True]
    assert set(told.reasons) == {1, 2, 4, 5, 6}
    assert "cannot be read" in told.reasons[1] and "holds K" in told.reasons[2]
    assert "90 % O" in told.reasons[4] and "4 elements" in told.reasons[6]


def test_values_beyond_the_training_are_extrapolations():
    told = MeanNumber(None).predict(read_formulas(["NaO", "FeCl", "NaCl2"]), "band_gap")
    assert told.in_range.tolist() == [False, False, True]
    assert "9.5 is outside of the training values, 10 to 16" in told.reasons[0]


def test_an_uncertainty_as_wide_as_the_data_is_no_prediction():
    table = read_formulas(["NaCl", "K"])
    assert MeanNumber(0.1).predict(table, "band_gap").in_range.tolist() == [True, False]
    wide = MeanNumber(6.0).predict(table, "band_gap")
    assert wide.in_range.tolist() == [False, False] and np.isnan(wide.uncertainty[1])


def test_targets_have_units_and_unknown_ones_are_told():
    model = MeanNumber(None)
    assert model.targets == {"band_gap": "eV"}
    assert model.training_ranges == {"band_gap": (10.0, 16.0)}
    with pytest.raises(UnknownNameError, match="Known: band_gap"):
        model.predict(TRAINING, "volume_per_atom")


def test_a_domain_survives_its_checkpoint():
    domain = MeanNumber(None).domain
    again = TrainingDomain.from_config(json.loads(json.dumps(domain.to_config())))
    assert again.most_elements == 3 and again.values == domain.values
    np.testing.assert_allclose(again.largest_fractions, domain.largest_fractions, atol=1e-6)
    assert again.reasons(TRAINING, np.full(5, 12.0), "band_gap") == {}


def test_an_empty_table():
    told = MeanNumber(0.1).predict(read_formulas([]), "band_gap")
    assert len(told.value) == 0 and told.reasons == {}


def test_a_band_gap_is_never_negative():
    class Below(MeanNumber):
        def values(self, table, target):
            return Prediction(super().values(table, target).value - 20, None)

    assert Below(None).predict(read_formulas(["NaCl"]), "band_gap").value.tolist() == [0.0]
