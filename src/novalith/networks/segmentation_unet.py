"""A small 3D UNet that names the voxels of a crystal: which element, and whether in the core of an atom.

    x        (channels, n, n, n): two logarithms of densities u, v first, then the coordinates of the voxels
    peak     = the largest of u and of v in the block of 2^3 voxels and the 26 blocks around it
    ramp_k   = max(0, 1 - |u / delta - k|),  k = 0 ... K - 1: a height as K smooth digits, of v alike
    h_0      = stem(x) + digits(ramp(max u, v))     blocks of 2^3 voxels -> (w_0, n/2, n/2, n/2)
    h_l      = a(conv(a(conv_stride2(h_{l-1}))))            n / 2^(l+1), the *features* of the image
    g_l      = a(conv(up(g_{l+1}) + h_l))                   back to n/2
    f        = split(g_0)           (F, n, n, n), each coarse voxel gives its 2^3 fine ones
    species  = W_2 a(W_1 [f, x, ramp])   at the voxels that are asked for;    core = w . a(f)   everywhere

After Court, Yildirim, Jain and Cole, J. Chem. Inf. Model. 60, 4518 (2020) and Ronneberger et al. (2015). The image is
one cell and repeats, so that every convolution goes on over its faces. No normalisation over a batch or an image: a
peak that is 2 % higher is another element, and a norm would wipe it out; for the same reason the height comes in
digits. The logits of the species are computed only where they are needed: nine voxels in ten are empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Slope of the leaky unit for negative numbers.
SLOPE = 0.1


class SegmentationUnet(nn.Module):  # type: ignore[misc]
    """See the module.

    Args:
        n_channels: of the image, u and v first.
        n_classes: logits of a voxel: no atom, then the elements.
        widths: w_0, w_1, ... of the levels.
        n_features: F.
        n_ramps: K.
        ramp_step: delta.
        n_hidden: width of W_1.
    """

    def __init__(  # noqa: PLR0913 - the sizes of a network
        self, n_channels: int, n_classes: int, widths: Sequence[int] = (32, 64, 128), *,
        n_features: int = 16, n_ramps: int = 24, ramp_step: float = 0.2, n_hidden: int = 128,
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_ramps, self.ramp_step, self.n_features = n_ramps, ramp_step, n_features
        self.stem = nn.Conv3d(n_channels, widths[0], 2, stride=2)
        self.digits = nn.Conv3d(2 * n_ramps, widths[0], 1)
        self.first = _same(widths[0])
        self.downs = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.insides = nn.ModuleList(_same(b) for b in widths[1:])
        self.ups = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.outsides = nn.ModuleList(_same(a) for a in widths[:-1])
        self.split = nn.ConvTranspose3d(widths[0], n_features, 2, stride=2)
        self.core = nn.Conv3d(n_features, 1, 1)
        self.hidden = nn.Linear(n_channels + 2 + n_features + 4 * n_ramps, n_hidden)
        self.species = nn.Linear(n_hidden, n_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, SLOPE)
                nn.init.zeros_(module.bias)

    def features(self, x: Tensor) -> list[Tensor]:
        """The h_l of an image, finest first."""
        h = _act(self.stem(x) + self.digits(self._ramps(functional.max_pool3d(x[:, :2], 2))))
        levels = [h + _act(self.first(h))]
        for down, inside in zip(self.downs, self.insides, strict=True):
            h = _act(down(levels[-1]))
            levels.append(h + _act(inside(h)))
        return levels

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (b, channels, n, n, n) -> f (b, F, n, n, n) and core logits (b, n^3)."""
        levels = self.features(x)
        g = levels[-1]
        for up, outside, h in reversed(list(zip(self.ups, self.outsides, levels, strict=False))):
            g = _act(outside(up(g) + h))
        f = _act(self.split(g))
        return f, self.core(f).flatten(1)

    def logits(self, x: Tensor, f: Tensor, voxels: Tensor) -> Tensor:
        """Species logits (b, m, classes) of the voxels (b, m), flat indices, of images and their f."""
        n = x.shape[-1]
        peaks = functional.max_pool3d(
            functional.pad(functional.max_pool3d(x[:, :2], 2), (1,) * 6, mode="circular"), 3, 1
        )
        coarse = ((voxels // n**2 // 2) * (n // 2) + voxels // n % n // 2) * (n // 2) + voxels % n // 2
        parts = [
            t.flatten(2).gather(2, at[:, None].expand(-1, t.shape[1], -1))
            for t, at in ((x, voxels), (peaks, coarse), (f.to(x.dtype), voxels))
        ]
        ramps = self._ramps(torch.cat([parts[0][:, :2], parts[1]], dim=1))
        read = torch.cat([*parts, ramps], dim=1).transpose(1, 2)
        out: Tensor = self.species(_act(self.hidden(read)))
        return out

    def _ramps(self, heights: Tensor) -> Tensor:
        """(b, c, ...) -> (b, c K, ...)."""
        at = torch.arange(self.n_ramps, device=heights.device, dtype=heights.dtype)
        apart = heights.unsqueeze(2) / self.ramp_step - at.view(1, 1, -1, *(1,) * (heights.dim() - 2))
        return (1 - apart.abs()).clamp_min(0).flatten(1, 2)


def _same(width: int) -> nn.Conv3d:
    return nn.Conv3d(width, width, 3, padding=1, padding_mode="circular")


def _act(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


#: Weight of core voxels beside the others, of which there are ten times as many.
CORE_WEIGHT = 5.0


def segmentation_loss(
    net: SegmentationUnet, x: Tensor, core: Tensor, voxels: Tensor, wanted: Tensor, weights: Tensor
) -> Tensor:
    """Cross-entropy of the species at some voxels, each class with its weight, plus that of the cores everywhere.

    Args:
        net: the network.
        x: (b, channels, n, n, n).
        core: (b, n^3) 1 in the core of an atom.
        voxels: (b, m) where the species are asked for.
        wanted: (b, m) their classes, 0 for none.
        weights: (classes,).
    """
    f, core_logits = net.maps(x)
    species = net.logits(x, f, voxels).float()
    cross = functional.cross_entropy(species.flatten(0, 1), wanted.flatten(), weight=weights)
    balance = torch.tensor(CORE_WEIGHT, device=x.device)
    return cross + functional.binary_cross_entropy_with_logits(core_logits.float(), core, pos_weight=balance)
