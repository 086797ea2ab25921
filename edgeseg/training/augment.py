"""One labelled image to one training sample: resize, flip, crop, colour; then `Preprocess`."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edgeseg.core.frame import Frame
from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.training.settings import TrainSettings

Corner = tuple[int, int]
"""(top, left) in pixels."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""


def training_sample(
    image: Array,
    drawn: Array,
    contract: Preprocess,
    input_size: Size,
    settings: TrainSettings,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, Array, Corner]:
    """An augmented sample.

    Args:
        image: [H,W,C] of `contract.frame.shown`; `drawn`: the label [h,w,...] of what the network sees of it,
            as `TrainTask.drawn` gives it.
        input_size: (height, width) of the network input; frames are laid into it as the contract says.

    Returns:
        float32 [C,h,w] as the network reads it, of the size `settings.crop`, or `input_size`; the part of
        `drawn` in it, and (top, left) of that part.
    """
    place = contract.of_images.place((image.shape[0], image.shape[1]), input_size)
    image = image if place.part is None else image[place.part]
    height, width = place.scaled
    factor = rng.uniform(*settings.scale)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    pixels = resize(image, size)
    drawn = resize_label(drawn, size)
    if rng.random() < settings.flip:
        pixels, drawn = pixels[:, ::-1], drawn[:, ::-1]
    wanted = settings.crop or input_size
    pixels, drawn = crop(pixels, drawn, wanted, rng)
    pixels = jitter(pixels, contract.frame.shown, settings.color, rng)
    shown, corner = normalised(pixels, contract, wanted)
    return shown, drawn, corner


def resize(image: Array, size: Size) -> NDArray[np.float32]:
    """[H,W,C] of any dtype to float32 [*size,C], bilinear, half-pixel centres; values are as they were."""
    values: NDArray[np.float32] = image.astype(np.float32)
    if image.shape[:2] == size:
        return values
    pixels = torch.from_numpy(np.ascontiguousarray(values)).permute(2, 0, 1)[None]
    result: NDArray[np.float32] = F.interpolate(pixels, size, mode="bilinear")[0].permute(1, 2, 0).numpy()
    return result


def resize_label(label: Array, size: Size) -> Array:
    """[H,W,...] to [*size,...], nearest neighbour at pixel centres."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, label.shape))
    return label[rows[:, None], columns]


def jitter(
    pixels: NDArray[np.float32], frame: Frame, strength: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Random brightness, contrast and, of red, green and blue, saturation, each multiplied by 1 +- strength.

    Only light is changed, see `Frame.light`. Integers stay in 0 to `frame.full`, as in a camera; floats
    have no such ends, and may be below 0 or above `frame.full` before too.

    Args:
        pixels: [H,W,C] in the channels of `frame`, red before green before blue.
    """
    if strength == 0.0:
        return pixels
    brightness, contrast, saturation = rng.uniform(1.0 - strength, 1.0 + strength, 3).astype(np.float32)
    channels = frame.light
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


def crop(
    pixels: NDArray[np.float32], label: Array, size: Size, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Array]:
    """A random part of at most `size`."""
    offsets = [int(rng.integers(0, max(0, have - want) + 1)) for have, want in zip(label.shape, size)]
    inside = tuple(slice(o, o + want) for o, want in zip(offsets, size))
    return pixels[inside], label[inside]


def normalised(pixels: NDArray[np.float32], contract: Preprocess, size: Size) -> tuple[torch.Tensor, Corner]:
    """As the network reads it, and where it lies; what is smaller than `size` is padded as the contract
    says.

    Args:
        pixels: [H,W,C] of `contract.frame.shown`.
    """
    spare = [want - have for have, want in zip(pixels.shape, size)]
    top, left = (s // 2 if contract.anchor == "center" else 0 for s in spare)
    multiplier, offset = (np.array(v, np.float32) for v in contract.affine())
    order = contract.of_images
    if order.permuted:
        pixels = pixels[..., order.permutation]
    image = np.empty((*size, order.channels), np.float32)
    image[...] = np.array(contract.padding_values(), np.float32)
    area = (slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1]))
    image[area] = pixels * multiplier + offset
    return torch.from_numpy(image).permute(2, 0, 1).contiguous(), (top, left)
