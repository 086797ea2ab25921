"""The network in PyTorch from frame to class map, all of it on the device, as one would write it by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from _gpu.plan import Rival
from edgeseg.core.bundle import Bundle
from edgeseg.errors import InputError
from edgeseg.graph.lift import lift

Call = Callable[[np.ndarray], np.ndarray]


class FrameToMap(nn.Module):
    """uint8 [N,H,W,3] to uint8 [N,H,W]: normalise, pad, the lifted graph of the bundle, crop, decide.

    Raises:
        InputError: a network that is not semantic, or frames that are resized.
    """

    def __init__(self, bundle: Bundle, dtype: torch.dtype) -> None:
        super().__init__()
        spec, camera = bundle.manifest.model, bundle.engine.camera_size
        self.place = spec.preprocess.place(camera, spec.input_size)
        if self.place.resized or spec.task != "semantic":
            raise InputError("this benchmark times semantic networks whose frames are not resized")
        self.network = lift(onnx.load(str(bundle.file(bundle.manifest.graph)))).to(dtype)
        self.swap = spec.preprocess.permuted
        self.dtype = dtype
        numbers = (*spec.preprocess.affine(), spec.preprocess.padding_values())
        for name, values in zip(("multiplier", "offset", "padding"), numbers):
            self.register_buffer(name, torch.tensor(values)[:, None, None])

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        pixels = frames.permute(0, 3, 1, 2)
        if self.swap:
            pixels = pixels.flip(1)
        values = pixels * self.multiplier + self.offset
        top, left, bottom, right = self.place.padding
        values = nn.functional.pad(values - self.padding, (left, right, top, bottom)) + self.padding
        scores = self.network(values.to(self.dtype).contiguous(memory_format=torch.channels_last))
        (first, last), (begin, end) = self.place.window
        return scores[:, :, first:last, begin:end].argmax(1).to(torch.uint8)


def open_rival(rival: Rival, bundle: Path, device: str) -> Call:
    """Frames in memory to class maps in memory."""
    module = (
        FrameToMap(Bundle.open(bundle), getattr(torch, rival.dtype))
        .eval()
        .to(device, memory_format=torch.channels_last)
    )
    if rival.compiled:
        module = torch.compile(module, mode="reduce-overhead" if device == "cuda" else None)

    def call(frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(frames).to(device)).cpu().numpy()

    return call
