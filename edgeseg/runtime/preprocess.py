"""Camera frames to network input, in NumPy: the reference the deploy graph is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.preprocess import Placement, Preprocess, Size
from edgeseg.errors import InputError
from edgeseg.runtime.resize import bilinear


def preprocess(frames: NDArray[np.uint8], contract: Preprocess, input_size: Size) -> NDArray[np.float32]:
    """Resize, normalise and pad.

    Args:
        frames: uint8 [N,H,W,3], channels in the order `contract.frame_color`.
        input_size: (height, width) of the network input.

    Returns:
        float32 [N,3,*input_size], channels in the order `contract.color`. Resized pixels are not
        rounded to integers before they are normalised.

    Raises:
        InputError: frames of another dtype or shape, or larger than the input with `resize="none"`.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InputError(f"frames are {frames.dtype} {list(frames.shape)}", expected="uint8 [N,H,W,3]")
    place = contract.place((frames.shape[1], frames.shape[2]), input_size)
    channels = frames.transpose(0, 3, 1, 2)
    if contract.frame_color != contract.color:
        channels = channels[:, ::-1]
    result = np.empty((len(frames), 3, *input_size), np.float32)
    if place.padded:
        result[...] = np.array(contract.padding_values(), np.float32)[:, None, None]
    _normalise(channels, place, contract, result)
    return result


def _normalise(
    channels: NDArray[np.uint8], place: Placement, contract: Preprocess, result: NDArray[np.float32]
) -> None:
    """Write the resized, normalised frames into their place in `result`."""
    multiplier, offset = (np.array(v, np.float32)[:, None, None] for v in contract.affine())
    (top, bottom), (left, right) = place.window
    inside = result[:, :, top:bottom, left:right]
    if place.resized:
        np.multiply(bilinear(channels.astype(np.float32), place.scaled), multiplier, out=inside)
    else:
        np.multiply(channels, multiplier, out=inside, dtype=np.float32)
    inside += offset
