"""int8 of a network, as a bundle tells it."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeseg.core.names import require_files

NodePrecision = Literal["int8", "float", "bf16", "fp16", "fp32"]


class ScoreGrid(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """uint8 levels of scores: `score = (level - zero_point) * scale`."""

    scale: float
    zero_point: int


class Quantization(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """int8 of a network.

    Attributes:
        graph: the network with Q/DQ pairs as ONNX: the inputs and outputs of the plain one.
        scheme: whose int8 it is: `Scheme.name`.
        plan: precision of every node that could be int8, by name; `float`: the engine decides which.
        calibration: the images that the ranges come from, in words.
        tables: file with the measurements behind the plan; empty when nothing was planned.
        scores: levels that the class decision may read in place of the scores; None: it reads the scores.
    """

    graph: str
    scheme: str
    plan: dict[str, NodePrecision]
    calibration: str
    tables: str = ""
    scores: ScoreGrid | None = None

    def __post_init__(self) -> None:
        require_files(graph=self.graph, tables=self.tables)
