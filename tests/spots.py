"""A network of instances one can predict by hand: of each colour (red, green, blue) one rectangle.

Its box is drawn around the pixels of which the colour is over one half, its score is the strongest of them.
`spots_bundle` makes an engine bundle of it, if wished with an engine worse than the plain graph; `Spots`
is a dataset it solves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeseg.backends import backend_for
from edgeseg.core.bundle import EngineRecord, Manifest, StepRecord
from edgeseg.core.drafts import draft
from edgeseg.core.instances import InstanceOutputs, Instances
from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source, Weights
from edgeseg.core.ports import BuildSettings
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Preprocess
from edgeseg.core.target import Target
from edgeseg.datasets import Split

CLASSES = (ClassInfo("red", (255, 0, 0)), ClassInfo("green", (0, 255, 0)), ClassInfo("blue", (0, 0, 255)))
SIZE = (64, 96)
GRID = 28
LEAST = 0.05


def spots_spec(threshold=0.5, *, weights=True):
    return ModelSpec(
        name="spots",
        task="instance",
        source=Source(kind="onnx", ref="spots"),
        weights=Weights(file="spots.pt", sha256="0" * 64) if weights else None,
        input_size=SIZE,
        classes=CLASSES,
        preprocess=Preprocess(mean=(0.0,) * 3, std=(1.0,) * 3),
        postprocess=Postprocess(
            threshold=threshold,
            instances=InstanceOutputs(kept=3, mask_size=(GRID, GRID), score_threshold=LEAST),
        ),
    )


def spots_graph(bias=(0.0, 0.0, 0.0), shift=0.0):
    """
    Args:
        bias: added to each colour.
        shift: of all boxes to the right, in pixels.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def op(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def const(name, value, dtype):
        constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    weight = const("weight", np.eye(3).reshape(3, 3, 1, 1), np.float32)
    colours = op("Conv", ["image", weight, const("bias", bias, np.float32)], "colours")
    there = op(
        "Cast",
        [op("Greater", [colours, const("half", 0.5, np.float32)], "over")],
        "lit",
        to=TensorProto.FLOAT,
    )
    best = op("ReduceMax", [colours, const("sides", [2, 3], np.int64)], "best", keepdims=0)
    ends = []
    for name, other, axis in (("x", 2, 2), ("y", 3, 2)):
        line = op("ReduceMax", [there, const(f"{name}_other", [other], np.int64)], f"{name}_line", keepdims=0)
        for last in (0, 1):
            at = op("ArgMax", [line], f"{name}{last}_at", axis=axis, keepdims=0, select_last_index=last)
            ends.append((name, last, op("Cast", [at], f"{name}{last}_float", to=TensorProto.FLOAT)))
    axis = const("last", [-1], np.int64)
    sides = [op("Unsqueeze", [end, axis], f"{name}{last}") for name, last, end in ends]
    whole = op("Concat", [sides[0], sides[2], sides[1], sides[3]], "inclusive", axis=-1)
    moved = op("Add", [whole, const("ends", [shift, 0, shift + 1, 1], np.float32)], "all_boxes")
    nodes.append(helper.make_node("TopK", [best, const("three", [3], np.int64)], ["ranked", "order"], axis=1))
    is_one = op("Greater", ["ranked", const("least", LEAST, np.float32)], "is_one")
    one, count = (op("Cast", [is_one], f"is_{n}", to=t) for n, t in (("float", 1), ("int", 6)))
    op("Mul", ["ranked", one], "scores")
    labels = op("Cast", ["order"], "order_int", to=TensorProto.INT32)
    op("Mul", [labels, count], "labels")
    row = op("Squeeze", ["order", const("first", [0], np.int64)], "row")
    chosen = op("Gather", [moved, row], "chosen", axis=1)
    op("Mul", [chosen, op("Unsqueeze", [one, axis], "is_row")], "boxes")
    cell = op("Reshape", [one, const("cell", [1, 3, 1, 1], np.int64)], "is_cell")
    op("Mul", [const("ones", np.ones((1, 3, GRID, GRID)), np.float32), cell], "masks")
    op("ReduceSum", [count, const("axis_one", [1], np.int64)], "count", keepdims=0)
    op("Mul", ["count", const("nothing", 0, np.int32)], "unsettled")
    shapes = {
        "boxes": (1, [1, 3, 4]),
        "scores": (1, [1, 3]),
        "labels": (6, [1, 3]),
        "masks": (1, [1, 3, GRID, GRID]),
    }
    shapes |= {"count": (6, [1]), "unsettled": (6, [1])}
    outputs = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in shapes.items()]
    source = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *SIZE])
    graph = helper.make_graph(nodes, "spots", [source], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def spots_bundle(folder: Path, name="spots", *, target="ort-fp32", spec=None, **damage) -> Path:
    """`damage`: arguments of `spots_graph` for the engine, not for the plain graph."""
    import msgspec
    import onnx

    from edgeseg.graph.deploy import compose

    spec = spec or spots_spec()
    with draft(folder / name) as work:
        onnx.save(spots_graph(), str(work.path / "graph.onnx"))
        onnx.save(compose(spots_graph(**damage), spec, SIZE), str(work.path / "deploy.onnx"))
        (work.path / "engine").mkdir()
        parsed = Target.parse(target)
        built = backend_for(parsed).build(
            work.path / "deploy.onnx", parsed, work.path / "engine", BuildSettings()
        )
        record = EngineRecord(
            target=target,
            graph="deploy.onnx",
            batch=1,
            camera_size=SIZE,
            entry=f"engine/{built.entry}",
            engine=parsed.engine,
            engine_version=built.engine_version,
            hardware=built.hardware,
            inputs=built.inputs,
            outputs=built.outputs,
            settings=msgspec.structs.asdict(built)["settings"],
        )
        step = StepRecord(name="build")
        work.finish(
            Manifest(kind="engine", name=name, model=spec, graph="graph.onnx", step=step, engine=record)
        )
    return folder / name


@dataclass(frozen=True)
class Spots:
    """Frames with up to three rectangles, one of each colour, of different strengths; every fifth is empty.

    Attributes:
        blue: whether there is anything blue.
    """

    count: int = 10
    blue: bool = True
    labelled: bool = True
    name: str = "spots"
    ignore_index: None = None

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        return CLASSES if self.labelled else ()

    def splits(self) -> tuple[str, ...]:
        return ("val",)

    def split(self, name: str) -> Split:
        return Split(
            dataset=self.name,
            name=name,
            ids=tuple(map(str, range(self.count))),
            classes=self.classes,
            ignore_index=None,
            read_image=lambda i: self.image(int(i)),
            read_label=lambda i: self.truth(int(i)),
            task="instance" if self.labelled else "semantic",
        )

    def _rectangles(self, index: int):
        rng = np.random.default_rng(index)
        for label in range(3 if self.blue else 2):
            height, width = rng.integers(16, 40, 2)
            top, left = rng.integers(0, SIZE[0] - height), rng.integers(0, SIZE[1] - width - 8)
            strength = int(rng.integers(160, 256))
            if index % 5 != 4:
                yield label, (top, left, top + height, left + width), strength

    def image(self, index: int) -> np.ndarray:
        image = np.zeros((*SIZE, 3), np.uint8)
        for label, (top, left, bottom, right), strength in self._rectangles(index):
            image[top:bottom, left:right, label] = strength
        return image

    def truth(self, index: int) -> Instances:
        found = list(self._rectangles(index))
        masks = np.zeros((len(found), *SIZE), bool)
        for mask, (_, (top, left, bottom, right), _) in zip(masks, found, strict=True):
            mask[top:bottom, left:right] = True
        boxes = [(left, top, right, bottom) for _, (top, left, bottom, right), _ in found]
        return Instances(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array([label for label, _, _ in found], np.int32),
            np.ones(len(found), np.float32),
            masks,
        )
