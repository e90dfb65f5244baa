"""The contract of models with codes, held to a model whose answers are known; its suite must also be able to fail."""

from functools import cache

import numpy as np
import pytest
from toy_crystals import ENTRY, ToyModel, cell, toy_model

from novalith.errors import CapabilityError, CorruptDataError, InputError, UnknownNameError
from novalith.recipes import crystal_models
from novalith.recipes.crystal_models import MODELS, SampleRequest, check_request, load_crystal_model, shipped_checkpoint
from novalith.store.checkpoint import Checkpoint, save_checkpoint
from novalith.testing import CrystalModelContract


@pytest.fixture(autouse=True)
def toy_is_known(monkeypatch):
    monkeypatch.setattr(crystal_models, "MODELS", {**MODELS, **ENTRY})


class TestToy(CrystalModelContract):
    @staticmethod
    @cache
    def made():
        return toy_model()

    def model(self):
        return self.made()

    def crystals(self):
        return [cell(4.1, "Cs", "Cl"), cell(3.9, "K", "Br"), cell(5.0, "Rb", "I")]

    def beyond(self):
        three = crystal_models.Crystal.from_arrays(np.eye(3) * 5, ["K"] * 3, np.eye(3) / 2)
        return [(three, "sites"), (cell(4.1, "Mg", "O"), "elements")]


class Forgetful(ToyModel):
    def sample(self, n, request, *, rng):
        del rng
        return super().sample(n, request, rng=np.random.default_rng())


class Silent(ToyModel):
    def decode(self, codes, request):
        return [o for o in super().decode(codes, request) if not isinstance(o, crystal_models.Verdict)]


class Deaf(ToyModel):
    def sample(self, n, request, *, rng):
        plain = SampleRequest(around=request.around, spread=request.spread)
        return super().sample(n, plain, rng=rng)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Forgetful, "test_the_same_seed_draws_the_same_and_another_seed_draws_others"),
        (Silent, "test_every_code_decodes_to_a_crystal_or_a_verdict_with_a_reason"),
        (Deaf, "test_what_was_not_trained_is_refused"),
    ],
)
def test_a_model_that_breaks_a_promise_fails_the_suite(broken, promise):
    good = toy_model()
    suite = TestToy()
    suite.model = lambda: broken(good.training_codes, *good.training_labels.values(), good.training_formulas)
    with pytest.raises(AssertionError):
        getattr(suite, promise)()


def test_requests_are_refused_part_by_part():
    model = toy_model()
    with pytest.raises(CapabilityError, match="cannot be asked for a field; it honours around, family, targets"):
        check_request(model, SampleRequest(field=cell(4, "K", "Br").composition.field))
    with pytest.raises(CapabilityError, match="not trained on 'band_gap'"):
        check_request(model, SampleRequest(targets={"band_gap": 1.0}))
    with pytest.raises(CapabilityError, match="-200 lies far outside"):
        check_request(model, SampleRequest(targets={"formation_energy": -200.0}))
    with pytest.raises(CapabilityError, match="knows caesium chloride"):
        check_request(model, SampleRequest(family="perovskite"))
    with pytest.raises(InputError, match="spread"):
        SampleRequest(spread=-1.0)
    with pytest.raises(InputError, match="finite"):
        SampleRequest(targets={"formation_energy": float("nan")})


def test_other_files_and_recipes_without_weights_are_refused(tmp_path, monkeypatch):
    save_checkpoint(Checkpoint("fields", {"a": np.zeros(1)}), tmp_path / "f.safetensors")
    with pytest.raises(CorruptDataError, match="kind 'fields'"):
        load_crystal_model(tmp_path / "f.safetensors")
    with pytest.raises(UnknownNameError, match="court"):
        shipped_checkpoint("cuort")
    monkeypatch.setattr(crystal_models, "WEIGHTS", tmp_path)
    with pytest.raises(InputError, match="novalith train court --data FILE --out court"):
        shipped_checkpoint("court")


def test_a_recipe_may_ship_a_model_for_each_family(tmp_path, monkeypatch):
    monkeypatch.setattr(crystal_models, "WEIGHTS", tmp_path)
    (tmp_path / "court_perovskite.safetensors").touch()
    assert shipped_checkpoint("court", "perovskite") == tmp_path / "court_perovskite.safetensors"
    with pytest.raises(InputError, match="name one of perovskite as --family"):
        shipped_checkpoint("court")
    with pytest.raises(InputError, match="weights for perovskite alone"):
        shipped_checkpoint("court", "heusler")
    (tmp_path / "hoffmann.safetensors").touch()
    assert shipped_checkpoint("hoffmann") == tmp_path / "hoffmann.safetensors"
