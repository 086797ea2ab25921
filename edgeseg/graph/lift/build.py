"""ONNX graph -> fx graph, node by node, running each once so that shapes and types are facts."""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto
from torch import fx, nn
from torch.nn.utils import parametrize

from edgeseg.errors import GraphError, UnsupportedOperator
from edgeseg.graph.editor import describe, name_nodes, opset_of, shape_of
from edgeseg.graph.lift import ops as _ops  # noqa: F401  (registers the converters)
from edgeseg.graph.lift.module import LiftedModule
from edgeseg.graph.lift.refused import reason
from edgeseg.graph.lift.registry import CONVERTERS, Call, Fixed, Node, Refused, Step, Value, Weights
from edgeseg.graph.lift.types import tensor_of, torch_type


def lift(model: ModelProto) -> LiftedModule:
    """A `torch.fx` module of real nn modules that computes what a static, simplified ONNX graph computes.

    Half precision is raised to float32. Constants stay constant; sizes that a Reshape or Expand hands
    through follow the input, so other batch sizes and pruned channels work. The module is in eval mode.

    Raises:
        UnsupportedOperator: lists every node that cannot be lifted, each with its reason.
        GraphError: an input has dynamic dimensions.
    """
    graph = ModelProto.FromString(model.SerializeToString())
    name_nodes(graph.graph)
    unknown = [n for n in graph.graph.node if n.domain not in ("", "ai.onnx") or n.op_type not in CONVERTERS]
    if unknown:
        raise _refusal([(node, reason(node.domain, node.op_type)) for node in unknown])
    return _Builder(graph).build()


class _Builder:
    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.constants = {t.name: t for t in model.graph.initializer}
        self.opset = opset_of(model)
        self.root = nn.Module()
        self.fx = fx.Graph()
        self.weights = Weights()
        self.values: dict[str, Value] = {}
        self.nodes: dict[str, fx.Node] = {}
        self.fetched: dict[int, fx.Node] = {}
        self.onnx_names: dict[str, str] = {}
        self.fx_names: dict[str, str] = {}
        self.reads = _reads(model)

    def build(self) -> LiftedModule:
        refusals: list[tuple[NodeProto, str]] = []
        names = self._inputs()
        with torch.no_grad():
            for node in self.graph.node:
                try:
                    self._node(node)
                except Refused as why:
                    refusals.append((node, str(why)))
                self._release(node)
        if refusals:
            raise _refusal(refusals)
        outputs = [self._fetch(self.values[o.name], learn=False) for o in self.graph.output]
        self.fx.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
        return self._finish(names)

    def _inputs(self) -> tuple[str, ...]:
        names = []
        for tensor in self.graph.initializer:
            value = _constant(tensor)
            if value is not None:
                self.values[tensor.name] = Value(tensor.name, value, True)
        for info in self.graph.input:
            if info.name not in self.constants:
                self._define(info.name, self.fx.placeholder(self._safe(info.name)), _example(info))
                names.append(info.name)
        return tuple(names)

    def _node(self, proto: NodeProto) -> None:
        if not self._readable(proto):
            return
        registered = CONVERTERS[proto.op_type]
        node = Node(
            proto, [self.values[name] if name else None for name in proto.input], self.opset, self.weights
        )
        try:
            step = registered.convert(node)
        except (AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError) as fault:
            raise Refused(f"torch refuses it: {str(fault).splitlines()[0][:200]}") from fault
        if isinstance(step, Fixed):
            self._name_results(proto, None, step.value)
            return
        left = [value for i, value in enumerate(node.inputs) if i not in node.taken]
        while left and left[-1] is None:
            left.pop()
        result = _run(step, left)
        if all(value is None or value.constant for value in left):
            self._name_results(proto, None, result)
            if proto.op_type in _QUANTIZERS and left[0] is not None and isinstance(step, nn.Module):
                self._remember_quantizer(proto.output[0], left[0], step)
        else:
            last = self._emit(proto, step, left, learn=registered.learns)
            self._name_results(proto, last, result)

    def _remember_quantizer(self, name: str, source: Value, module: nn.Module) -> None:
        root = source.root or source
        self.values[name] = replace(self.values[name], root=root, through=(*source.through, module))

    def _readable(self, proto: NodeProto) -> bool:
        """False behind a refused node. Raises Refused for a constant of a type torch does not have."""
        missing = [name for name in proto.input if name and name not in self.values]
        for name in missing:
            if name in self.constants:
                torch_type(self.constants[name].data_type)
        return not missing

    def _emit(self, proto: NodeProto, step: Step, inputs: Sequence[Value | None], *, learn: bool) -> fx.Node:
        chain = step if isinstance(step, tuple) else (step,)
        named = next((i for i, part in enumerate(chain) if _has_weights(part)), len(chain) - 1)
        arguments = tuple(None if v is None else self._fetch(v, learn=learn) for v in inputs)
        for index, part in enumerate(chain):
            name = self._safe(proto.name if index == named else f"{proto.name}_{type(part).__name__.lower()}")
            if isinstance(part, nn.Module):
                made = self.fx.create_node("call_module", name, arguments, name=name)
                made.target = made.name
                self.root.add_module(made.name, part)
                _quantize_weights(part, self.weights)
            else:
                assert isinstance(part, Call)
                made = self.fx.create_node(
                    "call_function", part.function, arguments, part.keywords, name=name
                )
            self.onnx_names[made.name] = proto.name
            if index == named:
                self.fx_names[proto.name] = made.name
            arguments = (made,)
        return made

    def _name_results(self, proto: NodeProto, made: fx.Node | None, result: Any) -> None:
        results = result if isinstance(result, (tuple, list)) else (result,)
        several = isinstance(result, (tuple, list))
        for index, name in enumerate(proto.output):
            if not name:
                continue
            if made is None:
                self.values[name] = Value(name, results[index].detach().clone(), True)
                continue
            part = made
            if several:
                part = self.fx.create_node(
                    "call_function", operator.getitem, (made, index), name=self._safe(name)
                )
                self.onnx_names[part.name] = proto.name
            self._define(name, part, results[index])

    def _define(self, name: str, made: fx.Node, example: torch.Tensor) -> None:
        self.nodes[name] = made
        self.values[name] = Value(name, example, False)

    def _fetch(self, value: Value, *, learn: bool) -> fx.Node:
        """The fx node that holds a value; a constant becomes a parameter or a buffer of the module."""
        if not value.constant:
            return self.nodes[value.name]
        learn = learn and value.tensor.is_floating_point() and value.tensor.numel() > 1
        tensor = self.weights.make(replace(value, root=None), "same", learn=learn)
        if id(tensor) not in self.fetched:
            made = self.fx.create_node("get_attr", "", name=self._safe(value.name))
            made.target = made.name
            if isinstance(tensor, nn.Parameter):
                self.root.register_parameter(made.name, tensor)
            else:
                self.root.register_buffer(made.name, tensor)
            self.fetched[id(tensor)] = made
        return self.fetched[id(tensor)]

    def _safe(self, name: str) -> str:
        """An identifier that neither Python nor a module uses."""
        text = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "node"
        if text[0].isdigit() or keyword.iskeyword(text) or hasattr(fx.GraphModule, text) or text in _TAKEN:
            text = f"n_{text}"
        return text

    def _release(self, node: NodeProto) -> None:
        """Forget the values of examples nobody reads any more; their shapes go with them."""
        for name in set(node.input) - {""}:
            self.reads[name] -= 1
            if not self.reads[name] and name in self.values and not self.values[name].constant:
                del self.values[name]

    def _finish(self, input_names: tuple[str, ...]) -> LiftedModule:
        lifted = LiftedModule(self.root, self.fx, class_name="LiftedModule")
        lifted.graph.eliminate_dead_code()
        lifted.recompile()
        lifted.delete_all_unused_submodules()
        tensors = [*lifted.named_parameters(), *lifted.named_buffers()]
        origin = self.weights.origin
        alive = {node.name for node in lifted.graph.nodes}
        lifted.meta["lifted"] = {
            "initializers": {path: origin[id(t)] for path, t in tensors if id(t) in origin},
            "onnx_names": {ours: theirs for ours, theirs in self.onnx_names.items() if ours in alive},
            "fx_names": {theirs: ours for theirs, ours in self.fx_names.items() if ours in alive},
            "input_names": input_names,
            "output_names": tuple(o.name for o in self.graph.output),
        }
        return lifted.eval()


_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
_TAKEN = frozenset(vars(nn.Module())) | {"meta", "graph", "self", "torch", "root"}


def _run(step: Step, inputs: Sequence[Value | None]) -> Any:
    result: tuple[Any, ...] = tuple(None if v is None else v.tensor for v in inputs)
    try:
        for part in step if isinstance(step, tuple) else (step,):
            if isinstance(part, nn.Module):
                part.eval()
            assert not isinstance(part, Fixed)
            result = (part(*result),)
    except (IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as fault:
        raise Refused(f"torch cannot run it: {str(fault).splitlines()[0][:200]}") from fault
    return result[0]


def _has_weights(part: nn.Module | Call) -> bool:
    return isinstance(part, nn.Module) and next(part.parameters(), None) is not None


def _quantize_weights(part: nn.Module, weights: Weights) -> None:
    """Let weights that the file quantises go through its Q/DQ modules: the float weight is learned."""
    for owner in list(part.modules()):
        for name, parameter in list(owner.named_parameters(recurse=False)):
            if id(parameter) in weights.quantized:
                quantizer = weights.quantized[id(parameter)]
                parametrize.register_parametrization(owner, name, quantizer, unsafe=True)


def _reads(model: ModelProto) -> dict[str, int]:
    """How many nodes read a tensor; graph outputs count once more."""
    reads: dict[str, int] = {}
    for node in model.graph.node:
        for name in set(node.input) - {""}:
            reads[name] = reads.get(name, 0) + 1
    for output in model.graph.output:
        reads[output.name] = reads.get(output.name, 0) + 1
    return reads


def _constant(tensor: TensorProto) -> torch.Tensor | None:
    """None for a type torch does not have: only a node that reads it is refused."""
    try:
        return tensor_of(tensor)
    except Refused:
        return None


def _example(info: ValueInfoProto) -> torch.Tensor:
    if not info.type.HasField("tensor_type"):
        raise UnsupportedOperator(f"the input '{info.name}' is no tensor", expected="tensors as inputs")
    shape = shape_of(info)
    if not all(isinstance(d, int) for d in shape) or not info.type.tensor_type.HasField("shape"):
        raise GraphError(
            f"the input '{info.name}' is [{', '.join(map(str, shape))}]",
            expected="static dimensions",
            hint="make the graph static first (--input-size)",
        )
    try:
        dtype = torch_type(info.type.tensor_type.elem_type)
    except Refused as why:
        raise UnsupportedOperator(f"the input '{info.name}' cannot be lifted: {why}") from why
    return torch.zeros([int(d) for d in shape], dtype=dtype)


def _refusal(refusals: Sequence[tuple[NodeProto, str]]) -> UnsupportedOperator:
    grouped: dict[tuple[str, str], list[str]] = {}
    for node, why in refusals:
        grouped.setdefault((node.op_type, why), []).append(describe(node))
    lines = [f"{', '.join(nodes)}: {why}" for (_, why), nodes in grouped.items()]
    kinds = sorted({op for op, _ in grouped})
    return UnsupportedOperator(
        f"{len(refusals)} node(s) cannot be lifted to torch ({', '.join(kinds)}): " + "; ".join(lines),
        expected="a static float graph of the operators that `edgeseg.graph.lift.report().operators` lists",
    )
