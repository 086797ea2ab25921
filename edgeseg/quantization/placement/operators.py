"""What each ONNX operator means to the quantiser."""

from __future__ import annotations

from onnx import NodeProto

from edgeseg.graph.editor import Editor, attribute

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
ACTIVATIONS = frozenset(
    {
        "Relu",
        "Clip",
        "LeakyRelu",
        "PRelu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Elu",
        "Gelu",
        "Mish",
    }
)
"""Computed by engines inside the operator before: no pair goes between the two."""
SELECTS = frozenset(
    {
        "MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Split", "Concat",
        "Gather", "DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Identity", "Pad",
    }
)  # fmt: skip
"""Every value of the output is a value of the input (or 0): the output keeps the scale, exactly."""
AVERAGES = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean"})
"""The output lies within the input's range but not on its grid."""
SUMS = frozenset({"Add", "Sub"})

_NON_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt"})
_KEEPS_SIGN = (SELECTS | AVERAGES | {"Add", "Mul", "Resize"}) - {"Gather"}


def is_resize(node: NodeProto) -> bool:
    """A Resize whose output stays within the range of its input (cubic overshoots)."""
    return node.op_type == "Resize" and attribute(node, "mode", b"nearest") in (b"nearest", b"linear")


def selects(node: NodeProto) -> bool:
    """The output holds nothing but values of the input."""
    if node.op_type == "Resize":
        return attribute(node, "mode", b"nearest") == b"nearest"
    if node.op_type == "Pad":
        return len(node.input) < 3 or not node.input[2]
    return node.op_type in SELECTS


def keeps_range(node: NodeProto) -> bool:
    """The output can use the scale of the input."""
    return selects(node) or is_resize(node) or node.op_type in AVERAGES


def data_inputs(node: NodeProto) -> tuple[int, ...]:
    """Positions of the inputs that carry activations."""
    if node.op_type == "Concat" or node.op_type in SUMS or node.op_type == "Mul":
        return tuple(range(len(node.input)))
    if node.op_type == "MatMul":
        return (0, 1)
    return (0,)


def weight_axis(node: NodeProto, rank: int) -> int | None:
    """Output channel axis of the weight of a node; None where only one scale per tensor is right."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if rank == 2 else None


def non_negative(editor: Editor, constants: set[str]) -> set[str]:
    """Names of tensors that cannot be negative, by the operators that make them.

    Args:
        constants: initialisers that hold no negative value.
    """
    known = set(constants)
    for node in editor.graph.node:
        if _is_non_negative(editor, node, known):
            known.update(node.output)
    return known


def _is_non_negative(editor: Editor, node: NodeProto, known: set[str]) -> bool:
    if node.op_type == "Clip":
        low = editor.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
        return node.input[0] in known or (low is not None and bool((low >= 0).all()))
    if node.op_type in _NON_NEGATIVE:
        return True
    if node.op_type == "Resize" and not is_resize(node):
        return False
    if node.op_type == "Pad" and not selects(node):
        return False
    return node.op_type in _KEEPS_SIGN and all(node.input[i] in known for i in data_inputs(node))
