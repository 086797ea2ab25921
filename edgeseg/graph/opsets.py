"""From one ONNX opset to another, with the meaning of old operators kept."""

from __future__ import annotations

import copy

import onnx
from onnx import ModelProto, NodeProto, version_converter

from edgeseg.errors import GraphError
from edgeseg.graph.editor import MAX_IR, Editor, all_nodes, attribute, opset_of, set_attribute
from edgeseg.graph.functions import without_newer
from edgeseg.graph.reference import first_line

FIRST_FREE_RESIZE = 11
"""The opset from which Resize states how it maps coordinates."""


def to_opset(model: ModelProto, opset: int) -> ModelProto:
    """Lower a model to at most `opset`; one that is not newer is returned as it is.

    Raises:
        GraphError: an operator has no counterpart there; the converter's reason is given.
    """
    return model if opset_of(model) <= opset else convert_opset(model, opset)


def from_opset(model: ModelProto, opset: int) -> ModelProto:
    """Raise a model to at least `opset`. Raises as `to_opset`."""
    return model if opset_of(model) >= opset else convert_opset(model, opset)


def convert_opset(model: ModelProto, opset: int) -> ModelProto:
    """The model in exactly this opset. Raises as `to_opset`."""
    model = copy.deepcopy(model)
    used = {n.domain for n in all_nodes(model.graph)}
    imports = [o for o in model.opset_import if o.domain in ("", "ai.onnx") or o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    try:
        result: ModelProto = version_converter.convert_version(without_newer(model, opset), opset)
        onnx.checker.check_model(result)
    except Exception as fault:  # the converter throws RuntimeError, ConvertError and others
        raise GraphError(
            f"the graph is opset {opset_of(model)} and cannot be converted to opset {opset}: "
            f"{first_line(fault)}",
            hint=f"export the network again with opset {opset}",
        ) from fault
    if opset_of(model) < FIRST_FREE_RESIZE:
        _state_coordinates(result)
    result.ir_version = min(max(result.ir_version, 8), MAX_IR)
    return result


def old_reference(model: ModelProto) -> ModelProto:
    """The graph whose outputs a conversion must keep: the model, as ONNX Runtime runs it.

    Where a Resize of opset 10 shrinks to the nearest pixel, ONNX Runtime alone takes the pixel behind;
    exporters meant the one before (`floor`), so there it is the model with that stated.
    """
    if opset_of(model) < FIRST_FREE_RESIZE and any(_may_shrink(n, model) for n in all_nodes(model.graph)):
        return convert_opset(model, FIRST_FREE_RESIZE)
    return model


def _may_shrink(node: NodeProto, model: ModelProto) -> bool:
    if node.op_type != "Resize" or attribute(node, "mode", b"nearest") != b"nearest":
        return False
    scales = Editor(model).constant(node.input[1])
    return scales is None or bool((scales < 1).any())


def _state_coordinates(model: ModelProto) -> None:
    """Upsample and the first Resize knew one rule for coordinates; the converter leaves it out, and the
    default of a newer Resize is another."""
    for node in all_nodes(model.graph):
        if node.op_type == "Resize":
            set_attribute(node, "coordinate_transformation_mode", "asymmetric")
            set_attribute(node, "nearest_mode", "floor")
