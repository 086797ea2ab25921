"""What each block loses when it alone is int8, and which parts of a block carry its loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgeseg.core.ports import Progress, silent
from edgeseg.quantization.placement.blocks import parts_of
from edgeseg.quantization.placement.groups import Group
from edgeseg.quantization.planner.evaluator import Evaluator
from edgeseg.quantization.planner.tables import Loss

GUILTY = 0.3
"""A block with more than this share of the loss is cut into parts."""
PARTS = 4
CUTS = 2


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """
    Attributes:
        loss: of the block alone, less what the float engine loses; None: not measured.
    """

    block: Group
    loss: Loss | None = None

    @property
    def changed(self) -> float:
        return self.loss.changed if self.loss else 0.0


def measure(
    evaluator: Evaluator,
    blocks: Sequence[Group],
    groups: Sequence[Group],
    costs: Mapping[str, float],
    *,
    skip: frozenset[str] = frozenset(),
    most: int,
    progress: Progress = silent,
) -> tuple[Sensitivity, ...]:
    """Score each block alone in int8. The block that loses most is cut into parts that are scored too, while
    it has more than GUILTY of the loss: often one layer carries nearly all of it.

    Args:
        groups, costs: what blocks are cut into, and by which costs.
        skip: names of blocks not to score.
        most: blocks there may be in the end.
    """
    everything = frozenset(node for group in groups for node in group.nodes)
    base = evaluator.loss(everything, quick=True)

    def score(block: Group, done: int, total: int) -> Sensitivity:
        progress("scoring blocks alone in int8", done, total)
        if block.name in skip:
            return Sensitivity(block=block)
        loss = evaluator.loss(everything - frozenset(block.nodes), quick=True)
        return Sensitivity(block=block, loss=less(loss, base))

    found = [score(block, i, len(blocks)) for i, block in enumerate(blocks)]
    for _ in range(CUTS):
        worst = max(range(len(found)), key=lambda i: found[i].changed)
        parts = parts_of(found[worst].block, groups, min(PARTS, most - len(found) + 1), costs)
        if len(parts) < 2 or found[worst].changed <= GUILTY * sum(s.changed for s in found):
            break
        found[worst : worst + 1] = [score(part, i, len(parts)) for i, part in enumerate(parts)]
    return tuple(found)


def less(loss: Loss, base: Loss) -> Loss:
    """`loss` as it would be if the float engine lost nothing; what only changes is never negative."""
    return Loss(
        drop=loss.drop - base.drop,
        class_drop={name: v - base.class_drop.get(name, 0.0) for name, v in loss.class_drop.items()},
        changed=max(0.0, loss.changed - base.changed),
        class_changed={
            name: max(0.0, v - base.class_changed.get(name, 0.0)) for name, v in loss.class_changed.items()
        },
    )
