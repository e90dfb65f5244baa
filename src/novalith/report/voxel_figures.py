"""The figures of the bench on voxel images, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from novalith.recipes.voxel_bench import VoxelBench
from novalith.store.files import make_folder

#: Part -> module and function (bench, folder) -> files; only names of this table are ever imported.
FIGURES: Mapping[str, tuple[str, str]] = {
    "representations": ("novalith.report.figures.voxel_slices", "draw_slices"),
    "latent": ("novalith.report.voxel_figures", "draw_latent"),
}


def draw_voxels(bench: VoxelBench, parts: Sequence[str], folder: Path) -> list[Path]:
    """Draw the figures of some parts, all where none is named, from what the bench keeps; returns the files."""
    make_folder(folder)
    drawn: list[Path] = []
    for part, (module, name) in FIGURES.items():
        if not parts or part in parts:
            draw: Callable[[VoxelBench, Path], list[Path]] = getattr(import_module(module), name)
            drawn += draw(bench, folder)
    return drawn


def draw_latent(bench: VoxelBench, folder: Path) -> list[Path]:
    """The map of the codes and a way between two training crystals of every model that the bench keeps."""
    from novalith.recipes.latent import latent_map
    from novalith.recipes.latent_bench import kept_models, richest_way
    from novalith.report.figures.latent import draw_latent_map, draw_way

    drawn = []
    for name, model in kept_models(bench.keep):
        rows, points = latent_map(model, rng=np.random.default_rng(bench.seed))
        kind = f"{model.name} ({', '.join(model.families)})" if model.families else model.name
        title = f"Codes of {len(rows)} training crystals of {kind}"
        drawn.append(folder / f"latent_map_{name}.svg")
        label = "formation energy (eV/atom)"
        draw_latent_map(points, model.training_labels["formation_energy"][rows], label, title, drawn[-1])
        drawn.append(folder / f"interpolation_{name}.svg")
        draw_way(model, richest_way(model, rng=np.random.default_rng(bench.seed)), drawn[-1])
    return drawn
