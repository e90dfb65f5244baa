"""Which element a voxel belongs to: the 3D U-shaped networks of MONAI, with a head that knows what a height means.

    r        = sharpened rho:  F r = G / (G^2 + 1e-3) F rho,   G = exp(-k^2 s^2 / 2)
    f        = U(rho, log(1 + rho / 0.05), r, log(1 + r / 0.2))   rho (b, 1, n, n, n) -> f (b, features, n, n, n)
    l        = local: logarithms of rho and r, their squared slopes and their curvatures, and rho and r over
               the largest of the 5^3 voxels around;   w, t, c, q = MLP(f, l) at each voxel
    log z    = t log(rho / g0) + (1 - t) log(r / r0) + s^2 |grad log rho|^2 / 2 + c
    logit_0  = w_0,   logit_Z = w_Z - exp(q) (log z - log Z)^2 / 2

U is one of MONAI's networks: `unet` (residual units), `attention` (gates on the skip connections, Oktay et al. 2018,
which Hoffmann et al. use) or `basic`. What stands around it is ours, and makes up for short training: it says what
every atom of the image is, a Gaussian of the one width s. At a distance d from an atom that stands alone log rho is
log(Z g0) - d^2 / 2 s^2 and its slope d / s^2, so that slope and height give Z and d exactly; g0 and r0 are the
heights of one electron. Where atoms overlap, U and the MLP learn the correction c and how far to trust it, q;
Wiener's filter sets atoms apart that rho runs into one another. The scores w are what is left of chemistry: which
elements keep company.

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
#: Wiener's constant: the filter amplifies no frequency more than 1 / (2 sqrt(1e-3)) = 16 times.
NOISE = 1e-3
#: Voxels of margin, filled with the values of the faces, in which the filter's echo of the faces dies away.
MARGIN = 8
#: Height of a Gaussian of width 1 Å that holds one electron, electrons/Å3.
UNIT_HEIGHT = (2 * math.pi) ** -1.5
#: Heights below a tenth of one electron's are taken for that: an echo of the filter may be zero or less.
LEAST_ELECTRONS = 0.1
#: q starts here, and stays within these: deviations of log z from 1 down to 1 in 400.
START_TRUST, TRUST_LIMITS = 3.0, (0.0, 12.0)
#: Largest d^2 / 2 (Å2) that is added to the height: twice that at the edge of an atom's voxels, 0.65 Å.
LARGEST_RISE = 0.45
#: Numbers of l, and where they are cut.
N_LOCAL, LOCAL_LIMIT = 8, 5.0
#: Width of the MLP.
N_HIDDEN = 64
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
        self.head = nn.Sequential(
            nn.Linear(size.n_features + N_LOCAL, N_HIDDEN), nn.LeakyReLU(), nn.Linear(N_HIDDEN, n_classes + 3)
        )
        nn.init.zeros_(self.head[2].weight)
        nn.init.zeros_(self.head[2].bias)
        self.register_buffer("log_numbers", torch.arange(1, n_classes, dtype=torch.float32).log())

    def features(self, density: Tensor, sharp: Tensor) -> Tensor:
        """(b, 1, n, n, n) densities, plain and sharpened -> (b, n^3, features)."""
        n, coarse = density.shape[-1], self.size.coarsest
        padding = -n % coarse
        before, after = padding // 2, padding - padding // 2
        clean, sharp = density.clamp_min(0.0), sharp.clamp_min(0.0)
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
        with torch.autocast(density.device.type, enabled=False):
            sharp = self.sharpened(density)
            heights, local = self.local(density.float(), sharp)
        found = torch.cat([self.features(density, sharp).float(), local], dim=2)
        if voxels is not None:
            found, heights = (x.gather(1, voxels[..., None].expand(-1, -1, x.shape[-1])) for x in (found, heights))
        # In full precision: heights of neighbours in the periodic table differ by less than half a precision resolves.
        with torch.autocast(density.device.type, enabled=False):
            out = self.head(found)
            logits, (mix, correction, trust) = out[..., :-3], out[..., -3:].unbind(dim=-1)
            share = (mix + 1.0).sigmoid()
            log_z = share * heights[..., 0] + (1 - share) * heights[..., 1] + heights[..., 2] + correction
            apart = log_z[..., None] - self.log_numbers
            trusted = (trust + START_TRUST).clamp(*TRUST_LIMITS).exp()
            penalty = functional.pad(trusted[..., None] * apart**2 / 2, (1, 0))
            scores: Tensor = logits - penalty
        return scores

    def local(self, density: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
        """Heights (b, n^3, 3): log of electrons by rho and by r, and d^2 / 2 by the slope; l as (b, n^3, N_LOCAL)."""
        logs, found = [], []
        for image, unit in ((density, UNIT_HEIGHT), (sharp, self.unit_height(density.shape[-1]))):
            electrons = (image / unit).clamp_min(LEAST_ELECTRONS)
            log = electrons.log()
            beside = functional.pad(log, (1,) * 6, mode="replicate")
            middle = slice(1, -1)
            up = (beside[:, :, 2:, middle, middle], beside[:, :, middle, 2:, middle], beside[:, :, middle, middle, 2:])
            down = (
                beside[:, :, :-2, middle, middle],
                beside[:, :, middle, :-2, middle],
                beside[:, :, middle, middle, :-2],
            )
            v = self.size.width_in_voxels
            slope = sum(((u - d) * v / 2) ** 2 for u, d in zip(up, down, strict=True))
            curvature = sum(u + d - 2 * log for u, d in zip(up, down, strict=True)) * v**2 / 3
            highest = functional.max_pool3d(electrons, 5, stride=1, padding=2)
            logs.append(log)
            found += [log / LOG_SCALE, slope, 1 + curvature, (electrons / highest).log()]
        rise = (found[1] / 2).clamp_max(LARGEST_RISE)
        heights = torch.cat([*logs, rise], dim=1).flatten(2).transpose(1, 2)
        local = torch.cat(found, dim=1).clamp(-LOCAL_LIMIT, LOCAL_LIMIT).flatten(2).transpose(1, 2)
        return heights, local
