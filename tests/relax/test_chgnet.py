from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from chgnet.model import CHGNet as StockCHGNet

from novalith.errors import CorruptDataError, UnknownNameError
from novalith.materials import Crystal
from novalith.relax.base import MP2020_PBE, OutOfReachError, Potential
from novalith.relax.potentials import chgnet as adapter
from novalith.relax.potentials import load_potential, potential_info
from novalith.relax.potentials.chgnet_graph import build_graph
from novalith.relax.walk import GPA_PER_EV_PER_A3

from .conftest import perovskite, rattled, rock_salt

# The published code turns volumes with gradients into numbers; the warning is about that.
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")

CRYSTALS = {
    "rock salt": rattled(rock_salt("Mg", "O", 4.2), 1),
    "perovskite": rattled(perovskite(), 2),
    "one atom": Crystal(((0.0, 1.8, 1.8), (1.8, 0.0, 1.8), (1.8, 1.8, 0.0)), ("Fe",), ((0.1, 0.2, 0.3),)),
    "no angles": rock_salt("Cs", "I", 7.6),  # no bond below 3 Å
    "flat cell": Crystal.from_arrays(
        [[3.0, 0, 0], [1.4, 2.6, 0], [0, 0, 9.0]], ["Mo", "S", "S"], [[0.3, 0.3, 0.5], [0, 0, 0.33], [0, 0, 0.67]]
    ),
}


@pytest.fixture(scope="module")
def stock() -> StockCHGNet:
    with contextlib.redirect_stdout(io.StringIO()):
        return StockCHGNet.load(use_device="cpu", verbose=False)


@pytest.fixture(scope="module")
def exact_stock() -> StockCHGNet:
    """The published network in double precision: what both programs round."""
    with contextlib.redirect_stdout(io.StringIO()):
        return StockCHGNet.load(use_device="cpu", verbose=False).double()


def stock_numbers(model: StockCHGNet, crystal: Crystal, dtype: torch.dtype) -> tuple[float, np.ndarray, np.ndarray]:
    graph = model.graph_converter(crystal.to_structure())
    graph.lattice = torch.tensor(crystal.lattice, dtype=dtype)
    graph.atom_frac_coord = torch.tensor(crystal.frac_coords, dtype=dtype)
    graph.neighbor_image = graph.neighbor_image.to(dtype)
    model.eval()
    composition, model.composition_model = model.composition_model, None
    found = model([graph], task="efs")
    model.composition_model = composition
    reference = composition.fc.weight.detach().double()[0][graph.atomic_number.long() - 1].mean()
    energy = float(found["e"].detach().double()[0] + reference)
    return energy, found["f"][0].detach().numpy(), found["s"][0].detach().numpy()


@pytest.mark.parametrize("name", CRYSTALS)
def test_one_fused_gradient_gives_the_numbers_of_the_published_code(
    name: str, chgnet: Potential, stock: StockCHGNet
) -> None:
    crystal = CRYSTALS[name]
    found = chgnet.evaluate(crystal)
    expected = stock.predict_structure(crystal.to_structure(), task="efs")
    assert found.energy_ev / crystal.n_atoms == pytest.approx(float(expected["e"]), abs=3e-6)
    # Single precision: the published code itself is this far from its own network in double precision.
    np.testing.assert_allclose(found.forces_ev_per_a, expected["f"], atol=6e-5)
    np.testing.assert_allclose(found.stress_ev_per_a3 * GPA_PER_EV_PER_A3, expected["s"], atol=5e-4)


@pytest.mark.parametrize("name", CRYSTALS)
def test_numbers_are_those_of_the_published_network_in_double_precision(
    name: str, chgnet: Potential, exact_stock: StockCHGNet
) -> None:
    crystal = CRYSTALS[name]
    found = chgnet.evaluate(crystal)
    energy, forces, stress = stock_numbers(exact_stock, crystal, torch.float64)
    assert found.energy_ev / crystal.n_atoms == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(found.forces_ev_per_a, forces, atol=1e-5)
    np.testing.assert_allclose(found.stress_ev_per_a3 * GPA_PER_EV_PER_A3, stress, atol=3e-5)


def test_forces_and_stress_are_the_slopes_of_the_energy(chgnet: Potential) -> None:
    crystal = CRYSTALS["perovskite"]
    found = chgnet.evaluate(crystal)
    h = 1e-2
    shift = np.zeros((5, 3))
    shift[2, 1] = h
    lattice = np.array(crystal.lattice)

    def energy(lattice: np.ndarray, positions: np.ndarray) -> float:
        moved = Crystal.from_arrays(lattice, crystal.species, positions @ np.linalg.inv(lattice))
        return chgnet.evaluate(moved).energy_ev

    at = np.array(crystal.frac_coords) @ lattice
    slope = (energy(lattice, at + shift) - energy(lattice, at - shift)) / (2 * h)
    assert -slope == pytest.approx(found.forces_ev_per_a[2, 1], abs=5e-3)
    stretch = np.zeros((3, 3))
    stretch[0, 2] = stretch[2, 0] = 1e-3
    up, down = np.eye(3) + stretch, np.eye(3) - stretch
    slope = (energy(lattice @ up, at @ up) - energy(lattice @ down, at @ down)) / 2e-3
    assert slope / crystal.volume == pytest.approx(2 * found.stress_ev_per_a3[0, 2], abs=2e-4)


def test_bonds_are_those_that_counting_by_hand_gives() -> None:
    graph = build_graph(rock_salt("Mg", "O", 4.2))
    # Shells of rock salt within 6 Å, a = 4.2: 6 (2.10), 12 (2.97), 8 (3.64), 6 (4.20), 24 (4.70), 24 (5.14), 12 (5.94).
    assert 2 * len(graph.first) == 2 * (6 + 12 + 8 + 6 + 24 + 24 + 12)
    assert 2 * graph.n_short == 2 * (6 + 12)
    assert len(graph.angle_sign) == 2 * (18 * 17) // 2
    assert graph.isolated.size == 0


def test_an_atom_out_of_reach_of_all_others_is_refused(chgnet: Potential) -> None:
    lonely = Crystal(((3.0, 0, 0), (0, 3.0, 0), (0, 0, 30.0)), ("H", "H"), ((0, 0, 0), (0, 0, 0.03)))
    assert chgnet.evaluate(lonely).energy_ev < 0
    helium = Crystal(
        ((13.0, 0, 0), (0, 13.0, 0), (0, 0, 13.0)), ("Na", "Cl", "He"), ((0, 0, 0), (0.2, 0, 0), (0.7,) * 3)
    )
    with pytest.raises(OutOfReachError, match=r"He \(site 3\) has no neighbour within 6 Å"):
        chgnet.evaluate(helium)


def test_elements_beyond_the_training_are_refused(chgnet: Potential) -> None:
    with pytest.raises(OutOfReachError, match="not trained on Am"):
        chgnet.evaluate(rock_salt("Am", "O", 5.0))


def test_atoms_in_one_place_give_not_a_number_and_no_exception(chgnet: Potential) -> None:
    twice = Crystal(((3.0, 0, 0), (0, 3.0, 0), (0, 0, 3.0)), ("Fe", "Fe"), ((0, 0, 0), (0, 0, 0)))
    assert not np.all(np.isfinite(chgnet.evaluate(twice).forces_ev_per_a))


def test_version_names_the_weights_and_the_scale(chgnet: Potential) -> None:
    assert chgnet.version == "0.3.0+sha256:d14ab7c0"
    assert chgnet.energy_scale == MP2020_PBE
    assert potential_info("chgnet") == chgnet.info


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "CHGNET_WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(CorruptDataError, match="not the published CHGNet"):
        load_potential("chgnet")


def test_unknown_potentials_are_named() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'chgnet'"):
        load_potential("chgnt")


def test_evaluating_leaves_the_number_of_threads_alone(chgnet: Potential) -> None:
    before = torch.get_num_threads()
    chgnet.evaluate(rock_salt("Mg", "O", 4.2))
    assert torch.get_num_threads() == before
