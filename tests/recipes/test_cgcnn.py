"""The recipe of the graph network: trained, saved, loaded, invariant, and honest about what it does not know."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from broken_checkpoints import check_faults_are_told

from novalith.data.library import Library
from novalith.data.structure_table import bundled_structure_table
from novalith.errors import InputError, UnknownNameError
from novalith.materials import Crystal
from novalith.recipes.cgcnn import (
    LEARNED,
    default_structure_predictor,
    hold_out_systems,
    load_cgcnn,
    rows_of,
    save_cgcnn,
    train_from_file,
    train_on_rows,
)
from novalith.recipes.cgcnn_data import in_test_part
from novalith.recipes.cgcnn_training import SIZES, gap_labels, learned
from novalith.recipes.training import TRAINERS, TrainingOrder


@pytest.fixture(scope="module")
def rows():
    table = bundled_structure_table(Library(), LEARNED)
    moduli = np.flatnonzero(np.isfinite(table.values[:, LEARNED.index("bulk_modulus")]))[:120]
    others = np.arange(0, len(table), len(table) // 200)
    chosen = np.unique(np.r_[moduli, others])
    crystals = tuple(table.crystals[i] for i in chosen)
    return rows_of(replace(table, crystals=crystals, values=table.values[chosen], sources=("x",) * len(chosen)))


@pytest.fixture(scope="module")
def trained(rows):
    settings = replace(SIZES["tiny"], n_members=2, training=replace(SIZES["tiny"].training, n_epochs=2))
    return train_on_rows(rows, settings, rng=np.random.default_rng(0))


def test_a_chemical_system_is_on_one_side(rows):
    training, held = hold_out_systems(rows.systems, 0.2, np.random.default_rng(1))
    assert not set(rows.systems[training]) & set(rows.systems[held])
    assert sorted([*training, *held]) == list(range(len(rows)))


def test_poisson_ratio_follows_from_the_moduli(rows):
    k, g, nu = (rows.values[:, rows.targets.index(t)] for t in ("bulk_modulus", "shear_modulus", "poisson_ratio"))
    both = np.isfinite(k) & np.isfinite(g)
    assert both.sum() > 50
    # The isotropic relation, as 1/2 - E/(6K) with E = 9KG/(3K + G).
    young = 9 * k * g / (3 * k + g)
    np.testing.assert_allclose(nu[both], (0.5 - young / (6 * k))[both], atol=2e-3)


def test_logarithms_and_gaps_are_learned_apart():
    values = np.array([[0.0, 100.0], [1.5, np.nan], [np.nan, -3.0]])
    out = learned(values, ("band_gap", "bulk_modulus"))
    np.testing.assert_array_equal(np.isnan(out), [[True, False], [False, True], [True, True]])
    assert out[0, 1] == pytest.approx(2.0)
    np.testing.assert_array_equal(gap_labels(values, ("band_gap", "bulk_modulus")), [0, 1, np.nan])


def test_saved_predictor_answers_alike(trained, rows, tmp_path):
    predictor, curve, _ = trained
    assert len(curve) == 4
    crystals = [k.crystal for k in Library().structures[:40]]
    for precision, tolerance in (("float32", 1e-6), ("float16", 2e-2)):
        save_cgcnn(predictor, tmp_path / "a.safetensors", precision)
        again = load_cgcnn(tmp_path / "a.safetensors")
        for name, said in predictor.predict_all(crystals).items():
            spread = np.nanstd(rows.values[:, rows.targets.index(name)])
            np.testing.assert_allclose(
                again.predict(crystals, name).value, said.value, atol=tolerance * max(spread, 0.1), err_msg=name
            )


def test_same_seed_same_bytes(rows, tmp_path):
    settings = replace(SIZES["tiny"], training=replace(SIZES["tiny"].training, n_epochs=1))
    few = rows.select(np.arange(60))
    for name in ("a", "b"):
        save_cgcnn(train_on_rows(few, settings, rng=np.random.default_rng(5))[0], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_uncertainties_hold_two_thirds_of_the_held_out_errors(trained, rows):
    predictor, _, held = trained
    value, uncertainty, _ = predictor.of_graphs(rows.table.select(held))
    t = predictor.targets.index("formation_energy")
    error = np.abs(value[:, t] - rows.values[held, t])
    known = np.isfinite(error)
    assert (error[known] <= uncertainty[known, t]).mean() == pytest.approx(0.683, abs=0.1)


def test_supercell_has_the_properties_of_its_cell_and_rows_keep_their_places(trained):
    predictor, _, _ = trained
    crystals = [k.crystal for k in Library().structures if k.crystal.n_atoms <= 6][:5]
    doubled = [Crystal.from_structure(c.to_structure() * (2, 2, 2)) for c in crystals]
    lonely = Crystal.from_arrays(np.eye(3) * 40, ["He"], [[0, 0, 0]])
    one, two = predictor.predict_all([lonely, *crystals]), predictor.predict_all([*doubled, lonely])
    for name in predictor.targets:
        np.testing.assert_allclose(one[name].value[1:], two[name].value[:5], rtol=1e-5, atol=1e-5, err_msg=name)
        assert np.isnan(one[name].value[0]) and np.isnan(two[name].value[5])
        assert "no neighbour within" in one[name].reasons[0] and not one[name].in_range[0]
        assert set(one[name].reasons) == set(np.flatnonzero(~one[name].in_range).tolist())


def test_no_crystals_no_answers_and_unknown_targets_are_told(trained):
    predictor, _, _ = trained
    assert predictor.predict([], "band_gap").value.shape == (0,)
    with pytest.raises(UnknownNameError, match="hardness"):
        predictor.predict([], "hardness")


def test_the_verb_learns_from_a_table(tmp_path):
    from pymatgen.io.cif import CifWriter

    energy, gases = "formation_energy_ev_per_atom", set("He Ne Ar".split())
    plain = [k for k in Library().structures if k.crystal.n_atoms <= 8 and not gases & set(k.crystal.species)]
    known = [k for k in plain if energy in k.properties][:60]
    frame = pd.DataFrame(
        {
            "cif": [str(CifWriter(k.crystal.to_structure())) for k in known],
            "formation_energy_per_atom": [k.properties[energy] for k in known],
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    order = TrainingOrder(tmp_path / "rows.parquet", tmp_path / "m.safetensors", size="tiny", epochs=1)
    assert TRAINERS["cgcnn"] == "novalith.recipes.cgcnn"
    summary = train_from_file(order)
    assert summary.n_rows < 60
    assert set(summary.figures) == {"formation_energy_mae_ev_per_atom"}
    assert load_cgcnn(order.out).targets == ("formation_energy",)
    with pytest.raises(UnknownNameError, match="volume"):
        train_from_file(replace(order, targets=("volume_per_atom",)))
    loose = tmp_path / "folder"
    loose.mkdir()
    (loose / "one.cif").write_text(frame["cif"][0])
    with pytest.raises(InputError, match="structures alone say nothing of formation_energy"):
        train_from_file(replace(order, data=loose))
    frame.to_parquet(loose / "rows.parquet")
    summary = train_from_file(replace(order, data=loose))
    assert any("one.cif: no table" in reason for reason in summary.set_aside.values())


def test_paper_size_trains_on_full_graphs(rows):
    settings = SIZES["paper"]
    small = replace(settings, training=replace(settings.training, n_epochs=1, batch_size=16))
    predictor, curve, _ = train_on_rows(rows.select(np.arange(40)), small, rng=np.random.default_rng(0))
    assert np.isfinite(curve[0].training_loss)
    assert predictor.members[0].published


def test_a_tenth_of_the_systems_are_test_systems():
    systems = [f"A{i}-B{i % 7}" for i in range(4000)]
    assert np.mean([in_test_part(s) for s in systems]) == pytest.approx(26 / 256, abs=0.015)


def test_shipped_weights_know_rock_salt_from_a_metal():
    predictor = default_structure_predictor()
    assert set(predictor.targets) == set(LEARNED)
    fcc = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    salt = Crystal.from_arrays(np.eye(3) * 5.69, ["Na"] * 4 + ["Cl"] * 4, fcc + [[x + 0.5, y, z] for x, y, z in fcc])
    copper = Crystal.from_arrays(np.eye(3) * 3.62, ["Cu"] * 4, fcc)
    said = predictor.predict_all([salt, copper])
    assert said["formation_energy"].value[0] < -1 < said["formation_energy"].value[1]


def test_a_checkpoint_that_makes_no_model_is_told_with_its_file(trained, tmp_path):
    save_cgcnn(trained[0], tmp_path / "whole.safetensors")
    check_faults_are_told(load_cgcnn, tmp_path / "whole.safetensors", ["vocabulary without units"])
