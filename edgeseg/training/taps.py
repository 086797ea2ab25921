"""Inner maps of two networks, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


class Taps:
    """Keeps what submodules returned in the last forward pass of each network.

    Args:
        modules: student and teacher, or the student alone.
        names: of submodules that all of them have.
    """

    def __init__(self, modules: Sequence[nn.Module], names: Sequence[str]) -> None:
        self._kept: list[dict[str, torch.Tensor]] = [{} for _ in modules]
        self._names = tuple(names)
        self._hooks = [
            module.get_submodule(name).register_forward_hook(_keeper(kept, name))
            for module, kept in zip(modules, self._kept)
            for name in self._names
        ]

    def pairs(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(student, teacher) per name; what was kept is let go."""
        student, teacher = self._kept[0], self._kept[-1]
        found = [(student[name], teacher[name]) for name in self._names]
        for kept in self._kept:
            kept.clear()
        return found

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def _keeper(kept: dict[str, torch.Tensor], name: str) -> Any:
    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        kept[name] = output

    return keep
