"""Maps and strips: colours that rise in brightness, pixels that another program reads back, labels with units."""

import base64
import io
import re

import numpy as np
import pytest

from novalith.recipes.crystal_models import CodeImages
from novalith.report.figures.latent import STOPS, latent_map_figure, picture, shades, strip_figure


def pixels(address):
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_colours_rise_in_brightness_and_end_at_the_stops():
    colours = shades(np.linspace(0, 1, 101)).astype(float)
    brightness = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(brightness) > -0.5).all()
    assert np.array_equal(colours[[0, -1]], STOPS[[0, -1]])
    assert np.array_equal(shades(np.array([-3.0, np.nan, 7.0])), shades(np.array([0.0, 0.0, 1.0])))


def test_pixels_are_read_back_by_another_program():
    colours = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    assert np.array_equal(pixels(picture(colours)), colours)


def test_the_map_shows_every_point_once_with_its_scale_and_unit():
    rng = np.random.default_rng(0)
    drawn = str(
        latent_map_figure(rng.normal(size=(50, 2)), rng.normal(size=50), "band gap (eV)", "Codes", [(3, "NaCl")])
    )
    assert sum(len(re.findall("M", d)) for d in re.findall(r'<path d="([^"]*h0)"', drawn)) == 50
    assert "band gap (eV)" in drawn
    assert drawn.count("NaCl") == 2  # written, and shown under the pointer
    numbers = [float(x) for x in re.findall(r"M([\d.]+) [\d.]+h0", drawn)]
    assert 52 <= min(numbers) <= max(numbers) <= 512


def test_the_same_plane_is_cut_from_all_images_and_lies_the_right_way_up():
    cubes = np.zeros((3, 8, 8, 8), dtype=np.float32)
    cubes[:, 6, 1, 5] = (1.0, 0.5, 0.0)  # right, below, in plane six
    drawn = str(strip_figure([CodeImages("Ti", cubes, 12.0)], [0.0, 0.5, 1.0], ["A", "B", "no crystal"], "A way"))
    assert all(word in drawn for word in ("plane 6 of 8", "12 Å wide", "t = 0.5", "no crystal"))
    found = [pixels(address) for address in re.findall(r'href="([^"]*)"', drawn)][:3]
    assert [tuple(image[6, 6]) for image in found] == [tuple(c) for c in shades(np.array([1.0, 0.5, 0.0]))]
    assert all((image == shades(np.array([0.0]))).all(axis=2).sum() >= 63 for image in found)
