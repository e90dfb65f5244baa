"""The one checkpoint format: a single safetensors file that holds everything a model needs to run again.

::

    tensors    weights and scalers, by name
    metadata   "novalith": JSON of {format_version, kind, config, vocabulary}

`config` rebuilds the network, `vocabulary` says what its inputs stand for (names of features, elements), `kind` names
the model family so that a file cannot be read as something else. No code is stored and none is run on reading. When the
format changes, `FORMAT_VERSION` grows by one and one function that lifts the step before joins `UPGRADES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CorruptDataError, InputError, StorageError
from novalith.store.files import write_atomic

FORMAT_VERSION = 1

#: Version -> function that lifts the metadata from that version to the next.
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


@dataclass(frozen=True)
class Checkpoint:
    """A stored model.

    Attributes:
        kind: model family ("fields", "vae", ...).
        tensors: name -> array; weights, scalers, and the state of an optimiser where training goes on.
        config: what rebuilds the network; plain JSON values.
        vocabulary: what the inputs stand for; plain JSON values.
    """

    kind: str
    tensors: Mapping[str, NDArray[Any]] = field(repr=False)
    config: Mapping[str, Any] = field(default_factory=dict)
    vocabulary: Mapping[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, NDArray[Any]]:
        """The tensors stored under `name.`, by the rest of their names; none where nothing is."""
        start = f"{name}."
        return {key.removeprefix(start): t for key, t in self.tensors.items() if key.startswith(start)}


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint by rename, so that a reader or a killed process never leaves half a file.

    Raises:
        InputError: a tensor holds NaN or infinity: such a model is broken, and the file before it is kept.
        StorageError: the file cannot be written.
    """
    from safetensors.numpy import save

    for name, tensor in checkpoint.tensors.items():
        if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
            raise InputError(f"Tensor {name!r} holds NaN or infinity; training diverged. Lower the learning rate.")
    header = {
        "format_version": FORMAT_VERSION,
        "kind": checkpoint.kind,
        "config": dict(checkpoint.config),
        "vocabulary": dict(checkpoint.vocabulary),
    }
    # Sorted: the format keeps the order given, and equal models must give equal bytes.
    tensors = {name: np.ascontiguousarray(checkpoint.tensors[name]) for name in sorted(checkpoint.tensors)}
    write_atomic(path, save(tensors, metadata={"novalith": json.dumps(header, sort_keys=True)}))


def load_checkpoint(path: Path, kind: str) -> Checkpoint:
    """Read a checkpoint of a kind, lifting older formats.

    Raises:
        StorageError: the file cannot be opened.
        CorruptDataError: it is no checkpoint, a newer one, or one of another kind.
    """
    header, tensors = _read(path, with_tensors=True)
    if header["kind"] != kind:
        raise CorruptDataError(f"{path} holds a model of kind {header['kind']!r}; expected {kind!r}.")
    return Checkpoint(kind, tensors, header["config"], header["vocabulary"])


def checkpoint_kind(path: Path) -> str:
    """The kind of model that a checkpoint holds, without reading its tensors.

    Raises:
        StorageError: the file cannot be opened.
        CorruptDataError: it is no checkpoint, or a newer one.
    """
    return str(_read(path, with_tensors=False)[0]["kind"])


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as stream:
            metadata = stream.metadata() or {}
            names = stream.keys() if with_tensors else ()
            tensors = {name: stream.get_tensor(name) for name in names}
    except OSError as error:
        raise StorageError(f"{path}: {error}. Check the path and its permissions.") from None
    except SafetensorError as error:
        raise CorruptDataError(
            f"{path} is not a checkpoint, or was cut short ({error}). Train or copy it again."
        ) from None
    if "novalith" not in metadata:
        raise CorruptDataError(f"{path} is a safetensors file of another program; a checkpoint of novalith is needed.")
    return _lift(json.loads(metadata["novalith"]), path), tensors


def _lift(header: dict[str, Any], path: Path) -> dict[str, Any]:
    version = header.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise CorruptDataError(
            f"{path} has checkpoint format {version}; this novalith reads 1 to {FORMAT_VERSION}. Upgrade novalith."
        )
    for step in range(version, FORMAT_VERSION):
        header = UPGRADES[step](header)
    return header
