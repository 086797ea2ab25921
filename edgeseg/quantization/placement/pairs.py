"""Where Q/DQ pairs go in a simplified float graph. Decided before any range is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
from onnx import ModelProto, NodeProto

from edgeseg.core.int8 import Scheme
from edgeseg.errors import GraphError
from edgeseg.graph.deciding import deciding_nodes
from edgeseg.graph.editor import Editor
from edgeseg.graph.shapes import static_shapes
from edgeseg.quantization.placement.operators import (
    ACTIVATIONS,
    AVERAGES,
    SUMS,
    WEIGHTED,
    data_inputs,
    keeps_range,
    non_negative,
    selects,
    weight_axis,
)

Precision = Literal["int8", "float"]
Plan = Mapping[str, Precision]
"""Precision by node name; nodes that are not named are int8 where the scheme can."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A QuantizeLinear and a DequantizeLinear behind a tensor.

    Attributes:
        readers: (node name, input index) that read the pair instead of the tensor.
        non_negative: neither the tensor nor those it shares a scale with can be negative.
        shared: tensors with the same word here have one scale.
        moved: an operator that only moves or selects values (Concat, MaxPool, Pad) stands between the tensor,
            or one it shares its scale with, and a reader that computes.
    """

    tensor: str
    readers: tuple[tuple[str, int], ...]
    non_negative: bool
    shared: str
    moved: bool


class WeightPair(msgspec.Struct, frozen=True, kw_only=True):
    """A weight stored as int8, with its DequantizeLinear.

    Attributes:
        axis: of the output channels; None: one scale for the tensor.
        source: a tensor with a pair that has the scale of the activation it is multiplied with.
    """

    node: str
    weight: str
    axis: int | None
    source: str
    bias: str = ""


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    pairs: tuple[Pair, ...]
    weights: tuple[WeightPair, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors whose ranges are needed."""
        return tuple(pair.tensor for pair in self.pairs)


def place(model: ModelProto, scheme: Scheme, plan: Plan | None = None) -> Placement:
    """Choose pairs such that int8 runs are not broken apart.

    A weighted node of precision int8 asks for its inputs; a node that keeps the range of its input, an Add
    or a Mul passes the wish on when its output is wanted as int8. Activation functions carry it to what
    stands before them, since engines compute both at once. What compares, ranks and places boxes
    (`core.deciding`) asks for nothing: NMS multiplies too.

    Raises:
        GraphError: the plan names a node that the graph does not have, or the graph is quantised already.
    """
    editor = Editor(model)
    _check(editor, plan or {})
    return _Placer(editor, static_shapes(model), scheme, plan or {}).place()


class _Placer:
    def __init__(
        self, editor: Editor, shapes: Mapping[str, tuple[int, ...]], scheme: Scheme, plan: Plan
    ) -> None:
        self.editor = editor
        self.shapes = shapes
        self.scheme = scheme
        self.plan = plan
        self.order = {node.name: i for i, node in enumerate(editor.graph.node)}
        self.readers: dict[str, list[tuple[str, int]]] = {}
        self.shared: dict[str, str] = {}
        self.carried: set[str] = set()
        self.moved: set[str] = set()
        self.weights: list[WeightPair] = []

    def place(self) -> Placement:
        deciding = deciding_nodes(self.editor)
        for node in reversed(self.editor.graph.node):
            if self.plan.get(node.name, "int8") == "int8" and node.output[0] not in deciding:
                self._visit(node)
        positive = {name for name in self.editor.initializers if self._constant_is_positive(name)}
        positive = non_negative(self.editor, positive)
        groups: dict[str, bool] = {}
        for tensor in self.readers:
            root = self._root(tensor)
            groups[root] = groups.get(root, True) and tensor in positive
        moved = {self._root(t) for t in self.moved}
        pairs = [
            Pair(
                tensor=tensor,
                readers=tuple(sorted(readers, key=lambda r: (self.order[r[0]], r[1]))),
                non_negative=groups[self._root(tensor)],
                shared=self._root(tensor),
                moved=self._root(tensor) in moved,
            )
            for tensor, readers in self.readers.items()
            if tensor not in self.carried
        ]
        owner = {pair.shared: pair.tensor for pair in pairs}
        weights = [
            msgspec.structs.replace(weight, source=owner[self._root(weight.source)])
            for weight in reversed(self.weights)
        ]
        return Placement(pairs=tuple(reversed(pairs)), weights=tuple(weights))

    def _visit(self, node: NodeProto) -> None:
        if node.op_type in WEIGHTED:
            self._weighted(node)
        elif node.op_type in AVERAGES and node.input[0] in self.readers:
            self._ask(node, 0)  # else the tensor is written twice, as int8 and as float
        elif not self._wanted(node.output[0]):
            return
        elif keeps_range(node) and node.op_type not in AVERAGES:
            self._pass_on(node)
        elif node.op_type in AVERAGES:
            self._ask(node, 0)
        elif node.op_type in SUMS or node.op_type == "Mul":
            self._combine(node)

    def _weighted(self, node: NodeProto) -> None:
        weight = self.editor.constant(node.input[1])
        if weight is None:
            if node.op_type == "MatMul":
                self._ask(node, 0)
                self._ask(node, 1)
            return
        if weight.dtype != np.float32 or self._is_constant(node.input[0]) or self._is_vector(node):
            return
        self._ask(node, 0)
        bias = node.input[2] if len(node.input) > 2 else ""
        self.weights.append(
            WeightPair(
                node=node.name,
                weight=node.input[1],
                axis=weight_axis(node, weight.ndim),
                source=node.input[0],
                bias=bias if bias in self.editor.initializers else "",
            )
        )

    def _wanted(self, tensor: str) -> bool:
        """Somebody reads the tensor as int8, itself or behind an activation function."""
        if tensor in self.readers:
            return True
        readers = self.editor.consumers.get(tensor, [])
        return bool(readers) and all(
            (r.op_type in ACTIVATIONS or _is_swish(r, tensor, self.editor)) and self._wanted(r.output[0])
            for r in readers
        )

    def _pass_on(self, node: NodeProto) -> None:
        """Input and output of the node have one scale; its output needs a pair of its own only where the
        scheme repeats it or where the values left the grid."""
        outputs = [o for o in node.output if o in self.readers]
        inputs = [i for i in data_inputs(node) if not self._is_constant(node.input[i])]
        if not outputs or not inputs:
            return
        for index in inputs:
            self._ask(node, index)
            for output in outputs:
                self._share(node.input[index], output)
        if not selects(node):
            return
        self.moved.update(outputs)
        if not self.scheme.repeat:
            self.carried.update(outputs)

    def _combine(self, node: NodeProto) -> None:
        """A sum or product of two activations; constants stay as they are."""
        inputs = [i for i in data_inputs(node) if not self._is_constant(node.input[i])]
        if len(inputs) < 2 or _is_swish(node, node.input[0], self.editor):
            return
        if node.op_type == "Mul":
            inputs = [i for i in inputs if not self._is_gate(node, i)]
        elif self.scheme.skip_only:
            inputs = [i for i in inputs if i != self._fused(node)]
        for index in inputs:
            self._ask(node, index)

    def _is_vector(self, node: NodeProto) -> bool:
        """One position per image (squeeze-excite, image pooling, a classifier): no time to win in int8."""
        shape = self.shapes.get(node.output[0], ())
        spatial = shape[2:] if node.op_type in ("Conv", "ConvTranspose") else shape[:-1]
        return bool(shape) and math.prod(spatial) == 1

    def _is_gate(self, node: NodeProto, index: int) -> bool:
        """One number per channel (squeeze-excite): not worth a pair."""
        shape, other = (self.shapes.get(node.input[i], ()) for i in (index, 1 - index))
        return len(shape) == 4 and shape[2:] == (1, 1) and shape != other

    def _fused(self, node: NodeProto) -> int | None:
        """The input that a convolution makes for this node alone, the later one if there are two."""
        made = []
        for index, name in enumerate(node.input):
            producer = self.editor.producer.get(name)
            if producer is not None and producer.op_type in WEIGHTED and self.editor.only_consumer(name):
                made.append((self.order[producer.name], index))
        return max(made)[1] if made else None

    def _ask(self, node: NodeProto, index: int) -> None:
        self.readers.setdefault(node.input[index], []).append((node.name, index))

    def _share(self, first: str, second: str) -> None:
        self.shared[self._root(first)] = self._root(second)

    def _root(self, tensor: str) -> str:
        while self.shared.get(tensor, tensor) != tensor:
            tensor = self.shared[tensor]
        return tensor

    def _is_constant(self, name: str) -> bool:
        return self.editor.constant(name) is not None

    def _constant_is_positive(self, name: str) -> bool:
        value = self.editor.constant(name)
        return value is not None and value.dtype.kind == "f" and bool((value >= 0).all())


def _is_swish(node: NodeProto, tensor: str, editor: Editor) -> bool:
    """`x * Sigmoid(x)` or `x * HardSigmoid(x)`: the Mul, seen from x or from the sigmoid."""
    if node.op_type != "Mul":
        return False
    for gate, x in (node.input, tuple(reversed(node.input))):
        made = editor.producer.get(gate)
        if made is not None and made.op_type in ("Sigmoid", "HardSigmoid") and made.input[0] == x:
            return tensor in (gate, x)
    return False


def _check(editor: Editor, plan: Plan) -> None:
    names = {node.name for node in editor.graph.node}
    unknown = sorted(set(plan) - names)
    if unknown:
        some = ", ".join(unknown[:5])
        raise GraphError(
            f"the precision plan names {len(unknown)} node(s) that the graph does not have: {some}",
            expected="names of nodes of this graph",
            hint="make the plan again from this graph",
        )
    done = [n.name for n in editor.graph.node if n.op_type in ("QuantizeLinear", "DynamicQuantizeLinear")]
    if done:
        raise GraphError(
            f"the graph is quantised already: it has {done[0]} and {len(done) - 1} more",
            expected="a float graph",
            hint="start from the network before it was quantised",
        )
