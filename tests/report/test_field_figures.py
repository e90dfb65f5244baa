"""Figures of fields are well-formed, escape what they show, and place every element once."""

from xml.etree import ElementTree

import numpy as np

from novalith.materials import ELEMENTS
from novalith.report.figures.fields import MapPoint, _place, colour, element_heat_map, latent_map
from novalith.report.figures.svg import standalone

NAMESPACE = "{http://www.w3.org/2000/svg}"


def test_every_element_has_a_place_of_its_own():
    places = {symbol: _place(symbol) for symbol in ELEMENTS[:103]}
    assert len(set(places.values())) == 103
    assert places["H"] == (0, 0)
    assert places["He"] == (0, 17)
    assert places["B"] == (1, 12)
    assert places["Sc"] == (3, 2)
    assert places["Hf"] == (5, 3)
    assert places["Rn"] == (5, 17)


def test_colours_run_from_dark_to_light():
    assert (colour(0), colour(1), colour(-1), colour(2)) == ("#440154", "#fde725", "#440154", "#fde725")


def test_the_map_names_the_best_unreported_fields_and_escapes_words():
    rng = np.random.default_rng(0)
    points = [MapPoint(f"F{i}", *map(float, rng.random(2)), i / 40, i % 3 == 0) for i in range(40)]
    tree = ElementTree.fromstring(standalone(latent_map(points, "a < b")))  # noqa: S314  our own text
    words = ["".join(node.itertext()) for node in tree.iter(f"{NAMESPACE}text")]
    assert "a < b" in words
    assert "1  F38" in words
    assert not any(word.endswith("F39") for word in words)
    assert len(list(tree.iter(f"{NAMESPACE}circle"))) == 41


def test_the_heat_map_shows_its_numbers():
    tree = ElementTree.fromstring(standalone(element_heat_map({"O": 0.5, "S": 0.25}, "t")))  # noqa: S314
    words = ["".join(node.itertext()) for node in tree.iter(f"{NAMESPACE}text")]
    assert {"0.50", "0.25", "O", "S", "Lr"} <= set(words)
