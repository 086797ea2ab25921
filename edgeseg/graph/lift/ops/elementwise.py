"""Arithmetic, comparison and logic on elements, with NumPy's broadcasting."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from edgeseg.graph.lift.registry import Call, Node, Refused, Step, operator
from edgeseg.graph.lift.types import torch_type

_UNARY: dict[str, Callable[..., Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "BitwiseNot": torch.bitwise_not,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Det": torch.linalg.det,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
}
_BINARY: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}


def maximum(*tensors: Tensor) -> Tensor:
    return functools.reduce(torch.maximum, tensors)


def minimum(*tensors: Tensor) -> Tensor:
    return functools.reduce(torch.minimum, tensors)


def total(*tensors: Tensor) -> Tensor:
    return functools.reduce(torch.add, tensors)


def average(*tensors: Tensor) -> Tensor:
    return total(*tensors) / len(tensors)


def power(base: Tensor, exponent: Tensor) -> Tensor:
    """In the type of the base."""
    return torch.pow(base, exponent).to(base.dtype)


def infinite(x: Tensor, negative: bool, positive: bool) -> Tensor:
    return ((x == float("inf")) & positive) | ((x == float("-inf")) & negative)


@operator(*_UNARY)
def unary(node: Node) -> Step:
    return Call(_UNARY[node.op])


@operator(*_BINARY, learns=True)
def binary(node: Node) -> Step:
    _refuse_old_broadcast(node)
    return Call(_BINARY[node.op])


@operator("Div", learns=True)
def divide(node: Node) -> Step:
    _refuse_old_broadcast(node)
    return Call(torch.div) if node.dtype().is_floating_point else Call(torch.div, rounding_mode="trunc")


@operator("Pow")
def pow_(node: Node) -> Step:
    _refuse_old_broadcast(node)
    return Call(torch.pow) if node.dtype(0) == node.dtype(1) else Call(power)


@operator("Mod")
def mod(node: Node) -> Step:
    return Call(torch.fmod if node.attr("fmod", 0) else torch.remainder)


@operator("BitShift")
def shift(node: Node) -> Step:
    left = node.attr("direction") == "LEFT"
    return Call(torch.bitwise_left_shift if left else torch.bitwise_right_shift)


@operator("Max")
def max_(node: Node) -> Step:
    return Call(maximum)


@operator("Min")
def min_(node: Node) -> Step:
    return Call(minimum)


@operator("Sum", learns=True)
def sum_(node: Node) -> Step:
    return Call(total)


@operator("Mean")
def mean(node: Node) -> Step:
    return Call(average)


@operator("IsInf")
def is_inf(node: Node) -> Step:
    return Call(
        infinite,
        negative=bool(node.attr("detect_negative", 1)),
        positive=bool(node.attr("detect_positive", 1)),
    )


@operator("Where")
def where(node: Node) -> Step:
    return Call(torch.where)


@operator("Cast")
def cast(node: Node) -> Step:
    return Call(torch.Tensor.to, dtype=torch_type(node.attr("to")))


@operator("CastLike")
def cast_like(node: Node) -> Step:
    node.taken.add(1)
    return Call(torch.Tensor.to, dtype=node.dtype(1))


def _refuse_old_broadcast(node: Node) -> None:
    if node.attr("broadcast", 0) and node.attr("axis") is not None:
        raise Refused("it broadcasts by the axis attribute of opset 6: convert the file to a newer opset")
