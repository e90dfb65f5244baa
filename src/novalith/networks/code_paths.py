"""From the codes of a crystal's images to one latent vector and back, along principal axes or by convolutions.

    principal axes   z = A x,  x' = B z;  A, B from the covariance of the training codes, where linear variational
                     autoencoders end (Lucas, Tucker, Grosse and Norouzi, NeurIPS 2019), and which need not be learned
    convolutions     (k + 1, width): k codes of basis images and the cell's, padded; three convolutions of 4 with stride
                     2 along the width (100 channels), one of 1 (50), one dense layer to z (Noh et al. 2019)

    invariants       of codes of waves: log n_i, n_i / n, log(V / n), and the structure factors between elements

        S_ij(|k|) = mean over waves of that length of Re(z_i z_j*) / sqrt(n_i n_j)

What the head of a small training set can learn from are numbers that do not change when a crystal is turned or moved.
An encoder returns mean and logarithm of the variance side by side, (b, 2 latent).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Variance added to each principal axis, as a share of the mean: axes that the training codes lack stay usable.
FLOOR = 1e-2
#: Size of standardised structure factors beside the other invariants.
FACTOR_SHARE = 0.1
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


class WaveInvariants(nn.Module):  # type: ignore[misc]
    """Codes of waves (b, d) -> (b, n_out) numbers that turns and moves leave alone, standardised by `fit`.

    Args:
        layout: of the codes; an image is its number of atoms, then the cosines, then the sines.
        shells: how many waves have each length, the longest first.
    """

    def __init__(self, layout: CodeLayout, shells: tuple[int, ...]) -> None:
        super().__init__()
        self.layout, self.shells = layout, shells
        k = layout.n_images
        self.n_out = 2 * k + 1 + len(shells) * k * (k + 1) // 2
        self.register_buffer("centre", torch.zeros(self.n_out))
        self.register_buffer("scale", torch.ones(self.n_out))

    def fit(self, x: Tensor) -> None:
        """Standardise by training codes."""
        raw = self._raw(x)
        self.centre.copy_(raw.mean(dim=0))
        spread = raw.std(dim=0).clamp_min(1e-3)
        # Structure factors are many and each says little: at full size they drown what the few others say.
        spread[2 * self.layout.n_images + 1 :] /= FACTOR_SHARE
        self.scale.copy_(1.0 / spread)

    def forward(self, x: Tensor) -> Tensor:
        """Codes -> standardised invariants, far values held."""
        out: Tensor = ((self._raw(x) - self.centre) * self.scale).clamp(-5.0, 5.0)
        return out

    def _raw(self, x: Tensor) -> Tensor:
        layout, k = self.layout, self.layout.n_images
        images = x[:, : k * layout.width].unflatten(1, (k, layout.width))
        n = images[:, :, 0].clamp_min(0.5)
        total = n.sum(dim=1, keepdim=True)
        trace = x[:, k * layout.width :][:, [0, 3, 5]].sum(dim=1, keepdim=True)
        cosine, sine = images[:, :, 1:].chunk(2, dim=2)
        found = [n.log(), n / total, trace / 2 - total.log()]
        for i in range(k):
            for j in range(i, k):
                product = cosine[:, i] * cosine[:, j] + sine[:, i] * sine[:, j]
                means = [part.mean(dim=1) for part in product.split(list(self.shells), dim=1)]
                found.append(torch.stack(means, dim=1) / (n[:, i] * n[:, j]).sqrt()[:, None])
        return torch.cat(found, dim=1)


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
