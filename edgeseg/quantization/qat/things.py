"""A lifted network of things as the training loop takes it: compared with its teacher by what the heads say.

The graph that is trained is the one that ships, and it has no losses of its own: no anchors are matched with
labels in it. So int8 learns what the float network says: objectness and deltas of every anchor, classes and
deltas of every proposal, mask logits of every detection. The teacher is asked about the boxes that the
learner chose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from onnx import ModelProto
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.graph.heads import Heads, heads_of, returning
from edgeseg.graph.lift import LiftedModule, lift


class _NoLosses(dict[str, Tensor]):
    def __missing__(self, name: str) -> Tensor:
        raise InputError(
            f"the loss '{name}' compares with labels, which the graph of a network of things cannot",
            expected="distil",
            hint="leave the setting loss out",
        )


class Answer(NamedTuple):
    """
    Attributes:
        losses: none; asking for one raises InputError.
        dense: by name of the tensor, of each image what the heads say, and what was decided between them.
    """

    losses: dict[str, Tensor]
    dense: dict[str, list[Tensor]]


class ThingNetwork(nn.Module):
    """
    Args:
        network: lifted, returning `all_of` its graph.
        outputs: of the graph itself.
        asked: lifted from `returning(model, heads.said, heads.decided)`; a teacher has it.
    """

    def __init__(
        self, network: LiftedModule, outputs: tuple[str, ...], heads: Heads, asked: LiftedModule | None = None
    ) -> None:
        super().__init__()
        self.network, self.outputs, self.heads, self.asked = network, outputs, heads, asked

    def forward(self, image: Tensor, targets: Any = None) -> Any:
        """Without targets the outputs by name, else an `Answer`.

        Args:
            image: float32 [N,C,H,W]. The shapes in the graph are those of one image: they go through it one
                by one.
        """
        found: dict[str, list[Tensor]] = {}
        for one in image.split(1):
            for name, value in zip(self.network.output_names, self.network(one)):
                found.setdefault(name, []).append(value)
        if targets is None:
            return {name: torch.cat(found[name]) for name in self.outputs}
        return Answer(_NoLosses(), {name: found[name] for name in (*self.heads.said, *self.heads.decided)})

    def dense(self, image: Tensor, like: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
        """What the heads of this network say of the same images where `like` looked."""
        assert self.asked is not None
        found: dict[str, list[Tensor]] = {name: [] for name in self.heads.said}
        for index, one in enumerate(image.split(1)):
            given = [like[name][index] for name in self.heads.decided]
            for name, value in zip(self.heads.said, self.asked(one, *given)):
                found[name].append(value)
        return found


def all_of(model: ModelProto, heads: Heads) -> tuple[str, ...]:
    """Outputs, heads and what is decided between them."""
    return tuple(dict.fromkeys((*(o.name for o in model.graph.output), *heads.said, *heads.decided)))


def teacher_of(model: ModelProto) -> ThingNetwork:
    """The float network, which can be asked. Raises as `lift`."""
    heads = heads_of(model)
    asked = lift(returning(model, heads.said, heads.decided))
    whole = lift(returning(model, all_of(model, heads)))
    return ThingNetwork(whole, tuple(o.name for o in model.graph.output), heads, asked)
