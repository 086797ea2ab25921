"""int8 as a pass over ONNX graphs: where, with which ranges, and what it costs.

    place (where Q/DQ pairs go) -> collect (ranges of those tensors) -> insert (the Q/DQ graph)

`ptq.quantize` walks this road. Every function takes and returns an `onnx.ModelProto` and leaves its argument
as it was. Importing any module of this folder without `onnx` raises MissingDependency.
"""

from edgeseg.errors import MissingDependency

try:
    import onnx as _onnx  # noqa: F401
except ImportError:
    raise MissingDependency("onnx", "train", needed_for="quantising network graphs") from None
