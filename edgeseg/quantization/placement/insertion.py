"""Writing Q/DQ pairs into a graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper

from edgeseg.core.int8 import Scheme
from edgeseg.errors import GraphError
from edgeseg.graph.editor import Editor, opset_of
from edgeseg.graph.shapes import with_shapes
from edgeseg.quantization.grid import Grid
from edgeseg.quantization.placement.pairs import Pair, Placement, WeightPair
from edgeseg.quantization.weights import WeightMethod, bias_floor, quantize_weight, weight_scales

OLDEST_OPSET = 13
QUANTIZE, DEQUANTIZE = "/quantize", "/dequantize"
SCALE, ZERO_POINT, INT8, INT32 = "/scale", "/zero_point", "/int8", "/int32"
"""What the names of inserted nodes and initialisers end with, behind the name of their tensor."""
_TYPES = {"int8": np.int8, "uint8": np.uint8}
_INT32_LIMIT = 2.0**31 - 1


def insert(
    model: ModelProto,
    placement: Placement,
    grids: Mapping[str, Grid],
    scheme: Scheme,
    *,
    weight_method: WeightMethod = "min-max",
    weight_bits: int = 8,
    per_channel: bool = True,
) -> ModelProto:
    """The Q/DQ graph. Nodes keep their names; `T/quantize`, `T/dequantize`, `T/scale` and `T/zero_point`
    belong to the tensor T, `W/int8` (stored), `W/scale` and `W/dequantize` to the weight W.

    Args:
        grids: by tensor, for every pair.
        weight_bits: fewer than 8 use fewer levels of the int8, to study large drops.
        per_channel: False: one scale per weight, to study large drops.

    Raises:
        GraphError: opset < 13, which has no per-channel DequantizeLinear.
    """
    if opset_of(model) < OLDEST_OPSET:
        raise GraphError(
            f"the graph is opset {opset_of(model)}",
            expected=f"opset {OLDEST_OPSET} or newer",
            hint="see make_static",
        )
    writer = _Writer(model, scheme, weight_method, weight_bits, per_channel)
    for pair in placement.pairs:
        writer.activation(pair, grids[pair.tensor])
    for weight in placement.weights:
        writer.require(weight, grids)
    for weight in placement.weights:
        writer.weight(weight, grids)
    return writer.finish()


class _Writer:
    def __init__(
        self, model: ModelProto, scheme: Scheme, method: WeightMethod, bits: int, per_channel: bool
    ) -> None:
        self.editor = Editor(model)
        self.scheme = scheme
        self.method: WeightMethod = method
        self.bits = bits
        self.per_channel = per_channel
        self.nodes = {node.name: node for node in self.editor.graph.node}
        self.behind: dict[str, list[NodeProto]] = {}
        self.first: list[NodeProto] = []
        self.stored: dict[tuple[str, int | None], str] = {}
        self.scales: dict[str, np.ndarray] = {}
        self.floors: dict[str, np.ndarray] = {}

    def activation(self, pair: Pair, grid: Grid) -> None:
        tensor = pair.tensor
        scale = self.editor.add_initializer(f"{tensor}{SCALE}", np.array(grid.scale, np.float32))
        zero = self.editor.add_initializer(
            f"{tensor}{ZERO_POINT}", np.array(grid.zero_point, _TYPES[grid.dtype])
        )
        levels, back = (self.editor.unique(f"{tensor}{part}") for part in (QUANTIZE, DEQUANTIZE))
        self.behind[tensor] = [
            helper.make_node("QuantizeLinear", [tensor, scale, zero], [levels], name=levels),
            helper.make_node("DequantizeLinear", [levels, scale, zero], [back], name=back),
        ]
        for name, index in pair.readers:
            self.nodes[name].input[index] = back

    def require(self, pair: WeightPair, grids: Mapping[str, Grid]) -> None:
        """Note the smallest scales a weight may have, for all nodes that read it."""
        bias, weight = self.editor.constant(pair.bias), self.editor.constant(pair.weight)
        if bias is None or weight is None or pair.source not in grids:
            return
        channels = 1 if pair.axis is None else weight.shape[pair.axis]
        floor = bias_floor(bias, grids[pair.source].scale, channels)
        self.floors[pair.weight] = np.maximum(self.floors.get(pair.weight, floor), floor)

    def weight(self, pair: WeightPair, grids: Mapping[str, Grid]) -> None:
        axis = pair.axis if self.per_channel else None
        if (pair.weight, axis) not in self.stored:
            self.stored[pair.weight, axis] = self._store(pair.weight, axis)
        self.nodes[pair.node].input[1] = self.stored[pair.weight, axis]
        if self.scheme.int32_bias and pair.bias and pair.source in grids:
            self._bias(pair, grids[pair.source].scale * self.scales[pair.weight])

    def _store(self, name: str, axis: int | None) -> str:
        value = self.editor.constant(name)
        assert value is not None
        floor = self.floors.get(name, np.zeros((), np.float32))
        scales = self.scheme.scales(weight_scales(value, axis, self.method, self.bits, floor))
        self.scales[name] = scales
        levels = quantize_weight(value, scales, axis, self.bits)
        return self._dequantize(name, INT8, levels, scales, axis)

    def _bias(self, pair: WeightPair, scales: np.ndarray) -> None:
        value = self.editor.constant(pair.bias)
        assert value is not None
        scales = np.tile(scales, value.size // scales.size) if scales.ndim else scales
        levels = np.clip(np.rint(value / scales), -_INT32_LIMIT, _INT32_LIMIT).astype(np.int32)
        axis = None if scales.ndim == 0 else 0
        self.nodes[pair.node].input[2] = self._dequantize(
            pair.bias, INT32, levels, scales.astype(np.float32), axis
        )

    def _dequantize(
        self, name: str, suffix: str, levels: np.ndarray, scales: np.ndarray, axis: int | None
    ) -> str:
        stored = self.editor.add_initializer(f"{name}{suffix}", levels)
        scale = self.editor.add_initializer(f"{name}{SCALE}", scales)
        zero = self.editor.add_initializer(f"{name}{ZERO_POINT}", np.zeros(scales.shape, levels.dtype))
        back = self.editor.unique(f"{name}{DEQUANTIZE}")
        attributes = {} if axis is None else {"axis": axis}
        self.first.append(
            helper.make_node("DequantizeLinear", [stored, scale, zero], [back], name=back, **attributes)
        )
        return back

    def finish(self) -> ModelProto:
        order = list(self.first)
        for source in self.editor.graph.input:
            order.extend(self.behind.pop(source.name, ()))
        for node in self.editor.graph.node:
            order.append(node)
            for output in node.output:
                order.extend(self.behind.pop(output, ()))
        self.editor.keep_nodes(order)
        result = with_shapes(self.editor.finish())
        onnx.checker.check_model(result)
        return result
