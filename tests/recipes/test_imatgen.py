"""iMatGen keeps the contract of crystal models, gives unseen crystals back, and learns any system from a set."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from broken_checkpoints import check_faults_are_told

from novalith.data.library import Library
from novalith.errors import CapabilityError, InputError
from novalith.generate.image_autoencoder import ImageAutoencoderSettings
from novalith.generate.principal_autoencoder import PrincipalAutoencoderSettings
from novalith.materials import Composition, Crystal, PhaseField, Verdict
from novalith.recipes import imatgen_training
from novalith.recipes.crystal_models import SampleRequest
from novalith.recipes.imatgen import SIZES, Imatgen, train_imatgen
from novalith.recipes.imatgen_codes import (
    LearnedCodesSettings,
    RandomCells,
    WaveCodes,
    crystal_codes,
    crystals_of_codes,
    train_codes,
)
from novalith.recipes.imatgen_judging import auc, parts_by_prototype, reconstruction_errors, shares_within
from novalith.recipes.imatgen_training import train_from_file, training_set
from novalith.recipes.latent_draws import WAYS
from novalith.recipes.substituted_training_set import LabelledCrystal, TrainingSet
from novalith.recipes.training import TrainingOrder
from novalith.represent.cell_images import CellImages
from novalith.screen.duplicates import same_crystal
from novalith.testing import CrystalModelContract

FIELD = PhaseField.parse("V-O")
TINY = SIZES["tiny"]


@cache
def labelled():
    """Bundled binary oxides with V in the place of their metal; energies are those of the originals."""
    found = []
    for known in Library().structures:
        crystal, elements = known.crystal, set(known.crystal.species)
        if len(elements) == 2 and "O" in elements and CellImages().check(crystal).passed:
            species = ["O" if s == "O" else "V" for s in crystal.species]
            made = Crystal.from_arrays(crystal.lattice, species, crystal.frac_coords)
            values = [known.properties.get(f"{n}_ev_per_atom", 0.5) for n in ("formation_energy", "energy_above_hull")]
            found.append(LabelledCrystal(known.id, made, known.id, "by hand", *values, "converged"))
    return tuple(found[:80])


@cache
def tiny():
    return train_imatgen(labelled()[:60], FIELD, TINY, WaveCodes(), rng=np.random.default_rng(0))[0]


class TestImatgen(CrystalModelContract):
    def model(self):
        return tiny()

    def crystals(self):
        return [c.crystal for c in labelled()[60:64]]

    def beyond(self):
        rutile = labelled()[60].crystal
        long = Crystal.from_arrays(np.diag([3.0, 3.0, 11.0]), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        foreign = Crystal.from_arrays(rutile.lattice, ["Nb"] * rutile.n_atoms, rutile.frac_coords)
        return [(long, "imatgen"), (foreign, "elements")]


def test_crystals_come_back_from_their_codes_and_images():
    crystals = [c.crystal for c in labelled()[:12]]
    codes = WaveCodes()
    rows = crystal_codes(codes, crystals, FIELD.elements)
    again = crystals_of_codes(codes, rows, FIELD.elements)
    assert all(same_crystal(a, b) is not None for a, b in zip(crystals, again, strict=True))
    assert shares_within(reconstruction_errors(codes, rows, crystals, FIELD.elements)) == dict.fromkeys(
        ("atoms", "edges", "angles", "all"), 1.0
    )


def test_a_wrong_number_of_atoms_or_a_long_cell_is_an_error():
    crystals = [c.crystal for c in labelled()[:2]]
    codes = WaveCodes()
    rows = crystal_codes(codes, crystals, FIELD.elements)
    rows[0, 0] += 1.0  # one more oxygen
    rows[1, -6:] += 0.05  # a larger metric
    first, second = reconstruction_errors(codes, rows, crystals, FIELD.elements)
    assert np.isinf(first.atoms_a)
    assert first.edges_a < 1e-4
    assert second.atoms_a < 0.01
    assert second.edges_a > 0.1


def test_unseen_crystals_come_back_through_the_autoencoder_of_codes():
    # As many axes as numbers: what is left is what training spoils.
    wide = replace(TINY, n_latent=500)
    model, _ = train_imatgen(labelled()[:60], FIELD, wide, WaveCodes(), rng=np.random.default_rng(0))
    crystals = [c.crystal for c in labelled()[60:]]
    again = model.decode(model.encode(crystals), SampleRequest())
    same = [isinstance(b, Crystal) and same_crystal(a, b) is not None for a, b in zip(crystals, again, strict=True)]
    assert np.mean(same) > 0.9


def test_draws_come_in_three_ways_and_keep_to_what_is_asked():
    model = tiny()
    latent, ways = model.draw_latent(300, SampleRequest(), rng=np.random.default_rng(0))
    assert latent.shape == (300, model.training_codes.shape[1])
    assert set(ways.tolist()) == set(range(len(WAYS)))
    asked = SampleRequest(composition=Composition.parse("VO2"))
    outcomes = model.sample(40, asked, rng=np.random.default_rng(0))
    kept = [o for o in outcomes if isinstance(o, Crystal)]
    assert kept
    assert all(c.composition.formula == "VO2" for c in kept)
    assert {o.rule for o in outcomes if isinstance(o, Verdict)} <= {"composition", "imatgen"}
    with pytest.raises(InputError, match="0 or more"):
        model.sample(-1, SampleRequest(), rng=np.random.default_rng(0))


def test_too_few_or_too_many_elements_are_refused():
    with pytest.raises(InputError, match="at least 10"):
        train_imatgen(labelled()[:5], FIELD, TINY, WaveCodes(), rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="at most 5"):
        six = PhaseField.parse("Li-O-V-Nb-Ta-F")
        train_imatgen(labelled(), six, TINY, WaveCodes(), rng=np.random.default_rng(0))


def test_a_set_is_read_and_what_does_not_fit_is_counted(tmp_path):
    large = Crystal.from_arrays(np.diag([3.0, 3.0, 12.0]), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    given = [*labelled()[:30], LabelledCrystal("large", large, "large", "", -1.0, 0.0, "converged")]
    refused = ("refused", Verdict(False, "hull", "too high"))
    TrainingSet(FIELD, tuple(given), (refused,), 31, "none").save(tmp_path / "set.json")
    order = TrainingOrder(tmp_path / "set.json", tmp_path / "model.safetensors", size="tiny", epochs=1)
    summary = train_from_file(order)
    assert summary.n_rows == 30
    assert len(summary.set_aside) == 2  # given = kept + left out
    assert any("12.00 Å" in reason for reason in summary.set_aside.values())
    assert 0 <= summary.figures["held_out_all_share"] <= 1
    assert len(Imatgen.load(tmp_path / "model.safetensors").training_formulas) == 30
    with pytest.raises(CapabilityError, match="no condition"):
        train_from_file(replace(order, targets=("formation_energy",)))
    with pytest.raises(InputError, match="system=V-O"):
        train_from_file(replace(order, data=None))


def test_a_named_system_leaves_out_what_holds_other_elements(tmp_path, monkeypatch):
    cubic = {s: Crystal.from_arrays(np.eye(3) * 3, [s], [[0, 0, 0]]) for s in ("V", "Fe")}
    known = [*(c.crystal for c in labelled()[:12]), *cubic.values()]
    rows = [{"id": f"r{i}", "cif": c.to_structure().to(fmt="cif")} for i, c in enumerate(known)]
    pd.DataFrame([*rows, {"id": "broken", "cif": "nothing"}]).to_csv(tmp_path / "rows.csv", index=False)
    crystals = tuple(LabelledCrystal(f"r{i}", c, f"r{i}", "", -1.0, 0.0, "converged") for i, c in enumerate(known))
    TrainingSet(PhaseField.parse("Fe-V-O"), crystals, (), 14, "none").save(tmp_path / "set.json")
    seen = []

    def labelled_set(candidates, field, *_, **__):
        seen.append((len(candidates), field))
        return replace(TrainingSet.load(tmp_path / "set.json"), field=field)

    monkeypatch.setattr(imatgen_training, "labelled_set", labelled_set)
    order = TrainingOrder(None, tmp_path / "m.safetensors", size="tiny", epochs=1, options={"system": "V-O"})
    _, aside = training_set(replace(order, data=tmp_path / "rows.csv"))
    assert seen == [(13, FIELD)]  # the metal belongs to its oxides
    reasons = {id_: verdict.reason for id_, verdict in aside}
    assert sorted(reasons) == ["broken", "r13"]  # 15 rows = 13 kept + 2 left out
    assert reasons["r13"] == "It holds Fe, which is not of O-V."
    frames = [c.to_structure().as_dict() for c in known]
    (tmp_path / "structures.json").write_text(json.dumps(frames))
    for name in ("rows.csv", "structures.json"):
        training_set(replace(order, data=tmp_path / name, options={}))
    assert seen[1:] == [(14, PhaseField.parse("Fe-O-V"))] * 2
    summary = train_from_file(replace(order, data=tmp_path / "set.json"))
    assert (summary.n_rows, list(summary.set_aside.values())) == (13, [f"r13: {reasons['r13']}"])
    assert Imatgen.load(tmp_path / "m.safetensors").field == FIELD
    with pytest.raises(InputError, match=r"No crystal of N-V .* holds N; its 14 crystals are of Fe-O-V"):
        training_set(replace(order, data=tmp_path / "rows.csv", options={"system": "V-N"}))


CONVOLUTIONS = ImageAutoencoderSettings(
    n=16, widths=(8, 16), n_latent=12, output="sigmoid", error="cross-entropy", code_activation="tanh", n_epochs=1
)
COMPONENTS = PrincipalAutoencoderSettings(16, 12, width=8, n_blocks=1, n_epochs=1)


@pytest.mark.parametrize(
    ("basis", "cell"),
    [
        (CONVOLUTIONS, replace(CONVOLUTIONS, n=32)),
        (COMPONENTS, PrincipalAutoencoderSettings(32, 12, 6, (16,), n_blocks=0, n_epochs=1)),
    ],
    ids=["convolutions", "components"],
)
def test_learned_codes_serve_and_are_stored_with_the_model(tmp_path, basis, cell):
    learned = LearnedCodesSettings(1.0, basis, cell, n_cells=16)
    crystals = [c.crystal for c in labelled()[:20]]
    codes = train_codes(crystals, learned, tmp_path / "resume", rng=np.random.default_rng(0))
    settings = replace(TINY, learned=learned)
    model, _ = train_imatgen(labelled()[:20], FIELD, settings, codes, rng=np.random.default_rng(0))
    model.save(tmp_path / "learned.safetensors")
    again = Imatgen.load(tmp_path / "learned.safetensors")
    draws = [m.sample(3, SampleRequest(), rng=np.random.default_rng(1)) for m in (model, again)]
    assert draws[0] == draws[1]
    assert not list(tmp_path.glob("resume*"))


def test_random_cells_are_cells():
    images = RandomCells(4).images(np.arange(3), np.random.default_rng(0))
    assert images.shape == (3, 1, 32, 32, 32)
    assert np.allclose(images[:, 0, 16, 16, 16], 1.0)


def test_splits_keep_prototypes_together_and_auc_counts_pairs():
    names = [f"p{i % 7}" for i in range(70)]
    part = parts_by_prototype(names, 3, rng=np.random.default_rng(0))
    assert all(len({p for p, n in zip(part, names, strict=True) if n == name}) == 1 for name in names)
    assert set(part.tolist()) == {0, 1, 2}
    assert auc(np.array([0.9, 0.4, 0.5, 0.1]), np.array([True, True, False, False])) == 0.75
    assert np.isnan(auc(np.array([0.9]), np.array([True])))


def test_a_checkpoint_that_makes_no_model_is_told_with_its_file(tmp_path):
    tiny().save(tmp_path / "whole.safetensors")
    check_faults_are_told(Imatgen.load, tmp_path / "whole.safetensors", ["no labels.energy_above_hull"])
