"""One labelled image to one training sample: resize, flip, crop, colour; then `Preprocess`."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edgeseg.core.frame import COLORS, Frame
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.training.losses import IGNORE
from edgeseg.training.settings import TrainSettings

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""


def training_sample(
    image: Array,
    label: NDArray[np.uint8],
    contract: Preprocess,
    input_size: Size,
    settings: TrainSettings,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """An augmented sample.

    Args:
        image: [H,W,C] of `contract.frame.shown`; `label`: uint8 [H,W], ignored pixels are IGNORE.
        input_size: (height, width) of the network input; frames are laid into it as the contract says.

    Returns:
        float32 [C,h,w] as the network reads it and int64 [h,w], of the size `settings.crop`, or
        `input_size`.
    """
    height, width = contract.of_images.place((image.shape[0], image.shape[1]), input_size).scaled
    factor = rng.uniform(*settings.scale)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    pixels = resize(image, size)
    ids = resize_label(label, size)
    if rng.random() < settings.flip:
        pixels, ids = pixels[:, ::-1], ids[:, ::-1]
    wanted = settings.crop or input_size
    pixels, ids = crop(pixels, ids, wanted, rng)
    pixels = jitter(pixels, contract.frame.shown, settings.color, rng)
    return normalised(pixels, ids, contract, wanted)


def resize(image: Array, size: Size) -> NDArray[np.float32]:
    """[H,W,C] of any dtype to float32 [*size,C], bilinear, half-pixel centres; values are as they were."""
    values: NDArray[np.float32] = image.astype(np.float32)
    if image.shape[:2] == size:
        return values
    pixels = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1)[None]
    result: NDArray[np.float32] = F.interpolate(pixels, size, mode="bilinear")[0].permute(1, 2, 0).numpy()
    return result


def resize_label(label: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """uint8 [H,W] to [*size], nearest neighbour at pixel centres."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, label.shape))
    result: NDArray[np.uint8] = label[rows[:, None], columns]
    return result


def jitter(
    pixels: NDArray[np.float32], frame: Frame, strength: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Random brightness, contrast and, of red, green and blue, saturation, each multiplied by 1 +- strength.

    Only light is changed, see `lit`. Integers stay in 0 to `frame.full`, as in a camera; floats have no such
    ends, and may be below 0 or above `frame.full` before too.

    Args:
        pixels: [H,W,C] in the channels of `frame`, red before green before blue.
    """
    if strength == 0.0:
        return pixels
    brightness, contrast, saturation = rng.uniform(1.0 - strength, 1.0 + strength, 3).astype(np.float32)
    channels = lit(frame)
    light = pixels if len(channels) == frame.channels else pixels[..., channels]
    if frame.colored:
        grey = (light @ _LUMA)[..., None]
        light = grey + (light - grey) * saturation
        mean = np.asarray(grey.mean(), np.float32)
    else:
        mean = light.mean((0, 1))
    light = (mean + (light - mean) * contrast) * brightness
    if frame.dtype != "float32":
        light = np.clip(light, 0.0, frame.full)
    if len(channels) == frame.channels:
        return light
    result = pixels.copy()
    result[..., channels] = light
    return result


def lit(frame: Frame) -> list[int]:
    """The channels that change with the light: colours, else gray, else all. What stands beside colours or
    gray under another name, as depth, says something that a lamp does not change."""
    names = frame.names
    for light in (COLORS, ("gray",)):
        if found := [index for index, name in enumerate(names) if name in light]:
            return found
    return list(range(len(names)))


def crop(
    pixels: NDArray[np.float32], label: NDArray[np.uint8], size: Size, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A random part of at most `size`."""
    offsets = [int(rng.integers(0, max(0, have - want) + 1)) for have, want in zip(label.shape, size)]
    inside = tuple(slice(o, o + want) for o, want in zip(offsets, size))
    return pixels[inside], label[inside]


def normalised(
    pixels: NDArray[np.float32], label: NDArray[np.uint8], contract: Preprocess, size: Size
) -> tuple[torch.Tensor, torch.Tensor]:
    """As the network reads it; what is smaller than `size` is padded as the contract says.

    Args:
        pixels: [H,W,C] of `contract.frame.shown`.
    """
    spare = [want - have for have, want in zip(label.shape, size)]
    top, left = (s // 2 if contract.anchor == "center" else 0 for s in spare)
    multiplier, offset = (np.array(v, np.float32) for v in contract.affine())
    order = contract.of_images
    if order.permuted:
        pixels = pixels[..., order.permutation]
    image = np.empty((*size, order.channels), np.float32)
    image[...] = np.array(contract.padding_values(), np.float32)
    target = np.full(size, IGNORE, np.int64)
    area = (slice(top, top + label.shape[0]), slice(left, left + label.shape[1]))
    image[area] = pixels * multiplier + offset
    target[area] = label
    return torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(target)
