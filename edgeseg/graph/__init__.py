"""Graphs: torch -> ONNX, simplify, fold, fp16, and the deploy graph around the plain network.

Every function takes and returns an `onnx.ModelProto` and leaves its argument as it was. Importing
any module of this folder without `onnx` raises MissingDependency.
"""

from edgeseg.errors import MissingDependency

try:
    import onnx as _onnx  # noqa: F401
except ImportError:
    raise MissingDependency("onnx", "train", needed_for="reading and writing network graphs") from None
