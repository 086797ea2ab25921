"""What a planner can switch between int8 and float."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from onnx import ModelProto

from edgeseg.graph.info import macs
from edgeseg.graph.shapes import static_shapes
from edgeseg.quantization.placement.pairs import Placement, Plan


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nodes that change precision together. Everything between them follows by itself.

    Attributes:
        name: of its first node.
        operator: of its first node, `depthwise Conv` where that says more.
        macs: multiply-accumulates.
    """

    name: str
    nodes: tuple[str, ...]
    operator: str
    macs: int


def groups_of(model: ModelProto, placement: Placement) -> tuple[Group, ...]:
    """One group per weighted node that `placement` quantises, in the order of the graph."""
    shapes = static_shapes(model)
    quantized = {pair.node for pair in placement.weights}
    quantized |= {name for pair in placement.pairs for name, index in pair.readers if index == 1}
    found = []
    for node in model.graph.node:
        if node.name in quantized and macs(node, shapes):
            weight = shapes.get(node.input[1], ())
            depthwise = node.op_type == "Conv" and len(weight) == 4 and weight[1] == 1 and weight[0] > 1
            operator = f"depthwise {node.op_type}" if depthwise else node.op_type
            found.append(
                Group(name=node.name, nodes=(node.name,), operator=operator, macs=macs(node, shapes))
            )
    return tuple(found)


def merge(groups: Iterable[Group]) -> Group:
    """Several groups as one, named after the first."""
    parts = tuple(groups)
    return Group(
        name=parts[0].name,
        nodes=tuple(node for part in parts for node in part.nodes),
        operator=parts[0].operator if len({p.operator for p in parts}) == 1 else "block",
        macs=sum(part.macs for part in parts),
    )


def float_plan(groups: Iterable[Group]) -> Plan:
    """The plan that keeps `groups` in float."""
    return {node: "float" for group in groups for node in group.nodes}
