"""Training and use of the network that names voxels: class weights that count, and images as an autoencoder gives them.

    w_c proportional to 1 / sqrt(atoms of class c), mean 1 over the atoms of the training set; class 0 (none) has 0.1

Per image `n_voxels` voxels are asked for, three in four of them in cores, the rest anywhere. A share of the crystals
has its elements replaced by others at random, so that the network learns elements rather than compounds. In a second
pass every other image comes from an autoencoder: a network that has only seen exact images misreads blurred ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from novalith.materials import Crystal
from novalith.recipes.court_images import N_CHANNELS, ElementClasses, core_labels, image_of, padded, substituted

if TYPE_CHECKING:
    from novalith.networks.segmentation_unet import SegmentationUnet
    from novalith.training.loop import EpochReport

Floats = NDArray[np.float32]

#: Weight of class 0 beside the mean of the elements, and share of the voxels asked for that lie in cores.
EMPTY_WEIGHT, CORE_SHARE = 0.1, 0.75


@dataclass(frozen=True)
class SegmentationSettings:
    """Sizes and training of the network.

    Attributes:
        widths: of its levels.
        n_images: exact images shown, each crystal as often as that takes.
        n_tuning: further images, half of them as the autoencoder gives them back.
        batch_size: images a step.
        learning_rate: peak of the cycle.
        n_voxels: voxels an image whose species are asked for.
        precision: of the multiplications in training.
        substituted: share of the exact images whose elements are replaced at random.
    """

    widths: tuple[int, ...] = (32, 64, 96)
    n_images: int = 8_000
    n_tuning: int = 4_000
    batch_size: int = 8
    learning_rate: float = 1.5e-3
    n_voxels: int = 256
    precision: str = "bfloat16"
    substituted: float = 0.5


def class_weights(crystals: Sequence[Crystal], classes: ElementClasses) -> Floats:
    """(classes,) weights of the loss: rare elements count more."""
    counts = np.zeros(len(classes))
    for crystal in crystals:
        np.add.at(counts, classes.of_sites(crystal), 1.0)
    weights = 1 / np.sqrt(np.maximum(counts, 1.0))
    weights /= (weights * counts).sum() / max(counts.sum(), 1.0)
    weights[0] = EMPTY_WEIGHT
    return weights.astype(np.float32)


def asked_voxels(cores: NDArray[np.uint8], n_voxels: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(b, n_voxels) where the species are asked for, of images with the cores (b, n^3)."""
    in_cores = round(CORE_SHARE * n_voxels)
    picked = rng.integers(cores.shape[1], size=(len(cores), n_voxels))
    for row, core in zip(picked, cores, strict=True):
        row[:in_cores] = rng.choice(np.flatnonzero(core), in_cores)
    return picked


def build(settings: SegmentationSettings, n_classes: int, seed: int = 0) -> SegmentationUnet:
    """An untrained network."""
    import torch

    from novalith.networks.segmentation_unet import SegmentationUnet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SegmentationUnet(N_CHANNELS, n_classes, settings.widths)


def fit_segmentation(  # noqa: PLR0913 - what accompanies a training
    net: SegmentationUnet,
    crystals: Sequence[Crystal],
    classes: ElementClasses,
    settings: SegmentationSettings,
    n_images: int,
    *,
    n: int,
    blurred: Callable[[NDArray[np.int64], Floats, np.random.Generator], Floats] | None = None,
    resume_path: Path | None = None,
    watch: Callable[[EpochReport], None] = lambda _: None,
    rng: np.random.Generator,
) -> tuple[EpochReport, ...]:
    """Train the network in place.

    Args:
        net: of `build`.
        crystals: in the setting of their family.
        classes: the elements.
        settings: how.
        n_images: how many are shown.
        n: voxels an edge.
        blurred: rows and their exact images -> the images as an autoencoder gives them back; it takes every second row.
        resume_path: state of the training under way.
        watch: told of every epoch.
        rng: seeds everything random.
    """
    import torch

    from novalith.networks.segmentation_unet import segmentation_loss
    from novalith.training.loop import Supervision, TrainingSettings, train

    weights = torch.from_numpy(class_weights(crystals, classes))
    cores = np.stack([core_labels(c, n).reshape(-1) for c in crystals])

    def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        drawn = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        rows = batch.cpu().numpy()
        shown = [crystals[i] for i in rows]
        for i in range(0, len(shown), 1 if blurred is None else 2):
            if drawn.random() < settings.substituted:
                shown[i] = substituted(shown[i], classes, drawn)
        images = np.stack([image_of(c, n) for c in shown])
        if blurred is not None:
            images[1::2] = blurred(rows[1::2], images[1::2], drawn)
        x = torch.from_numpy(images).to(memory_format=torch.channels_last_3d)
        voxels = asked_voxels(cores[rows], settings.n_voxels, drawn)
        sites = np.take_along_axis(cores[rows], voxels, axis=1)
        wanted = np.stack([np.append(0, classes.of_sites(c))[s] for c, s in zip(shown, sites, strict=True)])
        core = torch.from_numpy(cores[rows] > 0).float()
        return segmentation_loss(net, x, core, torch.from_numpy(voxels), torch.from_numpy(wanted), weights)

    how = TrainingSettings(
        -(-n_images // len(crystals)),
        settings.batch_size,
        settings.learning_rate,
        1e-4,
        averaging=0.98,
        precision=settings.precision,
    )
    beside = Supervision(resume_path=resume_path, watch=watch)
    return train(net, loss, len(crystals), how, beside, rng=rng)


def segmented(net: SegmentationUnet, images: Floats) -> list[tuple[Floats, NDArray[np.int64], Floats]]:
    """Of each image (b, 5, n, n, n): core and regions in the padded box, classes of their voxels (voxels, classes)."""
    import torch

    from novalith.represent.watershed_atoms import core_regions

    n, found = images.shape[-1], []
    numbers = padded(np.arange(n**3).reshape(n, n, n))
    with torch.no_grad():
        x = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).to(memory_format=torch.channels_last_3d)
        f, core_logits = net.maps(x)
        cores = core_logits.sigmoid().reshape(-1, n, n, n).numpy()
        for i, core in enumerate(cores):
            box = padded(core)
            regions = core_regions(box)
            where, of = np.unique(numbers[regions > 0], return_inverse=True)
            logits = net.logits(x[i : i + 1], f[i : i + 1], torch.from_numpy(where)[None])[0]
            found.append((box, regions, logits.softmax(dim=1).numpy()[of]))
    return found
