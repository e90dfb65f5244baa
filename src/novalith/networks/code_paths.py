"""From the codes of a crystal's images to one latent vector and back, along principal axes or by convolutions.

    principal axes   z = A x,  x' = B z;  A, B from the covariance of the training codes, where linear variational
                     autoencoders end (Lucas, Tucker, Grosse and Norouzi, NeurIPS 2019), and which need not be learned
    convolutions     (k + 1, width): k codes of basis images and the cell's, padded; three convolutions of 4 with stride
                     2 along the width (100 channels), one of 1 (50), one dense layer to z (Noh et al. 2019)

An encoder returns mean and logarithm of the variance side by side, (b, 2 latent).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Variance added to each principal axis, as a share of the mean: axes that the training codes lack stay usable.
FLOOR = 1e-2
#: Channels of the published convolutions.
CHANNELS, NARROW = 100, 50
SLOPE = 0.2


@dataclass(frozen=True)
class CodeLayout:
    """How the numbers of a crystal are arranged.

    Attributes:
        n_images: basis images, one an element.
        width: numbers of each.
        n_cell: numbers of the cell.
    """

    n_images: int
    width: int
    n_cell: int

    @property
    def size(self) -> int:
        """Numbers altogether."""
        return self.n_images * self.width + self.n_cell


class AxesEncoder(nn.Module):  # type: ignore[misc]
    """x (b, d) -> (b, 2 latent), the variance the same for every x."""

    def __init__(self, n: int, n_latent: int) -> None:
        super().__init__()
        self.axes = nn.Linear(n, n_latent, bias=False).requires_grad_(False)
        self.log_variance = nn.Parameter(torch.zeros(n_latent))

    def forward(self, x: Tensor) -> Tensor:
        """Codes -> means and logarithms of variances."""
        mean = self.axes(x)
        out: Tensor = torch.cat([mean, self.log_variance.expand_as(mean)], dim=1)
        return out


class AxesDecoder(nn.Module):  # type: ignore[misc]
    """z (b, latent) -> (b, d)."""

    def __init__(self, n: int, n_latent: int) -> None:
        super().__init__()
        self.axes = nn.Linear(n_latent, n, bias=False).requires_grad_(False)

    def forward(self, z: Tensor) -> Tensor:
        """Latent vectors -> codes."""
        x: Tensor = self.axes(z)
        return x


def set_axes(encoder: AxesEncoder, decoder: AxesDecoder, x: Tensor) -> None:
    """Set A and B to the principal axes of centred codes (n, d), so that the training latents have unit variance."""
    covariance = x.double().T @ x.double() / max(len(x) - 1, 1)
    values, vectors = torch.linalg.eigh(covariance)
    n_latent = encoder.axes.out_features
    order = torch.argsort(values, descending=True)[:n_latent]
    scale = (values[order].clamp_min(0.0) + FLOOR * values.mean()).sqrt()
    encoder.axes.weight.copy_((vectors[:, order] / scale).T)
    decoder.axes.weight.copy_(vectors[:, order] * scale)


class ConvolutionEncoder(nn.Module):  # type: ignore[misc]
    """The published encoder, x (b, d) -> (b, 2 latent)."""

    def __init__(self, layout: CodeLayout, n_latent: int) -> None:
        super().__init__()
        self.layout = layout
        rows = layout.n_images + 1
        self.convolutions = nn.Sequential(
            nn.Conv1d(rows, CHANNELS, 4, stride=2), nn.LeakyReLU(SLOPE),
            nn.Conv1d(CHANNELS, CHANNELS, 4, stride=2), nn.LeakyReLU(SLOPE),
            nn.Conv1d(CHANNELS, CHANNELS, 4, stride=2), nn.LeakyReLU(SLOPE),
            nn.Conv1d(CHANNELS, NARROW, 1), nn.LeakyReLU(SLOPE), nn.Flatten(),
        )  # fmt: skip
        self.out = nn.Linear(NARROW * _lengths(layout.width)[-1], 2 * n_latent)

    def forward(self, x: Tensor) -> Tensor:
        """Codes -> means and logarithms of variances."""
        layout = self.layout
        basis, cell = x.split([layout.n_images * layout.width, layout.n_cell], dim=1)
        padded = nn.functional.pad(cell, (0, layout.width - layout.n_cell))
        rows = torch.cat([basis.unflatten(1, (layout.n_images, layout.width)), padded[:, None]], dim=1)
        out: Tensor = self.out(self.convolutions(rows))
        return out


class ConvolutionDecoder(nn.Module):  # type: ignore[misc]
    """The mirror image of the published encoder, z (b, latent) -> (b, d)."""

    def __init__(self, layout: CodeLayout, n_latent: int) -> None:
        super().__init__()
        self.layout = layout
        lengths = _lengths(layout.width)
        self.n_start = lengths[-1]
        self.start = nn.Linear(n_latent, NARROW * lengths[-1])
        layers: list[nn.Module] = [nn.Conv1d(NARROW, CHANNELS, 1)]
        outs = [CHANNELS, CHANNELS, layout.n_images + 1]
        for small, big, channels in zip(lengths[:0:-1], lengths[-2::-1], outs, strict=True):
            more = big - (2 * (small - 1) + 4)
            layers += [
                nn.LeakyReLU(SLOPE),
                nn.ConvTranspose1d(CHANNELS, channels, 4, stride=2, output_padding=more),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Latent vectors -> codes."""
        layout = self.layout
        rows = self.layers(self.start(z).unflatten(1, (NARROW, self.n_start)))
        return torch.cat([rows[:, :-1].flatten(1), rows[:, -1, : layout.n_cell]], dim=1)


def _lengths(width: int) -> list[int]:
    lengths = [width]
    for _ in range(3):
        lengths.append((lengths[-1] - 4) // 2 + 1)
    return lengths
