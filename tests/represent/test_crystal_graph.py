"""Graphs of crystals do not depend on how the crystal is written, and know what distances alone do not."""

import math

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.materials import Crystal, Verdict
from novalith.represent.crystal_graph import (
    CUTOFF_A,
    FARTHEST_A,
    SURROUNDINGS,
    GraphTable,
    check,
    graph_table,
    merged,
)


def crystal(lattice, species, positions):
    return Crystal.from_arrays(lattice, species, positions)


def rocksalt(a=5.64):
    f = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    cl = [[x + 0.5, y, z] for x, y, z in f]
    return crystal(np.eye(3) * a, ["Na"] * 4 + ["Cl"] * 4, f + cl)


def known_crystals(n=12):
    crystals = [k.crystal for k in Library().structures if 2 <= k.crystal.n_atoms <= 14]
    return crystals[:: len(crystals) // n][:n]


def summary(table: GraphTable, row: int):
    """Everything of a graph that does not depend on the order of its atoms."""
    one = table.select(np.array([row]))
    nodes = sorted(
        (int(z), *np.round(np.append(u, s), 5))
        for z, u, s in zip(one.atomic_numbers, one.surroundings, one.shares, strict=True)
    )
    edges = sorted(
        (
            int(one.atomic_numbers[i]),
            int(one.atomic_numbers[j]),
            round(float(d), 4),
            float(c * one.shares[i]),
        )
        for i, j, d, c in zip(one.centres, one.neighbours, one.distances, one.counts, strict=True)
    )
    return nodes, edges


def same(a, b):
    for left, right in zip(a, b, strict=True):
        assert len(left) == len(right)
        np.testing.assert_allclose(np.array(left, float), np.array(right, float), atol=2e-4)


def test_rocksalt_has_its_coordination_shells_whole():
    table, verdicts = graph_table([rocksalt()], None)
    assert not verdicts
    # 6 neighbours at a/2; the shell of 12 at a/sqrt(2) holds the twelfth and is kept whole.
    assert np.diff(np.searchsorted(table.centres, np.arange(9))).tolist() == [18] * 8
    lengths = sorted(set(np.round(table.distances, 4).tolist()))
    assert lengths == pytest.approx([5.64 / 2, 5.64 / math.sqrt(2)], abs=1e-4)
    small = merged(table)
    assert small.atomic_numbers.tolist() == [11, 17]
    assert small.shares.tolist() == [0.5, 0.5]
    assert sorted(small.counts.tolist()) == [6.0, 6.0, 12.0, 12.0]


def test_bond_order_parameters_of_a_cubic_shell_are_those_of_the_literature():
    # Steinhardt, Nelson and Ronchetti (1983): Q4 = 0.764, Q6 = 0.354 for the simple cubic cluster of six neighbours.
    a = 3.35
    table, _ = graph_table([crystal(np.eye(3) * a, ["Po"], [[0, 0, 0]])], None)
    one = dict(zip(SURROUNDINGS, table.surroundings[0], strict=True))
    # The second shell, at sqrt(2), has the weight exp(-(0.414/0.15)^2) = 5e-4.
    assert math.sqrt(one["first shell l=4"]) == pytest.approx(0.764, abs=0.003)
    assert math.sqrt(one["first shell l=6"]) == pytest.approx(0.354, abs=0.003)
    assert one["first shell l=1"] == pytest.approx(0, abs=1e-6)
    assert one["coordination"] == pytest.approx(6.0, abs=0.01)
    assert one["nearest distance"] == pytest.approx(a)


def test_angles_tell_diamond_from_graphene():
    d = crystal([[0, 1.785, 1.785], [1.785, 0, 1.785], [1.785, 1.785, 0]], ["C", "C"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    g = crystal(
        [[2.46, 0, 0], [-1.23, 1.23 * math.sqrt(3), 0], [0, 0, 20]],
        ["C", "C"],
        [[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]],
    )
    table, _ = graph_table([d, g])
    second = table.surroundings[:, SURROUNDINGS.index("first shell l=2")]
    # Four bonds to the corners of a tetrahedron: no l = 2. Three in a plane: (3 + 6 P2(-1/2)) / 9 = 1/4.
    assert second.tolist() == pytest.approx([0.0, 0.25], abs=1e-3)


def supercell(c):
    return Crystal.from_structure(c.to_structure() * (2, 2, 2))


def shifted(c):
    return crystal(c.lattice, c.species, np.array(c.frac_coords) + np.array([0.123, 0.377, 0.711]))


def turned(c):
    from scipy.spatial.transform import Rotation

    matrix = Rotation.from_euler("xyz", [0.3, 1.1, 2.0]).as_matrix()
    return crystal(np.array(c.lattice) @ matrix.T, c.species, c.frac_coords)


def skewed(c):
    """The same crystal in a cell of other vectors: a, b + 2 a, c - a + b."""
    change = np.array([[1, 0, 0], [2, 1, 0], [-1, 1, 1]])
    return crystal(change @ np.array(c.lattice), c.species, np.array(c.frac_coords) @ np.linalg.inv(change))


def reduced(c):
    """The Niggli cell, from one that is not."""
    return Crystal.from_structure(skewed(c).to_structure().get_reduced_structure("niggli"))


def mixed(c):
    order = np.random.default_rng(3).permutation(c.n_atoms)
    return crystal(c.lattice, [c.species[i] for i in order], np.array(c.frac_coords)[order])


@pytest.mark.parametrize("change", [supercell, shifted, turned, skewed, reduced, mixed], ids=lambda f: f.__name__)
def test_graph_is_that_of_the_crystal_and_not_of_its_description(change):
    crystals = known_crystals()
    before, after = graph_table(crystals)[0], graph_table([change(c) for c in crystals])[0]
    for row in range(len(crystals)):
        same(summary(before, row), summary(after, row))


def test_shell_is_kept_whatever_atom_is_the_twelfth():
    # Body-centred cubic: 8 + 6 neighbours; a cut after the twelfth would keep four of the six.
    a = 3.16
    table, _ = graph_table([crystal(np.eye(3) * a, ["W", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])], None)
    assert np.bincount(table.centres).tolist() == [14, 14]


def test_lonely_atoms_keep_a_neighbour_or_are_refused_by_name():
    far = crystal(np.eye(3) * 11.0, ["Ar"], [[0, 0, 0]])
    table, verdicts = graph_table([far], None)
    assert not verdicts
    assert len(table.distances) == 6
    assert table.distances.tolist() == pytest.approx([11.0] * 6)
    assert CUTOFF_A < 11.0
    lost = crystal(np.eye(3) * (FARTHEST_A + 1), ["Ar"], [[0, 0, 0]])
    table, verdicts = graph_table([rocksalt(), lost, rocksalt()])
    assert len(table) == 2
    assert list(verdicts) == [1]
    assert isinstance(verdicts[1], Verdict)
    assert "no neighbour within 24" in verdicts[1].reason
    assert not check(lost).passed
    assert check(far).passed


def test_coincident_atoms_are_refused():
    verdict = check(crystal(np.eye(3) * 4, ["Na", "Cl"], [[0, 0, 0], [0, 0, 0.001]]))
    assert not verdict.passed
    assert "Å apart" in verdict.reason


def test_selection_and_merging_commute_with_chunks():
    crystals = known_crystals(6)
    full, _ = graph_table(crystals, None)
    rows = np.array([4, 0, 2])
    for part, whole in ((merged(full.select(rows)), merged(full).select(rows)),):
        for name, array in part.arrays().items():
            np.testing.assert_allclose(array, getattr(whole, name), rtol=1e-6, err_msg=name)
    assert merged(full).shares.sum() == pytest.approx(len(crystals), rel=1e-5)
    # Each crystal keeps its number of neighbours an atom.
    for row in range(len(crystals)):
        one, few = full.select(np.array([row])), merged(full).select(np.array([row]))
        assert (one.counts * one.shares[one.centres]).sum() == pytest.approx(
            float((few.counts * few.shares[few.centres]).sum()), rel=1e-5
        )


def test_no_crystal_gives_an_empty_table():
    table, verdicts = graph_table([])
    assert len(table) == 0
    assert not verdicts
