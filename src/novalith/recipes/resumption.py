"""What a training under way was started with, kept beside its state, so that it never goes on with something else.

The loops know settings, seed and number of rows (`novalith.training.loop`); other data with as many rows would pass
them by. So `OUT.resume.order` holds the recipe, its options and a checksum of the data: read once, whatever their form,
a second for half a gigabyte. State without such a file, as earlier versions left it, is taken as it is.
"""

from __future__ import annotations

import glob
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from novalith.data.cards import load_cards
from novalith.errors import CampaignError
from novalith.store.files import write_atomic

if TYPE_CHECKING:
    from novalith.recipes.training import TrainingOrder

_ENDING = ".order"
_BLOCK = 1 << 20


def order_path(order: TrainingOrder) -> Path:
    """Where it is kept what the training under way was started with."""
    return order.resume_path.with_name(order.resume_path.name + _ENDING)


def claim_state(recipe: str, order: TrainingOrder) -> None:
    """Write down what a training starts with, or make sure that the state to go on from was left by the same.

    Raises:
        CampaignError: it was left by another training; says what differs.
        StorageError: the folder of the checkpoint cannot be written to.
    """
    path, state, now = order_path(order), _state(order), _identity(recipe, order)
    before = _read(path) if state else {}
    different = [name for name, value in now.items() if before.get(name, value) != value]
    if different:
        told = "; ".join(_told(name, before[name], now[name]) for name in different)
        raise CampaignError(
            f"{state[0]} was left by a training with other choices ({told}). Use the same to go on with it, remove "
            f"{order.resume_path}* to start anew, or choose another --out."
        )
    write_atomic(path, json.dumps(now, sort_keys=True, indent=1))


def release_state(order: TrainingOrder) -> None:
    """Remove what was written down where no state is left: the training is done, or never came to its first epoch."""
    if not _state(order):
        order_path(order).unlink(missing_ok=True)


def checksum_of(path: Path, leave_out: tuple[str, ...] = ()) -> str:
    """SHA-256 of a file, or of the names and contents of the files of a folder, sub-folders and hidden files not read.

    Args:
        path: a file or a folder; what is not there has the checksum of nothing.
        leave_out: starts of the names of files of a folder that are none of the data.
    """
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if not p.name.startswith((".", *leave_out)))
    digest = hashlib.sha256()
    for file in filter(Path.is_file, files):
        digest.update(b"" if file == path else file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _state(order: TrainingOrder) -> list[Path]:
    """Files of state of the training under way, one for each of its stages."""
    names = glob.escape(order.resume_path.name) + "*"
    return sorted(p for p in order.resume_path.parent.glob(names) if p != order_path(order))


def _identity(recipe: str, order: TrainingOrder) -> dict[str, object]:
    bundle = hashlib.sha256("".join(card.sha256 for card in load_cards()).encode()).hexdigest()
    # A checkpoint, its state and its training set may lie beside the data.
    own = (order.out.name, f"{order.out.stem}-set.json")
    data = "the bundled data" if order.data is None else checksum_of(order.data, own)
    return {
        "recipe": recipe, "data": data, "column": order.column, "targets": list(order.targets),
        "options": dict(order.options), "bundled data": bundle,
    }  # fmt: skip


def _read(path: Path) -> dict[str, object]:
    """What was written down; nothing where there is no such file, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _told(name: str, before: object, now: object) -> str:
    return f"{name} changed" if "data" in name else f"{name} {before!r} there, {now!r} now"
