"""Encoder and decoder of 3D images: strided convolutions, residual blocks, and a condition that scales and shifts.

    h_0 = x                                  (channels_in, n, n, n)
    h_l = film(block(down(h_{l-1})), c)      n_l = n_{l-1} / 2 at each level l, widths w_l
    y   = W flatten(h_L) + b       one vector; the decoder is the mirror image
    film(h, c) = h * (1 + s_l(c)) + t_l(c)   per channel, s_l = t_l = 0 before training (Perez et al., AAAI 2018)

n need not be a power of two: sizes are halved downwards and the decoder returns to the sizes that the encoder passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

#: Slope of the leaky unit for negative numbers (Noh et al. 2019).
SLOPE = 0.2


def level_sizes(n: int, n_levels: int) -> tuple[int, ...]:
    """Edges of the image and of each level, in voxels: n, then halved."""
    return tuple(n // 2**level for level in range(n_levels + 1))


class FeatureWise(nn.Module):  # type: ignore[misc]
    """Scale and shift of channels by a condition; nothing without one."""

    def __init__(self, n_condition: int, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(n_condition, 2 * width) if n_condition else None
        if self.map is not None:
            nn.init.zeros_(self.map.weight)
            nn.init.zeros_(self.map.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """(b, w, n, n, n) and (b, n_condition) -> (b, w, n, n, n)."""
        if self.map is None:
            return h
        scale, shift = self.map(condition)[:, :, None, None, None].chunk(2, dim=1)
        return h * (1 + scale) + shift


class ResidualBlock(nn.Module):  # type: ignore[misc]
    """h + conv(a(conv(a(h)))), 3^3 each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv3d(width, width, 3, padding=1) for _ in range(2))
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, h: Tensor) -> Tensor:
        """(b, w, n, n, n) -> the same shape."""
        out: Tensor = h + self.second(self.activation(self.first(self.activation(h))))
        return out


def _blocks(width: int, n_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(n_blocks)))


class VoxelEncoder(nn.Module):  # type: ignore[misc]
    """Images (b, channels, n, n, n) and conditions (b, n_condition) -> vectors (b, n_out).

    Args:
        channels: of the image.
        n: edge of the image in voxels.
        widths: channels of each level.
        n_out: width of the vector.
        kernel: edge of the strided convolutions, even.
        n_blocks: residual blocks at each level.
        n_condition: width of the condition; 0 for none.
    """

    def __init__(  # noqa: PLR0913 - the sizes of a network
        self, channels: int, n: int, widths: Sequence[int], n_out: int,
        *, kernel: int = 4, n_blocks: int = 0, n_condition: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes, pad = level_sizes(n, len(widths)), kernel // 2 - 1
        self.downs = nn.ModuleList(
            nn.Conv3d(a, b, kernel, stride=2, padding=pad) for a, b in pairwise((channels, *widths))
        )
        self.blocks = nn.ModuleList(_blocks(w, n_blocks) for w in widths)
        self.films = nn.ModuleList(FeatureWise(n_condition, w) for w in widths)
        self.activation = nn.LeakyReLU(SLOPE)
        self.out = nn.Linear(widths[-1] * sizes[-1] ** 3, n_out)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Images and conditions -> vectors."""
        h = x
        for down, block, film in zip(self.downs, self.blocks, self.films, strict=True):
            h = self.activation(film(block(down(h)), condition))
        y: Tensor = self.out(h.flatten(1))
        return y


class VoxelDecoder(nn.Module):  # type: ignore[misc]
    """Vectors (b, n_in) and conditions -> images (b, channels, n, n, n) before the last activation; see the encoder."""

    def __init__(  # noqa: PLR0913 - the sizes of a network
        self, channels: int, n: int, widths: Sequence[int], n_in: int,
        *, kernel: int = 4, n_blocks: int = 0, n_condition: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes, pad = level_sizes(n, len(widths)), kernel // 2 - 1
        self.start_shape = (widths[-1], sizes[-1], sizes[-1], sizes[-1])
        self.start = nn.Linear(n_in, widths[-1] * sizes[-1] ** 3)
        turned = tuple(reversed(widths))
        self.blocks = nn.ModuleList(_blocks(w, n_blocks) for w in turned)
        self.films = nn.ModuleList(FeatureWise(n_condition, w) for w in turned)
        grown = [big - 2 * small for big, small in pairwise(sizes)][::-1]
        self.ups = nn.ModuleList(
            nn.ConvTranspose3d(a, b, kernel, stride=2, padding=pad, output_padding=more)
            for (a, b), more in zip(pairwise((*turned, channels)), grown, strict=True)
        )
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Vectors and conditions -> images."""
        h = self.start(z).reshape(-1, *self.start_shape)
        for up, block, film in zip(self.ups, self.blocks, self.films, strict=True):
            h = up(self.activation(film(block(h), condition)))
        return h
