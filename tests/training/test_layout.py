from __future__ import annotations

import pytest
import torch
from tiny import network
from torch import nn

from edgeseg.training.layout import NCHW, NHWC, fast_layout


def kernels(module: nn.Module) -> list[torch.Tensor]:
    return [p for p in module.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]


def test_maps_are_laid_out_as_convolutions_read_them():
    module = network().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert fast_layout(module, (3, 32, 32)) is NHWC
    assert all(kernel.is_contiguous(memory_format=NHWC) for kernel in kernels(module))
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Viewing(nn.Module):
    """A network that flattens a map, which only the layout [N,C,H,W] allows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.first(image)
        flat = features.view(len(features), -1)
        return self.last(flat.view(features.shape))


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.conv(image[:, None]).mean(2)


@pytest.mark.parametrize("module", [Viewing(), Volumes()])
def test_a_network_that_cannot_run_so_stays_as_it_is(module: nn.Module):
    assert fast_layout(module, (3, 16, 16)) is NCHW
    assert all(kernel.is_contiguous() for kernel in kernels(module))
    module(torch.zeros(2, 3, 16, 16)).sum().backward()
