"""Templates from the bundle: every crystal is cut or refused, and famous layers are among them."""

import pytest

from novalith.data.library import Library
from novalith.represent.bundled_layers import MIN_SCORE, bundled_layers


@pytest.fixture(scope="module")
def cut():
    library = Library()
    return library, *bundled_layers(library)


def test_in_is_kept_and_refused(cut):
    library, kept, refused = cut
    assert len(kept) + len(refused) == len(library.structures)
    assert all(verdict.reason for _, verdict in refused)


def test_famous_layers_are_there_with_their_bulk(cut):
    _, kept, _ = cut
    formulas = {layer.formula for layer in kept}
    assert {"C", "BN", "MoS2", "CdI2", "MgCl2", "P"} <= formulas
    assert len(kept) > 250
    for layer in kept:
        assert layer.monolayer.parent == layer.known.crystal
        assert layer.monolayer.score >= MIN_SCORE
        assert layer.formula == layer.known.formula
    assert "NaCl" not in formulas
    assert "Si" not in formulas
