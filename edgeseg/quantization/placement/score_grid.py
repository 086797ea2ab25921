"""Levels for the class decision: the ArgMax behind an int8 network reads uint8 scores as well as float ones.

The map of scores, the largest of many networks, is then a quarter as large. Only the winning score of a pixel
counts, so the levels span the winners alone; what loses by far may saturate. Two classes whose scores fall on
one level are a tie, which the lower class id wins.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from edgeseg.core.quantization import ScoreGrid
from edgeseg.graph.editor import shape_of
from edgeseg.quantization.grid import grid_for
from edgeseg.quantization.ranges.histogram import Histogram

MARGIN = 0.1
"""Of the range that was seen, kept free on both sides of it."""


def scoring_node(model: ModelProto) -> NodeProto | None:
    """The convolution that writes the only output, scores [N,C,H,W] with C > 1; None: there is none such."""
    if len(model.graph.output) != 1:
        return None
    output = model.graph.output[0]
    node = next((n for n in model.graph.node if output.name in n.output), None)
    if node is None or node.op_type not in ("Conv", "ConvTranspose"):
        return None
    shape = shape_of(output)
    return node if len(shape) == 4 and shape[1] != 1 else None


def score_grid(winners: Histogram) -> ScoreGrid:
    """Levels for scores whose winners were seen in a range."""
    spare = MARGIN * (winners.high - winners.low)
    grid = grid_for(winners.low - spare, winners.high + spare, "affine")
    return ScoreGrid(scale=grid.scale, zero_point=grid.zero_point)
