"""Lift: a simplified static ONNX graph -> a `torch.fx` module of real nn modules, to prune and to train.

`lift(model)` and `write_back(lifted, model)` are the road there and back; `report()` runs the node tests of
the `onnx` wheel through it and says what is covered.
"""

from edgeseg.graph.lift.build import lift
from edgeseg.graph.lift.coverage import Coverage, report
from edgeseg.graph.lift.module import LiftedModule, write_back

__all__ = ["Coverage", "LiftedModule", "lift", "report", "write_back"]
