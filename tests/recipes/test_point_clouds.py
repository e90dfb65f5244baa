"""Both point-cloud recipes: honest counts, refusals that teach, the same seed the same products."""

import dataclasses

import numpy as np
import pytest
from broken_checkpoints import check_faults_are_told

from novalith.data.library import Library
from novalith.errors import (
    CapabilityError,
    ContradictionError,
    CorruptDataError,
    EmptyResultError,
    InputError,
    UnknownNameError,
)
from novalith.materials import Candidate, Composition, Crystal, Lineage, PhaseField, Verdict
from novalith.predict.base import Prediction
from novalith.propose.base import Request
from novalith.recipes import cross_domain_gan as cross
from novalith.recipes import photoanode, relaxed_products
from novalith.recipes.cross_domain_controls import half_substituted, random_blocks
from novalith.recipes.point_cloud_gan import SIZES, Draw, PointCloudGan, contact_table, training_rows
from novalith.recipes.point_cloud_training import train_from_file
from novalith.recipes.points_bench import asked_cells, memory_records
from novalith.recipes.points_judging import Relaxed, distance_counts, product_records, rms_move_a
from novalith.recipes.points_sampling import sample_recipe
from novalith.recipes.substituted_training_set import (
    LabelledCrystal,
    SetLimits,
    TrainingSet,
    substituted_candidates,
)
from novalith.recipes.training import TRAINERS, TrainingOrder, train_recipe
from novalith.represent.point_cloud import PointLayout
from novalith.screen.contact_windows import fit_windows
from novalith.screen.distances import Distances

LIBRARY = Library()
LAYOUT = PointLayout((("Mg", 2), ("O", 4)))


def rock_salt(a):
    lattice = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * a / 2
    return Crystal.from_arrays(lattice, ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def labelled(crystal, i):
    return LabelledCrystal(f"id-{i}", crystal, f"mp-{i}", "", -3.0 + 0.01 * i, 0.0, "converged")


@pytest.fixture(scope="module")
def training():
    crystals = [rock_salt(a) for a in np.linspace(4.1, 4.3, 12)]
    return TrainingSet(
        PhaseField(("Mg", "O")), tuple(labelled(c, i) for i, c in enumerate(crystals)),
        (("x", Verdict(False, "hull", "too high")),), 13, "chgnet",
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(training):
    gan = PointCloudGan(LAYOUT, SIZES["tiny"])
    gan.fit(training, rng=np.random.default_rng(0))
    return gan


def test_a_training_set_is_read_back_and_loses_held_out_formulas(training, tmp_path):
    training.save(tmp_path / "set.json")
    assert TrainingSet.load(tmp_path / "set.json") == training
    assert training.formulas == {"MgO": 12}
    assert not training.without_formulas(["MgO"]).crystals
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(CorruptDataError, match="training set"):
        TrainingSet.load(tmp_path / "other.json")


def test_substituted_candidates_keep_within_the_limits():
    field = PhaseField(("Mg", "O"))
    found = substituted_candidates(LIBRARY, field, SetLimits(15, 6, (("O", 3),), only_neutral=False))
    assert len(found) == 15
    for candidate in found:
        counts = dict(candidate.crystal.composition.counts)
        assert set(counts) == {"Mg", "O"}
        assert counts["O"] <= 3
        assert candidate.crystal.n_atoms <= 6
        assert Distances().check(candidate.crystal).passed
        assert candidate.lineage.parents


def test_too_few_crystals_are_refused_with_the_number(training):
    with pytest.raises(EmptyResultError, match="at least 10"):
        substituted_candidates(LIBRARY, PhaseField(("Mg", "O")), SetLimits(4, 4))
    few = dataclasses.replace(training, crystals=training.crystals[:3])
    with pytest.raises(InputError, match=r"6 training cells .* at least 10"):
        training_rows(few, LAYOUT, 10, rng=np.random.default_rng(0))


def test_rows_hold_the_crystals_and_their_doubled_cells(training):
    rows = training_rows(training, LAYOUT, 10, rng=np.random.default_rng(0))
    assert len(rows.rows) == 24
    assert sorted(map(tuple, rows.counts.tolist())) == [(1, 1)] * 12 + [(2, 2)] * 12


def test_limits_of_the_hinge_are_those_of_the_training_crystals(training):
    windows = fit_windows(c.crystal for c in training.crystals)
    table = contact_table(windows, LAYOUT, np.array([9.0, 10.0]))
    assert table.lowest[0, 1].item() == pytest.approx(2.05, abs=0.01)
    assert table.lowest[0, 0].item() == pytest.approx(4.1 / 2**0.5, abs=0.01)
    assert table.highest[0].item() == pytest.approx(2.15, abs=0.01)


@pytest.mark.parametrize("formula", ["MgO", "Mg2O2", "Mg2O3", "MgO4"])
def test_a_composition_is_learned_before_anything_is_masked(model, formula):
    draws = model.draw(Composition.parse(formula), 20, rng=np.random.default_rng(1))
    assert sum(d.as_asked for d in draws) >= 19


def test_same_seed_same_products_and_a_saved_model_makes_them(model, training, tmp_path):
    again = PointCloudGan(LAYOUT, SIZES["tiny"])
    again.fit(training, rng=np.random.default_rng(0))
    model.save(tmp_path / "m.safetensors")
    loaded = PointCloudGan.load(tmp_path / "m.safetensors")
    draws = [m.draw(Composition.parse("MgO"), 3, rng=np.random.default_rng(2)) for m in (model, again, loaded)]
    assert draws[0] == draws[1] == draws[2]
    assert loaded.windows == model.windows
    assert loaded.formulas == ("MgO",)


def test_what_the_network_cannot_make_is_refused(model):
    rng = np.random.default_rng(0)
    with pytest.raises(CapabilityError, match=r"3 Mg .* 2 slots"):
        model.draw(Composition.parse("Mg3O3"), 1, rng=rng)
    with pytest.raises(CapabilityError, match="Fe"):
        model.draw(Composition.parse("FeO"), 1, rng=rng)
    with pytest.raises(CapabilityError, match="formation energies"):
        model.draw(Composition.parse("MgO"), 1, -3.0, rng=rng)


def test_the_energy_may_be_a_second_condition(training):
    settings = dataclasses.replace(SIZES["tiny"], with_energy=True)
    gan = PointCloudGan(LAYOUT, settings)
    gan.fit(training, rng=np.random.default_rng(0))
    low, high = (gan.draw(Composition.parse("MgO"), 2, e, rng=np.random.default_rng(1)) for e in (-3.0, -1.0))
    assert low != high


def test_the_trainers_know_both_recipes(training, tmp_path):
    assert {"point-cloud-gan", "cross-domain-gan"} <= set(TRAINERS)
    training.save(tmp_path / "set.json")
    out = tmp_path / "m.safetensors"
    summary = train_from_file(TrainingOrder(tmp_path / "set.json", out, size="tiny"))
    assert summary.n_rows == 12
    assert len(summary.curve) == SIZES["tiny"].n_epochs
    with pytest.raises(InputError, match="system=Mg-Mn-O"):
        train_from_file(TrainingOrder(None, out, size="tiny"))
    field = PhaseField(("Mg", "O"))
    with pytest.raises(CapabilityError, match="contents of a cell"):
        sample_recipe("point-cloud-gan", out, Request(field), 2, rng=np.random.default_rng(0))
    with pytest.raises(UnknownNameError):
        sample_recipe("diffusion", out, Request(field), 2, rng=np.random.default_rng(0))


def test_options_that_no_recipe_knows_are_named(tmp_path):
    for recipe, known in (("point-cloud-gan", "system"), ("cross-domain-gan", "first")):
        order = TrainingOrder(None, tmp_path / "x.safetensors", options={f"{known}e": "Mg-Mn-O"})
        with pytest.raises(UnknownNameError, match=f"Did you mean '{known}'"):
            train_recipe(recipe, order)


def test_memory_is_counted(training):
    by_name = {r["representation"]: r for r in memory_records()}
    assert by_name["points, Mg 8 Mn 8 O 12"]["numbers"] == 90
    assert by_name["imatgen: cell 32x32x32, basis 2x64x64x64"]["numbers"] == 557_056
    hoffmann = next(r for name, r in by_name.items() if name.startswith("hoffmann"))
    assert (hoffmann["numbers"], hoffmann["bytes"]) == (2 * 30**3, 30**3 * (4 + 2))
    assert by_name["one 32^3 image"]["ratio to points"] == pytest.approx(364.1)
    assert asked_cells(training, LAYOUT, 10, 5) == [Composition.parse("MgO")]


def test_distances_are_counted():
    good, close = rock_salt(4.2), rock_salt(2.6)
    counts = distance_counts([good, close], fit_windows([rock_salt(a) for a in (4.0, 4.4)]))
    assert counts == {"above 0.5 A": 2, "above 0.6 radii": 2 - (1.3 / 2.07 < 0.6), "above 0.75 radii": 1,
                      "in fitted windows": 1}  # fmt: skip
    moved = Crystal(good.lattice, good.species, ((0.0, 0.0, 0.0), (0.5, 0.5, 0.52)))
    step = 0.02 * float(np.linalg.norm(good.lattice[2]))
    assert rms_move_a(good, moved) == pytest.approx(step / 2)


def hydride(metal, a):
    lattice = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * a / 2
    return Crystal.from_arrays(lattice, [metal, "H"], [[0, 0, 0], [0.5, 0.5, 0.5]])


PAIR = cross.BinaryPair("Ni", "Pd", "H")
VOLUMES = {"Ni": 10.0, "Pd": 15.0, "H": 4.0}


@pytest.fixture(scope="module")
def domains():
    return [[hydride(m, a) for a in np.linspace(low, low + 0.2, 12)] for m, low in (("Ni", 3.6), ("Pd", 4.0))]


@pytest.fixture(scope="module")
def cross_model(domains):
    gan = cross.CrossDomainGan(PAIR, cross.SIZES["tiny"])
    gan.fit(domains[0], domains[1], VOLUMES, rng=np.random.default_rng(0))
    return gan


def test_binaries_must_share_one_element():
    fields = [PhaseField.parse(t) for t in ("Ni-H", "Pd-H", "Pd-O", "Ni-Pd-H")]
    assert cross.BinaryPair.of(fields[0], fields[1]) == PAIR
    with pytest.raises(ContradictionError, match="share no element"):
        cross.BinaryPair.of(fields[0], fields[2])
    with pytest.raises(ContradictionError, match="same system"):
        cross.BinaryPair.of(fields[0], fields[0])
    with pytest.raises(InputError, match="3 elements"):
        cross.BinaryPair.of(fields[3], fields[0])


def test_feature_transfer_puts_one_block_beside_the_other():
    host, donor = hydride("Ni", 3.7), hydride("Pd", 4.1)
    made = cross.transfer_block(host, donor, "Pd", np.array([0.25, 0.25, 0.25]), 40.0)
    assert made.composition == Composition.parse("NiPdH")
    assert made.volume == pytest.approx(40.0)
    assert made.frac_coords[2] == pytest.approx((0.25, 0.25, 0.25))
    with pytest.raises(InputError, match="holds no Ti"):
        cross.transfer_block(host, donor, "Ti", np.zeros(3), 40.0)


def test_slot_rows_come_back(domains):
    slots = cross.SlotRows(("Ni", "H"), (2, 3))
    rows = slots.encode(domains[0])
    assert rows.shape == (12, 8, 4)
    back = slots.decode(rows[3])
    assert back.species == ("Ni", "H")
    assert np.array(back.frac_coords) == pytest.approx(np.array(domains[0][3].frac_coords), abs=1e-6)
    flat = rows[0].copy()
    flat[:3] = 0
    assert isinstance(slots.decode(flat), Verdict)


def test_products_are_ternaries_and_repeatable(cross_model, domains, tmp_path):
    drawn = cross_model.draw(6, rng=np.random.default_rng(1))
    assert len(drawn) == 6
    assert all(sorted(c.species) == ["H", "Ni", "Pd"] for c in drawn if isinstance(c, Crystal))
    again = cross.CrossDomainGan(PAIR, cross.SIZES["tiny"])
    again.fit(domains[0], domains[1], VOLUMES, rng=np.random.default_rng(0))
    assert again.draw(6, rng=np.random.default_rng(1)) == drawn
    cross_model.save(tmp_path / "c.safetensors")
    assert cross.CrossDomainGan.load(tmp_path / "c.safetensors").draw(6, rng=np.random.default_rng(1)) == drawn
    request = Request(PAIR.field, max_atoms=24)
    got = sample_recipe("cross-domain-gan", tmp_path / "c.safetensors", request, 3, rng=np.random.default_rng(0))
    assert len(got) == 3
    with pytest.raises(ContradictionError, match="Ni-Pd"):
        sample_recipe(
            "cross-domain-gan", tmp_path / "c.safetensors", Request(PhaseField(("Mg", "O"))), 1,
            rng=np.random.default_rng(0),
        )  # fmt: skip


def test_windows_hold_nothing_of_a_kind_below_the_published_limit(cross_model):
    for pair in (("H", "H"), ("Ni", "Ni"), ("Ni", "Pd"), ("Pd", "Pd")):
        assert cross_model.windows.of(pair)[0] >= 1.8
    assert cross_model.windows.of(("H", "Ni"))[0] == pytest.approx(1.8, abs=0.02)  # a / 2 of the smallest cell


def test_domains_are_checked(domains):
    gan = cross.CrossDomainGan(PAIR, cross.SIZES["tiny"])
    with pytest.raises(EmptyResultError, match="4 crystals of Ni-H"):
        gan.fit(domains[0][:4], domains[1], VOLUMES, rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="no crystal of Ni-H"):
        gan.fit(domains[1], domains[1], VOLUMES, rng=np.random.default_rng(0))


def test_controls_hold_all_three_elements(domains):
    rng = np.random.default_rng(0)
    half = half_substituted(domains, PAIR, VOLUMES, rng=rng)
    assert dict(half.composition.reduced.counts) == {"H": 2, "Ni": 1, "Pd": 1}
    blocks = random_blocks(domains, PAIR, VOLUMES, 5, rng=rng)
    assert blocks
    for crystal in blocks:
        assert Distances().check(crystal).passed
        assert crystal.volume == pytest.approx(sum(VOLUMES[s] for s in crystal.species))


def test_every_product_of_a_photoanode_screen_ends_in_one_row(model, tmp_path, monkeypatch):
    def relaxed(crystals, *_):
        return [Relaxed(c, c, i > 0, 0.05 * i if i else None) for i, c in enumerate(crystals)]

    class Gaps:
        def predict(self, table, target):
            assert target == "band_gap"
            return Prediction(np.full(len(table), 1.0), np.full(len(table), 0.1))

    monkeypatch.setattr(photoanode, "relax_products", relaxed)
    monkeypatch.setattr(photoanode, "default_predictor", Gaps)
    kinds = [rock_salt(4.2), rock_salt(4.7), rock_salt(2.0), rock_salt(4.2), Verdict(False, "points", "no cell")]
    counts = [(1, 1), (1, 1), (1, 1), (2, 1), (1, 1)]
    drawn = [Draw(c, (1, 1), k) for c, k in zip(counts, kinds, strict=True)]
    monkeypatch.setattr(model, "draw", lambda *_, **__: drawn)
    rows = photoanode.screen_photoanodes(model, [Composition.parse("MgO")], 5, tmp_path, rng=np.random.default_rng(0))
    assert len(rows) == 5
    assert [row.reason.split()[0] for row in rows[:3]] == ["Mg-O", "MgO", "no"]
    assert "did not converge" in rows[3].reason
    assert rows[4].reason == "The same crystal as an earlier one."  # at equal volume it is the same rock salt
    assert (tmp_path / photoanode.TABLE).read_text().count("\n") == 6
    assert photoanode.told(rows).startswith("5 drawn, 0 kept")


def test_the_record_of_a_product_says_what_relaxation_did():
    drawn, final = rock_salt(4.2), rock_salt(4.2 * 1.1 ** (1 / 3))
    record, lost = product_records([Relaxed(drawn, final, True, 0.0123), Relaxed(drawn, drawn, False, None)])
    assert record["closest_pair_a"] == pytest.approx(2.1)
    assert (record["spacegroup_drawn"], record["spacegroup_relaxed"]) == (225, 225)
    assert record["volume_change_percent"] == pytest.approx(10.0)
    assert record["rms_move_a"] == pytest.approx(0.0)
    assert record["energy_above_hull_ev_per_atom"] == pytest.approx(0.0123)
    assert lost["energy_above_hull_ev_per_atom"] is None


def test_products_are_relaxed_one_row_each(tmp_path, monkeypatch):
    def relaxed(crystals, *_):
        return [Relaxed(c, c, i == 0, 0.0 if i == 0 else None) for i, c in enumerate(crystals)]

    monkeypatch.setattr(relaxed_products, "relax_products", relaxed)
    made = [Candidate(rock_salt(a), Lineage("point-cloud-gan")) for a in (4.2, 2.0)]
    counts = relaxed_products.write_relaxed(made, tmp_path)
    assert counts["relaxations"] == 2 and counts["converged"] == 1
    assert (tmp_path / "relaxed.csv").read_text().count("\n") == 3
    assert [p.stem for p in (tmp_path / "relaxed").iterdir()] == [made[0].id]
    assert relaxed_products.distances_told(made).startswith("2 of 2 above 0.5 A, 1 of 2 above 0.6 radii")


def test_a_checkpoint_that_makes_no_model_is_told_with_its_file(model, cross_model, tmp_path):
    for made in (model, cross_model):
        made.save(tmp_path / "whole.safetensors")
        check_faults_are_told(type(made).load, tmp_path / "whole.safetensors")
