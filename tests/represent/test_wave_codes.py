"""The longest waves of a basis image hold all of its atoms, and the logarithm of a metric all of a cell."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import linear_sum_assignment

from novalith.data.library import Library
from novalith.materials import Verdict
from novalith.represent.cell_images import basis_image, basis_positions
from novalith.represent.point_cloud import cell_parameters
from novalith.represent.wave_codes import (
    N_BASIS_CODE,
    PERIOD_A,
    WAVES,
    cells_of_metric_codes,
    image_of_waves,
    metric_code,
    points_of_waves,
    waves_of_image,
    waves_of_points,
)

SQUARE = 3.0 * np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])


def furthest(found, true):
    assert len(found) == len(true)
    distances = np.linalg.norm(found[:, None] - true, axis=2)
    return distances[linear_sum_assignment(distances)].max()


def test_there_is_one_wave_of_each_pair_up_to_the_limit():
    k = np.rint(WAVES * PERIOD_A / (2 * np.pi)).astype(int)
    both = {tuple(row) for row in k.tolist()} | {tuple(row) for row in (-k).tolist()}
    wanted = {
        (x, y, z) for x in range(-3, 4) for y in range(-3, 4) for z in range(-3, 4) if 0 < x * x + y * y + z * z <= 13
    }
    assert both == wanted
    assert N_BASIS_CODE == 1 + len(wanted) == 203


def test_the_code_of_an_image_is_that_of_its_points():
    points = SQUARE + np.random.default_rng(0).uniform(-0.2, 0.2, SQUARE.shape)
    # What the image cuts off below 0.02 depends on where an atom is between voxels: 0.3 % of its weight.
    code = waves_of_image(basis_image(points))
    assert np.allclose(code, waves_of_points(points), atol=0.04)
    assert furthest(points_of_waves(code[None])[0], points) < 0.02


def test_atoms_of_real_crystals_come_back_to_a_hundredth_of_an_angstrom():
    crystals = [s.crystal for s in Library().structures if s.crystal.n_atoms <= 20][::150]
    sets = [
        positions[np.array(c.species) == element]
        for c in crystals
        for positions in [basis_positions(c)]
        for element in sorted(set(c.species))
        if np.abs(positions).max() < 6
    ]
    assert len(sets) > 50
    found = points_of_waves(np.stack([waves_of_points(s) for s in sets]))
    assert max(furthest(a, b) for a, b in zip(found, sets, strict=True)) < 0.01


def test_noise_of_a_tenth_in_every_wave_moves_no_atom_by_a_fifth_of_an_angstrom():
    code = waves_of_points(SQUARE) + 0.1 * np.random.default_rng(0).standard_normal((20, N_BASIS_CODE))
    assert max(furthest(points, SQUARE) for points in points_of_waves(code)) < 0.2


def test_the_image_of_a_code_is_brightest_at_the_atoms():
    image = image_of_waves(waves_of_points(np.array([[1.5, -2.0, 0.5]])), 30)
    peak = np.array(np.unravel_index(image.argmax(), image.shape)) * 0.5 - 7.5
    assert np.abs(peak - [1.5, -2.0, 0.5]).max() <= 0.25


def test_codes_without_atoms_or_with_too_many_say_so():
    codes = np.stack([waves_of_points(np.zeros((0, 3))), np.full(N_BASIS_CODE, 21.0), np.full(N_BASIS_CODE, np.nan)])
    empty, crowded, broken = points_of_waves(codes)
    assert empty.shape == (0, 3)
    assert isinstance(crowded, Verdict)
    assert "21 atoms" in crowded.reason
    assert isinstance(broken, Verdict)
    assert points_of_waves(codes[:0]) == []


def test_a_cell_comes_back_from_the_logarithm_of_its_metric():
    cell = np.array([[3.0, 0.0, 0.0], [-1.0, 4.0, 0.0], [0.5, 0.7, 8.0]])
    code = metric_code(cell)
    symmetric = np.zeros((3, 3))
    symmetric[np.triu_indices(3)] = code
    assert np.allclose(expm(symmetric + np.triu(symmetric, 1).T), cell @ cell.T, atol=1e-9)
    found = cells_of_metric_codes(code[None])[0]
    assert np.allclose(found, np.concatenate(cell_parameters(cell)), atol=1e-9)


@pytest.mark.parametrize("code", [np.full(6, np.nan), np.full(6, 1e3), np.zeros(6)])
def test_what_is_no_cell_is_a_verdict(code):
    assert isinstance(cells_of_metric_codes(code[None])[0], Verdict)
