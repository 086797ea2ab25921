"""Groups merged into the few blocks that a planner switches, and which block feeds which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import ModelProto

from edgeseg.errors import InputError
from edgeseg.graph.editor import Editor
from edgeseg.quantization.placement.groups import Group, merge

SHORT_SKIP = 6
"""A skip over at most so many groups (a residual, parallel branches) stays within one block; the long skips
of an encoder-decoder do not."""


def blocks_of(
    model: ModelProto, groups: Sequence[Group], limit: int, costs: Mapping[str, float]
) -> tuple[Group, ...]:
    """At most `limit` runs of groups, in the order of the graph: those of a residual block or of parallel
    branches together, then the cheapest neighbours merged until few enough are left.

    Args:
        model, groups: of a `Calibrated`.
        costs: of each group by name, such as its milliseconds.

    Raises:
        InputError: a limit below 1.
    """
    if limit < 1:
        raise InputError(f"a plan of {limit} blocks was asked for", expected="1 or more")
    cuts = _cuts(model, groups)
    runs: list[list[Group]] = []
    for index, group in enumerate(groups):
        if index in cuts or not runs:
            runs.append([])
        runs[-1].append(group)
    return _merged(runs, limit, costs)


def parts_of(
    block: Group, groups: Sequence[Group], limit: int, costs: Mapping[str, float]
) -> tuple[Group, ...]:
    """A block cut into at most `limit` runs of about the same cost, wherever that falls."""
    inside = set(block.nodes)
    return _merged([[group] for group in groups if inside.issuperset(group.nodes)], limit, costs)


def neighbours(model: ModelProto, blocks: Sequence[Group]) -> tuple[tuple[int, ...], ...]:
    """For each block the others that it reads from or that read from it, with no third one between."""
    owner = {node: index for index, block in enumerate(blocks) for node in block.nodes}
    made: dict[str, frozenset[int]] = {}
    found: list[set[int]] = [set() for _ in blocks]
    for node in Editor(model).graph.node:
        sources = frozenset().union(*(made.get(name, frozenset()) for name in node.input))
        mine = owner.get(node.name)
        if mine is not None:
            for source in sources - {mine}:
                found[mine].add(source)
                found[source].add(mine)
            sources = frozenset({mine})
        made |= dict.fromkeys(node.output, sources)
    return tuple(tuple(sorted(near)) for near in found)


def _merged(runs: list[list[Group]], limit: int, costs: Mapping[str, float]) -> tuple[Group, ...]:
    weight = [sum(costs[group.name] for group in run) for run in runs]
    while len(runs) > limit:
        first = min(range(len(runs) - 1), key=lambda i: weight[i] + weight[i + 1])
        runs[first] += runs.pop(first + 1)
        weight[first] += weight.pop(first + 1)
    return tuple(merge(run) for run in runs)


def _cuts(model: ModelProto, groups: Sequence[Group]) -> set[int]:
    """Indexes of groups that may start a block: those that no short skip passes over."""
    editor = Editor(model)
    order = {node.name: position for position, node in enumerate(editor.graph.node)}
    starts = [min(order[node] for node in group.nodes) for group in groups]
    cuts = set(range(1, len(groups)))
    for readers in editor.consumers.values():
        places = sorted(order[node.name] for node in readers)
        for last in places[1:]:
            over = {index for index, start in enumerate(starts) if places[0] < start <= last}
            if len(over) <= SHORT_SKIP:
                cuts -= over
    return cuts
