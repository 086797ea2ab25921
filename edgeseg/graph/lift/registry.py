"""What a converter sees of an ONNX node, what it returns, and where it is registered.

A new operator is one function:

    @operator("Reciprocal")
    def reciprocal(node: Node) -> Step:
        return Call(torch.reciprocal)

The step is called with the inputs of the node that the converter did not take as constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from onnx import NodeProto, helper
from torch import nn

from edgeseg.core.ports import Array

Transform = Literal["same", "transposed", "flat"]
"""How a parameter was made of its initialiser: as it is, last two axes swapped, or flattened."""

TRANSFORMS: dict[Transform, Callable[[Array], Array]] = {
    "same": lambda value: value,
    "transposed": lambda value: np.swapaxes(value, -1, -2),
    "flat": lambda value: value.reshape(-1),
}


class Refused(Exception):
    """A node that cannot be lifted; the message says why."""


class Call:
    """A step that is a function: inputs by position, the rest by keyword."""

    def __init__(self, function: Callable[..., Any], **keywords: Any) -> None:
        self.function = function
        self.keywords = keywords

    def __call__(self, *inputs: Any) -> Any:
        return self.function(*inputs, **self.keywords)


@dataclass(frozen=True)
class Fixed:
    """A step whose result does not depend on the values of its inputs, only on their shapes."""

    value: torch.Tensor


Step: TypeAlias = nn.Module | Call | Fixed | tuple[nn.Module | Call, ...]
"""A chain of steps feeds each one's result to the next; the first with weights carries the node's name."""

Converter = Callable[["Node"], Step]


@dataclass(frozen=True)
class Registered:
    convert: Converter
    learns: bool


CONVERTERS: dict[str, Registered] = {}


def operator(*names: str, learns: bool = False) -> Callable[[Converter], Converter]:
    """Register a converter for operators of the default domain.

    Args:
        learns: constant float inputs (more than one element) that the converter leaves are weights.
    """

    def register(convert: Converter) -> Converter:
        CONVERTERS.update({name: Registered(convert, learns) for name in names})
        return convert

    return register


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        tensor: its value if it is constant, else an example of it.
        root, through: of a constant behind Q/DQ nodes, the constant before them and their modules.
    """

    name: str
    tensor: torch.Tensor
    constant: bool
    root: Value | None = None
    through: tuple[nn.Module, ...] = ()


@dataclass
class Weights:
    """Parameters made of constants, one per constant and transform, so that shared weights stay shared.

    Attributes:
        origin: id of a parameter -> tensor of the file it was made of, and how.
        quantized: id of a parameter -> what the file does to it before it is used.
    """

    made: dict[tuple[str, Transform, bool], torch.Tensor] = field(default_factory=dict)
    origin: dict[int, tuple[str, Transform]] = field(default_factory=dict)
    quantized: dict[int, nn.Module] = field(default_factory=dict)

    def make(self, source: Value, transform: Transform, *, learn: bool) -> torch.Tensor:
        key = (source.name, transform, learn)
        if key not in self.made:
            keep = learn and source.root is not None and source.root.tensor.is_floating_point()
            root = source.root if keep and source.root is not None else source
            tensor = torch.from_numpy(np.array(TRANSFORMS[transform](root.tensor.numpy()), order="C"))
            self.made[key] = nn.Parameter(tensor) if learn else tensor
            self.origin[id(self.made[key])] = (root.name, transform)
            if keep:
                self.quantized[id(self.made[key])] = Requantized(source.through, transform)
        return self.made[key]


class Requantized(nn.Sequential):
    """The Q/DQ nodes a file has on a weight, on that weight as torch holds it (a parametrization)."""

    def __init__(self, steps: Sequence[nn.Module], transform: Transform) -> None:
        super().__init__(*steps)
        self.transform = transform

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if self.transform == "transposed":
            return super().forward(input.mT).mT
        return super().forward(input)


class Node:
    """One ONNX node with the tensors it reads.

    Attributes:
        opset: version of the default operator set.
        inputs: what it reads; None for an optional input left out.
        outputs: how many outputs are asked for, the last named one included.
    """

    def __init__(
        self, proto: NodeProto, inputs: Sequence[Value | None], opset: int, weights: Weights
    ) -> None:
        self.proto = proto
        self.op = proto.op_type
        self.inputs = list(inputs)
        self.opset = opset
        self.outputs = max((i + 1 for i, name in enumerate(proto.output) if name), default=0)
        self.taken: set[int] = set()
        self._attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        self._weights = weights

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute; text as str, lists as list."""
        value = self._attributes.get(name, default)
        if isinstance(value, bytes):
            return value.decode()
        return value

    def ints(self, name: str, default: Sequence[int]) -> list[int]:
        return [int(v) for v in self.attr(name, default)]

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def is_constant(self, index: int) -> bool:
        """Also true for an input that was left out."""
        return not self.has(index) or self.value(index).constant

    def value(self, index: int = 0) -> Value:
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise Refused(f"its input {index} is missing")
        return found

    def shape(self, index: int = 0) -> tuple[int, ...]:
        return tuple(self.value(index).tensor.shape)

    def rank(self, index: int = 0) -> int:
        return self.value(index).tensor.ndim

    def dtype(self, index: int = 0) -> torch.dtype:
        return self.value(index).tensor.dtype

    def axis(self, name: str = "axis", default: int = 0, *, extra: int = 0) -> int:
        """An axis attribute, counted from the front. `extra`: axes the result has more than the input."""
        axis = int(self.attr(name, default))
        return axis % (self.rank() + extra) if axis < 0 else axis

    def constant(self, index: int) -> Array | None:
        """Take an input as a constant; None when it was left out. Refused when it is not constant."""
        if not self.has(index):
            return None
        if not self.value(index).constant:
            raise Refused(f"its input '{self.value(index).name}' is not a constant")
        self.taken.add(index)
        return self.value(index).tensor.numpy()

    def listed(self, index: int, name: str) -> list[int] | None:
        """Integers that are an attribute in old opsets and a constant input in new ones; None if absent."""
        if name in self._attributes:
            return self.ints(name, ())
        value = self.constant(index)
        return None if value is None else [int(v) for v in value.reshape(-1)]

    def scalar(self, index: int, default: float) -> float:
        value = self.constant(index)
        return default if value is None or not value.size else float(value.reshape(-1)[0])

    def weight(self, index: int, transform: Transform = "same") -> nn.Parameter:
        """Take a constant input as a learnable weight."""
        self.constant(index)
        made = self._weights.make(self.value(index), transform, learn=True)
        assert isinstance(made, nn.Parameter)
        return made

    def buffer(self, index: int, transform: Transform = "same") -> torch.Tensor:
        """Take a constant input as a tensor that is not learned but written back (running mean, scale)."""
        self.constant(index)
        return self._weights.make(self.value(index), transform, learn=False)
