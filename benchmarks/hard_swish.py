"""What HardSwish in place of Swish wins and costs: as it is, and fitted to each channel.

    EDGESEG_DATA=... python benchmarks/hard_swish.py WEIGHTS [--output benchmarks/results/hard_swish.json]

Eff-UNet-B0 on CamVid at 360x480, `openvino-int8`, calibrated with 64 images of train. Networks: with
its Swishes, with HardSwish in their place, and with HardSwish fitted per channel in the largest layers,
which hold that share of the elements; each in float (bf16 where the CPU has it) and with int8
everywhere, built and timed in turn. Drops are against the FP32 network on all other images of train.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from onnx import ModelProto, helper

from edgeseg.core.recipe import ModelChoice
from edgeseg.core.target import Target
from edgeseg.datasets import open_dataset
from edgeseg.datasets.calibration import spread
from edgeseg.datasets.held_out import held_out_images
from edgeseg.datasets.pictures import Inputs
from edgeseg.device.environment import read_environment
from edgeseg.device.statistics import paired_ratio
from edgeseg.graph.editor import Editor
from edgeseg.graph.export import export_torch
from edgeseg.graph.fold import fold
from edgeseg.graph.shapes import static_shapes, with_shapes
from edgeseg.models.load import resolve
from edgeseg.quantization.hard_swish import Fitted, fit_swishes, hard_swish
from edgeseg.quantization.planner.held_out_loss import HeldOut
from edgeseg.quantization.planner.trial import TargetEvaluator
from edgeseg.quantization.planner.trial_engine import in_turn
from edgeseg.quantization.ptq import calibrate
from edgeseg.quantization.ranges.probe import opener
from edgeseg.quantization.schemes import scheme_for

TARGET = Target.parse("openvino-int8")
INPUT, CAMERA = (384, 480), (360, 480)
SHARES = (1.0, 0.8, 0.6)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="of Eff-UNet-B0")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    dataset = open_dataset("camvid", Path(os.environ["EDGESEG_DATA"]) / "camvid")
    choice = ModelChoice(
        name="eff-unet",
        weights=given.weights,
        options={"encoder": "tu-tf_efficientnet_b0"},
        input_size=INPUT,
    )
    loaded = resolve(choice, classes=dataset.classes, ignore_index=dataset.ignore_index)
    plain = fold(export_torch(loaded.module, (3, *INPUT)))
    images = spread(dataset.split("train"), 64)
    inputs = Inputs(images, loaded.spec, CAMERA, name=plain.graph.input[0].name)
    scheme = scheme_for(TARGET.engine)
    judge = HeldOut(plain, loaded.spec, CAMERA, held_out_images(dataset, "train", (images,), count=400))
    fitted = fit_swishes(plain, inputs, open_probe=opener(scheme.probe))
    networks = {
        "Swish": plain,
        "HardSwish": as_it_is(plain),
        **{f"fitted, {share:.0%}": hard_swish(plain, largest(plain, fitted, share)) for share in SHARES},
    }
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        engines = []
        for name, network in networks.items():
            evaluator = stack.enter_context(
                TargetEvaluator(calibrate(network, inputs, scheme), judge, TARGET)
            )
            every = frozenset(node for group in evaluator.calibrated.groups for node in group.nodes)
            for precision, plan in (("float", every), ("int8", frozenset[str]())):
                drop = evaluator.loss(plan).drop
                rows.append({"network": name, "precision": precision, "drop": drop})
                engines.append(evaluator.engine(plan))
        openings = [timed.openings for timed in in_turn(engines, judge.frames[0])]
    for index, row in enumerate(rows):
        row["over_swish"] = paired_ratio(openings[index], openings[index % 2], a=row["network"], b="Swish")
        ratio = row["over_swish"]
        print(
            f"{row['network']:18} {row['precision']:6} drop {row['drop']:6.2f} points, "
            f"time {ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]",
            flush=True,
        )
    if given.output:
        result = {"cpu": read_environment().cpu, "target": str(TARGET), "rows": rows}
        given.output.write_text(json.dumps(msgspec.to_builtins(result), indent=2) + "\n")


def largest(model: ModelProto, fitted: Sequence[Fitted], share: float) -> list[Fitted]:
    """The fewest that together have this share of the elements."""
    shapes = static_shapes(model)
    sizes = {node.name: math.prod(shapes[node.output[0]]) for node in model.graph.node}
    ordered = sorted(fitted, key=lambda one: -sizes[one.layer])
    reached = np.cumsum([sizes[one.layer] for one in ordered])
    return ordered[: int(np.searchsorted(reached, share * reached[-1])) + 1]


def as_it_is(model: ModelProto) -> ModelProto:
    """Every x * sigmoid(x) as HardSwish(x)."""
    editor = Editor(model)
    nodes = []
    for node in editor.graph.node:
        gates = [editor.producer.get(name) for name in node.input] if node.op_type == "Mul" else []
        gate = next((g for g in gates if g is not None and g.op_type == "Sigmoid"), None)
        if gate is not None and gate.input[0] in node.input:
            node = helper.make_node("HardSwish", [gate.input[0]], [node.output[0]], name=node.name)
        nodes.append(node)
    editor.keep_nodes(nodes)
    return with_shapes(editor.finish())


if __name__ == "__main__":
    main()
