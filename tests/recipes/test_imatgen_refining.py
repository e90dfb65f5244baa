"""Points and cells that are near are moved to where their code says; points that lack are added."""

import numpy as np
import pytest

from novalith.recipes.imatgen_refining import LinearCode, refined_cell
from novalith.represent.cell_images import cell_image
from novalith.represent.point_cloud import cell_parameters, lattice_matrix

N, STEP_A, SIGMA_A = 16, 0.6, 0.65
PLACES = (np.stack(np.indices([N] * 3), axis=-1).reshape(-1, 3) - N / 2) * STEP_A


def image(points):
    apart = ((PLACES[None] - points[:, None]) ** 2).sum(axis=2)
    return np.exp(-apart / (2 * SIGMA_A**2)).sum(axis=0).clip(0.0, 1.0)


@pytest.fixture(scope="module")
def code():
    """The hundred principal components of images of one to five points."""
    rng = np.random.default_rng(0)
    rows = np.stack([image(rng.uniform(-3.0, 3.0, (rng.integers(1, 6), 3))) for _ in range(400)])
    basis = np.linalg.svd(rows, full_matrices=False)[2][:100].astype(np.float32)
    return LinearCode(basis, np.sqrt(((rows @ basis.T) ** 2).mean(axis=0)).astype(np.float32), SIGMA_A, STEP_A, N)


def apart(found, true):
    return np.linalg.norm(found[:, None] - true, axis=2).min(axis=0).max()


def test_points_move_to_where_the_code_says(code):
    true = np.array([[0.0, 0.3, -1.0], [2.1, -0.4, 1.7], [-2.4, 2.0, 0.9]])
    z = (code.basis @ image(true)) / code.scale
    start = true + 0.25 * np.random.default_rng(1).standard_normal(true.shape)
    assert apart(start, true) > 0.2
    found = code.refined(start, z)
    assert len(found) == 3
    assert apart(found, true) < 0.02  # voxels beyond 3.2 widths are left out


def test_a_point_that_stands_for_two_is_parted(code):
    true = np.array([[0.7, 0.0, 0.0], [-0.7, 0.0, 0.0], [0.0, 2.5, -1.5]])
    z = (code.basis @ image(true)) / code.scale
    found = code.refined(np.array([[0.0, 0.0, 0.0], [0.1, 2.4, -1.4]]), z)
    assert len(found) == 3
    assert apart(found, true) < 0.1


def test_nothing_is_added_to_points_that_fit_or_to_an_empty_image(code):
    true = np.array([[1.0, 1.0, 1.0]])
    assert len(code.refined(true, (code.basis @ image(true)) / code.scale)) == 1
    assert code.refined(np.zeros((0, 3)), np.zeros(100)).shape == (0, 3)


def test_a_cell_moves_to_where_its_code_says():
    x, y, z = (np.indices([32] * 3) / 32 - 0.5).reshape(3, -1)
    moments = np.stack([x * x, y * y, z * z, x * y, x * z, y * z, x**4, y**4, z**4], axis=1)

    def encode(lattices):
        return np.arcsinh(np.stack([cell_image(m).reshape(-1) for m in lattices]) @ moments)

    true = lattice_matrix(np.array([4.1, 5.2, 6.3]), np.array([80.0, 95.0, 110.0]))
    start = np.array([4.25, 5.1, 6.2, 82.0, 94.0, 108.5])
    found = refined_cell(start, encode([true])[0], encode)
    assert np.allclose(found, np.concatenate(cell_parameters(true)), atol=0.01)
    beyond = np.array([4.0, 4.0, 4.0, 10.0, 10.0, 100.0])  # no cell at all: given back as it is
    assert np.array_equal(refined_cell(beyond, np.zeros(20), encode), beyond)
