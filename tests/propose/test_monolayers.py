"""Substitution into known layers: what is made, how large it is, where it came from, and what is refused."""

import itertools

import numpy as np
import pytest

from novalith.data.library import Library
from novalith.materials import Composition, Crystal
from novalith.propose.monolayers import LEAST_SCORE, as_vacuum, layer_templates, moves, realise_layer
from novalith.represent.layers import VACUUM_A, Monolayer, as_monolayer

GRAPHENE = Crystal.from_arrays(
    [[2.46, 0, 0], [-1.23, 2.1304, 0], [0, 0, 12.0]], ["C", "C"], [[0, 0, 0.5], [1 / 3, 2 / 3, 0.5]]
)
SQUEEZED = Crystal.from_arrays(
    [[2.46, 0, 0], [-1.23, 2.1304, 0], [0, 0, 3.3]], ["C", "C"], [[0, 0, 0.5], [1 / 3, 2 / 3, 0.5]]
)
SALT = Crystal.from_arrays(
    np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.82, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


@pytest.fixture(scope="module")
def templates():
    return layer_templates(Library(), (("mine", GRAPHENE), ("flat", SQUEEZED), ("salt", SALT)))


def test_the_users_slabs_are_templates_and_what_is_none_is_refused_with_a_reason(templates):
    mine = [t for group in templates.by_kind.values() for t in group if t.origin == "user"]
    assert [t.id for t in mine] == ["mine"]
    assert mine[0].layer.vacuum_a == pytest.approx(VACUUM_A)
    reasons = dict(templates.refused)
    assert set(reasons) == {"flat", "salt"}
    assert "vacuum" in reasons["flat"].reason
    assert "network" in reasons["salt"].reason


def test_tungsten_telluride_comes_from_a_sister_of_it(templates):
    best = moves(templates, Composition.parse("WTe2"), 1)[0]
    assert 0 >= best.score >= LEAST_SCORE
    assert set(best.template.elements) & {"Mo", "W", "Te", "Se", "S", "Nb", "Ta"}
    roles = dict(zip(best.elements, best.template.counts, strict=True))
    assert roles == {"W": 1, "Te": 2}


def test_a_known_layer_is_its_own_best_template(templates):
    best = moves(templates, Composition.parse("MoS2"), 3)
    assert best[0].score == 0
    assert len({m.template.shape for m in best}) == len(best)
    assert all(a.score >= b.score for a, b in itertools.pairwise(best))


def test_the_plane_grows_and_the_vacuum_stays(templates):
    move = next(m for m in moves(templates, Composition.parse("WTe2"), 5) if m.template.layer.parent is not None)
    old = move.template.layer
    candidate, layer = realise_layer(templates, move)
    volume = templates.volumes.volume
    factor = (volume(layer.crystal.composition) / volume(old.crystal.composition)) ** (1 / 3)
    assert layer.vacuum_a == pytest.approx(old.vacuum_a, abs=1e-6)
    assert layer.area_a2 == pytest.approx(old.area_a2 * factor**2)
    read = as_monolayer(candidate.crystal)
    assert isinstance(read, Monolayer)
    assert read.thickness_a == pytest.approx(old.thickness_a * factor, abs=1e-4)
    assert read.area_a2 == pytest.approx(layer.area_a2, rel=1e-4)
    heights = np.array(candidate.crystal.frac_coords)[:, 2]
    assert (heights.max() + heights.min()) / 2 == pytest.approx(0.5, abs=1e-6)


def test_the_bulk_has_the_same_formula_and_the_lineage_says_what_was_done(templates):
    move = next(m for m in moves(templates, Composition.parse("WTe2"), 5) if m.template.layer.parent is not None)
    candidate, layer = realise_layer(templates, move)
    assert layer.parent.composition.formula == candidate.crystal.composition.formula
    assert layer.parent.n_atoms == move.template.layer.parent.n_atoms
    assert candidate.lineage.parents == (move.template.id,)
    assert move.template.id in candidate.lineage.move
    assert dict(candidate.lineage.scores)["substitution_log_likelihood"] == move.score


def test_a_formula_without_layers_of_its_kind_has_no_move(templates):
    assert moves(templates, Composition.parse("Al7Fe13O19"), 3) == []


def test_a_slab_gets_the_vacuum_of_the_templates():
    assert as_vacuum(as_monolayer(GRAPHENE)).vacuum_a == pytest.approx(VACUUM_A)
