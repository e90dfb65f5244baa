"""Semantic segmentation of images: to which class each voxel belongs, learned from images streamed to the network.

    loss = - mean_v w(c_v) log softmax(U(rho))_{v, c_v},   v: all foreground voxels (at most `n_voxels` an image)
                                                           and as many of the background, drawn at random

rho (b, 1, n, n, n) are images, c_v the true class of voxel v, class 0 the background. Almost all voxels of a crystal
are background and say nothing; drawing them is what a class weight on the background does, for less work. The
networks are MONAI's (`novalith.networks.monai_unet`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.networks.monai_unet import UnetSize

if TYPE_CHECKING:
    import torch

    from novalith.training.loop import EpochReport

Floats = NDArray[np.float32]


class LabelledImages(Protocol):
    """Images with the class of every voxel, made when they are asked for."""

    def __len__(self) -> int: ...

    def pairs(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        """Row numbers (b,) -> images (b, 1, n, n, n) and classes (b, n, n, n)."""
        ...


@dataclass(frozen=True)
class SegmenterSettings:
    """Size and training.

    Attributes:
        unet: the network.
        n_classes: background included.
        n_voxels: most foreground voxels of an image that are learned from, and background voxels beside them.
        n_epochs: passes over the images.
        batch_size: images a step.
        learning_rate: peak of the cycle.
        averaging: share of the old average of the weights kept at each step.
        precision: of the multiplications in training.
    """

    unet: UnetSize = field(default_factory=UnetSize)
    n_classes: int = 119
    n_voxels: int = 2048
    n_epochs: int = 5
    batch_size: int = 8
    learning_rate: float = 2e-3
    averaging: float = 0.99
    precision: str = "bfloat16"

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> SegmenterSettings:
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**record, "unet": UnetSize(**record["unet"])})


class VoxelSegmenter:
    """A network that names the class of every voxel.

    Args:
        settings: size and training.

    Raises:
        MissingExtraError: MONAI is not installed.
    """

    def __init__(self, settings: SegmenterSettings) -> None:
        import torch

        from novalith.networks.monai_unet import VoxelClassifier

        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = VoxelClassifier(settings.unet, settings.n_classes)
        self.network = self.network.to(memory_format=torch.channels_last_3d).eval()

    def fit(
        self,
        images: LabelledImages,
        validation: Callable[[], float] | None = None,
        resume_path: Path | None = None,
        watch: Callable[[EpochReport], None] = lambda _: None,
        *,
        rng: np.random.Generator,
    ) -> tuple[EpochReport, ...]:
        """Learn from images and return the learning curve; a segmenter that was fitted goes on from its weights."""
        import torch

        from novalith.training.loop import Supervision, TrainingSettings, train

        s = self.settings

        def loss(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            source = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
            made, classes = images.pairs(batch.cpu().numpy(), source)
            voxels = drawn_voxels(classes, s.n_voxels, rng=source)
            logits = self.network(torch.from_numpy(made), torch.from_numpy(voxels))
            flat = classes.reshape(len(classes), -1)
            truth = torch.from_numpy(np.take_along_axis(flat, voxels, axis=1))
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1), truth.flatten())

        how = TrainingSettings(
            s.n_epochs, s.batch_size, s.learning_rate, 1e-4, averaging=s.averaging, precision=s.precision
        )
        beside = Supervision(validation, resume_path, watch)
        return train(self.network, loss, len(images), how, beside, rng=rng)

    def probabilities(self, images: Floats, voxels: NDArray[np.int64] | None = None) -> Floats:
        """(b, 1, n, n, n) images -> (b, voxels, classes) probabilities, at all voxels or at the numbered ones (b, k).

        Raises:
            InputError: the images have another shape.
        """
        import torch

        if images.ndim != 5 or images.shape[1] != 1 or len(set(images.shape[2:])) != 1:
            raise InputError(f"Images of shape {images.shape} came; expected (images, 1, n, n, n).")
        with torch.no_grad():
            numbered = None if voxels is None else torch.from_numpy(voxels)
            logits = self.network(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)), numbered)
            found: Floats = logits.softmax(dim=2).numpy()
        return found

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The weights by name."""
        return {name: t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take weights that `tensors` gave."""
        import torch

        self.network.load_state_dict({n: torch.from_numpy(np.array(t)) for n, t in tensors.items()})
        self.network.eval()


def drawn_voxels(classes: NDArray[np.int64], n: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """(b, n, n, n) classes -> (b, 2 n) numbers of voxels: at most `n` of the foreground, the rest background."""
    flat = classes.reshape(len(classes), -1)
    keys = rng.random(flat.shape, dtype=np.float32)
    # Foreground first, in random order, then background in random order.
    order = np.argsort(np.where(flat > 0, keys - 1.0, keys), axis=1)
    n_front = (flat > 0).sum(axis=1)
    rows = []
    for numbers, front in zip(order, n_front, strict=True):
        kept = min(int(front), n)
        rows.append(np.concatenate([numbers[:kept], numbers[front : front + 2 * n - kept]])[: 2 * n])
    width = min(len(row) for row in rows)
    return np.stack([row[:width] for row in rows])
