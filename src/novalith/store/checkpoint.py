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
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CapabilityError, CorruptDataError, InputError, StorageError
from novalith.store.files import write_atomic

P = ParamSpec("P")
Model = TypeVar("Model")

FORMAT_VERSION = 1

#: Characters of a cause that are told; a network lists every one of its tensors.
MOST_TOLD = 300

#: What a reader meets in a file whose settings and tensors do not fit together.
_FAULTS = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, InputError, CorruptDataError)

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


def rebuilds(load: Callable[P, Model]) -> Callable[P, Model]:
    """Decorate a reader of checkpoints, whose last argument is the path, to tell of a file that makes no model.

    A setting that is missing, unknown or out of range, and a tensor that is missing or of another shape, become a
    `CorruptDataError` that names the file and what was wrong. A device or an optional package that this machine lacks
    is no fault of the file and stays what it is.
    """

    @wraps(load)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Model:
        path = kwargs.get("path", args[-1] if args else "")
        try:
            return load(*args, **kwargs)
        except CapabilityError:
            raise
        except _FAULTS as error:
            if isinstance(error, CorruptDataError) and str(path) in str(error):
                raise
            name = "" if isinstance(error, InputError | CorruptDataError) else f"{type(error).__name__}: "
            cause = " ".join(str(error).split())
            told = cause if len(cause) <= MOST_TOLD else f"{cause[:MOST_TOLD]}..."
            raise CorruptDataError(
                f"{path} does not hold the settings and tensors of a model ({name}{told}). Train or copy it again."
            ) from error

    return wrapped


def check_shapes(tensors: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Make sure that stored tensors that no network checks have the shapes that the settings give them.

    Args:
        tensors: by name.
        shapes: of those that are checked.

    Raises:
        CorruptDataError: one is missing or has another shape.
    """
    for name, shape in shapes.items():
        if name not in tensors:
            raise CorruptDataError(f"There is no tensor {name!r}.")
        if tensors[name].shape != shape:
            raise CorruptDataError(f"Tensor {name!r} has the shape {tensors[name].shape}; expected {shape}.")


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
    try:
        header = json.loads(metadata["novalith"])
        lifted = _lift(dict(header), path)
        whole = {"kind": str(lifted["kind"]), **{key: dict(lifted[key]) for key in ("config", "vocabulary")}}
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptDataError(f"The header of {path} cannot be read ({error!r}). Train or copy it again.") from None
    return whole, tensors


def _lift(header: dict[str, Any], path: Path) -> dict[str, Any]:
    version = header.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise CorruptDataError(
            f"{path} has checkpoint format {version}; this novalith reads 1 to {FORMAT_VERSION}. Upgrade novalith."
        )
    for step in range(version, FORMAT_VERSION):
        header = UPGRADES[step](header)
    return header
