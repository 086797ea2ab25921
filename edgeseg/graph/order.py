"""Nodes in the order in which they can run."""

from __future__ import annotations

import heapq

from onnx import GraphProto, NodeProto

from edgeseg.errors import GraphError
from edgeseg.graph.editor import all_nodes, captured, describe, subgraphs

SHOWN = 5


def sort_nodes(graph: GraphProto) -> None:
    """Put each node behind those whose outputs it reads, in subgraphs too; nodes that may stay do.

    ONNX asks for it, some writers of old files did not do it, and some engines run such files.

    Raises:
        GraphError: nodes that read each other's outputs in a circle.
    """
    graphs = [graph, *(inner for node in all_nodes(graph) for inner in subgraphs(node))]
    for one in reversed(graphs):
        order = _order(one)
        if order != list(range(len(order))):
            nodes = [NodeProto.FromString(one.node[index].SerializeToString()) for index in order]
            del one.node[:]
            one.node.extend(nodes)


def _order(graph: GraphProto) -> list[int]:
    """Indices of the nodes, the earliest that can run first (Kahn's algorithm)."""
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    reads = [{maker[n] for n in (*node.input, *captured(node)) if n in maker} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for index, needed in enumerate(reads):
        for other in needed:
            readers.setdefault(other, []).append(index)
    ready = [index for index, needed in enumerate(reads) if not needed]
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        for index in readers.get(order[-1], ()):
            reads[index].discard(order[-1])
            if not reads[index]:
                heapq.heappush(ready, index)
    if len(order) < len(reads):
        circle = [describe(graph.node[i]) for i, needed in enumerate(reads) if needed]
        more = f" and {len(circle) - SHOWN} more" if len(circle) > SHOWN else ""
        raise GraphError(
            f"nodes read each other's outputs in a circle: {', '.join(circle[:SHOWN])}{more}",
            expected="a graph without circles",
            hint="export the network again",
        )
    return order
