"""Named arrays of many objects in one NPZ file, written and read one object at a time, without pickle.

::

    novalith.npy     JSON as text: {format_version, ..., ids}
    00000/NAME.npy   arrays of the first id, and so on

An NPZ file is a ZIP of arrays that NumPy reads as well: `np.load(path)["00000/density"]`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from novalith.errors import CorruptDataError, StorageError
from novalith.store.files import storage_error

FORMAT_VERSION = 1
#: No array of one crystal is larger: 95 images of 64^3 are 0.1 GB.
MOST_BYTES = 500_000_000
_HEAD = "novalith.npy"

Write = Callable[[str, Mapping[str, NDArray[Any]]], None]


@contextmanager
def array_file(path: Path, header: Mapping[str, Any]) -> Iterator[Write]:
    """A function that adds the arrays of an id; the file appears under its name only when all are in it.

    Raises:
        StorageError: the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    ids: list[str] = []
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

            def write(id_: str, arrays: Mapping[str, NDArray[Any]]) -> None:
                for name, array in arrays.items():
                    _put(archive, f"{len(ids):05d}/{name}.npy", array)
                ids.append(id_)

            yield write
            text = json.dumps({"format_version": FORMAT_VERSION, **header, "ids": ids}, sort_keys=True)
            _put(archive, _HEAD, np.array(text))
        part.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _put(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # equal arrays give equal files
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as handle:
        np.lib.format.write_array(handle, np.asarray(array, order="C"), allow_pickle=False)


class ArrayFile:
    """A file of named arrays, open for reading.

    Args:
        path: the file.

    Raises:
        StorageError: it cannot be opened.
        CorruptDataError: it is no such file, or a newer one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            self._refuse(error)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
        self._names = self._archive.namelist()
        try:
            self.header: dict[str, Any] = json.loads(str(self._get(_HEAD)))
            self.ids = [str(id_) for id_ in self.header["ids"]]
            version = self.header["format_version"]
        except (KeyError, ValueError, TypeError) as error:
            self._refuse(error)
        if version != FORMAT_VERSION:
            raise CorruptDataError(f"{path} has format {version}; this novalith reads {FORMAT_VERSION}.")

    def __len__(self) -> int:
        return len(self.ids)

    def arrays(self, index: int) -> dict[str, NDArray[Any]]:
        """The arrays of the id at a place.

        Raises:
            CorruptDataError: they cannot be read.
        """
        folder = f"{index:05d}/"
        mine = [n for n in self._names if n.startswith(folder)]
        return {n.removeprefix(folder).removesuffix(".npy"): self._get(n) for n in mine}

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def _get(self, name: str) -> NDArray[Any]:
        try:
            info = self._archive.getinfo(name)
            if info.file_size > MOST_BYTES:
                raise ValueError(f"{name} has {info.file_size} bytes")
            with self._archive.open(info) as handle:
                shape, _, dtype = self._shape(handle)
                if int(np.prod(shape, dtype=float)) * dtype.itemsize > info.file_size or dtype.hasobject:
                    raise ValueError(f"{name} holds no plain numbers of its size")
            with self._archive.open(info) as handle:
                return np.asarray(np.lib.format.read_array(handle, allow_pickle=False))
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile, OSError, NotImplementedError) as error:
            self._refuse(error)

    @staticmethod
    def _shape(handle: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return read(handle)

    def _refuse(self, error: Exception) -> NoReturn:
        raise CorruptDataError(
            f"{self.path} is no file of arrays of 'novalith encode', or was cut short ({error}). Encode again."
        ) from None
