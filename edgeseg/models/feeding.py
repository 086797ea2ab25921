"""Why a user's network did not take the image that edgeseg fed it."""

from __future__ import annotations

import inspect
import re

import torch
from torch import nn


def why_refused(network: nn.Module, fault: BaseException) -> str:
    """What to do about an error that the network raised on float32 [1,3,H,W], as far as the two tell."""
    needed = _required(network)
    if len(needed) != 1:
        what = f"takes {len(needed)} inputs ({', '.join(needed)})" if needed else "takes no input"
        return f"its forward {what}: give edgeseg a module around it that takes the image alone"
    other = next((t.dtype for t in _floats(network) if t.dtype != torch.float32), None)
    if other is not None:
        kind = str(other).removeprefix("torch.")
        return f"its weights are {kind}: return network.float(); the target decides about the precision"
    channels = re.search(r"to have (\d+) channels?, but got 3 channels", str(fault))
    if channels:
        return (
            f"it takes {channels[1]} channel(s), and a camera gives 3: put a layer in front of it that makes "
            "them, as image.mean(dim=1, keepdim=True) does for grey"
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
