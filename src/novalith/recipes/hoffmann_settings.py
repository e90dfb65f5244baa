"""Sizes of the recipe `hoffmann`, from one that trains in a test to the published one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from novalith.generate.image_autoencoder import ImageAutoencoderSettings
from novalith.networks.monai_unet import UnetSize
from novalith.predict.voxel_classes import SegmenterSettings
from novalith.recipes.hoffmann_images import HEAVIEST, ORIGINS
from novalith.represent.density_box import Box


@dataclass(frozen=True)
class HoffmannSettings:
    """Sizes and training.

    Attributes:
        autoencoder: of the densities; its `n` is the number of voxels of the box.
        segmenter: the UNet.
        n_refining_epochs: further passes of the UNet, over densities that the autoencoder has decoded.
        voxel_a: edge of a voxel, Å.
        origin: of the crystals in the box when the autoencoder is trained, see `novalith.recipes.hoffmann_images`.
        max_edge_a: longest edge of a Niggli cell, Å.
        max_atoms: most atoms of a Niggli cell.
    """

    autoencoder: ImageAutoencoderSettings
    segmenter: SegmenterSettings
    n_refining_epochs: int = 1
    voxel_a: float = 1 / 3
    origin: str = ORIGINS[0]
    max_edge_a: float = 8.5
    max_atoms: int = 24

    @property
    def box(self) -> Box:
        """The grid."""
        return Box(self.autoencoder.n, self.voxel_a)

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> HoffmannSettings:
        """The inverse of `dataclasses.asdict`."""
        encoder = {**record["autoencoder"], "widths": tuple(record["autoencoder"]["widths"])}
        parts = {
            "autoencoder": ImageAutoencoderSettings(**encoder),
            "segmenter": SegmenterSettings.of_json(record["segmenter"]),
        }
        return cls(**{**record, **parts})


#: Background and the elements up to the heaviest.
N_CLASSES = HEAVIEST + 1
#: `default` trains in about three quarters of an hour on one core; `paper` has the published widths.
SIZES = {
    "tiny": HoffmannSettings(
        ImageAutoencoderSettings(n=16, widths=(8, 16), n_latent=8, beta=0.1, n_epochs=2, batch_size=8),
        SegmenterSettings(UnetSize("unet", (8, 16), 8, 1, 2.0), N_CLASSES, 256, 2, 8, precision="float32"),
        voxel_a=0.5, max_edge_a=6.5, max_atoms=10,
    ),
    "default": HoffmannSettings(
        ImageAutoencoderSettings(
            n=32, widths=(32, 64, 128), n_latent=256, beta=0.1, n_epochs=14, batch_size=16, learning_rate=6e-4,
            averaging=0.99, precision="bfloat16",
        ),
        SegmenterSettings(UnetSize("unet", (32, 64, 128), 32, 1), N_CLASSES, 2048, 3, 8),
    ),
    "paper": HoffmannSettings(
        ImageAutoencoderSettings(
            n=32, widths=(16, 32, 64, 128, 256), n_latent=300, beta=5.0, n_blocks=1, n_epochs=100, batch_size=18,
            learning_rate=1e-4, averaging=0.99,
        ),
        SegmenterSettings(UnetSize("attention", (64, 128, 256, 512, 1024), 64), N_CLASSES, 4096, 100, 18),
        origin="random",
    ),
}  # fmt: skip
