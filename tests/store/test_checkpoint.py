"""A checkpoint comes back as it was written, equal models give equal bytes, and foreign files are refused."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from novalith.errors import CorruptDataError, InputError, StorageError
from novalith.store import checkpoint
from novalith.store.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

MODEL = Checkpoint("vae", {"w": np.arange(6.0).reshape(2, 3), "n": np.array([1, 2])}, {"width": 3}, {"names": ["a"]})


def test_round_trip(tmp_path):
    save_checkpoint(MODEL, tmp_path / "m")
    back = load_checkpoint(tmp_path / "m", "vae")
    assert (back.kind, back.config, back.vocabulary) == (MODEL.kind, MODEL.config, MODEL.vocabulary)
    assert all(np.array_equal(back.tensors[name], MODEL.tensors[name]) for name in MODEL.tensors)


def test_parts_are_told_apart_by_their_whole_name():
    stored = Checkpoint("vae", {"vae.a.b": np.ones(1), "vae2.a": np.zeros(1), "vae": np.zeros(2)})
    assert list(stored.part("vae")) == ["a.b"]
    assert stored.part("vae")["a.b"] == 1
    assert stored.part("unet") == {}


def test_equal_models_give_equal_bytes(tmp_path):
    save_checkpoint(MODEL, tmp_path / "a")
    other = Checkpoint("vae", dict(reversed(MODEL.tensors.items())), MODEL.config, MODEL.vocabulary)
    save_checkpoint(other, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_broken_model_does_not_replace_a_good_one(tmp_path):
    save_checkpoint(MODEL, tmp_path / "m")
    with pytest.raises(InputError, match="diverged"):
        save_checkpoint(Checkpoint("vae", {"w": np.array([np.nan])}), tmp_path / "m")
    assert load_checkpoint(tmp_path / "m", "vae").config == {"width": 3}


def test_what_is_no_checkpoint_of_this_kind_is_refused(tmp_path):
    save_checkpoint(MODEL, tmp_path / "m")
    with pytest.raises(CorruptDataError, match="expected 'gan'"):
        load_checkpoint(tmp_path / "m", "gan")
    save_file({"w": np.zeros(2)}, str(tmp_path / "foreign"))
    with pytest.raises(CorruptDataError, match="another program"):
        load_checkpoint(tmp_path / "foreign", "vae")
    (tmp_path / "cut").write_bytes((tmp_path / "m").read_bytes()[:50])
    with pytest.raises(CorruptDataError, match="cut short"):
        load_checkpoint(tmp_path / "cut", "vae")
    with pytest.raises(StorageError):
        load_checkpoint(tmp_path / "absent", "vae")


def test_newer_formats_are_refused_and_older_ones_lifted(tmp_path, monkeypatch):
    header = {"format_version": 2, "kind": "vae", "config": {}, "vocabulary": {}}
    save_file({"w": np.zeros(2)}, str(tmp_path / "new"), metadata={"novalith": json.dumps(header)})
    with pytest.raises(CorruptDataError, match="Upgrade novalith"):
        load_checkpoint(tmp_path / "new", "vae")
    save_checkpoint(MODEL, tmp_path / "old")
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 2)
    monkeypatch.setattr(checkpoint, "UPGRADES", {1: lambda h: h | {"config": {"lifted": True}}})
    assert load_checkpoint(tmp_path / "old", "vae").config == {"lifted": True}
