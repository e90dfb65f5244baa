"""Which element a voxel belongs to: the 3D U-shaped networks of MONAI, with a head that knows what a height means.

    f        = U(rho, log(1 + rho / 0.05))          rho (b, 1, n, n, n) -> f (b, features, n, n, n)
    log z    = log(rho / g0) + c(f)                 g0 = (2 pi s^2)^(-3/2): the height of one electron, s = 1 Å
    logit_0  = w_0 f,   logit_Z = w_Z f - exp(q(f)) (log z - log Z)^2 / 2       c, q, w linear in f

U is one of MONAI's networks: `unet` (residual units), `attention` (gates on the skip connections, Oktay et al. 2018,
which Hoffmann et al. use) or `basic`. The head is ours: at an atom that stands alone the density is Z g0, and U has but
to learn the correction c for the neighbours and for the distance from the atom, and how far to trust it, q. Without it
neighbours in the periodic table, whose heights differ by one part in a hundred, are told apart only after very long
training. The linear part w is what is left of chemistry: which elements keep company.

Norms are over the batch, never over one image: an image that is divided by its own deviation no longer says how many
electrons an atom has. Images whose edge is no multiple of the coarsest voxel are padded with zeros and cut back.

MONAI Consortium, arXiv:2211.02701 (2022); Ronneberger, Fischer and Brox (2015); Cicek et al. (2016) in 3D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from novalith.errors import InputError, MissingExtraError, UnknownNameError

NETWORKS = ("unet", "attention", "basic")
#: Density (electrons/Å3) at which the logarithm bends: the peak of a lone hydrogen atom of width 1 Å, about 0.06.
BEND = 0.05
#: Height of a Gaussian of width 1 Å that holds one electron, electrons/Å3.
UNIT_HEIGHT = (2 * math.pi) ** -1.5
#: Densities below this are taken for it: an image that was decoded may be zero or less.
LEAST_DENSITY = 1e-3
#: q starts here, and stays within these: deviations of log z from 1 down to 1 in 400.
START_TRUST, TRUST_LIMITS = 4.0, (0.0, 12.0)
#: The logarithm and the density itself are brought to about 1 by these.
LOG_SCALE, DENSITY_SCALE = 3.0, 2.0


@dataclass(frozen=True)
class UnetSize:
    """Which network and how large.

    Attributes:
        network: one of `NETWORKS`.
        channels: at full (for `unet`: half) resolution and at each coarser step; two or more.
        n_features: channels that the head reads at full resolution.
        n_residual: residual units a step, `unet` only.
    """

    network: str = "unet"
    channels: tuple[int, ...] = (64, 128, 256)
    n_features: int = 32
    n_residual: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if self.network not in NETWORKS:
            raise UnknownNameError("network", self.network, NETWORKS)
        if len(self.channels) < 2:
            raise InputError(f"channels={self.channels}: expected two or more numbers, one a resolution.")

    @property
    def coarsest(self) -> int:
        """Voxels of the image along an edge of a voxel of the coarsest step."""
        return int(2 ** (4 if self.network == "basic" else len(self.channels) - 1))


def monai_network(size: UnetSize, n_channels: int) -> nn.Module:
    """MONAI's network of that size, from `n_channels` to `size.n_features` channels.

    Raises:
        MissingExtraError: MONAI is not installed.
    """
    nets = _nets()
    strides = (2,) * (len(size.channels) - 1)
    if size.network == "unet":
        # Its first convolution halves the resolution: a density of width 1 Å has no detail finer than two voxels.
        network = nets.UNet(
            spatial_dims=3, in_channels=n_channels, out_channels=size.n_features, channels=size.channels,
            strides=strides, num_res_units=size.n_residual, norm="BATCH", act="LEAKYRELU",
        )  # fmt: skip
    elif size.network == "attention":
        network = nets.AttentionUnet(3, n_channels, size.n_features, size.channels, strides)
    else:
        wide = [size.channels[min(i, len(size.channels) - 1)] for i in range(5)]
        network = nets.BasicUNet(3, n_channels, size.n_features, (*wide, size.channels[0]), norm="batch")
    module: nn.Module = network
    return module


def _nets() -> Any:
    try:
        from monai.networks import nets
    except ImportError:
        raise MissingExtraError("MONAI", "voxels", "The network that names the atoms in an image") from None
    return nets


class VoxelClassifier(nn.Module):  # type: ignore[misc]
    """Densities to classes, voxel by voxel.

    Args:
        size: which of MONAI's networks.
        n_classes: background included.
    """

    def __init__(self, size: UnetSize, n_classes: int) -> None:
        super().__init__()
        self.size = size
        self.body = monai_network(size, 2)
        self.head = nn.Linear(size.n_features, n_classes)
        self.height = nn.Linear(size.n_features, 2)
        nn.init.zeros_(self.height.weight)
        nn.init.zeros_(self.height.bias)
        self.register_buffer("log_numbers", torch.arange(1, n_classes, dtype=torch.float32).log())

    def features(self, density: Tensor) -> Tensor:
        """(b, 1, n, n, n) -> (b, n^3, features)."""
        n, coarse = density.shape[-1], self.size.coarsest
        padding = -n % coarse
        before, after = padding // 2, padding - padding // 2
        clean = density.clamp_min(0.0)
        image = torch.cat([clean / DENSITY_SCALE, (1 + clean / BEND).log() / LOG_SCALE], dim=1)
        padded = functional.pad(image, (before, after) * 3).contiguous(memory_format=torch.channels_last_3d)
        found = self.body(padded)[..., before : before + n, before : before + n, before : before + n]
        return found.permute(0, 2, 3, 4, 1).flatten(1, 3)

    def forward(self, density: Tensor, voxels: Tensor | None = None) -> Tensor:
        """(b, 1, n, n, n) -> logits (b, voxels, classes), at all voxels or at the (b, k) numbered ones."""
        found, rho = self.features(density), density.flatten(1)
        if voxels is not None:
            found = found.gather(1, voxels[..., None].expand(-1, -1, found.shape[-1]))
            rho = rho.gather(1, voxels)
        # In full precision: heights of neighbours in the periodic table differ by less than half a precision resolves.
        with torch.autocast(density.device.type, enabled=False):
            f = functional.leaky_relu(found.float())
            correction, trust = self.height(f).unbind(dim=-1)
            log_z = (rho.float().clamp_min(LEAST_DENSITY) / UNIT_HEIGHT).log() + correction
            apart = log_z[..., None] - self.log_numbers
            trusted = (trust + START_TRUST).clamp(*TRUST_LIMITS).exp()
            logits: Tensor = self.head(f)
            heights = functional.pad(trusted[..., None] * apart**2 / 2, (1, 0))
        return logits - heights
