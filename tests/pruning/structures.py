"""Small networks in which channels change their places, each with the layers that must not be pruned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

SHAPE = (3, 16, 24)
Forward = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class Structure(nn.Module):
    """stem -> what `middle` does -> tail -> head."""

    def __init__(self, middle: Forward, tail: int = 16, **layers: nn.Module) -> None:
        super().__init__()
        self.middle = middle
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.tail = nn.Conv2d(tail, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 3, 1)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found = self.middle(self, torch.relu(self.stem(image)))
        return self.head(torch.relu(self.tail(found)))


class Gained(nn.Conv2d):
    """A convolution with a parameter that Torch-Pruning does not know."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)
        self.gain = nn.Parameter(torch.ones(outputs, 1, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(image, self.weight * self.gain, self.bias)


class Scaled(nn.Module):
    """A number for each channel, which is no parameter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.linspace(0.5, 1.5, channels).view(1, -1, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.scale


def channel_shuffle(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = (found := net.inner(x)).shape
    return found.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)


def chunk(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    one, other = net.inner(x).chunk(2, 1)
    return torch.cat([one, other, net.more(other)], 1)


def unpool(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    small, places = functional.max_pool2d(x, 2, return_indices=True)
    return functional.max_unpool2d(net.inner(small), places, 2)


def attention(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The position attention of MA-Net, in which Torch-Pruning follows a reshape for ever."""
    n, c, h, w = x.shape
    one, other = net.one(x).flatten(2).transpose(1, 2), net.other(x).flatten(2)
    weights = torch.softmax((one @ other).view(n, -1), 1).view(n, h * w, h * w)
    return x + net.inner((weights @ x.flatten(2).transpose(1, 2)).view(n, c, h, w))


def conv(inputs: int, outputs: int, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, **options)


STRUCTURES: dict[str, tuple[Callable[[], nn.Module], set[str]]] = {
    "pixel shuffle": (
        lambda: Structure(lambda net, x: functional.pixel_shuffle(net.inner(x), 2), inner=conv(16, 64)),
        {"inner"},
    ),
    "pixel unshuffle": (
        lambda: Structure(lambda net, x: net.inner(functional.pixel_unshuffle(x, 2)), inner=conv(64, 16)),
        {"stem"},
    ),
    "channel shuffle": (
        lambda: Structure(channel_shuffle, inner=conv(16, 16, groups=4)),
        {"inner"},
    ),
    "chunk": (lambda: Structure(chunk, 24, inner=conv(16, 16), more=conv(8, 8)), {"inner"}),
    "fixed slice": (
        lambda: Structure(lambda net, x: net.inner(x)[:, 2:10], 8, inner=conv(16, 16)),
        {"inner"},
    ),
    "unpooling": (lambda: Structure(unpool, inner=conv(16, 16)), {"stem", "inner"}),
    "softmax": (lambda: Structure(lambda net, x: net.inner(x).softmax(1), inner=conv(16, 16)), {"inner"}),
    "mean": (lambda: Structure(lambda net, x: x * net.inner(x).mean(1, True), inner=conv(16, 16)), {"inner"}),
    "position attention": (
        lambda: Structure(attention, one=conv(16, 8), other=conv(16, 8), inner=conv(16, 16)),
        {"one", "other"},
    ),
    "unknown parameter": (lambda: Structure(lambda net, x: net.inner(x), inner=Gained(16, 16)), {"inner"}),
    "buffer": (
        lambda: Structure(lambda net, x: net.scale(net.inner(x)), inner=conv(16, 16), scale=Scaled(16)),
        {"inner"},
    ),
}
