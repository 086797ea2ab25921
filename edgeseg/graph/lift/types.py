"""ONNX element types and the torch types they are lifted to: half precision is raised to float32."""

from __future__ import annotations

import numpy as np
import torch
from onnx import TensorProto, numpy_helper

from edgeseg.graph.lift.registry import Refused

TORCH_TYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
}


def torch_type(element: int) -> torch.dtype:
    """The torch type of an ONNX element type. Raises Refused for a type torch cannot compute with."""
    if element not in TORCH_TYPES:
        raise Refused(f"torch has no arithmetic for {TensorProto.DataType.Name(element).lower()} tensors")
    return TORCH_TYPES[element]


def tensor_of(proto: TensorProto) -> torch.Tensor:
    """An ONNX tensor in torch, half precision raised. Raises Refused for a type torch does not have."""
    dtype = torch_type(proto.data_type)
    value = numpy_helper.to_array(proto)
    return torch.from_numpy(np.array(value, np.float32 if dtype is torch.float32 else None))
