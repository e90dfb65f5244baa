"""The parts of the bench on voxel images, each in a module of its own.

A module offers `tables(bench, tell) -> list[Table]`; `novalith.report.voxel_figures` draws what the parts keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType

from novalith.errors import UnknownNameError
from novalith.recipes.bench_tables import Table
from novalith.recipes.voxel_bench import VoxelBench
from novalith.store.files import make_folder

#: Part -> module; only names of this table are ever imported.
PARTS = {
    "representations": "novalith.recipes.voxel_bench",
    "imatgen": "novalith.recipes.imatgen_bench",
    "court": "novalith.recipes.court_bench",
    "hoffmann": "novalith.recipes.hoffmann_bench",
    "latent": "novalith.recipes.latent_bench",
}


def part_modules(parts: Sequence[str]) -> list[ModuleType]:
    """The modules of the parts that were named, in the order of `PARTS`; all of them where none was.

    Raises:
        UnknownNameError: there is no such part.
    """
    for part in parts:
        if part not in PARTS:
            raise UnknownNameError("part of the bench", part, PARTS)
    return [import_module(module) for part, module in PARTS.items() if not parts or part in parts]


def run_voxels(bench: VoxelBench, parts: Sequence[str], tell: Callable[[str], None]) -> list[Table]:
    """All tables of some parts."""
    make_folder(bench.keep)
    return [table for module in part_modules(parts) for table in module.tables(bench, tell)]
