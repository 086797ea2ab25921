"""Normalisation layers, with the statistics of the file."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.graph.lift.registry import Call, Node, Refused, Step, operator


class _SafeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of any rank that uses its running statistics where a batch has one value a channel.

    torch raises there in training (the pooled branch of an ASPP with one image).
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


class BatchNorm1d(_SafeBatchNorm, nn.BatchNorm1d):
    pass


class BatchNorm2d(_SafeBatchNorm, nn.BatchNorm2d):
    pass


class BatchNorm3d(_SafeBatchNorm, nn.BatchNorm3d):
    pass


_BATCH = {0: BatchNorm1d, 1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
_INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.instance_norm(x, weight=weight, bias=bias, eps=eps)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """`weight` and `bias` per channel, or per group (opset 18)."""
    repeat = x.shape[1] // weight.numel()
    return F.group_norm(x, groups, weight.repeat_interleave(repeat), bias.repeat_interleave(repeat), eps)


def layer_norm(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, dims: Sequence[int], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """With the mean and the inverse standard deviation it used."""
    mean = x.mean(dims, keepdim=True)
    inverse = torch.rsqrt((x - mean).square().mean(dims, keepdim=True) + eps)
    y = (x - mean) * inverse * weight
    return y if bias is None else y + bias, mean, inverse


def rms_norm(x: Tensor, weight: Tensor, dims: Sequence[int], eps: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dims, keepdim=True) + eps) * weight


def lp_normalize(x: Tensor, dim: int, p: int) -> Tensor:
    """Zero where the norm is zero."""
    norm = torch.linalg.vector_norm(x, p, dim, keepdim=True)
    return torch.where(norm == 0, 0, x / norm).to(x.dtype)


def standardize(x: Tensor, dims: Sequence[int]) -> Tensor:
    """MeanVarianceNormalization: with 1e-9 beside the deviation, as its ONNX function body says."""
    mean = x.mean(dims, keepdim=True)
    deviation = ((x * x).mean(dims, keepdim=True) - mean * mean).clamp(min=0).sqrt()
    return (x - mean) / (deviation + 1e-9)


def local_response(x: Tensor, size: int, alpha: float, beta: float, bias: float) -> Tensor:
    padded = F.pad(x.square().flatten(2).unsqueeze(1), (0, 0, (size - 1) // 2, size // 2))
    mean = F.avg_pool2d(padded, (size, 1), 1).squeeze(1).reshape(x.shape)
    return x / (mean * alpha + bias) ** beta


@operator("BatchNormalization")
def batch_normalization(node: Node) -> Step:
    if node.attr("training_mode", 0) or (node.opset < 7 and not node.attr("is_test", 0)):
        raise Refused("it is in training mode: export the network in eval mode")
    eps = node.attr("epsilon", 1e-5)
    constant = all(node.is_constant(i) for i in range(1, 5))
    if (
        not constant
        or node.rank() - 2 not in _BATCH
        or any(node.dtype(i) != node.dtype() for i in range(1, 5))
    ):
        return Call(batch_norm, eps=eps)
    module = _BATCH[node.rank() - 2](node.shape(1)[0], eps, 1 - node.attr("momentum", 0.9))
    module.weight, module.bias = node.weight(1), node.weight(2)
    module.running_mean, module.running_var = node.buffer(3), node.buffer(4)
    return module


@operator("InstanceNormalization")
def instance_normalization(node: Node) -> Step:
    eps = node.attr("epsilon", 1e-5)
    dims = node.rank() - 2
    if not (node.is_constant(1) and node.is_constant(2) and dims in _INSTANCE):
        return Call(instance_norm, eps=eps)
    module = _INSTANCE[dims](node.shape(1)[0], eps, affine=True)
    module.weight, module.bias = node.weight(1), node.weight(2)
    return module


@operator("GroupNormalization", learns=True)
def group_normalization(node: Node) -> Step:
    groups, eps, channels = node.attr("num_groups"), node.attr("epsilon", 1e-5), node.shape()[1]
    if not (node.is_constant(1) and node.is_constant(2) and node.shape(1) == (channels,)):
        return Call(group_norm, groups=groups, eps=eps)
    module = nn.GroupNorm(groups, channels, eps)
    module.weight, module.bias = node.weight(1), node.weight(2)
    return module


@operator("LayerNormalization", learns=True)
def layer_normalization(node: Node) -> Step:
    axis, eps = node.axis(default=-1), node.attr("epsilon", 1e-5)
    shape = node.shape()[axis:]
    constant = node.is_constant(1) and node.is_constant(2)
    matches = node.shape(1) == shape and (not node.has(2) or node.shape(2) == shape)
    if node.outputs > 1 or not (constant and matches):
        call = Call(layer_norm, dims=tuple(range(axis, node.rank())), eps=eps)
        return call if node.outputs > 1 else (call, Call(first))
    module = nn.LayerNorm(shape, eps, bias=node.has(2))
    module.weight = node.weight(1)
    if node.has(2):
        module.bias = node.weight(2)
    return module


def first(values: tuple[Tensor, ...]) -> Tensor:
    return values[0]


@operator("RMSNormalization", learns=True)
def rms_normalization(node: Node) -> Step:
    axis, eps = node.axis(default=-1), node.attr("epsilon", 1e-5)
    if node.is_constant(1) and node.shape(1) == node.shape()[axis:]:
        module = nn.RMSNorm(node.shape(1), eps)
        module.weight = node.weight(1)
        return module
    return Call(rms_norm, dims=tuple(range(axis, node.rank())), eps=eps)


@operator("LpNormalization")
def lp_normalization(node: Node) -> Step:
    return Call(lp_normalize, dim=node.axis(default=-1), p=node.attr("p", 2))


@operator("MeanVarianceNormalization")
def mean_variance(node: Node) -> Step:
    return Call(standardize, dims=tuple(node.ints("axes", [0, 2, 3])))


@operator("LRN")
def lrn(node: Node) -> Step:
    size, alpha = node.attr("size"), node.attr("alpha", 1e-4)
    beta, bias = node.attr("beta", 0.75), node.attr("bias", 1.0)
    return Call(local_response, size=size, alpha=alpha, beta=beta, bias=bias)


@operator("Dropout")
def dropout(node: Node) -> Step:
    """What it is at inference: nothing, and a mask of ones."""
    training = node.constant(2)
    if training is not None and bool(training):
        raise Refused("it is in training mode: export the network in eval mode")
    node.constant(1)
    return nn.Identity() if node.outputs < 2 else Call(with_mask)


def with_mask(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, torch.ones_like(x, dtype=torch.bool)
