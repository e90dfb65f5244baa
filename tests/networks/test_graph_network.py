"""The graph network: the published convolution, the gated sum and its derivative, invariance of the answers."""

import numpy as np
import pytest
import torch

from novalith.data.library import Library
from novalith.materials import Crystal
from novalith.networks.crystal_graph import CrystalGraphNetwork, GraphSizes, PublishedConvolution
from novalith.networks.gated_sum import gated_sum
from novalith.recipes.cgcnn_training import new_network, tensors_of
from novalith.represent.crystal_graph import graph_table, merged


def known_crystals():
    crystals = [k.crystal for k in Library().structures if 2 <= k.crystal.n_atoms <= 14]
    return crystals[:: len(crystals) // 12][:12]


def supercell(c):
    return Crystal.from_structure(c.to_structure() * (2, 2, 2))


def shifted(c):
    return Crystal.from_arrays(c.lattice, c.species, np.array(c.frac_coords) + np.array([0.123, 0.377, 0.711]))


def turned(c):
    from scipy.spatial.transform import Rotation

    matrix = Rotation.from_euler("xyz", [0.3, 1.1, 2.0]).as_matrix()
    return Crystal.from_arrays(np.array(c.lattice) @ matrix.T, c.species, c.frac_coords)


def skewed(c):
    """The same crystal in a cell of other vectors: a, b + 2 a, c - a + b."""
    change = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    return Crystal.from_arrays(change @ np.array(c.lattice), c.species, np.array(c.frac_coords) @ np.linalg.inv(change))


def reduced(c):
    """The Niggli cell, from one that is not."""
    return Crystal.from_structure(skewed(c).to_structure().get_reduced_structure("niggli"))


def mixed(c):
    order = np.random.default_rng(3).permutation(c.n_atoms)
    return Crystal.from_arrays(c.lattice, [c.species[i] for i in order], np.array(c.frac_coords)[order])


def plain_gated_sum(a, b, weight, x, counts, centres, neighbours):
    z = a[centres] + b[neighbours] + x @ weight.T
    gate, core = z.chunk(2, dim=1)
    message = torch.sigmoid(gate) * core * torch.sigmoid(core) * counts[:, None]
    return torch.zeros(len(a), a.shape[1] // 2, dtype=a.dtype).index_add(0, centres, message)


def test_gated_sum_and_its_derivative_agree_with_automatic_differentiation():
    g = torch.Generator().manual_seed(0)
    n, e, w, f = 7, 3000, 4, 5  # more than two blocks of edges
    a, b, weight = (torch.randn(s, generator=g) for s in ((n, 2 * w), (n, 2 * w), (2 * w, f)))
    x, counts = torch.rand(e, f, generator=g), torch.randint(1, 4, (e,), generator=g).float()
    centres = torch.randint(n, (e,), generator=g).sort().values
    neighbours = torch.randint(n, (e,), generator=g)
    up = torch.randn(n, w, generator=g)
    results = []
    for function in (gated_sum, plain_gated_sum):
        leaves = [t.clone().requires_grad_() for t in (a, b, weight)]
        out = function(*leaves, x, counts, centres, neighbours)
        (out * up).sum().backward()
        results.append([out.detach(), *(t.grad for t in leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


class Reference(torch.nn.Module):
    """The published convolution as its authors describe it: one matrix on [v_i, v_j, e_ij], a loop over atoms."""

    def __init__(self, ours: PublishedConvolution, width: int):
        super().__init__()
        self.full = torch.nn.Linear(2 * width + 41, 2 * width)
        self.bn1, self.bn2 = torch.nn.BatchNorm1d(2 * width), torch.nn.BatchNorm1d(width)
        with torch.no_grad():
            self.full.weight.copy_(torch.cat([ours.centre.weight, ours.neighbour.weight, ours.edge.weight], dim=1))
            self.full.bias.copy_(ours.centre.bias)

    def forward(self, v, edges, neighbours, m):
        # (N, M, ...) as in the paper: every atom has the same number of neighbours.
        n, width = v.shape
        total = torch.cat([v[:, None].expand(n, m, width), v[neighbours.view(n, m)], edges.view(n, m, -1)], dim=2)
        gated = self.bn1(self.full(total).view(-1, 2 * width)).view(n, m, 2 * width)
        summed = (torch.sigmoid(gated[..., :width]) * torch.nn.functional.softplus(gated[..., width:])).sum(dim=1)
        return torch.nn.functional.softplus(v + self.bn2(summed))


@pytest.mark.parametrize("training", [True, False])
def test_published_convolution_agrees_with_an_independent_one(training):
    torch.manual_seed(1)
    n, m, width = 9, 12, 16
    ours = PublishedConvolution(width, 41)
    theirs = Reference(ours, width)
    ours.train(training), theirs.train(training)
    v, edges = torch.randn(n, width), torch.rand(n * m, 41)
    neighbours = torch.randint(n, (n * m,))

    class Graph:
        centres = torch.arange(n).repeat_interleave(m)
        counts = torch.ones(n * m)

    Graph.neighbours = neighbours
    torch.testing.assert_close(ours(v, edges, Graph), theirs(v, edges, neighbours, m), rtol=1e-5, atol=1e-5)


def test_published_sizes():
    network = new_network(GraphSizes(64, 4, 70, 32, "published"), 1, 0)
    assert len(network.convolutions) == 4
    assert len(network.distances.centres) == 41
    assert network.distances.centres[[0, -1]].tolist() == [0.0, 8.0]
    # [v_i, v_j, e_ij] -> 2 x 64, its bias, and two batch norms.
    expected = (2 * 64 + 41) * 128 + 128 + 2 * 128 + 2 * 64
    assert sum(p.numel() for p in network.convolutions[0].parameters()) == expected


@pytest.fixture(scope="module")
def network() -> CrystalGraphNetwork:
    net = new_network(GraphSizes(32, 3, 8, 32), 3, 0)
    table, _ = graph_table(known_crystals())
    net.standardise(
        torch.from_numpy(table.surroundings.mean(axis=0)), torch.from_numpy(table.surroundings.std(axis=0) + 0.01)
    )
    return net.eval()


def values(network, crystals, **options):
    with torch.no_grad():
        return network(tensors_of(graph_table(crystals, **options)[0]))[0].numpy()


@pytest.mark.parametrize("change", [supercell, shifted, turned, skewed, reduced, mixed], ids=lambda f: f.__name__)
def test_answer_does_not_depend_on_the_description(network, change):
    crystals = known_crystals()
    np.testing.assert_allclose(values(network, crystals), values(network, [change(c) for c in crystals]), atol=1e-5)


def test_merged_graph_gives_the_answer_of_the_full_one(network):
    crystals = known_crystals()
    np.testing.assert_allclose(values(network, crystals), values(network, crystals, tolerance_a=None), atol=1e-5)
    full, _ = graph_table(crystals, None)
    assert len(merged(full).centres) < 0.6 * len(full.centres)


def test_answer_does_not_depend_on_the_company(network):
    crystals = known_crystals()
    alone = np.concatenate([values(network, [c]) for c in crystals])
    np.testing.assert_allclose(values(network, crystals), alone, atol=1e-5)


def test_untrained_network_sees_a_change_of_distance_and_of_element(network):
    c = known_crystals()[0]
    stretched = type(c).from_arrays(np.array(c.lattice) * 1.05, c.species, c.frac_coords)
    assert np.abs(values(network, [c]) - values(network, [stretched])).max() > 1e-3
