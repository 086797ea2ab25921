"""Activations, as modules where torch has one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Call, Node, Step, operator

_SELU = (1.67326319217681884765625, 1.05070102214813232421875)
_SIMPLE: dict[str, Callable[[], nn.Module]] = {
    "HardSwish": nn.Hardswish,
    "Identity": nn.Identity,
    "Mish": nn.Mish,
    "Relu": nn.ReLU,
    "Sigmoid": nn.Sigmoid,
    "Softplus": nn.Softplus,
    "Softsign": nn.Softsign,
}


def scaled_elu(x: Tensor, alpha: float, gamma: float) -> Tensor:
    return gamma * F.elu(x, alpha)


def hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


def swish(x: Tensor, alpha: float) -> Tensor:
    return x * torch.sigmoid(alpha * x)


def parametric_relu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def shrink(x: Tensor, bias: float, lambd: float) -> Tensor:
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, 0)).to(x.dtype)


def clamp(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def hardmax(x: Tensor, dim: int) -> Tensor:
    return torch.zeros_like(x).scatter(dim, x.argmax(dim, keepdim=True), 1)


_OVER_AXIS: dict[str, Callable[..., Tensor]] = {
    "Softmax": F.softmax,
    "LogSoftmax": F.log_softmax,
    "Hardmax": hardmax,
}


def flattened(x: Tensor, op: str, axis: int) -> Tensor:
    """Softmax and its like before opset 13: over `x` seen as a matrix, cut before `axis`."""
    matrix = x.reshape(math.prod(x.shape[:axis]), -1)
    return _OVER_AXIS[op](matrix, dim=1).reshape(x.shape)


@operator(*_SIMPLE)
def simple(node: Node) -> Step:
    return _SIMPLE[node.op]()


@operator("Clip")
def clip(node: Node) -> Step:
    if node.opset < 11:
        low, high = node.attr("min", -math.inf), node.attr("max", math.inf)
    elif not (node.is_constant(1) and node.is_constant(2)):
        return Call(clamp)
    else:
        low, high = node.scalar(1, -math.inf), node.scalar(2, math.inf)
    return bounded(low, high) if node.dtype().is_floating_point else _whole(low, high)


def bounded(low: float, high: float) -> Step:
    """Limits as the module a torch network would have."""
    if math.isinf(low) and math.isinf(high):
        return nn.Identity()
    if low == 0 and high == 6:
        return nn.ReLU6()
    if low == 0 and math.isinf(high):
        return nn.ReLU()
    if low < high and not math.isinf(low) and not math.isinf(high):
        return nn.Hardtanh(low, high)
    return Call(torch.clamp, min=low, max=high)


def _whole(low: float, high: float) -> Step:
    limits = {"min": low, "max": high}
    given = {name: int(value) for name, value in limits.items() if not math.isinf(value)}
    return Call(torch.clamp, **given) if given else nn.Identity()


@operator("Elu")
def elu(node: Node) -> Step:
    return nn.ELU(node.attr("alpha", 1.0))


@operator("Celu")
def celu(node: Node) -> Step:
    return nn.CELU(node.attr("alpha", 1.0))


@operator("Selu")
def selu(node: Node) -> Step:
    given = node.attr("alpha", _SELU[0]), node.attr("gamma", _SELU[1])
    return nn.SELU() if np.allclose(given, _SELU, 1e-7) else Call(scaled_elu, alpha=given[0], gamma=given[1])


@operator("LeakyRelu")
def leaky_relu(node: Node) -> Step:
    return nn.LeakyReLU(node.attr("alpha", 0.01))


@operator("ThresholdedRelu")
def thresholded_relu(node: Node) -> Step:
    return nn.Threshold(node.attr("alpha", 1.0), 0.0)


@operator("HardSigmoid")
def hardsigmoid(node: Node) -> Step:
    alpha, beta = node.attr("alpha", 0.2), node.attr("beta", 0.5)
    exact = math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5
    return nn.Hardsigmoid() if exact else Call(hard_sigmoid, alpha=alpha, beta=beta)


@operator("Gelu")
def gelu(node: Node) -> Step:
    return nn.GELU(node.attr("approximate", "none"))


@operator("Swish")
def swish_(node: Node) -> Step:
    alpha = node.attr("alpha", 1.0)
    return nn.SiLU() if alpha == 1 else Call(swish, alpha=alpha)


@operator("Shrink")
def shrink_(node: Node) -> Step:
    return Call(shrink, bias=node.attr("bias", 0.0), lambd=node.attr("lambd", 0.5))


@operator("PRelu", learns=True)
def prelu(node: Node) -> Step:
    """nn.PReLU for one slope, or one per channel of axis 1."""
    shape = node.shape(1)
    aligned = (1,) * (node.rank() - len(shape)) + shape
    channels = node.shape()[1] if node.rank() > 1 else 1
    per_channel = len(aligned) > 1 and math.prod(shape) == aligned[1] == channels
    if not node.value(1).constant or not (math.prod(shape) == 1 or per_channel):
        return Call(parametric_relu)
    module = nn.PReLU(math.prod(shape))
    module.weight = node.weight(1, "flat")
    return module


@operator(*_OVER_AXIS)
def over_axis(node: Node) -> Step:
    axis = node.axis(default=-1 if node.opset >= 13 else 1)
    if node.opset < 13 and axis != node.rank() - 1:
        return Call(flattened, op=node.op, axis=axis)
    if node.op == "Hardmax":
        return Call(hardmax, dim=axis)
    return nn.Softmax(axis) if node.op == "Softmax" else nn.LogSoftmax(axis)
