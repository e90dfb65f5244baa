"""Convolutional networks on one-hot matrices of formulas, (E, L) images of one channel: the published MatGAN pair.

    generator   z -> dense -> (h4, w4, C) -> transposed convolutions -> (E, L), a sigmoid on each cell
    critic      (E, L) -> convolutions -> dense -> one score

Each stride halves the rows, rounding up (85, 43, 22, 11, 6), and the innermost also the columns (8, 4); a transposed
convolution undoes one halving. Widths and kernels are those of Dan et al., npj Comput. Mater. 6, 84 (2020):

=======  =============================================================  =============================================
network  generator, channels after each layer                           critic, channels of each layer
=======  =============================================================  =============================================
`icsd`   128 (dense), 64 (5x5, stride 2x2), 32, 16, 1 (3x3, 2x1)        16 (1), 16, 32, 64 (2x1), 128 (5x5, 2x2)
`oqmd`   256 (dense), 128 (5x5, 2x2), 128 (1), 64 (2x1), 64 (1),        32 (1), 32 (2x1), 64 (1), 64 (2x1), 128 (1),
         32 (2x1), 32 (1), 1 (2x1)                                      128 (2x1), 256 (5x5, 2x2)
=======  =============================================================  =============================================

The generator has batch normalisation and ReLU between layers, the critic LeakyReLU 0.2. **The critic has no
normalisation**: the published batch normalisation couples the rows of a batch, which the gradient penalty forbids.
The strides of the smaller pair are ours; the published text gives its channels only.

A condition (n, c) joins the noise of the generator; in the critic its embedding joins the features before a dense
layer of `N_HEAD` units. Without one the head is the published linear layer.

Outputs other than the sigmoid make another model, for layouts with an absent column: `softmax` over the columns of a
row, and `hard`, one-hot rows that are drawn from that softmax (Gumbel-max: the largest of logit + g wins, g standard
Gumbel) and through which gradients pass as through the softmax of the same sum (Jang et al., ICLR 2017). The g come
from further columns of the noise, so that a row of noise decides a matrix; `noise_width` says how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from novalith.errors import UnknownNameError
from novalith.networks.dense import Dense

OUTPUTS = ("sigmoid", "softmax", "hard")
#: Width of the embedding of a condition and of the layer behind it.
N_EMBEDDING, N_HEAD = 64, 256
SLOPE = 0.2
#: Where the cells of a sigmoid start: nearly empty, as all but two to eight of a formula's 680 cells are. From 0 they
#: start at one half, hundreds of times too full, and the critic's first lesson drowns in it.
EMPTY = -3.0
#: Where the logit of the absent column starts: with eight counts at 0, one row in twenty holds an element.
N_START = 5.0

Stride = tuple[int, int]


@dataclass(frozen=True)
class ConvolutionStack:
    """Layers of the pair, both from the image inwards, so that one list of strides describes the sizes of both.

    Attributes:
        critic: (channels, kernel, stride) of each layer from the image inwards.
        generator: (channels, kernel, stride) of each layer from the dense one outwards; the last has one channel.
        n_dense: channels of the image that the generator's dense layer makes.
        n_noise: width of the noise.
    """

    critic: tuple[tuple[int, int, Stride], ...]
    generator: tuple[tuple[int, int, Stride], ...]
    n_dense: int
    n_noise: int = 128


_ONE, _ROWS, _BOTH = (1, 1), (2, 1), (2, 2)

PUBLISHED = {
    "icsd": ConvolutionStack(
        critic=((16, 3, _ONE), (16, 3, _ROWS), (32, 3, _ROWS), (64, 3, _ROWS), (128, 5, _BOTH)),
        generator=((64, 5, _BOTH), (32, 3, _ROWS), (16, 3, _ROWS), (1, 3, _ROWS)),
        n_dense=128,
    ),
    "oqmd": ConvolutionStack(
        critic=(
            *((32, 3, _ONE), (32, 3, _ROWS), (64, 3, _ONE), (64, 3, _ROWS)),
            *((128, 3, _ONE), (128, 3, _ROWS), (256, 5, _BOTH)),
        ),
        generator=(
            *((128, 5, _BOTH), (128, 3, _ONE), (64, 3, _ROWS), (64, 3, _ONE)),
            *((32, 3, _ROWS), (32, 3, _ONE), (1, 3, _ROWS)),
        ),
        n_dense=256,
    ),
}


class ImageGenerator(nn.Module):  # type: ignore[misc]
    """(n, n_noise), (n, c) -> (n, E, L) cells in (0, 1).

    Args:
        stack: the layers.
        shape: (E, L).
        n_condition: c.
        output: of `OUTPUTS`.
    """

    def __init__(
        self, stack: ConvolutionStack, shape: tuple[int, int], n_condition: int = 0, output: str = "sigmoid"
    ) -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise UnknownNameError("output", output, OUTPUTS)
        self.output, self.n_noise = output, stack.n_noise
        sizes = _sizes(shape, [stride for _, _, stride in reversed(stack.generator)])[::-1]
        self.inner = (stack.n_dense, *sizes[0])
        self.dense = nn.Linear(stack.n_noise + n_condition, stack.n_dense * sizes[0][0] * sizes[0][1])
        layers: list[nn.Module] = [nn.BatchNorm2d(stack.n_dense), nn.ReLU()]
        width = stack.n_dense
        for number, (channels, kernel, stride) in enumerate(stack.generator):
            beyond = [
                out - ((inside - 1) * step - 2 * (kernel // 2) + kernel)
                for inside, out, step in zip(sizes[number], sizes[number + 1], stride, strict=True)
            ]
            layers.append(
                nn.ConvTranspose2d(width, channels, kernel, stride, kernel // 2, output_padding=tuple(beyond))
            )
            if number < len(stack.generator) - 1:
                layers += [nn.BatchNorm2d(channels), nn.ReLU()]
            width = channels
        _start_empty(layers[-1].bias, output, shape[1])
        self.layers = nn.Sequential(*layers)

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """(n, n_noise), (n, c) -> (n, E, L)."""
        h = self.dense(torch.cat([noise[:, : self.n_noise], condition], dim=1)).unflatten(1, self.inner)
        return _activated(self.layers(h)[:, 0].float(), noise[:, self.n_noise :], self.output)


class ImageCritic(nn.Module):  # type: ignore[misc]
    """(n, E, L), (n, c) -> (n,) scores.

    Args:
        stack: the layers.
        shape: (E, L).
        n_condition: c.
    """

    def __init__(self, stack: ConvolutionStack, shape: tuple[int, int], n_condition: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for channels, kernel, stride in stack.critic:
            layers += [nn.Conv2d(width, channels, kernel, stride, kernel // 2), nn.LeakyReLU(SLOPE)]
            width = channels
        self.layers = nn.Sequential(*layers, nn.Flatten())
        rows, columns = _sizes(shape, [stride for _, _, stride in stack.critic])[-1]
        self.head = ConditionedHead(width * rows * columns, n_condition)

    def forward(self, cells: Tensor, condition: Tensor) -> Tensor:
        """(n, E, L), (n, c) -> (n,)."""
        scores: Tensor = self.head(self.layers(cells[:, None]), condition)
        return scores


class ConditionedHead(nn.Module):  # type: ignore[misc]
    """(n, d) features, (n, c) -> (n,) scores: linear without a condition, one hidden layer with one."""

    def __init__(self, n_features: int, n_condition: int) -> None:
        super().__init__()
        self.embedding: nn.Module | None = None
        self.score: nn.Module = nn.Linear(n_features, 1)
        if n_condition:
            self.embedding = Dense([n_condition, N_EMBEDDING, N_EMBEDDING])
            self.score = Dense([n_features + N_EMBEDDING, N_HEAD, 1])

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(n, d), (n, c) -> (n,)."""
        h = features if self.embedding is None else torch.cat([features, self.embedding(condition)], dim=1)
        scores: Tensor = self.score(h)
        return scores[:, 0]


class DenseGenerator(nn.Module):  # type: ignore[misc]
    """A generator without neighbourhoods between elements: (n, n_noise), (n, c) -> (n, E, L); not the published one."""

    def __init__(
        self, widths: Sequence[int], shape: tuple[int, int], n_condition: int = 0, output: str = "sigmoid"
    ) -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise UnknownNameError("output", output, OUTPUTS)
        self.shape, self.output, self.n_noise = shape, output, widths[0]
        layers: list[nn.Module] = []
        width = widths[0] + n_condition
        for following in widths[1:]:
            layers += [nn.Linear(width, following), nn.BatchNorm1d(following), nn.ReLU()]
            width = following
        self.layers = nn.Sequential(*layers, nn.Linear(width, shape[0] * shape[1]))
        _start_empty(self.layers[-1].bias, output, shape[1])

    def forward(self, noise: Tensor, condition: Tensor) -> Tensor:
        """(n, n_noise), (n, c) -> (n, E, L)."""
        cells = self.layers(torch.cat([noise[:, : self.n_noise], condition], dim=1)).float().unflatten(1, self.shape)
        return _activated(cells, noise[:, self.n_noise :], self.output)


class DenseCritic(nn.Module):  # type: ignore[misc]
    """A critic without neighbourhoods between elements: (n, E, L), (n, c) -> (n,); not the published one."""

    def __init__(self, widths: Sequence[int], shape: tuple[int, int], n_condition: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = shape[0] * shape[1]
        for following in widths:
            layers += [nn.Linear(width, following), nn.LeakyReLU(SLOPE)]
            width = following
        self.layers = nn.Sequential(*layers)
        self.head = ConditionedHead(width, n_condition)

    def forward(self, cells: Tensor, condition: Tensor) -> Tensor:
        """(n, E, L), (n, c) -> (n,)."""
        scores: Tensor = self.head(self.layers(cells.flatten(1)), condition)
        return scores


def noise_width(n_noise: int, shape: tuple[int, int], output: str) -> int:
    """Columns of noise that a generator reads: those of its first layer, and one a cell where it draws its rows."""
    return n_noise + (shape[0] * shape[1] if output == "hard" else 0)


def _activated(logits: Tensor, noise: Tensor, output: str) -> Tensor:
    if output == "sigmoid":
        return logits.sigmoid()
    if output == "softmax":
        return logits.softmax(dim=2)
    share = torch.special.ndtr(noise.float()).clamp(1e-6, 1 - 1e-6).view_as(logits)
    soft = (logits - (-share.log()).log()).softmax(dim=2)
    hard = nn.functional.one_hot(soft.argmax(dim=2), soft.shape[2]).to(soft.dtype)
    # The difference is exact zero in value, so that what is seen is one-hot to the last bit.
    return hard + (soft - soft.detach())


def _start_empty(bias: Tensor, output: str, n_columns: int) -> None:
    """Start a bias over cells, the columns of a row beside each other, or one number for all of them."""
    with torch.no_grad():
        if output == "sigmoid":
            bias.fill_(EMPTY)
        elif len(bias) > 1:
            bias.zero_()
            bias[::n_columns] = N_START


def _sizes(shape: tuple[int, int], strides: Sequence[Stride]) -> list[tuple[int, int]]:
    """Sizes of the images from the outermost, `shape`, inwards; each stride divides, rounding up."""
    sizes = [shape]
    for rows, columns in strides:
        sizes.append((-(-sizes[-1][0] // rows), -(-sizes[-1][1] // columns)))
    return sizes
