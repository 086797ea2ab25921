"""Feeding a user's network with what it may read, and why it did not take it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from edgeseg.core.frame import Frame
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.models.outputs import find_output
from edgeseg.models.user_code import users_code
from edgeseg.runtime.seen import Seen


@dataclass(frozen=True)
class Feeding:
    """What a network is tried on.

    Attributes:
        frames: in this order, each with another number of channels.
        size: (height, width) of the input.
        takes: channels that the file of the network tells.
    """

    frames: tuple[Frame, ...]
    size: Size
    takes: int | None = None

    def run(
        self, network: nn.Module, file: Path, contract: Postprocess, name: str
    ) -> tuple[Frame, str, tuple[Seen, ...]]:
        """The first of the frames whose number of channels the network takes, and what `find_output` finds.

        Args:
            file: of the user's code; `name`: of the network, for errors.

        Raises:
            ModelError: the network fails on all of them, or has no score map.
        """
        failed: list[tuple[Frame, Exception]] = []
        with torch.inference_mode(), users_code(file):
            for frame in self.frames:
                shape = (frame.channels, *self.size)
                try:
                    found = find_output(
                        network, shape, stated=contract.output or None, stretch=contract.stretch
                    )
                except ModelError as fault:
                    told = f"{name}: {fault.message}"
                    raise ModelError(told, expected=fault.expected, hint=fault.hint) from None
                except EdgesegError:
                    raise
                except Exception as fault:  # the network's own
                    failed.append((frame, fault))
                else:
                    return frame, *found
            tried = tuple(frame.channels for frame in self.frames)
            other = [one for one in failed if wanted_channels(one[1], one[0].channels) is None]
            frame, cause = (other or failed)[0]
            channels = str(frame.channels) if other else " or ".join(map(str, tried))
            fed = f"float32 [1, {channels}, {self.size[0]}, {self.size[1]}]"
            hint = partial(why_refused, network, tried, self.takes)
            with users_code(file, f"a network that takes what edgeseg feeds: {fed}", hint):
                raise cause


def wanted_channels(fault: BaseException, channels: int) -> int | None:
    """Input channels of the convolution that refused an image of `channels`; None: it is another error."""
    said = re.search(r"to have (\d+) channels?, but got (\d+) channels?", str(fault))
    return int(said[1]) if said and int(said[2]) == channels else None


def why_refused(network: nn.Module, tried: Sequence[int], takes: int | None, fault: BaseException) -> str:
    """What to do about an error that the network raised on float32 [1,C,H,W], as far as the two tell.

    Args:
        tried: the numbers of channels; `takes`: that of the network, where its file tells it.
    """
    needed = _required(network)
    if len(needed) != 1:
        what = f"takes {len(needed)} inputs ({', '.join(needed)})" if needed else "takes no input"
        return f"its forward {what}: give edgeseg a module around it that takes the image alone"
    other = next((t.dtype for t in _floats(network) if t.dtype != torch.float32), None)
    if other is not None:
        kind = str(other).removeprefix("torch.")
        return f"its weights are {kind}: return network.float(); the target decides about the precision"
    told = [wanted_channels(fault, channels) for channels in tried]
    wanted = takes or next((number for number in told if number is not None), None)
    if wanted is not None and wanted not in tried:
        return (
            f"it takes {wanted} channel(s), and was given {' and '.join(map(str, tried))}: state what they "
            f"are, as in --set frame={wanted}:uint8 (or gray, r,g,b,depth:float32)"
        )
    return "it was run on such an image: if it should take it, the error is in its code"


def _required(network: nn.Module) -> list[str]:
    """Names of the inputs that its forward cannot do without."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(network.forward).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return ["image"]
    return [p.name for p in parameters if p.default is p.empty and p.kind in plain] or [
        p.name for p in list(parameters)[:1]
    ]


def _floats(network: nn.Module) -> list[torch.Tensor]:
    """The class is asked: a network may have an attribute called `parameters`."""
    return [t for t in nn.Module.parameters(network) if t.is_floating_point()]
