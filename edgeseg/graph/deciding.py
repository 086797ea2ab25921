"""The rule of `core.deciding` for ONNX."""

from __future__ import annotations

from edgeseg.core.deciding import Kind, Step, deciding
from edgeseg.graph.editor import Editor

_KINDS: dict[str, Kind] = {
    "Conv": "layer",
    "ConvTranspose": "layer",
    "LSTM": "layer",
    "GRU": "layer",
    "RNN": "layer",
    "Gemm": "product",
    "MatMul": "product",
    "RoiAlign": "sampler",
    "MaxRoiPool": "sampler",
    "GridSample": "sampler",
    "TopK": "order",
    "NonMaxSuppression": "order",
}
_MOVERS = frozenset(
    {
        "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Slice", "Split", "Concat",
        "Tile", "Gather", "GatherElements", "GatherND", "Identity", "DepthToSpace", "SpaceToDepth",
    }
)  # fmt: skip


def deciding_nodes(editor: Editor) -> frozenset[str]:
    """First outputs of the nodes that compare, rank and place boxes.

    Args:
        editor: its constants are initialisers.
    """
    return deciding(steps_of(editor))


def steps_of(editor: Editor) -> list[Step]:
    """The inputs and nodes of a graph, these by first output, as the rule sees them."""
    steps = [
        Step(value.name, "input", (), ())
        for value in editor.graph.input
        if value.name not in editor.initializers
    ]
    made = {step.name: step.name for step in steps}
    for node in editor.graph.node:
        name = node.output[0]
        reads = [made.get(read, "") for read in node.input if read]
        kind = _KINDS.get(node.op_type, "mover" if node.op_type in _MOVERS else "other")
        values = reads
        if kind == "sampler":
            values = reads[1:2]
        elif kind == "mover":
            moved = reads if node.op_type == "Concat" else reads[:1]
            values = moved if all(moved) else []
        steps.append(
            Step(
                name,
                kind,
                tuple(filter(None, reads)),
                tuple(filter(None, values)),
                constant="" in reads[:2],
            )
        )
        made.update((output, name) for output in node.output if output)
    return steps
