"""The figure of slices shows what the images hold: atoms that are there, and none where one was taken out."""

import struct
import xml.etree.ElementTree as ET
import zlib

import numpy as np

from novalith.report.figures.voxel_slices import COLOURS, png, slices, specimens, write_slice_figure


def _share(picture, symbol):
    colour = [int(COLOURS[symbol][i : i + 2], 16) for i in (1, 3, 5)]
    return (picture == np.array(colour, dtype=np.uint8)).all(axis=2).mean()


def test_a_vacancy_and_a_substitution_show_in_every_map_of_species():
    _, layered, vacancy, defect = (slices(s) for s in specimens())
    for column in (5, 8 - 1):  # species of Hoffmann, of Court
        assert _share(vacancy[column], "S") < 0.8 * _share(layered[column], "S")
        assert _share(layered[column], "Nb") == 0.0 < _share(defect[column], "Nb")
        assert _share(layered[column], "Ti") > 0.0 == _share(defect[column], "Ti")


def test_a_png_is_a_png():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    data = png(pixels)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (7, 5)
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), dtype=np.uint8).reshape(5, 22)
    np.testing.assert_array_equal(rows[:, 1:].reshape(5, 7, 3), pixels)


def test_the_file_is_well_formed_and_small(tmp_path):
    out = tmp_path / "slices.svg"
    write_slice_figure(out)
    root = ET.fromstring(out.read_text())  # noqa: S314  written by ourselves
    images = [e for e in root.iter() if e.tag.endswith("image")]
    assert len(images) == 33  # nine columns, four rows, three rows without a third element
    assert out.stat().st_size < 300_000
