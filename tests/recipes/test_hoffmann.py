"""The recipe `hoffmann`: images and their inverse, the contract of a model of crystals, training in small."""

import functools
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from broken_checkpoints import check_faults_are_told

pytest.importorskip("monai")

from novalith.data.library import Library
from novalith.errors import CapabilityError, InputError, UnknownNameError
from novalith.materials import Composition, Crystal, PhaseField, Verdict
from novalith.recipes.crystal_models import SampleRequest, load_crystal_model
from novalith.recipes.hoffmann import (
    CELLS,
    SIZES,
    Hoffmann,
    HoffmannSettings,
    cell_code,
    cell_of_code,
)
from novalith.recipes.hoffmann_bench import anion_class, crystal_system
from novalith.recipes.hoffmann_images import (
    BoxedCrystal,
    DensityImages,
    SpeciesImages,
    standing,
    to_density,
    to_image,
    with_neighbours,
)
from novalith.recipes.hoffmann_reading import read_back
from novalith.recipes.training import TrainingOrder, train_recipe
from novalith.represent.box_folding import lattice_heights
from novalith.testing import CrystalModelContract


def rock_salt(first="Na", second="Cl", edge=5.64):
    lattice = edge / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    return Crystal.from_arrays(lattice * np.sign(np.linalg.det(lattice)), [first, second], [[0, 0, 0], [0.5] * 3])


def caesium_chloride(first="Cs", second="Cl", edge=4.12):
    return Crystal.from_arrays(np.eye(3) * edge, [first, second], [[0, 0, 0], [0.5] * 3])


@functools.cache
def table():
    """A table of crystals, one of them with too long a cell, as bytes of a CSV file."""
    import pandas as pd

    energy, noble = "formation_energy_ev_per_atom", {"He", "Ne", "Ar"}  # pymatgen warns of noble gases
    small = [s for s in Library().structures if s.crystal.n_atoms <= 4 and energy in s.properties]
    known = [s for s in small if not noble & set(s.crystal.species)][:90]
    rows = [{"cif": s.crystal.to_structure().to(fmt="cif"), "formation_energy": s.properties[energy]} for s in known]
    long = Crystal.from_arrays(np.diag([3.0, 3.0, 12.0]), ["Fe"], [[0, 0, 0]])
    rows.append({"cif": long.to_structure().to(fmt="cif"), "formation_energy": 1.0})
    return pd.DataFrame(rows).to_csv(index=False).encode()


def train(out):
    data = out.with_name("table.csv")
    data.write_bytes(table())
    return train_recipe("hoffmann", TrainingOrder(data, out, size="tiny", epochs=1, options={"crystals": "24"}))


@functools.cache
def trained():
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tiny.safetensors"
        summary = train(out)
        assert sorted(p.name for p in out.parent.iterdir()) == ["table.csv", out.name]  # nothing is left of the stages
        return Hoffmann.load(out), summary


class TestContract(CrystalModelContract):
    def model(self):
        return trained()[0]

    def crystals(self):
        return [rock_salt(), caesium_chloride(), rock_salt("Mg", "O", 4.21)]

    def beyond(self):
        long = Crystal.from_arrays(np.diag([3.0, 3.0, 12.0]), ["Fe"], [[0, 0, 0]])
        return [(long, "hoffmann"), (caesium_chloride("Cf", "Cl"), "elements")]


def test_training_accounts_for_every_crystal_and_holds_systems_out(tmp_path):
    from novalith.recipes.hoffmann_training import crystals_of, split_crystals

    model, summary = trained()
    data = tmp_path / "table.csv"
    data.write_bytes(table())
    read = crystals_of(data)
    split = split_crystals(read, model, rng=np.random.default_rng(0))
    parts = [split.training, split.validation, split.held_out]
    assert sum(map(len, parts)) + len(split.set_aside) == len(read) == 91
    assert "12.00 Å" in split.set_aside[91]
    systems = [{c.crystal.composition.field.name for c in part} for part in parts]
    assert not systems[0] & systems[1]
    assert not (systems[0] | systems[1]) & systems[2]
    assert summary.n_rows == 24
    assert set(model.held_out) == systems[2]
    assert not {Composition.parse(f).field.name for f in model.training_formulas} & systems[2]


def test_the_same_seed_trains_the_same_model(tmp_path):
    model = trained()[0]
    again = tmp_path / "again.safetensors"
    train(again)
    model.save(tmp_path / "first.safetensors")
    assert again.read_bytes() == (tmp_path / "first.safetensors").read_bytes()


def test_orders_that_make_no_sense_are_refused(tmp_path):
    for order, error in (
        ({"targets": ("band_gap",)}, UnknownNameError),
        ({"options": {"cells": "beside"}}, UnknownNameError),
        ({"options": {"crystals": "three"}}, InputError),
        ({"size": "huge"}, UnknownNameError),
    ):
        with pytest.raises(error):
            train_recipe("hoffmann", TrainingOrder(None, tmp_path / "x.safetensors", **{"size": "tiny", **order}))


def test_networks_of_the_published_size_fit_together():
    import torch

    from novalith.networks.monai_unet import monai_network
    from novalith.networks.voxel_autoencoder import VoxelDecoder, VoxelEncoder

    settings = SIZES["paper"]
    s, n = settings.autoencoder, settings.n
    with torch.device("meta"):  # shapes alone: the numbers would be half a gigabyte
        unet = monai_network(settings.segmenter.unet, 4)
        encoder = VoxelEncoder(1, n, s.widths, 2 * s.n_latent, n_blocks=s.n_blocks)
        decoder = VoxelDecoder(1, n, s.widths, s.n_latent, n_blocks=s.n_blocks)
        image = torch.zeros(2, 1, n, n, n)
        code = encoder(image, torch.zeros(2, 0))
        back = decoder(code[:, : s.n_latent], torch.zeros(2, 0))
        found = unet(image.expand(-1, 4, -1, -1, -1))
    assert code.shape == (2, 600)
    assert back.shape == image.shape
    assert found.shape == (2, settings.segmenter.unet.n_features, n, n, n)


@pytest.mark.parametrize("size", SIZES)
def test_settings_come_back_from_json(size):
    assert HoffmannSettings.of_json(json.loads(json.dumps(asdict(SIZES[size])))) == SIZES[size]


def test_an_autoencoder_for_another_box_is_refused():
    with pytest.raises(InputError, match="32 voxels"):
        replace(SIZES["paper"], n=16)


def test_an_image_gives_its_density_back():
    density = np.array([0.0, 0.01, 0.5, 6.0], dtype=np.float32)
    assert np.allclose(to_density(to_image(density)), density, rtol=1e-4, atol=1e-5)


def test_a_cell_survives_its_code():
    lattice = BoxedCrystal.of(rock_salt()).lattice
    back = cell_of_code(cell_code(lattice))
    assert np.allclose(back @ back.T, lattice @ lattice.T, atol=1e-4)
    assert cell_of_code(np.array([0, 0, 0, 9, 9, 9.0])) is None
    assert cell_of_code(np.full(6, np.nan)) is None


def test_a_cell_is_turned_not_changed():
    lattice = np.array([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0.1]])
    turned = standing(lattice)
    assert np.allclose(turned @ turned.T, lattice @ lattice.T)
    assert np.allclose(turned[[0, 0, 1], [1, 2, 2]], 0)
    assert (np.diag(turned) > 0).all()


def test_the_heaviest_atom_stands_in_the_middle_of_the_box():
    boxed, box = BoxedCrystal.of(caesium_chloride()), SIZES["default"].box
    image = SpeciesImages([boxed], box, "heaviest", 0.0).pairs(np.array([0]), np.random.default_rng(0))[1][0]
    assert image[16, 16, 16] == 55
    density = DensityImages([boxed], box, "heaviest").densities(np.array([0]), np.random.default_rng(0))
    assert density[0, 0, 15:17, 15:17, 15:17].min() > 0.9 * density.max()


def test_elements_are_replaced_by_neighbours_and_stay_distinct():
    numbers = np.array([8, 8, 22, 26])
    for seed in range(20):
        moved = with_neighbours(numbers, rng=np.random.default_rng(seed))
        assert moved[0] == moved[1]
        assert len(set(moved)) == 3
        assert np.abs(moved - numbers).max() <= 4


def test_least_squares_read_the_true_numbers_from_a_true_density():
    model, boxed = trained()[0], BoxedCrystal.of(rock_salt())
    rng = [np.random.default_rng(0) for _ in range(2)]
    density, origin = model.density_of(boxed, rng=rng[0]), model.offset_of(boxed, rng=rng[1])
    heights = lattice_heights(density, boxed.lattice, boxed.positions + origin, model.settings.box)
    assert np.allclose(heights, boxed.numbers, atol=0.02)


class TrueSpecies:
    """A reader without error, in place of the UNet."""

    def __init__(self, boxed, box):
        source = SpeciesImages([boxed], box, "heaviest", 0.0)
        self.density, species = source.pairs(np.array([0]), np.random.default_rng(0))
        self.found = np.eye(97, dtype=np.float32)[species.reshape(1, -1)]

    def probabilities(self, _):
        return self.found[0].copy()[None]


@pytest.mark.parametrize("cell", CELLS)
def test_a_network_without_error_reads_the_crystal(cell):
    model, boxed = Hoffmann(SIZES["default"], cell), BoxedCrystal.of(rock_salt())
    model.segmenter = TrueSpecies(boxed, model.settings.box)
    density = model.segmenter.density[0, 0]
    reading = read_back(model, boxed, density)[cell, "network", "network", "any"]
    assert reading.formula_right
    assert reading.rms is not None
    assert reading.rms < 0.02
    sodium = model.read(density, boxed.lattice, SampleRequest(field=PhaseField.parse("Na")))
    assert set(sodium.species) == {"Na"}  # an atom stays an atom when its element may not be named


def test_what_was_asked_for_is_kept():
    model = trained()[0]
    field = PhaseField.parse("Mg-O")
    for product in model.sample(4, SampleRequest(field=field), rng=np.random.default_rng(0)):
        assert isinstance(product, Verdict) or field.covers(product.composition.field)
    asked = SampleRequest(composition=Composition.parse("Mg3O7"))
    for product in model.sample(4, asked, rng=np.random.default_rng(0)):
        assert product.reason if isinstance(product, Verdict) else product.composition.formula == "Mg3O7"
    with pytest.raises(CapabilityError):
        model.sample(1, SampleRequest(family="perovskite"), rng=np.random.default_rng(0))


def test_both_ways_to_the_cell_are_stored(tmp_path):
    model = trained()[0].with_ways("autocorrelation", "heights", "network")
    model.save(tmp_path / "a.safetensors")
    again = load_crystal_model(tmp_path / "a.safetensors")
    assert (again.cell, again.species, again.atoms) == ("autocorrelation", "heights", "network")
    with pytest.raises(UnknownNameError):
        Hoffmann(SIZES["tiny"], "somewhere")


def test_classes_of_compounds():
    assert anion_class(rock_salt()) == "fluorides to iodides"
    assert anion_class(rock_salt("Mg", "O")) == "oxides"
    assert anion_class(caesium_chloride("Ti", "Fe", 2.98)) == "metals and alloys"
    assert crystal_system(rock_salt()) == "cubic"
    assert crystal_system(Crystal.from_arrays(np.diag([3.0, 3.0, 4.1]), ["Fe"], [[0, 0, 0]])) == "tetragonal"


def test_a_checkpoint_that_makes_no_model_is_told_with_its_file(tmp_path):
    trained()[0].save(tmp_path / "whole.safetensors")
    check_faults_are_told(Hoffmann.load, tmp_path / "whole.safetensors", ["no label.formation_energy"])
