"""TensorRT for RTX, which parses and builds without a GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from onnx import ModelProto


class Parsed(NamedTuple):
    """
    Attributes:
        network: the definition, strongly typed.
        kept: what must live as long.
    """

    network: Any
    builder: Any
    kept: tuple[Any, ...]

    @property
    def outputs(self) -> dict[str, Any]:
        found = [self.network.get_output(i) for i in range(self.network.num_outputs)]
        return {output.name: output for output in found}

    def build(self, capability: str = "SM86") -> bytes:
        """Ahead of time."""
        trt = pytest.importorskip("tensorrt_rtx")
        config = self.builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
        built = self.builder.build_serialized_network(self.network, config)
        assert built is not None
        return bytes(built)


def parsed(model: ModelProto) -> Parsed:
    trt = pytest.importorskip("tensorrt_rtx")
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    read = parser.parse(model.SerializeToString())
    assert read, [parser.get_error(i).desc() for i in range(parser.num_errors)]
    return Parsed(network, builder, (logger, parser))
