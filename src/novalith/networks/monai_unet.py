"""Which element a voxel belongs to: the 3D U-shaped networks of MONAI, with a head that knows what a height means.

    r        = sharpened rho:  F r = G / (G^2 + 1e-3) F rho,   G = exp(-k^2 s^2 / 2)
    f        = U(rho, log(1 + rho / 0.05), r, log(1 + r / 0.2))   rho (b, 1, n, n, n) -> f (b, features, n, n, n)
    log z    = log(r / r0) + c(f)                       r0: the height in r of one electron
    logit_0  = w_0 f,   logit_Z = w_Z f - exp(q(f)) (log z - log Z)^2 / 2       c, q, w linear in f

U is one of MONAI's networks: `unet` (residual units), `attention` (gates on the skip connections, Oktay et al. 2018,
which Hoffmann et al. use) or `basic`. What stands around it is ours, and makes up for short training. Every atom of
the image is a Gaussian of the one width s, so that Wiener's filter undoes the blur as far as noise allows: r shows
atoms apart that rho runs into one another. At an atom that stands alone r is Z r0; U has but to learn the correction
c for the distance from the atom and for what neighbours are left, and how far to trust it, q. The linear part w is
what is left of chemistry: which elements keep company.

Norms are over the batch, never over one image: an image that is divided by its own deviation no longer says how many
electrons an atom has. Images whose edge is no multiple of the coarsest voxel are padded with zeros and cut back.

MONAI Consortium, arXiv:2211.02701 (2022); Ronneberger, Fischer and Brox (2015); Cicek et al. (2016) in 3D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from novalith.errors import InputError, MissingExtraError, UnknownNameError

NETWORKS = ("unet", "attention", "basic")
#: Density (electrons/Å3) at which the logarithm bends: the peak of a lone hydrogen atom of width 1 Å, about 0.06.
BEND = 0.05
#: Wiener's constant: the filter amplifies no frequency more than 1 / (2 sqrt(1e-3)) = 16 times.
NOISE = 1e-3
#: Voxels of margin, filled with the values of the faces, in which the filter's echo of the faces dies away.
MARGIN = 8
#: Sharpened heights below a tenth of one electron's are taken for that: an echo may be zero or less.
LEAST_ELECTRONS = 0.1
#: q starts here, and stays within these: deviations of log z from 1 down to 1 in 400.
START_TRUST, TRUST_LIMITS = 2.0, (0.0, 12.0)
#: The logarithm and the density itself are brought to about 1 by these.
LOG_SCALE, DENSITY_SCALE = 3.0, 2.0
#: The same for the sharpened density, whose peaks are four times as high.
SHARP_BEND, SHARP_SCALE = 0.2, 8.0


@dataclass(frozen=True)
class UnetSize:
    """Which network and how large.

    Attributes:
        network: one of `NETWORKS`.
        channels: at full (for `unet`: half) resolution and at each coarser step; two or more.
        n_features: channels that the head reads at full resolution.
        n_residual: residual units a step, `unet` only.
        width_in_voxels: width s of the Gaussians that the images are made of.
    """

    network: str = "unet"
    channels: tuple[int, ...] = (64, 128, 256)
    n_features: int = 32
    n_residual: int = 1
    width_in_voxels: float = 3.0

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
        self.body = monai_network(size, 4)
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
        clean, sharp = density.clamp_min(0.0), self.sharpened(density).clamp_min(0.0)
        logs = [(1 + clean / BEND).log() / LOG_SCALE, (1 + sharp / SHARP_BEND).log() / LOG_SCALE]
        image = torch.cat([clean / DENSITY_SCALE, sharp / SHARP_SCALE, *logs], dim=1)
        padded = functional.pad(image, (before, after) * 3).contiguous(memory_format=torch.channels_last_3d)
        found = self.body(padded)[..., before : before + n, before : before + n, before : before + n]
        return found.permute(0, 2, 3, 4, 1).flatten(1, 3)

    def sharpened(self, density: Tensor) -> Tensor:
        """(b, 1, n, n, n) -> the same shape, Gaussians narrowed as far as `NOISE` lets them."""
        n = density.shape[-1]
        size = (n + 2 * MARGIN,) * 3
        response = self._response(size[0], density.device)
        with torch.autocast(density.device.type, enabled=False):
            padded = functional.pad(density.float(), (MARGIN,) * 6, mode="replicate")
            waves = torch.fft.rfftn(padded, dim=(2, 3, 4)) * response / (response**2 + NOISE)
            found: Tensor = torch.fft.irfftn(waves, s=size, dim=(2, 3, 4))
        return found[..., MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN]

    def unit_height(self, n: int) -> float:
        """r0: height in the sharpened image of an atom of one electron, n voxels an edge, s = 1 Å."""
        size = n + 2 * MARGIN
        g = self._response(size, torch.device("cpu"), whole=True) ** 2
        return float((g / (g + NOISE)).mean()) * self.size.width_in_voxels**3

    def _response(self, size: int, device: torch.device, *, whole: bool = False) -> Tensor:
        """G on the frequencies of a real Fourier transform, or on all of them."""
        k = 2 * torch.pi * torch.fft.fftfreq(size, device=device) * self.size.width_in_voxels
        last = k if whole else 2 * torch.pi * torch.fft.rfftfreq(size, device=device) * self.size.width_in_voxels
        squares = (k**2)[:, None, None] + (k**2)[None, :, None] + (last**2)[None, None, :]
        response: Tensor = (-squares / 2).exp()
        return response

    def forward(self, density: Tensor, voxels: Tensor | None = None) -> Tensor:
        """(b, 1, n, n, n) -> logits (b, voxels, classes), at all voxels or at the (b, k) numbered ones."""
        found, sharp = self.features(density), self.sharpened(density).flatten(1)
        if voxels is not None:
            found = found.gather(1, voxels[..., None].expand(-1, -1, found.shape[-1]))
            sharp = sharp.gather(1, voxels)
        # In full precision: heights of neighbours in the periodic table differ by less than half a precision resolves.
        with torch.autocast(density.device.type, enabled=False):
            f = functional.leaky_relu(found.float())
            correction, trust = self.height(f).unbind(dim=-1)
            log_z = (sharp / self.unit_height(density.shape[-1])).clamp_min(LEAST_ELECTRONS).log() + correction
            apart = log_z[..., None] - self.log_numbers
            trusted = (trust + START_TRUST).clamp(*TRUST_LIMITS).exp()
            logits: Tensor = self.head(f)
            heights = functional.pad(trusted[..., None] * apart**2 / 2, (1, 0))
        return logits - heights
