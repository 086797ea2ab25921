from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for networks.py, in every import mode of pytest

from networks import NETWORKS, Graphs

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord
from edgeseg.core.ports import BuildSettings, OpenSettings
from edgeseg.core.target import Target
from edgeseg.quantization.schemes import scheme_for


@lru_cache(maxsize=8)
def graphs_of(name: str, batch: int) -> Graphs:
    return NETWORKS[name](batch)


@pytest.fixture(scope="session")
def graphs():
    return graphs_of


@pytest.fixture
def build(tmp_path):
    """(graph, target) -> (Built, entry). The graph is saved as the deploy graph of a bundle would be."""

    def make(model, target: Target):
        graph = tmp_path / "deploy.onnx"
        onnx.save(model, str(graph))
        folder = tmp_path / str(target)
        folder.mkdir()
        built = backend_for(target).build(graph, target, folder, BuildSettings())
        return built, folder / built.entry

    return make


@pytest.fixture
def open_engine(build):
    """(graph, target, OpenSettings fields) -> an open engine, closed after the test."""
    opened = []

    def make(model, target: Target, **settings):
        built, entry = build(model, target)
        record = EngineRecord(
            target=str(target),
            graph="deploy.onnx",
            engine=target.engine,
            engine_version=built.engine_version,
            hardware=built.hardware,
            camera_size=built.inputs[0].shape[1:3],
            inputs=built.inputs,
            outputs=built.outputs,
            settings=built.settings,
        )
        opened.append(backend_for(target).open(entry, record, OpenSettings(**settings)))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


@pytest.fixture(scope="session")
def reference():
    """ONNX Runtime in fp32 with graph optimisation off: the judge, apart from the `ort` backend."""
    ort = pytest.importorskip("onnxruntime")

    @lru_cache(maxsize=16)
    def outputs(name: str, batch: int, deploy: bool, int8: str = "") -> np.ndarray:
        """`int8`: of the Q/DQ graph for this engine, instead of the float one."""
        made = graphs_of(name, batch)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        model = made.int8(scheme_for(int8)) if int8 else made.deploy if deploy else made.plain
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feeds = made.batches if deploy else (image_for(model, batch),)
        return np.concatenate([session.run(None, {session.get_inputs()[0].name: feed})[0] for feed in feeds])

    return outputs


def image_for(model: onnx.ModelProto, batch: int) -> np.ndarray:
    """Random input of a plain graph, with the statistics of normalised pixels."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(batch).normal(0, 1, shape).astype(np.float32)


@pytest.fixture(scope="session")
def random_image():
    return image_for
