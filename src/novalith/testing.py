# ruff: noqa: D102  the names of the tests are their sentences
"""Contract suites: what every member of a family must keep to, as tests to inherit.

A test class of a model inherits its suite and says how to make the model::

    class TestCourt(CrystalModelContract):
        def model(self): return tiny_court()      # cached: it is asked for in every test
        def crystals(self): return [...]          # at least two within the limits
        def beyond(self): return [(crystal, "sites")]   # crystals outside, and the rule that says so

Nothing here needs pytest itself; `tmp_path` is its fixture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from novalith.errors import CapabilityError, InputError
from novalith.materials import Crystal, Verdict
from novalith.recipes.crystal_models import (
    CrystalModel,
    SampleRequest,
    check_request,
    codes_around,
    load_crystal_model,
)

N_DRAWS = 4


class CrystalModelContract(ABC):
    """The promises of `novalith.recipes.crystal_models.CrystalModel`."""

    @abstractmethod
    def model(self) -> CrystalModel:
        """A trained model, tiny, the same at every call."""

    @abstractmethod
    def crystals(self) -> Sequence[Crystal]:
        """At least two crystals within its limits."""

    @abstractmethod
    def beyond(self) -> Sequence[tuple[Crystal, str]]:
        """Crystals outside its limits, each with the rule of the verdict on it."""

    def request(self) -> SampleRequest:
        """A request that the model honours; override it where the model needs a family or a field."""
        return SampleRequest()

    def test_codes_have_one_row_a_crystal_and_do_not_change(self) -> None:
        model, crystals = self.model(), list(self.crystals())
        codes = model.encode(crystals)
        assert codes.shape == (len(crystals), model.training_codes.shape[1])
        assert codes.dtype == np.float32
        assert np.isfinite(codes).all()
        assert np.array_equal(codes, model.encode(crystals))
        assert np.allclose(codes[1:2], model.encode(crystals[1:2]), atol=1e-4)  # a code does not depend on its batch
        assert len(np.unique(codes, axis=0)) > 1

    def test_every_code_decodes_to_a_crystal_or_a_verdict_with_a_reason(self) -> None:
        model, request = self.model(), self.request()
        codes = model.encode(list(self.crystals()))
        wild = np.concatenate([codes, 100.0 * codes, np.zeros_like(codes[:1]), np.full_like(codes[:1], np.nan)])
        outcomes = model.decode(wild, request)
        assert len(outcomes) == len(wild)
        assert all(_is_outcome(outcome) for outcome in outcomes)
        assert isinstance(outcomes[-1], Verdict)  # not a number: nothing can come of it
        assert model.decode(codes[:0], request) == []
        assert model.decode(wild, request) == outcomes

    def test_images_have_one_cube_a_code(self) -> None:
        codes = self.model().encode(list(self.crystals()))
        channels = self.model().images(codes, self.request())
        assert channels
        for channel in channels:
            n, *edges = channel.values.shape
            assert n == len(codes)
            assert len(edges) == 3
            assert len(set(edges)) == 1
            assert np.isfinite(channel.values).all()

    def test_the_same_seed_draws_the_same_and_another_seed_draws_others(self) -> None:
        model, request = self.model(), self.request()
        drawn = [model.sample(N_DRAWS, request, rng=np.random.default_rng(seed)) for seed in (0, 0)]
        assert drawn[0] == drawn[1]
        assert len(drawn[0]) == N_DRAWS
        assert all(_is_outcome(outcome) for outcome in drawn[0])
        assert model.sample(0, request, rng=np.random.default_rng(0)) == []

    def test_draws_around_a_crystal_start_from_its_code(self) -> None:
        model, base = self.model(), self.crystals()[0]
        if "around" not in model.honours:
            return
        near = replace(self.request(), around=base, spread=0.0)
        targets = near.targets or None
        assert np.allclose(codes_around(model, near, 2, rng=np.random.default_rng(0)), model.encode([base], targets))
        far = replace(self.request(), around=base, spread=1.0)
        offsets = codes_around(model, far, 400, rng=np.random.default_rng(0)) - model.encode([base], targets)
        spread = np.asarray(model.training_codes, dtype=np.float64).std(axis=0)
        assert np.allclose(offsets.std(axis=0), spread, rtol=0.25, atol=1e-6)
        assert len(model.sample(N_DRAWS, far, rng=np.random.default_rng(0))) == N_DRAWS

    def test_what_lies_beyond_the_limits_is_refused_by_name(self) -> None:
        model = self.model()
        for crystal in self.crystals():
            assert model.check(crystal).passed
        for crystal, rule in self.beyond():
            verdict = model.check(crystal)
            assert not verdict.passed
            assert verdict.rule == rule
            assert verdict.reason
            assert verdict.reason in str(_raised(InputError, partial(model.encode, [crystal])))

    def test_what_was_not_trained_is_refused(self) -> None:
        model = self.model()
        for request in (
            replace(self.request(), targets={"no_such_property": 1.0}),
            replace(self.request(), family="no such family"),
        ):
            _raised(CapabilityError, partial(check_request, model, request))
            _raised(CapabilityError, partial(model.sample, 1, request, rng=np.random.default_rng(0)))

    def test_the_checkpoint_holds_all_of_it(self, tmp_path: Path) -> None:
        model, request = self.model(), self.request()
        model.save(tmp_path / "a.safetensors")
        again = load_crystal_model(tmp_path / "a.safetensors")
        assert type(again) is type(model)
        assert (again.targets, again.families) == (model.targets, model.families)
        assert np.array_equal(again.training_codes, model.training_codes)
        assert again.training_formulas == model.training_formulas
        assert again.training_labels.keys() == model.training_labels.keys()
        crystals = list(self.crystals())
        assert np.array_equal(again.encode(crystals), model.encode(crystals))
        draws = [m.sample(N_DRAWS, request, rng=np.random.default_rng(3)) for m in (model, again)]
        assert draws[0] == draws[1]
        again.save(tmp_path / "b.safetensors")
        assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()

    def test_training_codes_come_with_labels_and_formulas(self) -> None:
        model = self.model()
        n = len(model.training_codes)
        assert n > 1
        assert len(model.training_formulas) == n
        assert "formation_energy" in model.training_labels
        for values in model.training_labels.values():
            assert values.shape == (n,)
            assert np.isfinite(values).all()


def _is_outcome(outcome: object) -> bool:
    return isinstance(outcome, Crystal) or (
        isinstance(outcome, Verdict) and not outcome.passed and bool(outcome.reason)
    )


def _raised(kind: type[Exception], call: Callable[[], object]) -> Exception:
    """The error of a kind that a call ends with; anything else fails the test."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"No {kind.__name__} was raised.")
