"""Camera frames to network input, in NumPy: the reference the deploy graph is tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeseg.core.ports import Array
from edgeseg.core.preprocess import Placement, Preprocess, Size
from edgeseg.runtime.frame_layouts import unpacked
from edgeseg.runtime.frames import frame_size
from edgeseg.runtime.resize import bilinear


def preprocess(frames: Array, contract: Preprocess, input_size: Size) -> NDArray[np.float32]:
    """Cut the region out, resize, normalise and pad.

    Args:
        frames: [N,H,W,C], or of the layout of `contract.frame`.
        input_size: (height, width) of the network input.

    Returns:
        float32 [N,C,*input_size], channels in the order of the network. Resized pixels are not rounded
        to integers before they are normalised.

    Raises:
        InputError: frames of another dtype or shape, or as `Preprocess.place`.
    """
    frame = contract.frame
    size = frame_size(frames, frame)
    place = contract.place(size, input_size)
    channels = unpacked(frames, frame)
    if place.part is not None:
        channels = channels[:, :, place.part[0], place.part[1]]
    if contract.permuted:
        channels = channels[:, contract.permutation]
    result = np.empty((len(frames), frame.channels, *input_size), np.float32)
    if place.padded:
        result[...] = np.array(contract.padding_values(), np.float32)[:, None, None]
    _normalise(channels, place, contract, result)
    return result


def _normalise(channels: Array, place: Placement, contract: Preprocess, result: NDArray[np.float32]) -> None:
    """Write the resized, normalised frames into their place in `result`."""
    multiplier, offset = (np.array(v, np.float32)[:, None, None] for v in contract.affine())
    (top, bottom), (left, right) = place.window
    inside = result[:, :, top:bottom, left:right]
    if place.resized:
        np.multiply(bilinear(channels.astype(np.float32), place.scaled), multiplier, out=inside)
    else:
        np.multiply(channels, multiplier, out=inside, dtype=np.float32)
    inside += offset
