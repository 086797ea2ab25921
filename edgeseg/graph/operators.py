"""Which nodes of a graph an operator set lacks, so that errors name operator and node."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import ModelProto, NodeProto

from edgeseg.errors import UnsupportedOperator
from edgeseg.graph.editor import Editor, all_nodes, attribute, describe

STANDARD_DOMAINS = ("", "ai.onnx")
INTEGER_OPERATORS = frozenset(
    {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
)
"""Operators with the arithmetic of one engine baked in; no float network can be read out of them."""
SHOWN = 5


def refuse(nodes: Iterable[NodeProto], *, by: str, hint: str = "") -> None:
    """Raise UnsupportedOperator for `nodes`; nothing happens when there are none."""
    named = [describe(n) for n in nodes]
    if named:
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        raise UnsupportedOperator(
            f"operators {by} does not have: {', '.join(named[:SHOWN])}{more}",
            hint=hint or "replace the operator in the network and export it again",
        )


def refuse_indices(model: ModelProto) -> None:
    """Refuse MaxUnpool and MaxPool with indices (SegNet, DeconvNet), which TensorRT and OpenVINO lack."""
    read = {name for n in all_nodes(model.graph) for name in n.input} | {o.name for o in model.graph.output}
    nodes = [
        n
        for n in all_nodes(model.graph)
        if n.op_type == "MaxUnpool" or (n.op_type == "MaxPool" and read.intersection(n.output[1:]))
    ]
    refuse(
        nodes,
        by="an engine edgeseg builds for (pooling with indices)",
        hint="use a decoder that upsamples by interpolation or transposed convolution",
    )


def refuse_training(model: ModelProto) -> None:
    """Refuse BatchNormalization and Dropout in training mode: they depend on the batch and on chance."""
    editor = Editor(model)
    refuse(
        [n for n in all_nodes(model.graph) if _trains(n, editor)],
        by="a network in evaluation mode (statistics of the batch, or random zeros)",
        hint="call model.eval() before the export; F.dropout and F.batch_norm take training=self.training",
    )


def _trains(node: NodeProto, editor: Editor) -> bool:
    if node.op_type == "BatchNormalization":
        return bool(attribute(node, "training_mode", 0)) or any(node.output[1:])
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        training = editor.constant(node.input[2])
        return training is None or bool(training)
    return False


def refuse_foreign(model: ModelProto, file: str) -> None:
    """Refuse operators outside the ONNX standard, integer arithmetic, pooling with indices, training mode."""
    nodes = list(all_nodes(model.graph))
    integer = [n for n in nodes if n.op_type in INTEGER_OPERATORS or n.op_type.startswith("QLinear")]
    refuse(
        integer,
        by=f"a float engine ({file} is already quantised)",
        hint="start from the float network; Q/DQ files (QuantizeLinear, DequantizeLinear) are accepted",
    )
    local = {f.name for f in model.functions}
    foreign = [n for n in nodes if n.domain not in STANDARD_DOMAINS and n.op_type not in local]
    domains = ", ".join(sorted({n.domain for n in foreign}))
    refuse(foreign, by=f"standard ONNX ({file} uses the domain {domains})")
    refuse_indices(model)
    refuse_training(model)
