"""The first convolution of trained weights, made to read other channels than those it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeseg.core.frame import COLORS, Frame
from edgeseg.core.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeseg.models.checkpoint import State

MOST_NAMED = 6
"""Longer lists of channels are told by their number."""


def first_convolution(network: nn.Module, channels: int) -> str | None:
    """Name of the kernel that reads an image of so many channels: that of the first such layer."""
    from torch import nn

    for name, layer in nn.Module.named_modules(network):
        if isinstance(layer, nn.Conv2d) and layer.in_channels == channels and layer.groups == 1:
            return f"{name}.weight" if name else "weight"
    return None


def channels_taken(network: nn.Module, channels: int, state: State) -> int | None:
    """Input channels of the network that `state` was saved from; None where it does not tell.

    Args:
        network: the same with `channels` of them; `state`: under its names.
    """
    kernel = state.get(first_convolution(network, channels) or "")
    return int(kernel.shape[1]) if kernel is not None and kernel.ndim == 4 else None


def adapted(kernel: Tensor, source: Sequence[str], target: Sequence[str]) -> Tensor:
    """A kernel [O,M,h,w] over the channels `source` as one float32 [O,N,h,w] over `target`.

    Channels of the same name keep their weights, others get the average of the colours' (of all, where there
    are none); then all are scaled by the channels read before over those read now, and the sum over the
    channels is made the same. So gray gets the sum of r, g, b; `r,g,b,depth` three quarters of each and of
    their average.

    Inputs are normalised: a channel is about 0 with a deviation of 1, whatever it shows. Where all channels
    show the same, as red, green and blue do of what is gray, the new kernel gives what the old one gave. The
    mean and deviation of gray are the averages of those of the colours, which differ by 1% in the deviation
    and by 0.2 deviations in the mean for ImageNet: that much is left.
    """
    import torch

    known = {name: index for index, name in enumerate(source)}
    colors = [known[name] for name in COLORS if name in known] or list(known.values())
    read = sorted({*colors, *(known[name] for name in target if name in known)})
    whole = kernel.float()
    average = whole[:, colors].mean(1)
    parts = [whole[:, known[name]] if name in known else average for name in target]
    result = torch.stack(parts, 1) * (len(read) / len(target))
    missing = whole[:, read].sum(1, keepdim=True) - result.sum(1, keepdim=True)
    return result + missing / len(target)


def fitted(
    network: nn.Module, state: State, pixels: Preprocess, source: Sequence[str] = ()
) -> tuple[State, tuple[str, ...]]:
    """`state` for a network that is fed as `pixels` says, and a note if its first kernel was adapted.

    Where it takes as many channels it stays as it is: what they are called does not matter then.

    Args:
        state: under the names of the network.
        source: channels that it reads; those of `Frame.fitting` where it is another number.
    """
    name = first_convolution(network, pixels.channels)
    kernel = None if name is None else state.get(name)
    if name is None or kernel is None or kernel.ndim != 4:
        return state, ()
    own, takes = network.state_dict()[name].shape, int(kernel.shape[1])
    if takes == pixels.channels or kernel.shape != (own[0], takes, *own[2:]):
        return state, ()
    read = source if len(source) == takes else Frame.fitting(takes, None).with_colors(pixels.color).names
    return {**state, name: adapted(kernel, read, pixels.names)}, (_note(read, pixels.names),)


def _note(source: Sequence[str], target: Sequence[str]) -> str:
    kept = [name for name in target if name in source]
    new = [name for name in target if name not in source]
    mixed = [name for name in COLORS if name in source] or source
    told = [f"those of {_listed(kept)} were kept"] if kept else []
    told += [f"{_listed(new)} got the average of {_listed(mixed)}"] if new else []
    return (
        f"the weights read {_listed(source)} and the frames are {_listed(target)}: in the first convolution "
        f"{', '.join(told)}, scaled to the same sum; train it on such frames, or verify it"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} channels"
