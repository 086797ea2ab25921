"""Editing an ONNX graph: who makes a tensor, who reads it, what is constant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper, numpy_helper

from edgeseg.core.ports import Array

MAX_IR = 10
"""Newest ONNX IR version the oldest supported ONNX Runtime and TensorRT read."""


class Editor:
    """A copy of a model whose graph can be changed.

    Tensors that are read by subgraphs (If, Loop, Scan) count as graph outputs: they stay.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        self.initializers = {t.name: t for t in self.graph.initializer}
        self._names = set(self.initializers) | {i.name for i in self.graph.input}
        self._names |= {n for node in self.graph.node for n in (node.name, *node.output)}
        self.refresh()

    def refresh(self) -> None:
        """Read producers and consumers again, after nodes were added or removed."""
        self.producer: dict[str, NodeProto] = {}
        self.consumers: dict[str, list[NodeProto]] = {}
        self.pinned = {o.name for o in self.graph.output}
        for node in self.graph.node:
            for name in node.output:
                self.producer[name] = node
            for name in set(node.input) - {""}:
                self.consumers.setdefault(name, []).append(node)
            self.pinned |= captured(node)

    def constant(self, name: str) -> Array | None:
        """The value of an initialiser or of the output of a Constant node; None for other tensors."""
        if name in self.initializers:
            return numpy_helper.to_array(self.initializers[name])
        node = self.producer.get(name)
        if node is not None and node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    return numpy_helper.to_array(attribute.t)
                if attribute.name in ("value_float", "value_floats"):
                    return np.asarray(helper.get_attribute_value(attribute), np.float32)
                if attribute.name in ("value_int", "value_ints"):
                    return np.asarray(helper.get_attribute_value(attribute), np.int64)
        return None

    def unique(self, name: str) -> str:
        """`name`, or `name` with the first free number behind it."""
        free, number = name, 0
        while free in self._names:
            number += 1
            free = f"{name}_{number}"
        self._names.add(free)
        return free

    def add_initializer(self, name: str, value: NDArray[np.generic]) -> str:
        """Returns the name it got."""
        name = self.unique(name)
        tensor = self.graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        self.initializers[name] = tensor
        return name

    def exchange_initializer(self, reader: NodeProto, name: str, value: NDArray[np.generic]) -> str:
        """Another value for an initialiser, under its name unless others than `reader` read it too.

        Returns the name it got.
        """
        if name not in self.initializers or self.consumers.get(name) != [reader] or name in self.pinned:
            return self.add_initializer(name, value)
        self.initializers[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def only_consumer(self, name: str) -> NodeProto | None:
        """The one node that reads a tensor; None when there are more, or the graph returns it."""
        readers = self.consumers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.pinned else None

    def replace_reads(self, old: str, new: str) -> None:
        """Let every node that reads `old` read `new`. Does not touch graph outputs."""
        for node in self.consumers.get(old, []):
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def rename(self, name: str, new: str) -> str:
        """Give a tensor that a node makes another name, where it is made and read. Returns that name."""
        new, node = self.unique(new), self.producer.pop(name)
        node.output[list(node.output).index(name)] = new
        self.replace_reads(name, new)
        self.producer[new] = node
        return new

    def keep_nodes(self, nodes: Iterable[NodeProto]) -> None:
        """Make `nodes` the nodes of the graph, in this order."""
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.graph.node[:]
        self.graph.node.extend(copies)
        self.refresh()

    def lift_constants(self) -> None:
        """Turn Constant nodes into initialisers of the same name; those the graph returns stay nodes."""
        kept = []
        for node in self.graph.node:
            value = self.constant(node.output[0]) if node.op_type == "Constant" else None
            if value is None or node.output[0] in {o.name for o in self.graph.output}:
                kept.append(node)
                continue
            tensor = self.graph.initializer.add()
            tensor.CopyFrom(numpy_helper.from_array(value, node.output[0]))
            self.initializers[node.output[0]] = tensor
        self.keep_nodes(kept)

    def finish(self) -> ModelProto:
        """Drop what no output needs, name every node, and return the model."""
        self._prune()
        name_nodes(self.graph)
        return self.model

    def _prune(self) -> None:
        needed = {o.name for o in self.graph.output}
        kept: list[NodeProto] = []
        for node in reversed(self.graph.node):
            if needed.intersection(node.output):
                kept.append(node)
                needed |= set(node.input) | captured(node)
        self.keep_nodes(reversed(kept))
        tensors = [t for t in self.graph.initializer if t.name in needed]
        del self.graph.initializer[:]
        self.graph.initializer.extend(tensors)
        self.initializers = {t.name: t for t in self.graph.initializer}
        made = {name for node in kept for name in node.output}
        values = [v for v in self.graph.value_info if v.name in made]
        del self.graph.value_info[:]
        self.graph.value_info.extend(values)


def captured(node: NodeProto) -> set[str]:
    """Names that the subgraphs of a node read from outside."""
    found: set[str] = set()
    for graph in subgraphs(node):
        inside = {i.name for i in graph.input} | {t.name for t in graph.initializer}
        for inner in graph.node:
            found |= (set(inner.input) | captured(inner)) - inside - {""}
            inside |= set(inner.output)
        found |= {o.name for o in graph.output} - inside
    return found


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def name_nodes(graph: GraphProto) -> None:
    """Give every node without a name of its own a unique one, after its first output."""
    used = Counter(node.name for node in graph.node)
    taken = {name for name in used if name}
    seen: set[str] = set()
    for node in graph.node:
        if node.name and node.name not in seen:
            seen.add(node.name)
            continue
        base = node.name or f"{node.op_type}_{next(iter(node.output), '')}"
        free, number = base, 1
        while free in taken or free in seen:
            free, number = f"{base}_{number}", number + 1
        node.name = free
        seen.add(free)


def attribute(node: NodeProto, name: str, default: object = None) -> object:
    """The value of an attribute, or `default`."""
    for candidate in node.attribute:
        if candidate.name == name:
            return helper.get_attribute_value(candidate)
    return default


def ints(node: NodeProto, name: str, default: Iterable[int]) -> list[int]:
    return list(attribute(node, name, default))  # type: ignore[call-overload]


def set_attribute(node: NodeProto, name: str, value: object) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def opset_of(model: ModelProto) -> int:
    """Version of the default operator set."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    """Dimensions of a tensor; a dynamic one as its name, or `?`. Empty when the rank is unknown."""
    dims = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in dims)


def describe(node: NodeProto) -> str:
    """`MaxUnpool 'decoder/unpool'`."""
    return f"{node.op_type} '{node.name or next(iter(node.output), '')}'"
