"""The V-O model that ships gives back crystals that it never saw."""

import tomllib

import numpy as np

from novalith.data.library import Library
from novalith.materials import Crystal, PhaseField
from novalith.recipes.crystal_models import SampleRequest, load_crystal_model, shipped_checkpoint
from novalith.screen.duplicates import same_crystal


def test_the_card_tells_of_the_file_that_lies_beside_it():
    path = shipped_checkpoint("imatgen")
    assert path.stat().st_size < 2_000_000
    card = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))
    model = load_crystal_model(path)
    assert card["kind"] == model.name
    assert card["training_data"].startswith(f"{len(model.training_formulas)} crystals")
    assert "Materials Project" in card["training_data_licence"]


def test_known_crystals_that_were_hidden_come_back():
    model = load_crystal_model(shipped_checkpoint("imatgen"))
    field = PhaseField.parse("V-O")
    known = [s.crystal for s in Library().structures if s.crystal.composition.field == field]
    within = [c for c in known if model.check(c).passed]
    assert within
    again = model.decode(model.encode(within), SampleRequest())
    assert all(isinstance(b, Crystal) and same_crystal(a, b) is not None for a, b in zip(within, again, strict=True))


def test_draws_are_mostly_crystals_of_the_system():
    model = load_crystal_model(shipped_checkpoint("imatgen"))
    outcomes = model.sample(20, SampleRequest(), rng=np.random.default_rng(0))
    crystals = [o for o in outcomes if isinstance(o, Crystal)]
    assert len(crystals) > 15
    assert all(set(c.species) <= {"V", "O"} for c in crystals)
