"""Boxes as they come, and as they hurt: thin, touching, equal, out of the frame."""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("scattered", "crowded", "thin", "touching", "chain", "out of frame", "same")


def boxes_of(kind: str, cases: int, each: int, side: float = 300.0) -> Tensor:
    """float32 [cases, each, 4] around a frame of `side` x `side` pixels."""
    corner = torch.rand(cases, each, 2) * side
    extent = torch.rand(cases, each, 2) * side / 3
    if kind == "crowded":
        corner, extent = side / 3 + torch.rand(cases, each, 2) * side / 20, side / 6 + extent / 4
    elif kind == "thin":
        thin = torch.rand(cases, each, 1).lt(0.5)
        extent = extent * torch.where(torch.cat((thin, ~thin), 2), 0.01, 1.0)
    elif kind == "touching":
        corner, extent = (corner / 20).floor() * 20, torch.randint(0, 3, (cases, each, 2)) * 20.0
    elif kind == "chain":
        corner = torch.rand(cases, each, 1) * torch.tensor([side, 0.0])
        extent = torch.full_like(extent, side / 5)
    elif kind == "out of frame":
        corner, extent = corner * 3 - side, extent * 4
    elif kind == "same":
        corner, extent = corner[:, :1].expand_as(corner), extent[:, :1].expand_as(extent)
    return torch.cat((corner, corner + extent), 2)
