"""One labelled image to one training sample: resize, flip, crop, colour; then `Preprocess`."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Preprocess, Size
from edgeseg.training.settings import TrainSettings

Corner = tuple[int, int]
"""(top, left) in pixels."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""


def training_sample(
    image: NDArray[np.uint8],
    drawn: Array,
    contract: Preprocess,
    input_size: Size,
    settings: TrainSettings,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, Array, Corner]:
    """An augmented sample.

    Args:
        image: uint8 [H,W,3] RGB; `drawn`: its label [H,W,...], as `TrainTask.drawn` gives it.
        input_size: (height, width) of the network input; frames are laid into it as the contract says.

    Returns:
        float32 [3,h,w] as the network reads it, of the size `settings.crop`, or `input_size`; the part of
        `drawn` in it, and (top, left) of that part.
    """
    height, width = contract.place((image.shape[0], image.shape[1]), input_size).scaled
    factor = rng.uniform(*settings.scale)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    pixels = resize(image, size)
    drawn = resize_label(drawn, size)
    if rng.random() < settings.flip:
        pixels, drawn = pixels[:, ::-1], drawn[:, ::-1]
    wanted = settings.crop or input_size
    pixels, drawn = crop(pixels, drawn, wanted, rng)
    shown, corner = normalised(jitter(pixels, settings.color, rng), contract, wanted)
    return shown, drawn, corner


def resize(image: NDArray[np.uint8], size: Size) -> NDArray[np.float32]:
    """uint8 [H,W,3] to float32 [*size,3], bilinear, half-pixel centres, 0 to 255."""
    if image.shape[:2] == size:
        return image.astype(np.float32)
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    result: NDArray[np.float32] = F.interpolate(pixels, size, mode="bilinear")[0].permute(1, 2, 0).numpy()
    return result


def resize_label(label: Array, size: Size) -> Array:
    """[H,W,...] to [*size,...], nearest neighbour at pixel centres."""
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, label.shape))
    return label[rows[:, None], columns]


def jitter(pixels: NDArray[np.float32], strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random brightness, contrast and saturation, each multiplied by 1 +- strength; stays in 0..255."""
    if strength == 0.0:
        return pixels
    brightness, contrast, saturation = rng.uniform(1.0 - strength, 1.0 + strength, 3).astype(np.float32)
    grey = (pixels @ _LUMA)[..., None]
    pixels = grey + (pixels - grey) * saturation
    mean = np.float32(grey.mean())
    result: NDArray[np.float32] = np.clip((mean + (pixels - mean) * contrast) * brightness, 0.0, 255.0)
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
    says."""
    spare = [want - have for have, want in zip(pixels.shape, size)]
    top, left = (s // 2 if contract.anchor == "center" else 0 for s in spare)
    multiplier, offset = (np.array(v, np.float32) for v in contract.affine())
    if contract.color == "bgr":
        pixels = pixels[..., ::-1]
    image = np.empty((*size, 3), np.float32)
    image[...] = np.array(contract.padding_values(), np.float32)
    area = (slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1]))
    image[area] = pixels * multiplier + offset
    return torch.from_numpy(image).permute(2, 0, 1).contiguous(), (top, left)
