"""Small constants that keep a division, root or logarithm finite, and the way from them to it.

`x / (sum(x) + 1e-8)` is 0 where all of x is 0. In fp16 the constant is 0 and the quotient NaN, wherever on
the way it is rounded: at the Add, at an Expand behind it, or at the division.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from onnx import NodeProto

from edgeseg.core.ports import Array
from edgeseg.graph.editor import Editor

SMALLEST_NORMAL = 2.0**-14
"""Of fp16. No constant above it vanishes, nor does its reciprocal overflow."""
_SET_BY = {
    "Add": (0, 1),
    "Sub": (0, 1),
    "Max": (0, 1),
    "Clip": (1,),
    "Where": (1, 2),
    "Conv": (2,),
    "ConvTranspose": (2,),
    "Gemm": (2,),
}
"""Operators that let a constant stand in for 0, and where they read it: folding makes an Add a bias."""
_MOVES = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand")
_SUMS = ("ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool")
_POWERS = {"Sqrt": 0.5, "Reciprocal": -1.0}
_PASS_ON = frozenset(
    {
        *_MOVES, *_SUMS, "Tile", "Slice", "Gather", "Concat", "Split", "Resize", "Abs", "Neg", "Relu", "Clip",
        "Max", "Min", "Where", "Add", "Sub", "ReduceMax", "ReduceMin", "GlobalMaxPool", "MaxPool",
    }
)  # fmt: skip


class _Trace(NamedTuple):
    """What becomes of a constant.

    Attributes:
        value: of the tensor where the constant is all there is.
        lost: this value, or one on the way, is 0 or infinite in fp16, or it is added to a sum of squares.
        nodes: on the way, by first output.
        guards: the last of them is what the constant is for.
        ends: the rest of the graph does not depend on its size.
    """

    value: np.float64
    lost: bool
    nodes: frozenset[str]
    guards: bool = False
    ends: bool = False


def guarding(editor: Editor) -> frozenset[str]:
    """First outputs of the nodes from a constant that fp16 cannot hold, or whose reciprocal it cannot, to the
    division, root or logarithm that it keeps finite, both included. From sums of squares on where a small
    constant is added to one: they vanish long before what is squared does."""
    traces: dict[str, _Trace] = {}
    found: frozenset[str] = frozenset()
    for node in editor.graph.node:
        read = {name: traces[name] for name in node.input if name in traces}
        with np.errstate(all="ignore"):
            trace = _behind(node, editor, read) if read else _beginning(node, editor)
        if trace is None:
            continue
        if trace.guards:
            found |= trace.nodes if trace.lost else frozenset()
            trace = _Trace(trace.value, _loses(trace.value), frozenset({node.output[0]}), ends=trace.ends)
        if not trace.ends:
            traces.update((name, trace) for name in node.output if name)
    return found


def _beginning(node: NodeProto, editor: Editor) -> _Trace | None:
    """The trace of what a node sets to a small constant."""
    inputs = [node.input[i] for i in _SET_BY.get(node.op_type, ()) if i < len(node.input)]
    small = [size for name in inputs if 0 < (size := _size(editor.constant(name))) < SMALLEST_NORMAL]
    if not small:
        return None
    value, squares = np.float64(min(small)), _squares(node, editor)
    return _Trace(value, _loses(value) or bool(squares), frozenset({node.output[0], *squares}))


def _behind(node: NodeProto, editor: Editor, read: Mapping[str, _Trace]) -> _Trace | None:
    """The trace of what a node returns that reads others; None where it is none any more."""
    value, guards, ends = min(trace.value for trace in read.values()), False, False
    sizes = [_size(editor.constant(name)) for name in node.input]
    if node.op_type == "Mul":
        guards = ends = bool(value > 1)
        factors = [*(trace.value for trace in read.values()), *(size or 1.0 for size in sizes)]
        value = np.float64(np.prod(factors))
    elif node.op_type == "Div" and node.input[1] in read:
        guards, ends = True, not sizes[0]
        value = (sizes[0] or value) / value
    elif node.op_type == "Div" and sizes[1]:
        value = value / sizes[1]
    elif node.op_type == "Pow" and sizes[1]:
        exponent = np.asarray(editor.constant(node.input[1])).reshape(-1)[0]
        guards, value = bool(exponent < 1), value**exponent
    elif node.op_type in _POWERS:
        guards, value = True, value ** _POWERS[node.op_type]
    elif node.op_type == "Log":
        guards = ends = True
    elif node.op_type not in _PASS_ON:
        return None
    lost = _loses(value) or any(trace.lost for trace in read.values())
    nodes = frozenset({node.output[0]}).union(*(trace.nodes for trace in read.values()))
    return _Trace(value, lost, nodes, guards, ends)


def _squares(node: NodeProto, editor: Editor) -> list[str]:
    """First outputs of what sums up squares for `node`; empty where it reads no such sum."""
    for name in node.input:
        way = []
        maker = editor.producer.get(name)
        while maker is not None and maker.op_type in (*_MOVES, *_SUMS, "Sqrt"):
            way.append(maker.output[0])
            maker = editor.producer.get(maker.input[0])
        if (
            maker is not None
            and maker.op_type in ("Mul", "Pow")
            and maker.input[0] not in editor.initializers
        ):
            return [*way, maker.output[0]]
    return []


def _size(constant: Array | None) -> float:
    """Largest |value| of a float32 constant; 0 for anything else."""
    known = constant is not None and constant.size and constant.dtype == np.float32
    return float(np.abs(constant).max()) if known else 0.0  # type: ignore[arg-type]


def _loses(value: np.float64) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        half = np.float16(value)
    return bool(half == 0 or np.isinf(half))
