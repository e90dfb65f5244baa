"""Sizes of the recipe `hoffmann`, from one that trains in a test to the published one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from novalith.errors import InputError
from novalith.generate.image_autoencoder import ImageAutoencoder, ImageAutoencoderSettings
from novalith.generate.principal_vae import PrincipalVae, PrincipalVaeSettings
from novalith.networks.monai_unet import UnetSize
from novalith.predict.voxel_classes import SegmenterSettings
from novalith.recipes.hoffmann_images import HEAVIEST, ORIGINS
from novalith.represent.density_box import Box


@dataclass(frozen=True)
class HoffmannSettings:
    """Sizes and training.

    Attributes:
        autoencoder: of the densities: one that starts from their principal components, or convolutions as published.
        segmenter: the UNet.
        n: voxels along an edge of the box.
        voxel_a: edge of a voxel, Å.
        origin: of the crystals in the box when the autoencoder is trained, see `novalith.recipes.hoffmann_images`.
        max_edge_a: longest edge of a Niggli cell, Å.
        max_atoms: most atoms of a Niggli cell.
    """

    autoencoder: PrincipalVaeSettings | ImageAutoencoderSettings
    segmenter: SegmenterSettings
    n: int = 32
    voxel_a: float = 1 / 3
    origin: str = ORIGINS[0]
    max_edge_a: float = 8.5
    max_atoms: int = 24

    def __post_init__(self) -> None:
        if isinstance(self.autoencoder, ImageAutoencoderSettings) and self.autoencoder.n != self.n:
            raise InputError(f"An autoencoder of {self.autoencoder.n} voxels an edge came for a box of {self.n}.")

    @property
    def box(self) -> Box:
        """The grid."""
        return Box(self.n, self.voxel_a)

    def new_autoencoder(self) -> PrincipalVae | ImageAutoencoder:
        """An autoencoder of densities that has learned nothing yet."""
        if isinstance(self.autoencoder, PrincipalVaeSettings):
            return PrincipalVae(self.autoencoder)
        return ImageAutoencoder(self.autoencoder)

    def stored_autoencoder(self, tensors: Mapping[str, NDArray[Any]]) -> PrincipalVae | ImageAutoencoder:
        """The autoencoder of tensors by name."""
        if isinstance(self.autoencoder, PrincipalVaeSettings):
            return PrincipalVae.of_tensors(self.autoencoder, (0,), tensors)
        return ImageAutoencoder.of_tensors(self.autoencoder, (0,), tensors)

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> HoffmannSettings:
        """The inverse of `dataclasses.asdict`."""
        encoder = record["autoencoder"]
        parts = {
            "autoencoder": PrincipalVaeSettings(**encoder)
            if "n_components" in encoder
            else ImageAutoencoderSettings(**{**encoder, "widths": tuple(encoder["widths"])}),
            "segmenter": SegmenterSettings.of_json(record["segmenter"]),
        }
        return cls(**{**record, **parts})


#: Background and the elements up to the heaviest.
N_CLASSES = HEAVIEST + 1
#: `default` trains in about an hour and a quarter on one core; `paper` has the published widths.
SIZES = {
    "tiny": HoffmannSettings(
        PrincipalVaeSettings(8, (16,), 1e-2, 2, 8),
        SegmenterSettings(UnetSize("unet", (8, 16), 8, 1, 2.0), N_CLASSES, 256, 2, 8, precision="float32"),
        n=16, voxel_a=0.5, max_edge_a=6.5, max_atoms=10,
    ),
    "default": HoffmannSettings(
        PrincipalVaeSettings(768, (256,), 1e-2, 20, 32),
        SegmenterSettings(UnetSize("unet", (32, 64, 128), 32, 1), N_CLASSES, 2048, 12, 8),
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
