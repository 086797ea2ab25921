"""A network one can predict by hand: the class of a pixel is its strongest colour (red, green, blue).

`make_bundle` writes engine bundles of it, if wished with an engine that is worse than the plain graph;
`colors` is a dataset it solves perfectly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord, Manifest, StepRecord
from edgeseg.core.drafts import draft
from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source, Weights
from edgeseg.core.ports import Array, BuildSettings
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.target import Target
from edgeseg.datasets import Split

CLASSES = (ClassInfo("red", (255, 0, 0)), ClassInfo("green", (0, 255, 0)), ClassInfo("blue", (0, 0, 255)))
IGNORE = 255
SIZE = (16, 24)
PURE = np.eye(3, dtype=np.uint8) * 200


def plain_graph(bias=(0.0, 0.0, 0.0), batch=1, size=SIZE, deploy=False):
    """Scores = colours + bias, by a 1x1 convolution; `deploy`: uint8 frames in, class map out."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    height, width = size
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "weight")
    offset = numpy_helper.from_array(np.array(bias, np.float32), "bias")
    conv = helper.make_node("Conv", ["image", "weight", "bias"], ["scores"], name="conv")
    nodes, initializers = [conv], [weight, offset]
    source = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, height, width])
    result = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3, height, width])
    if deploy:
        source = helper.make_tensor_value_info("frames", TensorProto.UINT8, [batch, height, width, 3])
        result = helper.make_tensor_value_info("class_map", TensorProto.UINT8, [batch, height, width])
        initializers.append(numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"))
        nodes = [
            helper.make_node("Cast", ["frames"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Mul", ["planes", "scale"], ["image"]),
            conv,
            helper.make_node("ArgMax", ["scores"], ["index"], axis=1, keepdims=0),
            helper.make_node("Cast", ["index"], ["class_map"], to=TensorProto.UINT8),
        ]
    graph = helper.make_graph(nodes, "colors", [source], [result], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """(name, bias of the engine, ...) -> folder of an engine bundle."""

    def make(
        name="colors",
        *,
        bias=(0.0, 0.0, 0.0),
        target="ort-fp32",
        kind="engine",
        batch=1,
        size=SIZE,
        classes=CLASSES,
        order="rgb",
        weights=True,
        source="onnx",
        ignore_index: int | None = IGNORE,
        confidence=False,
        task="semantic",
    ) -> Path:
        import onnx

        from edgeseg.graph.deploy import compose

        spec = ModelSpec(
            name="colors",
            task=task,
            source=Source(kind=source, ref="colors"),
            weights=Weights(file="colors.pt", sha256="0" * 64) if weights else None,
            input_size=size,
            classes=classes,
            ignore_index=ignore_index,
            preprocess=Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3, frame=Frame(order=order)),
        )
        destination = tmp_path / "bundles" / name
        with draft(destination) as work:
            onnx.save(plain_graph(batch=batch, size=size), str(work.path / "graph.onnx"))
            deploy = plain_graph(bias, batch, size, deploy=True)
            if confidence:
                deploy = compose(plain_graph(bias, batch, size), spec, size, confidence=True)
            onnx.save(deploy, str(work.path / "deploy.onnx"))
            record = EngineRecord(target=target, graph="deploy.onnx", batch=batch, camera_size=size)
            if kind == "engine":
                record = _built(work.path, record, target)
            work.finish(
                Manifest(
                    kind=kind,
                    name=name,
                    model=spec,
                    graph="graph.onnx",
                    step=StepRecord(name="build"),
                    engine=record if kind in ("engine", "deferred") else None,
                )
            )
        return destination

    return make


def _built(folder: Path, record: EngineRecord, target: str) -> EngineRecord:
    import msgspec

    (folder / "engine").mkdir()
    parsed = Target.parse(target)
    built = backend_for(parsed).build(folder / "deploy.onnx", parsed, folder / "engine", BuildSettings())
    return msgspec.structs.replace(
        record,
        entry=f"engine/{built.entry}",
        engine=parsed.engine,
        engine_version=built.engine_version,
        hardware=built.hardware,
        inputs=built.inputs,
        outputs=built.outputs,
        settings=built.settings,
    )


@dataclass(frozen=True)
class Colors:
    """Three frames of coloured stripes and their true classes; frame `i` is blue from column `8 + i` on."""

    name: str = "colors"
    classes: tuple[ClassInfo, ...] = CLASSES
    ignore_index: int | None = IGNORE
    size: tuple[int, int] = SIZE

    def splits(self) -> tuple[str, ...]:
        return ("val",)

    def split(self, name: str) -> Split:
        return Split(
            dataset=self.name,
            name=name,
            ids=("a", "b", "c"),
            classes=self.classes,
            ignore_index=self.ignore_index,
            read_image=lambda i: PURE[np.minimum(self.truth(i), 2)],
            read_label=self.truth,
        )

    def truth(self, identity: str) -> Array:
        label = np.zeros(self.size, np.uint8)
        label[:, self.size[1] // 3 :] = 1
        label[:, self.size[1] // 2 + "abc".index(identity) :] = 2
        label[0, 0] = IGNORE
        return label


@pytest.fixture
def colors() -> Colors:
    return Colors()
