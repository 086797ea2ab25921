"""float32 -> float16, written into the graph; what would overflow or vanish stays in float32 and is named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeseg.core.ports import Array
from edgeseg.graph.deciding import deciding_nodes
from edgeseg.graph.deploy import PREPROCESS
from edgeseg.graph.editor import Editor, attribute, captured, set_attribute
from edgeseg.graph.epsilons import SMALLEST_NORMAL, guarding
from edgeseg.graph.opsets import from_opset
from edgeseg.graph.reference import run, session
from edgeseg.graph.shapes import element_types, static_shapes, with_shapes

FP16_MAX = 65504.0
SAFETY = 4.0
"""Inputs that were not measured may be this much larger than those that were."""

_FLOAT, _HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_IN_FLOAT32 = frozenset(
    {
        "If", "Loop", "Scan", "NonMaxSuppression", "CumSum",
        "InstanceNormalization", "LayerNormalization", "GroupNormalization", "MeanVarianceNormalization",
        "LpNormalization", "RMSNormalization", "BatchNormalization", "ReduceL2", "ReduceSumSquare",
        "ReduceLogSumExp",
    }
)  # fmt: skip
"""Sums of squares and running sums leave the range of fp16 long before their result does; control flow would
need its bodies converted."""
_QDQ = ("QuantizeLinear", "DequantizeLinear")
HALF_QDQ_OPSET = 19
"""The first opset whose Q/DQ takes fp16."""
_FLOAT32_INPUTS = {"Resize": {1, 2}, "Upsample": {1}}
"""Positions of inputs that ONNX defines as float32 whatever the data is."""
_MEANS = ("ReduceMean", "GlobalAveragePool")
_SATURATES = ("Clip", "Min", "Max")
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Weights too small for fp16 are lost among the others they are summed with; an epsilon is not."""


def measure_maxima(model: ModelProto, feeds: Iterable[Mapping[str, Array]]) -> dict[str, float]:
    """Largest |value| of every float32 tensor that is computed, over all feeds.

    The maxima are taken inside the graph, so that no tensor but these numbers leaves ONNX Runtime.
    A tensor that holds NaN or infinity counts as infinite.

    Raises:
        GraphError: the graph does not run on a feed.
    """
    editor = Editor(model)
    editor.lift_constants()
    types = element_types(model)
    names = [n for node in editor.graph.node for n in node.output if n and types.get(n) == _FLOAT]
    results = {}
    for name in names:
        absolute, largest = editor.unique(f"{name}/abs"), editor.unique(f"{name}/max")
        editor.graph.node.append(helper.make_node("Abs", [name], [absolute]))
        editor.graph.node.append(helper.make_node("ReduceMax", [absolute], [largest], keepdims=0))
        results[largest] = name
    del editor.graph.output[:]
    editor.graph.output.extend(helper.make_tensor_value_info(n, _FLOAT, []) for n in results)
    opened = session(editor.model)
    maxima = dict.fromkeys(names, 0.0)
    for feed in feeds:
        for largest, value in run(opened, feed).items():
            number = float(value) if np.isfinite(value) else math.inf
            maxima[results[largest]] = max(maxima[results[largest]], number)
    return maxima


def to_fp16(model: ModelProto, maxima: Mapping[str, float]) -> tuple[ModelProto, tuple[str, ...]]:
    """Convert all float32 arithmetic to float16. Inputs and outputs keep their types.

    Nodes stay in float32 when a tensor they read or write, times SAFETY, leaves the fp16 range or is all
    below its normal numbers, when a constant of theirs leaves it, from an epsilon or bound that vanishes to
    the division or root it guards, or when a mean sums up more than fp16 holds. The preprocessing of a
    deploy graph and operators that need float32 stay as well.

    Args:
        maxima: from `measure_maxima`; tensors that are not in it are taken as in range.

    Returns:
        The typed graph, and the names of the nodes kept because of their values. A graph with Q/DQ pairs is
        raised to HALF_QDQ_OPSET.
    """
    if any(node.op_type in _QDQ for node in model.graph.node):
        model = from_opset(model, HALF_QDQ_OPSET)
    return _Converter(model, maxima).convert()


class _Converter:
    def __init__(self, model: ModelProto, maxima: Mapping[str, float]) -> None:
        self.editor = Editor(model)
        self.editor.lift_constants()
        self.maxima = maxima
        self.types = element_types(model)
        self.shapes = static_shapes(model)
        self.guarding = guarding(self.editor)
        self.deciding = deciding_nodes(self.editor)
        self.half: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.casts: dict[tuple[str, int], str] = {}
        self.nodes: list[NodeProto] = []

    def convert(self) -> tuple[ModelProto, tuple[str, ...]]:
        kept: list[str] = []
        for node in list(self.editor.graph.node):
            exceeds = self._exceeds(node)
            if exceeds:
                kept.append(node.name or node.output[0])
            self._place(node, to_half=not exceeds and self._may_be_half(node))
        self._restore_outputs()
        del self.editor.graph.value_info[:]
        self.editor.keep_nodes(self.nodes)
        result = with_shapes(self.editor.finish())
        onnx.checker.check_model(result)
        return result, tuple(kept)

    def _is_float(self, name: str) -> bool:
        return bool(name) and self.types.get(name) == _FLOAT

    def _may_be_half(self, node: NodeProto) -> bool:
        if node.op_type in _IN_FLOAT32 or node.name.startswith(PREPROCESS) or captured(node):
            return False
        if node.output[0] in self.deciding:
            return False
        return any(self._is_float(name) for name in self._data_inputs(node))

    def _data_inputs(self, node: NodeProto) -> list[str]:
        skip = _FLOAT32_INPUTS.get(node.op_type, set())
        return [name for i, name in enumerate(node.input) if i not in skip]

    def _exceeds(self, node: NodeProto) -> bool:
        """Whether the values of this node, not its kind, keep it in float32."""
        if node.name.startswith(PREPROCESS) or node.output[0] in self.deciding:
            return False
        tensors = [n for n in (*self._data_inputs(node), *node.output) if self._is_float(n)]
        if node.output[0] in self.guarding or any(self._out_of_range(n) for n in tensors):
            return True
        if node.op_type in _MEANS and self._sum(node) * SAFETY > FP16_MAX:
            return True
        if node.op_type in _SATURATES:
            return False
        constants = [self.editor.constant(n) for n in self._data_inputs(node) if self._is_float(n)]
        factors = node.op_type not in _WEIGHTED
        return any(_overflows(c) or (factors and _vanishes(c)) for c in constants if c is not None)

    def _out_of_range(self, tensor: str) -> bool:
        largest = self.maxima.get(tensor, 0.0)
        return largest * SAFETY > FP16_MAX or 0 < largest < SMALLEST_NORMAL

    def _sum(self, node: NodeProto) -> float:
        source, result = self.shapes.get(node.input[0]), self.shapes.get(node.output[0])
        if not source or result is None:
            return 0.0
        return self.maxima.get(node.output[0], 0.0) * math.prod(source) / max(1, math.prod(result))

    def _place(self, node: NodeProto, *, to_half: bool) -> None:
        skip = _FLOAT32_INPUTS.get(node.op_type, set())
        for index, name in enumerate(node.input):
            if self._is_float(name):
                node.input[index] = self._as(name, _HALF if to_half and index not in skip else _FLOAT)
        for name in captured(node):
            if name in self.half:
                self._cast(self.renamed.pop(name), name, _FLOAT)
        if to_half and node.op_type == "Cast" and attribute(node, "to") == _FLOAT:
            set_attribute(node, "to", _HALF)
        self.nodes.append(node)
        if to_half:
            for index, name in enumerate(node.output):
                if self._is_float(name):
                    self.half.add(name)
                    if name in self.editor.pinned:
                        self.renamed[name] = node.output[index] = self.editor.unique(f"{name}_fp16")

    def _as(self, name: str, dtype: int) -> str:
        """The name under which a tensor is found in `dtype`; a Cast is added on first need."""
        have = _HALF if name in self.half else _FLOAT
        source = self.renamed.get(name, name)
        if have == dtype:
            return source
        if (name, dtype) not in self.casts:
            wanted = f"{name}_{'fp16' if dtype == _HALF else 'fp32'}"
            if name in self.editor.initializers:
                value = numpy_helper.to_array(self.editor.initializers[name])
                with np.errstate(over="ignore"):
                    target = self.editor.add_initializer(wanted, value.astype(np.float16))
            else:
                target = self.editor.unique(wanted)
                self._cast(source, target, dtype)
            self.casts[name, dtype] = target
        return self.casts[name, dtype]

    def _cast(self, source: str, target: str, dtype: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=dtype))

    def _restore_outputs(self) -> None:
        for output in self.editor.graph.output:
            if output.name in self.renamed:
                self._cast(self.renamed[output.name], output.name, _FLOAT)


def _overflows(value: Array) -> bool:
    """A finite value that fp16 turns into infinity."""
    finite = np.abs(value[np.isfinite(value)])
    return bool(finite.size and finite.max() > FP16_MAX)


def _vanishes(value: Array) -> bool:
    """An epsilon or factor that fp16 turns into zero."""
    with np.errstate(over="ignore"):
        return bool(((value != 0) & (value.astype(np.float16) == 0)).any())
