"""Voxel images give crystals back: real ones, oblique ones, noisy ones; what is no crystal gets a reason."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from novalith.data.library import Library
from novalith.materials import Crystal, Verdict
from novalith.represent.cell_images import (
    CUT,
    SIGMA_A,
    STEP_A,
    CellImages,
    basis_image,
    cell_image,
    decode_basis,
    decode_cell,
)
from novalith.represent.density_coordinates import (
    DensityCoordinates,
    axis_fractions,
    conventional,
    density,
    fit_lattice,
    ionic_radius_a,
)
from novalith.represent.density_species import DensitySpecies, primitive
from novalith.represent.point_cloud import cell_parameters, lattice_matrix
from novalith.represent.registry import CODECS, codec_for
from novalith.represent.voxels import fit_gaussians, local_maxima, nearest_labels, parabola_peaks, sites_of_species

SALT = Crystal.from_arrays(
    np.eye(3) * 5.64,
    ["Na"] * 4 + ["Cl"] * 4,
    [
        [0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5],
        [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5],
    ],
)  # fmt: skip


@pytest.fixture(scope="module")
def known():
    return [k.crystal for k in Library().structures[::331]]


def triclinic(rng):
    """A random oblique cell of five atoms of three elements, none nearer than 1.2 Å to another."""
    while True:
        lattice = lattice_matrix(rng.uniform(4.0, 6.5, 3), rng.uniform(65.0, 115.0, 3))
        crystal = (
            None if lattice is None else Crystal.from_arrays(lattice, ["V", "V", "O", "O", "S"], rng.random((5, 3)))
        )
        if crystal is None:
            continue
        apart = crystal.to_structure().distance_matrix + 9 * np.eye(5)
        if apart.min() > 1.2 and crystal.volume > 60:
            return crystal


def same(given, back, angle=1e-3, length=1e-3):
    """Same cell, and the same crystal for pymatgen's matcher, to a thousandth of an Å."""
    assert isinstance(back, Crystal), back
    ours, theirs = (cell_parameters(np.asarray(c.lattice)) for c in (given, back))
    np.testing.assert_allclose(ours[0], theirs[0], atol=length)
    np.testing.assert_allclose(ours[1], theirs[1], atol=angle)
    found = StructureMatcher(primitive_cell=False, scale=False).get_rms_dist(given.to_structure(), back.to_structure())
    assert found is not None
    assert found[1] * (given.volume / given.n_atoms) ** (1 / 3) < 2e-3


def same_lattice(given, back):
    """The same crystal whatever the cell."""
    assert isinstance(back, Crystal), back
    assert back.n_atoms == given.n_atoms
    assert back.volume == pytest.approx(given.volume, rel=1e-4)
    found = StructureMatcher(scale=False).get_rms_dist(given.to_structure(), back.to_structure())
    assert found is not None
    assert found[1] * (given.volume / given.n_atoms) ** (1 / 3) < 2e-3


def test_a_gaussian_between_voxels_is_found_exactly_where_the_peak_voxel_errs_by_a_tenth_of_an_angstrom():
    true = np.array([[1.03, -2.11, 0.52], [1.6, -2.3, 0.9]])  # 0.71 Å apart: they overlap
    image = basis_image(true)
    peaks = local_maxima(image, 0.3)
    assert len(peaks) == 2
    order = np.argsort(peaks[:, 0])
    at_voxel = (peaks[order] - 32) * STEP_A
    assert np.linalg.norm(at_voxel - true, axis=1).max() > 0.08
    start = parabola_peaks(image, peaks[order])
    means, heights = fit_gaussians(image, start, SIGMA_A, STEP_A)
    np.testing.assert_allclose((means - 32) * STEP_A, true, atol=2e-3)
    np.testing.assert_allclose(heights, 1.0, atol=2e-2)


def test_the_parabola_of_the_logarithm_is_exact_for_a_lone_gaussian():
    for offset in np.random.default_rng(0).uniform(-0.5, 0.5, (5, 3)):
        image = basis_image(offset[None] * STEP_A)
        np.testing.assert_allclose(parabola_peaks(image, local_maxima(image, 0.3))[0] - 32, offset, atol=1e-4)


def test_the_basis_image_is_the_published_gaussian():
    """Of the value at a voxel against the formula, cut below 0.02 (support 0.727 Å)."""
    position = np.array([[0.1, -0.2, 0.05]])
    image = basis_image(position)
    axis = (np.arange(64) - 32) * 15 / 64
    d = np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) - position[0], axis=-1)
    expected = np.exp(-(d**2) / (2 * 0.26**2))
    np.testing.assert_allclose(image, np.where(expected < 0.02, 0.0, expected), atol=1e-6)
    assert d[image > 0].max() <= 0.26 * np.sqrt(2 * np.log(50)) + 1e-6
    assert CUT == 0.02


def test_the_cell_image_gives_its_six_numbers_to_rounding():
    rng = np.random.default_rng(1)
    for _ in range(10):
        edges, angles = rng.uniform(2.5, 10.0, 3), rng.uniform(60.0, 120.0, 3)
        lattice = lattice_matrix(edges, angles)
        if lattice is not None:
            np.testing.assert_allclose(decode_cell(cell_image(lattice)), [*edges, *angles], atol=2e-4)


def test_the_periodic_density_is_the_sum_over_images():
    """Fourier series against a plain sum over seven cells each way, and its integral against the electrons."""
    lattice = lattice_matrix(np.array([3.9, 4.4, 5.1]), np.array([80.0, 95.0, 110.0]))
    frac, numbers = np.array([[0.1, 0.2, 0.3], [0.6, 0.55, 0.9]]), np.array([23, 8])
    shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    axis = np.array([-0.2, 0.15, 0.7])
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    expected = np.zeros(points.shape[:3])
    for f, z in zip(frac, numbers, strict=True):
        s = ionic_radius_a(int(z))
        d2 = (((points[..., None, :] - f - shifts) @ lattice) ** 2).sum(axis=-1)
        expected += z * (2 * np.pi) ** -1.5 * s**-3 * np.exp(-d2 / (2 * s**2)).sum(axis=-1)
    np.testing.assert_allclose(density(lattice, frac, numbers, axis), expected, rtol=1e-4)
    whole = density(lattice, frac, numbers, np.arange(24) / 24)
    assert whole.mean() * np.linalg.det(lattice) == pytest.approx(31, rel=1e-6)


def test_radii_are_those_of_shannon():
    assert ionic_radius_a(8) == pytest.approx(1.26)  # O2-
    assert ionic_radius_a(11) == pytest.approx(1.16)  # Na+
    assert ionic_radius_a(2) == 1.20  # helium has none


def test_published_grid_of_court_and_coordinates_in_angstrom():
    arrays = DensityCoordinates().encode(SALT)
    assert arrays["coordinates"].min() == 0.0
    step = 1.5 * 5.64 / 32
    np.testing.assert_allclose(arrays["coordinates"][1, 0, :, 0], step * np.arange(32), rtol=1e-5)
    assert axis_fractions(32)[0] == pytest.approx(-0.25 + 1.5 / 64)
    assert set(np.unique(arrays["species"])) == {0, 11, 17}


@pytest.mark.parametrize("codec", [CellImages(), DensityCoordinates()], ids=lambda c: c.name)
def test_known_crystals_come_back(codec, known):
    given = [conventional(c) if codec.name == "court" else c for c in known]
    given = [c for c in given if codec.check(c).passed]
    assert len(given) >= 10
    for crystal in given:
        same(crystal, codec.decode(codec.encode(crystal)))


def test_repeating_lattices_come_back_at_any_offset(known):
    rng, tried = np.random.default_rng(2), 0
    for crystal in known:
        codec = DensitySpecies(tuple(rng.random(3) * 10.0))
        if codec.check(crystal).passed:
            tried += 1
            same_lattice(primitive(crystal), codec.decode(codec.encode(crystal)))
    assert tried >= 8


def test_rock_salt_at_every_offset_is_the_primitive_cell_of_two_atoms():
    rng = np.random.default_rng(3)
    for offset in ([0.0, 0.0, 0.0], *rng.random((4, 3)) * 10):
        codec = DensitySpecies(tuple(offset))
        back = codec.decode(codec.encode(SALT))
        assert sorted(back.species) == ["Cl", "Na"]
        np.testing.assert_allclose(cell_parameters(np.asarray(back.lattice))[0], 5.64 / np.sqrt(2), atol=1e-3)


@pytest.mark.parametrize("name", ["imatgen", "court", "hoffmann", "points"])
def test_oblique_cells_of_no_symmetry_come_back(name):
    rng = np.random.default_rng(4)
    for _ in range(4):
        crystal = triclinic(rng)
        codec = codec_for(name, [crystal])
        if codec.check(crystal).passed:
            (same_lattice if name == "hoffmann" else same)(crystal, codec.decode(codec.encode(crystal)))


@pytest.mark.parametrize("name", ["imatgen", "court"])
def test_atoms_on_faces_and_other_origins_make_no_difference(name):
    """Rock salt has atoms on all faces, edges and corners; shifted by anything it is the same crystal."""
    codec = CODECS[name]()
    for shift in ([0.0, 0.0, 0.0], [0.25, 0.25, 0.25], [0.5, 0.0, 1e-9], [-1e-13, 0.123, 0.77]):
        moved = Crystal.from_arrays(SALT.lattice, SALT.species, np.asarray(SALT.frac_coords) + shift)
        same(SALT, codec.decode(codec.encode(moved)))


def test_the_image_of_imatgen_does_not_know_where_the_cell_was_cut():
    crystal = triclinic(np.random.default_rng(5))
    moved = Crystal.from_arrays(
        crystal.lattice, crystal.species, np.asarray(crystal.frac_coords) + np.array([0.3, 0.9, 0.45])
    )
    first, second = (CellImages().encode(c) for c in (crystal, moved))
    np.testing.assert_allclose(first["basis"], second["basis"], atol=1e-5)


def test_images_do_not_know_how_the_crystal_is_turned():
    crystal = triclinic(np.random.default_rng(6))
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    turned = Crystal.from_arrays(np.asarray(crystal.lattice) @ turn, crystal.species, crystal.frac_coords)
    for codec in (CellImages(), DensityCoordinates(), DensitySpecies()):
        first, second = codec.encode(crystal), codec.encode(turned)
        for name in first:
            np.testing.assert_allclose(first[name], second[name], atol=2e-4)


def test_turning_the_grid_of_court_turns_the_crystal():
    crystal = Crystal.from_arrays(
        np.diag([4.0, 5.0, 6.0]), ["V", "O", "O"], [[0.1, 0.2, 0.3], [0.5, 0.6, 0.2], [0.9, 0.7, 0.7]]
    )
    arrays = DensityCoordinates().encode(crystal)
    turned = {
        "density": np.rot90(arrays["density"], axes=(0, 1)),
        "species": np.rot90(arrays["species"], axes=(0, 1)),
        "coordinates": np.rot90(arrays["coordinates"], axes=(1, 2)),
    }
    back = DensityCoordinates().decode(turned)
    np.testing.assert_allclose(cell_parameters(np.asarray(back.lattice))[0], [5.0, 4.0, 6.0], atol=1e-4)
    same_lattice(crystal, back)


@pytest.mark.parametrize("name", ["imatgen", "court", "hoffmann"])
def test_noise_of_a_few_hundredths_moves_atoms_by_less_than_a_tenth_of_an_angstrom(name):
    rng, codec = np.random.default_rng(8), CODECS[name]()
    for crystal in (SALT, triclinic(rng)):
        if not codec.check(crystal).passed:
            continue
        arrays = dict(codec.encode(crystal))
        for key in {"cell", "basis", "density"} & set(arrays):
            arrays[key] = arrays[key] + rng.normal(0, 0.02 * arrays[key].max(), arrays[key].shape)
        back = codec.decode(arrays)
        given = primitive(crystal) if name == "hoffmann" else crystal
        assert isinstance(back, Crystal), back
        assert back.composition == given.composition
        found = StructureMatcher(primitive_cell=False, scale=False).get_rms_dist(
            given.to_structure(), back.to_structure()
        )
        assert found[1] * (given.volume / given.n_atoms) ** (1 / 3) < 0.1


@pytest.mark.parametrize("name", ["imatgen", "court", "hoffmann", "points"])
def test_pure_noise_and_empty_images_are_a_verdict(name):
    codec, rng = codec_for(name, [SALT]), np.random.default_rng(9)
    arrays = codec.encode(SALT)
    empty = {key: np.zeros_like(a) for key, a in arrays.items()}
    if name == "imatgen":
        empty["elements"] = arrays["elements"]
    said = codec.decode(empty)
    assert isinstance(said, Verdict) and not said.passed and said.reason
    for scale in (1.0, 30.0):
        noise = {k: rng.normal(0, scale, a.shape) if a.dtype.kind == "f" else a for k, a in arrays.items()}
        said = codec.decode(noise)
        assert isinstance(said, Verdict | Crystal)
    garbage = {k: rng.integers(-5, 200, a.shape) for k, a in arrays.items()}
    assert isinstance(codec.decode(garbage), Verdict)


@pytest.mark.parametrize("name", ["imatgen", "court", "hoffmann", "points"])
def test_arrays_of_the_wrong_shape_or_kind_are_a_verdict_that_names_them(name):
    codec = codec_for(name, [SALT])
    arrays = codec.encode(SALT)
    for key, array in arrays.items():
        missing = {k: a for k, a in arrays.items() if k != key}
        assert key in codec.decode(missing).reason
        if array.ndim > 1:
            assert key in codec.decode(arrays | {key: array[..., :-1]}).reason
        assert key in codec.decode(arrays | {key: array[None]}).reason
        assert key in codec.decode(arrays | {key: np.full(array.shape, "x")}).reason
        if array.dtype.kind == "f":
            assert "finite" in codec.decode(arrays | {key: np.full_like(array, np.nan)}).reason


def test_crystals_beyond_the_limits_are_told_why():
    long = Crystal.from_arrays(np.diag([4.0, 4.0, 10.5]), ["Si"], [[0, 0, 0]])
    many = Crystal.from_arrays(np.eye(3) * 9.0, ["Si"] * 41, np.random.default_rng(0).random((41, 3)))
    six = Crystal.from_arrays(np.eye(3) * 6.0, ["H", "Li", "Be", "B", "C", "N"], np.linspace(0, 0.9, 18).reshape(6, 3))
    for codec in (CellImages(), DensityCoordinates(), DensitySpecies()):
        assert "10.50 Å" in codec.encode(long).reason
        assert "41 sites" in codec.encode(many).reason
    assert "6 elements" in CellImages().encode(six).reason
    oblique = Crystal.from_arrays(
        lattice_matrix(np.full(3, 9.9), np.full(3, 33.0)), ["O"] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    said = CellImages().check(oblique)
    assert said.passed or "cube" in said.reason


def test_two_atoms_that_overlap_in_an_image_are_one_or_two_but_never_a_crash():
    for apart in (0.0, 0.1, 0.3, 0.5, 0.7):
        found = decode_basis(basis_image(np.array([[0.0, 0, 0], [apart, 0, 0]])))
        assert 1 <= len(found) <= 2
        assert np.abs(found).max() < 1.0


def test_sites_of_a_species_image_are_folded_into_the_cell():
    """One atom at the origin of a cube of 4 voxels, shown in a box of 8: eight pieces, one site."""
    image = nearest_labels(np.array([[i, j, k] for i in (0, 4) for j in (0, 4) for k in (0, 4)]) + 1.0, np.full(8, 26),
                           np.full(8, 1.1), np.eye(3), (8, 8, 8))  # fmt: skip
    frac, numbers = sites_of_species(image, np.eye(3), np.zeros(3), np.eye(3) * 4.0, "x")
    assert numbers.tolist() == [26]
    np.testing.assert_allclose((frac @ (np.eye(3) * 4.0)) % 4.0, [[1.5, 1.5, 1.5]])


def test_crooked_coordinates_are_no_cell():
    crooked = np.random.default_rng(0).normal(0, 5, (3, 8, 8, 8))
    assert "coordinates" in fit_lattice(crooked).reason
