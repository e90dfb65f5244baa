"""Copies of a checkpoint, each with one fault, and the check that a reader tells of every one with the file's name."""

import re
from dataclasses import replace

import numpy as np
import pytest

from novalith.errors import CorruptDataError
from novalith.store.checkpoint import checkpoint_kind, load_checkpoint, save_checkpoint


def faults(stored):
    """(what is wrong, copy) pairs: every key and tensor missing, every tensor of another shape, settings unknown."""
    for part in ("config", "vocabulary"):
        whole = dict(getattr(stored, part))
        for key in whole:
            yield f"{part} without {key}", replace(stored, **{part: {k: v for k, v in whole.items() if k != key}})
    for key in ("settings", "vae", "sizes"):
        if key in stored.config:
            config = {**stored.config, key: {**stored.config[key], "colour": 3}}
            yield f"an unknown field of {key}", replace(stored, config=config)
    for name, tensor in stored.tensors.items():
        if name.endswith("num_batches_tracked"):  # a counter that nothing reads
            continue
        yield f"no {name}", replace(stored, tensors={k: t for k, t in stored.tensors.items() if k != name})
        longer = np.zeros((*tensor.shape[:-1], tensor.shape[-1] + 1) if tensor.ndim else (2,), tensor.dtype)
        yield f"a longer {name}", replace(stored, tensors={**stored.tensors, name: longer})


def check_faults_are_told(load, path, harmless=()):
    """Write each copy beside `path`, read it with `load`, and see it refused by name, all but the harmless ones."""
    load(path)  # the whole one is read
    stored = load_checkpoint(path, checkpoint_kind(path))
    broken, accepted = path.with_name("broken.safetensors"), []
    for fault, copy in faults(stored):
        save_checkpoint(copy, broken)
        try:
            with pytest.raises(CorruptDataError, match=re.escape(str(broken))):
                load(broken)
        except pytest.fail.Exception:
            accepted.append(fault)
    assert accepted == list(harmless)
