"""The figures on voxel images: what encoding and decoding alone loses, and what a crystal costs in memory and time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VoxelBench:
    """What to run.

    Attributes:
        data: folder of the public tables; None for the bundled ones.
        keep: folder for models, training sets and results; what it holds is not made again.
        n: how many crystals are tried or drawn.
        size: of the networks.
        epochs: None for the defaults.
        workers: relaxations at a time.
        seed: of everything random.
    """

    data: Path | None
    keep: Path
    n: int = 500
    size: str = "default"
    epochs: int | None = None
    workers: int = 1
    seed: int = 0
