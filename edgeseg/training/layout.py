"""How maps lie in memory while a network learns."""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.core.preprocess import Shape

NHWC, NCHW = torch.channels_last, torch.contiguous_format


def fast_layout(module: nn.Module, shape: Shape) -> torch.memory_format:
    """Lay the weights out so that maps are [N,H,W,C] in memory, and return that layout for the images.

    Convolutions read it without reordering. A network that cannot run so, because it calls `view` on a map,
    stays as it is.
    """
    training = module.training
    device = next(module.parameters()).device
    try:
        module.eval().to(memory_format=NHWC)
        with torch.no_grad():
            module(torch.zeros(1, *shape, device=device).to(memory_format=NHWC))
    except RuntimeError:
        module.to(memory_format=NCHW)
        return NCHW
    finally:
        module.train(training)
    return NHWC
