"""Convolutions that make a sharp image of a blurred one.

    h_0 = conv(split(b)),  h_{i+1} = h_i + conv(a(conv(a(h_i)))),  y = join(conv(a(h)))

split takes blocks of 2^3 voxels for 8 channels and join is its inverse (Shi et al., CVPR 2016, in three dimensions), so
that all convolutions, 3^3 each, run on an eighth of the voxels. An atom is alike wherever it stands, so that the
network learns from every atom of every image what one looks like.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from novalith.networks.voxel_autoencoder import ResidualBlock

#: The last convolution starts so small that all logits start near this: nearly all voxels are empty.
START_LOGIT, START_SCALE = -4.0, 0.1


class Sharpener(nn.Module):  # type: ignore[misc]
    """Blurred images (b, 1, n, n, n), n even -> logits of sharp ones of the same shape.

    Args:
        width: channels.
        n_blocks: residual blocks, each of which sees two voxels of the halved grid further.
    """

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv3d(8, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(n_blocks)))
        self.activation = nn.LeakyReLU(0.1)
        self.out = nn.Conv3d(width, 8, 3, padding=1)
        with torch.no_grad():
            for block in self.blocks:
                block.second.weight.zero_()
            self.out.weight.mul_(START_SCALE)
            self.out.bias.fill_(START_LOGIT)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 1, n, n, n) -> the same shape."""
        return _joined(self.out(self.activation(self.blocks(self.stem(_split(x))))))


def _split(x: Tensor) -> Tensor:
    """(b, 1, n, n, n) -> (b, 8, n/2, n/2, n/2)."""
    b, half = len(x), x.shape[-1] // 2
    blocks = x.reshape(b, half, 2, half, 2, half, 2).permute(0, 2, 4, 6, 1, 3, 5)
    return blocks.reshape(b, 8, half, half, half).contiguous(memory_format=torch.channels_last_3d)


def _joined(x: Tensor) -> Tensor:
    """The inverse of `_split`."""
    b, half = len(x), x.shape[-1]
    blocks = x.reshape(b, 2, 2, 2, half, half, half).permute(0, 4, 1, 5, 2, 6, 3)
    return blocks.reshape(b, 1, 2 * half, 2 * half, 2 * half)
