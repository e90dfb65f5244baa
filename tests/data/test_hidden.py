"""What may be hidden, and how mistakes in a list of hidden materials are told."""

import pytest

from novalith.data.library import Hidden
from novalith.errors import InputError, StorageError


def test_a_formula_is_hidden_in_every_spelling():
    hidden = Hidden(formulas=frozenset({"Na2Cl2", "CaH2O2"}))
    assert hidden.formulas == {"NaCl", "Ca(HO)2"}
    assert hidden.hides("ClNa")
    assert hidden.hides("Ca(OH)2")
    assert not hidden.hides("NaCl3")


def test_a_system_is_an_exact_set_of_elements():
    hidden = Hidden(systems=frozenset({"Sn-Li-S"}))
    assert hidden.hides("Li4SnS4")
    assert not hidden.hides("Li2S")
    assert not hidden.hides("Li4SnS4O")
    assert Hidden(systems=frozenset({"O"})).hides("O2")


def test_an_id_hides_only_itself():
    hidden = Hidden.of(["mp-22862"])
    assert hidden.hides("NaCl", "mp-22862")
    assert not hidden.hides("NaCl", "mp-1")
    assert not hidden.hides("NaCl")


def test_nothing_is_hidden_by_default():
    assert not Hidden()
    assert not Hidden().hides("NaCl", "mp-22862")


def test_a_list_is_read_and_written_back(tmp_path):
    path = tmp_path / "hide.txt"
    path.write_text("# targets\nNaCl\n\nLi-Sn-S   # the whole system\nmp-1265\n", encoding="utf-8")
    hidden = Hidden.read(path)
    assert hidden == Hidden(frozenset({"NaCl"}), frozenset({"Li-S-Sn"}), frozenset({"mp-1265"}))
    assert hidden.entries == ("Li-S-Sn", "NaCl", "mp-1265")
    assert Hidden.of(hidden.entries) == hidden


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaCl\nNaXy\n", "line 2.*Xy"),
        ("Li-Sn-Li\n", "line 1.*repeats Li"),
        ("\n\nLi0.5CoO2\n", "line 3.*fractional"),
        ("# nothing\n", "names nothing to hide"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, message):
    path = tmp_path / "hide.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        Hidden.read(path)


def test_an_unreadable_list_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"absent\.txt"):
        Hidden.read(tmp_path / "absent.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        Hidden.read(tmp_path / "binary")
