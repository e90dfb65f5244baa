"""Court's model: families in one setting, images with the right heights, a tiny model that keeps the contract."""

import os
from copy import copy
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from broken_checkpoints import check_faults_are_told

from novalith.data.library import Library
from novalith.errors import CorruptDataError, EmptyResultError, InputError, UnknownNameError
from novalith.materials import ATOMIC_NUMBERS, ELEMENTS, Composition, Crystal, Verdict
from novalith.recipes import court_bench
from novalith.recipes.court import N_BINS, SIZES, Bins, Court
from novalith.recipes.court_bench import _judged, relaxed_record
from novalith.recipes.court_families import family_named, kind_of
from novalith.recipes.court_guide import EnergyGuide
from novalith.recipes.court_images import (
    UNITS,
    ElementClasses,
    column,
    core_labels,
    edge_of,
    flat,
    image_of,
    padded,
    substituted,
    unflat,
)
from novalith.recipes.court_judging import match_rms, reconstruction_records, site_distance
from novalith.recipes.court_reading import all_sites, fit_columns, likeliest
from novalith.recipes.court_segmentation import asked_voxels, class_weights
from novalith.recipes.court_training import FamilySet, gather, held_out, perceptual_loss, train_court, train_from_file
from novalith.recipes.crystal_models import SampleRequest
from novalith.recipes.points_judging import Relaxed
from novalith.recipes.training import TrainingOrder
from novalith.recipes.voxel_bench import VoxelBench
from novalith.represent.density_coordinates import DensityCoordinates, ionic_radius_a
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from novalith.testing import CrystalModelContract

pytest.importorskip("skimage", reason="the extra 'voxels' is not installed")

FACES = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]


def caesium_chloride(a, first, second):
    return Crystal.from_arrays(np.eye(3) * a, [first, second], [(0, 0, 0), (0.5, 0.5, 0.5)])


def rock_salt(a, first, second):
    places = [*FACES, *[tuple((np.array(f) + 0.5) % 1) for f in FACES]]
    return Crystal.from_arrays(np.eye(3) * a, [first] * 4 + [second] * 4, places)


def perovskite(a, species, moves=()):
    places = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    for site, move in moves:
        places[site] += move
    return Crystal.from_arrays(np.eye(3) * a, species, places)


def heusler(a, x, y, z, half=False, inverse=False):
    corners = np.array(FACES)
    quarters = [corners + 0.25] if half else [corners + 0.25, corners + 0.75]
    places, species = [corners, corners + 0.5, *quarters], [z, y, x, x]
    if inverse:  # X on 4b and 4c: one X and Y have changed places
        species = [z, x, x, y]
    return Crystal.from_arrays(
        np.eye(3) * a, [s for s, p in zip(species, places, strict=False) for _ in p], np.concatenate(places)
    )


class TestFamilies:
    def test_real_prototypes_find_their_family(self):
        for crystal, family, kind in (
            (rock_salt(5.64, "Na", "Cl"), "alloy", "AB"),
            (heusler(5.8, "Ni", "Mn", "Sn"), "heusler", "full"),
            (heusler(5.8, "Mn", "Co", "Al", inverse=True), "heusler", "inverse"),
            (heusler(5.9, "Ni", "Ti", "Sn", half=True), "heusler", "half"),
            (perovskite(3.9, ["Sr", "Ti", "O", "O", "O"]), "perovskite", "ideal"),
            (perovskite(4.0, ["Pb", "Ti", "O", "O", "O"], [(1, [0.04, 0, 0])]), "perovskite", "distorted"),
        ):
            found = family_named(family).setting(crystal)
            assert isinstance(found, Crystal)
            assert found.composition == crystal.composition
            assert kind_of(found, family_named(family)) == kind
            assert match_rms(found, crystal) == pytest.approx(0.0, abs=1e-3)

    @pytest.mark.parametrize("move", [(0.25, 0.5, 0.0), (0.5, 0.5, 0.5)])
    def test_the_choice_of_origin_and_axes_does_not_change_the_setting(self, move):
        for crystal, name in (
            (heusler(6.0, "Ni", "Ti", "Sn", half=True), "heusler"),
            (perovskite(4.2, ["Sr", "Ti", "O", "N", "F"], [(0, [0.1, 0, 0]), (3, [0.05, 0, 0])]), "perovskite"),
        ):
            frac = np.array(crystal.frac_coords)
            turned = Crystal.from_arrays(crystal.lattice, crystal.species[::-1], (frac + move)[::-1, [2, 0, 1]])
            one, other = (family_named(name).setting(c) for c in (crystal, turned))
            assert one.species == other.species
            assert np.allclose(one.frac_coords, other.frac_coords, atol=1e-6)

    def test_strangers_are_told_why(self):
        family = family_named("perovskite")
        wide = Crystal.from_arrays(
            np.diag([4, 4, 4.4]), ["Ba", "Ti", "O", "O", "O"], perovskite(4, ["O"] * 5).frac_coords
        )
        for crystal, words in (
            (rock_salt(5.64, "Na", "Cl"), "five atoms"),
            (wide, "not cubic"),
            (perovskite(4.0, ["Ba", "Ti", "O", "O", "O"], [(0, [0.3, 0.3, 0.3])]), "columns of a perovskite"),
        ):
            found = family.setting(crystal)
            assert isinstance(found, Verdict)
            assert words in found.reason
        with pytest.raises(UnknownNameError, match="perovskite"):
            family_named("perovskit")


class TestImages:
    def test_the_peak_of_a_lone_site_is_z_over_its_width_cubed(self):
        crystal = Crystal.from_arrays(np.eye(3) * 8.0, ["Ni"], [(0.5 / 32, 0.5 / 32, 0.5 / 32)])
        image = image_of(crystal, 32)
        s = ionic_radius_a(28)
        assert 0.2 * np.expm1(image[0, 0, 0, 0]) == pytest.approx(28 / (s**3 * (2 * np.pi) ** 1.5), rel=1e-3)
        # Column 24 of the long periodic table, each 1.1 times the one before; width 0.7 Å.
        assert 0.2 * np.expm1(image[1, 0, 0, 0]) == pytest.approx(1.1**23 / (0.7**3 * (2 * np.pi) ** 1.5), rel=1e-3)

    def test_the_long_periodic_table_has_32_columns_and_no_two_neighbours_share_one(self):
        places = {s: round(np.log(column(ATOMIC_NUMBERS[s])) / np.log(1.1)) + 1 for s in ELEMENTS[:103]}
        assert [places[s] for s in ("H", "Be", "La", "Ho", "Er", "Yb", "Lu", "Y", "Ti", "Ag", "Cd", "F", "Xe")] == [
            1, 2, 3, 13, 14, 16, 17, 17, 18, 25, 26, 31, 32,
        ]  # fmt: skip
        assert all(places[a] != places[b] for a, b in pairwise(ELEMENTS[:103]))
        assert places["Ac"] == places["La"] and places["U"] == places["Nd"]

    def test_images_repeat_over_the_faces(self):
        one = image_of(perovskite(4.0, ["Sr", "Ti", "O", "O", "O"]), 16)[:2]
        shifted = [(0.5, 0, 0)] * 5
        other = image_of(perovskite(4.0, ["Sr", "Ti", "O", "O", "O"], list(enumerate(np.array(shifted)))), 16)[:2]
        assert np.allclose(np.roll(one, 8, axis=1), other, atol=1e-5)
        assert padded(one).shape == (2, 24, 24, 24)
        assert np.array_equal(padded(one)[:, :4], padded(one)[:, 16:20])

    def test_the_edge_comes_back_from_the_coordinates(self):
        image = image_of(rock_salt(5.64, "Na", "Cl"), 16)
        assert edge_of(image) == pytest.approx(5.64, abs=1e-4)
        image[3] *= 1.3
        assert "cubic" in edge_of(image).reason

    def test_rows_keep_images_and_their_distances(self):
        images = np.stack([image_of(rock_salt(a, "Na", "Cl"), 8) for a in (5.0, 6.0)])
        rows = flat(images)
        assert rows.shape == (2, 2 * 8**3 + 3 * 25)
        assert np.allclose(unflat(rows, 8), images, atol=1e-4)
        apart = (images[0] - images[1]) / UNITS[:, None, None, None]
        assert np.linalg.norm(rows[0] - rows[1]) == pytest.approx(np.linalg.norm(apart), rel=1e-4)

    def test_cores_are_spheres_around_the_sites(self):
        crystal = perovskite(4.0, ["Sr", "Ti", "O", "O", "O"])
        labels = core_labels(crystal, 16)
        volume = 4 / 3 * np.pi * 0.7**3 / 0.25**3
        assert np.bincount(labels.reshape(-1))[1:] == pytest.approx([volume] * 5, rel=0.15)
        assert labels[8, 8, 8] == 2

    def test_rare_elements_weigh_more_and_three_in_four_voxels_lie_in_cores(self):
        crystals = [caesium_chloride(4.0, "Na", "Cl")] * 8 + [caesium_chloride(4.0, "K", "Cl")] * 2
        classes = ElementClasses.of(crystals)
        weights = class_weights(crystals, classes)
        assert classes.symbols == ("Na", "Cl", "K")
        # 8, 10 and 2 atoms: 1 / sqrt(count), with mean 1 over the atoms.
        assert weights[1:] * np.sqrt([8, 10, 2]) == pytest.approx([weights[1] * np.sqrt(8)] * 3)
        assert weights[1:] @ [8, 10, 2] == pytest.approx(20)
        cores = core_labels(crystals[0], 16).reshape(1, -1)
        picked = asked_voxels(cores, 400, np.random.default_rng(0))
        assert (cores[0, picked[0, :300]] > 0).all()
        assert set(substituted(crystals[0], classes, np.random.default_rng(0)).species) <= set(classes.symbols)


def read_back(crystal, starts, noise=0.0):
    image = image_of(crystal, 16)
    image[:2] += noise * np.random.default_rng(0).standard_normal((2, 16, 16, 16))
    edge = crystal.lattice[0][0]
    fit = all_sites(image[1], np.array(starts, float), edge)
    symbols = tuple(ELEMENTS[:94])
    return Crystal.from_arrays(crystal.lattice, likeliest(image[0], fit, edge, symbols), fit.frac)


class TestReading:
    @pytest.mark.parametrize("noise", [0.0, 0.01])
    def test_neighbours_in_the_row_of_lanthanides_are_told_apart_from_cores_a_tenth_of_an_angstrom_off(self, noise):
        for rare in ("Tb", "Dy", "Ho", "Er"):
            crystal = heusler(6.5, "Pd", rare, "Sn")
            off = 0.02 * np.random.default_rng(1).standard_normal((16, 3))
            read = read_back(crystal, np.array(crystal.frac_coords) + off, noise)
            assert read.species == crystal.species
            distance, alone = site_distance(read, crystal)
            assert (alone, distance) == (0, pytest.approx(0.0, abs=0.01))

    def test_atoms_that_share_a_core_come_apart(self):
        close = perovskite(3.6, ["B", "Pb", "N", "O", "F"], [(0, [0.3, 0, 0.12]), (3, [-0.2, 0, 0])])
        frac = np.array(close.frac_coords)
        assert np.linalg.norm(frac[0] - frac[3]) * 3.6 == pytest.approx(1.37, abs=0.01)
        read = read_back(close, np.vstack([(frac[0] + frac[3]) / 2, frac[[1, 2, 4]]]))
        assert read.composition == close.composition
        assert site_distance(read, close)[0] == pytest.approx(0.0, abs=0.01)

    def test_all_five_atoms_are_found_from_one_core(self):
        crystal = perovskite(4.0, ["Sr", "Ti", "O", "N", "F"], [(1, [0.05, 0, 0])])
        read = read_back(crystal, [(0.4, 0.4, 0.3)])
        assert read.composition == crystal.composition
        assert site_distance(read, crystal)[0] == pytest.approx(0.0, abs=0.01)

    @pytest.mark.parametrize("extra", [(0.5, 0, 0), (0.4, 0.45, 0.5), (0.6, 0.6, 0.6)])
    def test_a_core_without_an_atom_and_a_second_one_of_an_atom_go(self, extra):
        crystal = caesium_chloride(4.1, "Cs", "Cl")
        read = read_back(crystal, [*crystal.frac_coords, extra])
        assert sorted(read.species) == ["Cl", "Cs"]

    def test_the_misfit_is_what_no_atom_explains(self):
        crystal = caesium_chloride(4.1, "Cs", "Cl")
        v = image_of(crystal, 16)[1]
        noise = 0.05 * np.random.default_rng(0).standard_normal(v.shape)
        heights = np.array([column(ATOMIC_NUMBERS[s]) for s in crystal.species])
        assert fit_columns(v + noise, np.array(crystal.frac_coords), heights, 4.1).misfit == pytest.approx(
            0.05, rel=0.05
        )
        alone = fit_columns(v, np.array(crystal.frac_coords)[:1], heights[:1], 4.1)
        assert alone.misfit > 0.3


class TestBins:
    def test_bins_hold_equally_many_and_unknown_is_all_zeros(self):
        energies = np.linspace(-2, 3, 200)
        bins = Bins.of(energies)
        rows = bins.condition(np.append(energies, np.nan))
        assert rows.shape == (201, N_BINS)
        assert (rows[:-1].sum(axis=0) == 20).all()
        assert not rows[-1].any()
        with pytest.raises(InputError, match="at least 10"):
            Bins.of(np.full(20, np.nan))


def test_site_distances_take_the_nearest_image_and_count_the_lonely():
    one = caesium_chloride(4.0, "Na", "Cl")
    moved = Crystal.from_arrays(one.lattice, one.species, [(0.99, 0, 0), (0.5, 0.5, 0.5)])
    assert site_distance(moved, one) == (pytest.approx(0.02), 0)
    assert site_distance(rock_salt(4.0, "Na", "Cl"), one)[1] == 6


CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Cs", "Tl"), ("F", "Cl", "Br", "I")


def salts():
    crystals = [
        caesium_chloride(3.4 + 0.25 * i + 0.2 * j, first, second)
        for i, first in enumerate(CATIONS)
        for j, second in enumerate(ANIONS)
    ]
    energies = np.array([-2.5 + 0.1 * i + 0.3 * j for i in range(6) for j in range(4)])
    ready = tuple(family_named("alloy").setting(c) for c in crystals)
    return FamilySet("alloy", ready, energies, tuple(map(str, range(24))), {})


@cache
def tiny():
    return train_court(salts(), SIZES["tiny"], None, rng=np.random.default_rng(0))[0]


class TestContract(CrystalModelContract):
    def model(self):
        return tiny()

    def crystals(self):
        return [caesium_chloride(4.1, "Cs", "Cl"), caesium_chloride(3.9, "Na", "I")]

    def beyond(self):
        return [
            (perovskite(3.9, ["Sr", "Ti", "O", "O", "O"]), "family"),
            (caesium_chloride(4.0, "Ag", "Cl"), "elements"),
            (caesium_chloride(10.5, "Cs", "I"), "court"),
        ]


def test_the_autoencoder_of_a_tiny_model_already_returns_its_images():
    model = tiny()
    crystals = salts().crystals[:6]
    codes = model.encode_prepared(crystals, np.full(6, np.nan))
    came = model.decoded(codes, np.full(6, np.nan))
    true = np.stack([image_of(c, 8) for c in crystals])
    assert np.sqrt(((came - true)[:, :2] ** 2).mean()) < 0.1 * true[:, :2].std()
    assert [edge_of(image) for image in came] == pytest.approx([c.lattice[0][0] for c in crystals], abs=0.05)


def test_a_batch_of_one_image_does_not_stop_the_training():
    model = tiny()
    images = torch.from_numpy(flat(np.stack([image_of(c, 8) for c in salts().crystals[:2]])))
    loss = perceptual_loss(model)
    assert loss(images, 1.1 * images).item() > 0
    assert loss(images[:1], 1.1 * images[:1]).item() == 0


def test_an_empty_image_and_one_that_is_not_finite_are_verdicts():
    model = tiny()
    image = image_of(salts().crystals[0], 8)
    empty, broken = image.copy(), image.copy()
    empty[:2], broken[0, 0, 0, 0] = 0.0, np.nan
    model.net.core.bias.data -= 50.0
    try:
        found = model.crystals_of(np.stack([empty, broken]))
    finally:
        model.net.core.bias.data += 50.0
    assert [v.rule for v in found] == ["empty", "decode"]


def test_a_core_whose_species_say_no_atom_is_none():
    model, image = tiny(), image_of(salts().crystals[0], 8)
    core, regions = np.zeros((12, 12, 12)), np.zeros((12, 12, 12), dtype=int)
    core[1:4, 1:4, 1:4], core[5:8, 5:8, 5:8] = 1.0, 1.0
    regions[1:4, 1:4, 1:4], regions[5:8, 5:8, 5:8] = 1, 2
    species = np.zeros((54, len(model.classes)))
    species[:27, 3], species[27:, 0], species[27:, 2] = 1.0, 0.6, 0.4
    found = model._crystal(image, core, regions, species, False)
    assert found.species == (model.classes.symbols[2],)
    species[:27, 0], species[:27, 3] = 0.7, 0.3
    assert model._crystal(image, core, regions, species, True).rule == "empty"


def test_a_checkpoint_with_another_image_of_columns_is_refused(tmp_path):
    tiny().save(tmp_path / "m.safetensors")
    stored = load_checkpoint(tmp_path / "m.safetensors", "court")
    assert Court.load(tmp_path / "m.safetensors").family.name == "alloy"
    old = {k: v for k, v in stored.config.items() if k != "columns"}
    save_checkpoint(Checkpoint("court", stored.tensors, old, stored.vocabulary), tmp_path / "old.safetensors")
    with pytest.raises(CorruptDataError, match="train it again"):
        Court.load(tmp_path / "old.safetensors")


def test_draws_for_an_energy_lie_between_crystals_of_its_bin():
    model = tiny()
    codes = model.draw_codes(20, SampleRequest(targets={"formation_energy": -2.5}), rng=np.random.default_rng(0))
    energies = model.training_labels["formation_energy"]
    lowest = model.training_codes[model.bins.of_energy(energies) == 0]
    for code in codes:
        way = [
            np.linalg.norm(code - a) + np.linalg.norm(code - b) - np.linalg.norm(a - b) for a in lowest for b in lowest
        ]
        assert min(way) == pytest.approx(0.0, abs=1e-4)


def test_the_guide_knows_energies_between_its_anchors():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((400, 3))
    energies = w[:, 0] + 0.5 * w[:, 1] ** 2
    guide = EnergyGuide.of(w, np.array([4.0, 4.0, 0.1]), energies)
    new = 0.7 * rng.standard_normal((50, 3))
    assert np.abs(guide.energies(new) - new[:, 0] - 0.5 * new[:, 1] ** 2).mean() < 0.1


def test_of_eight_codes_the_one_with_the_nearest_guess_is_drawn():
    model = tiny()
    asked = SampleRequest(targets={"formation_energy": -2.5})
    codes = model.draw_codes(30, asked, rng=np.random.default_rng(0))
    condition = model.bins.condition(np.full(30, -2.5))
    guessed = model._guide.energies(model.autoencoder.coefficients(codes, condition))
    training = np.sort(model.training_labels["formation_energy"])
    assert np.abs(guessed + 2.5).mean() < np.abs(training[:3] + 2.5).mean() + 0.15


class Scale:
    """A judge that says -1 eV/atom of every crystal."""

    near_share = 1.0

    def energy(self, crystal):
        return -1.0 + 0 * crystal.n_atoms


def test_shares_count_failures_among_the_draws():
    salt, crowded = caesium_chloride(4.1, "Cs", "Cl"), caesium_chloride(1.5, "Cs", "Cl")
    alloy = caesium_chloride(3.0, "Cs", "Na")
    products = [salt, crowded, Verdict(False, "empty", "nothing"), alloy]
    energies, row = _judged(tiny(), products, np.array([-1.1, -1.0, -1.0, 0.0]), Scale())
    assert np.isnan(energies).tolist() == [False, True, True, False]
    assert row["decoded and of the family, %"] == 75
    assert row["distances, %"] == 50
    assert row["distances and charge, %"] == row["within 0.2 eV/atom, %"] == 25


def test_relaxed_draws_are_counted_against_all_draws_on_the_scale_of_the_labels(monkeypatch, tmp_path):
    salt, crowded, alloy = (caesium_chloride(a, *s) for a, *s in ((4.1, "Cs", "Cl"), (1.5, "Cs", "Cl"), (5, "K", "Na")))
    monkeypatch.setattr(Court, "sample", lambda *_, **__: [salt, crowded, Verdict(False, "empty", "nothing"), alloy])
    given = []

    def relaxed(crystals, *_):
        given.extend(crystals)
        return [Relaxed(crystals[0], crystals[0], True, 0.15), Relaxed(crystals[1], crystals[1], False, None)]

    monkeypatch.setattr(court_bench, "relax_products", relaxed)
    known = replace(salts(), energies=np.full(24, Library().hull_energies["CsCl"] + 0.3))
    model, judge = copy(tiny()), Scale()
    model.bins = Bins(np.linspace(0, 1, N_BINS - 1))
    judge.offset_ev = -0.05  # the product then lies at hull + 0.20, 0.1 below what was asked for
    row = relaxed_record(model, known, judge, VoxelBench(None, tmp_path))
    assert [c.composition.formula for c in given] == ["CsCl", "KNa"]
    assert (row["draws"], row["sound and relaxed"], row["converged"]) == (4, 2, 1)
    assert (row["within 0.2 of the hull"], row["within 0.1 of the hull"]) == (1, 0)
    assert (row["within 0.2 of the energy"], row["in training set"]) == (1, 1)
    assert row["asked, eV/atom"] == pytest.approx(Library().hull_energies["CsCl"] + 0.3)
    judge.offset_ev = 0.15  # at hull + 0.00: 0.3 below
    assert relaxed_record(model, known, judge, VoxelBench(None, tmp_path))["within 0.2 of the energy"] == 0


def test_figures_count_every_crystal():
    rows = reconstruction_records(tiny(), salts(), most=5)
    assert rows[-1]["n"] == 5
    assert 0 <= rows[-1]["match, %"] <= 100


def test_systems_are_held_out_whole():
    crystals = [c for c in salts().crystals for _ in range(3)]
    test = held_out(crystals)
    assert test.sum() == 3 * 5  # one in five of 24 systems
    assert not {c.composition for c, t in zip(crystals, test, strict=True) if t} & {
        c.composition for c, t in zip(crystals, test, strict=True) if not t
    }


def test_a_table_trains_a_model_and_every_row_has_its_reason(tmp_path):
    rows = [
        {"id": str(i), "cif": c.to_structure().to(fmt="cif"), "formation_energy_per_atom": e}
        for i, (c, e) in enumerate(zip(salts().crystals, salts().energies, strict=True))
    ]
    rows.append(
        {"id": "x", "cif": rock_salt(5.6, "Na", "Cl").to_structure().to(fmt="cif"), "formation_energy_per_atom": -2}
    )
    rows.append({"id": "y", "cif": perovskite(4, ["Sr", "Ti", "O", "O", "O"]).to_structure().to(fmt="cif"),
                 "formation_energy_per_atom": -3})  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "salts.csv", index=False)
    options = {"family": "alloy", "bundled": "no"}
    order = TrainingOrder(tmp_path / "salts.csv", tmp_path / "m.safetensors", size="tiny", options=options)
    summary = train_from_file(order)
    assert summary.n_rows + round(0.2 * 24) + len(summary.set_aside) >= len(rows) - 1
    assert "no alloy" in summary.set_aside[26]
    assert not list(tmp_path.glob("*.resume*"))
    model = Court.load(tmp_path / "m.safetensors")
    assert len(model.sample(3, SampleRequest(family="alloy"), rng=np.random.default_rng(0))) == 3
    pd.DataFrame([{"id": "1", "formula": "NaCl"}] * 20).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(InputError, match="expected 'cif'"):
        train_from_file(TrainingOrder(tmp_path / "none.csv", tmp_path / "n.safetensors", size="tiny", options=options))
    pd.DataFrame(rows[:0], columns=list(rows[0])).to_csv(tmp_path / "no_rows.csv", index=False)
    with pytest.raises(EmptyResultError, match="no rows"):
        train_from_file(TrainingOrder(tmp_path / "no_rows.csv", tmp_path / "n.safetensors", size="tiny"))
    with pytest.raises(UnknownNameError, match="familly"):
        train_from_file(TrainingOrder(None, tmp_path / "n.safetensors", size="tiny", options={"familly": "alloy"}))
    pd.DataFrame(rows[-2:]).to_csv(tmp_path / "few.csv", index=False)
    with pytest.raises(EmptyResultError, match="at least 20"):
        train_from_file(TrainingOrder(tmp_path / "few.csv", tmp_path / "n.safetensors", size="tiny", options=options))


@pytest.mark.skipif("NOVALITH_DATA" not in os.environ, reason="NOVALITH_DATA names no folder of data")
def test_castelli_labels_come_with_the_hull_of_the_composition(tmp_path):
    table = pd.read_parquet(Path(os.environ["NOVALITH_DATA"]) / "perov5.parquet").iloc[:24]
    table.to_parquet(tmp_path / "few.parquet")
    library = Library()
    found = gather(tmp_path / "few.parquet", family_named("perovskite"), library, DensityCoordinates(), bundled=False)
    assert len(found.crystals) + len(found.set_aside) == 24
    # Heats are at least zero, so no label lies below the hull of its composition by more than noise.
    lowest = min(library.hull_energies[f] for f in library.hull_energies if Composition.parse(f).n_atoms <= 5)
    assert (found.energies > lowest - 1).all()
    assert np.isfinite(found.energies).all()


def test_a_checkpoint_that_makes_no_model_is_told_with_its_file(tmp_path):
    tiny().save(tmp_path / "whole.safetensors")
    check_faults_are_told(Court.load, tmp_path / "whole.safetensors")
