"""Which pairs of a Q/DQ graph have one scale, read from the graph itself."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto

from edgeseg.graph.editor import Editor
from edgeseg.quantization.placement.operators import AVERAGES, data_inputs, keeps_range


class SharedScales:
    """Pairs before and behind an operator that keeps the range of its inputs (Concat, MaxPool, Resize) have
    one scale, as `place` decided, where scale and zero point are equal.

    Attributes:
        pair_of: tensor -> the QuantizeLinear whose grid it has: what a pair gives, and what operators that
            keep the range make of it.
    """

    def __init__(self, model: ModelProto) -> None:
        self._editor = Editor(model)
        self._parent: dict[str, str] = {}
        self.pair_of: dict[str, NodeProto] = {}
        for node in model.graph.node:
            if node.op_type == "QuantizeLinear":
                if node.input[0] in self.pair_of:
                    self._join(self.pair_of[node.input[0]], node)
                self.pair_of[node.output[0]] = node
            elif node.op_type == "DequantizeLinear" or (keeps_range(node) and node.op_type not in AVERAGES):
                self._pass_on(node)

    def root(self, pair: NodeProto) -> str:
        """Name of the scale that stands for all that are shared with the one of a QuantizeLinear."""
        name = pair.input[1]
        while name in self._parent:
            name = self._parent[name]
        return name

    def _pass_on(self, node: NodeProto) -> None:
        pairs = [self.pair_of.get(node.input[i]) for i in data_inputs(node)]
        known = [pair for pair in pairs if pair is not None]
        if not known or len(known) < len(pairs):
            return
        for other in known[1:]:
            self._join(known[0], other)
        self.pair_of.update(dict.fromkeys(node.output, known[0]))

    def _join(self, first: NodeProto, second: NodeProto) -> None:
        a, b = self.root(first), self.root(second)
        if a != b and self._grid(first) == self._grid(second):
            self._parent[b] = a

    def _grid(self, pair: NodeProto) -> list[bytes]:
        values = [self._editor.constant(name) for name in pair.input[1:]]
        return [b"" if value is None else np.asarray(value).tobytes() for value in values]
