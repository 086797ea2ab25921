"""Matrix products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Call, Node, Step, operator


def gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float, beta: float, trans_a: bool, trans_b: bool
) -> Tensor:
    product = torch.matmul(a.T if trans_a else a, b.T if trans_b else b)
    if alpha != 1:
        product = alpha * product
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c)


def einsum(*tensors: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *tensors)


@operator("Gemm", learns=True)
def gemm_(node: Node) -> Step:
    alpha, beta = node.attr("alpha", 1.0), node.attr("beta", 1.0)
    trans_a, trans_b = bool(node.attr("transA", 0)), bool(node.attr("transB", 0))
    width = node.shape(1)[0 if trans_b else 1]
    plain_bias = not node.has(2) or node.shape(2) in ((width,), (1, width))
    is_linear = alpha == 1 and not trans_a and (beta == 1 or not node.has(2)) and plain_bias
    if not (is_linear and node.is_constant(1) and node.is_constant(2) and node.dtype().is_floating_point):
        return Call(gemm, alpha=alpha, beta=beta, trans_a=trans_a, trans_b=trans_b)
    module = nn.utils.skip_init(nn.Linear, node.shape()[1], width, bias=node.has(2))
    module.weight = node.weight(1, "same" if trans_b else "transposed")
    if node.has(2):
        module.bias = node.weight(2, "flat")
    return module


@operator("MatMul", learns=True)
def matmul(node: Node) -> Step:
    constant = node.value(1).constant and node.rank(1) == 2 and node.dtype().is_floating_point
    if not constant or node.value(0).constant:
        return Call(torch.matmul)
    module = nn.utils.skip_init(nn.Linear, *node.shape(1), bias=False)
    module.weight = node.weight(1, "transposed")
    return module


@operator("Einsum", learns=True)
def einsum_(node: Node) -> Step:
    return Call(einsum, equation=node.attr("equation").replace(" ", ""))
