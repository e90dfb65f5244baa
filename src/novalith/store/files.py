"""Files that are either the old ones or the new ones, never half of each."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from novalith.errors import CampaignError, StorageError


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content` in one step: a reader or a crash sees the old file or the new one.

    Raises:
        StorageError: the disk is full, the folder is missing or may not be written to.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise storage_error(path, error, len(data)) from error


def make_folder(path: Path) -> Path:
    """Create `path` and its parents if need be, and make sure that it can be written to.

    Raises:
        StorageError: it is a file, or may not be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StorageError(f"{path}: no permission to write there. Choose another --out or change its permissions.")
    return path


def storage_error(path: Path, error: OSError, n_bytes: int | None = None) -> StorageError:
    """A refusal of the file system in one sentence that names the path, the cause and the cure."""
    needed = f" ({n_bytes} bytes were to be written)" if n_bytes is not None else ""
    return StorageError(
        f"{path}: {error.strerror or error}{needed}. Check the path, its permissions and the free space; "
        "what was finished before is kept."
    )


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock ends with the process, however it ends.

    Raises:
        CampaignError: another process holds it.
    """
    import fcntl

    with (folder / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CampaignError(
                f"{folder} is in use by another novalith process. Wait for it, or choose another --out."
            ) from None
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)
