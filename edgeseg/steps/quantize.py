"""ONNX bundle -> the same network with int8 Q/DQ pairs, as one scheme of engines wants them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.core.bundle import Bundle, Kind, Manifest, StepRecord
from edgeseg.core.documents import write_document
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.plugins import unknown
from edgeseg.core.quantization import NodePrecision, Quantization
from edgeseg.core.recipe import Budget
from edgeseg.core.versions import versions
from edgeseg.errors import DataError, GraphError
from edgeseg.quantization.ptq import Calibrated, Quantized, apply
from edgeseg.steps import GRAPH, Context
from edgeseg.steps._planning import Work, held_out_split, make_plan, validation_split
from edgeseg.steps._quantize_settings import Settings

if TYPE_CHECKING:
    from onnx import ModelProto

    from edgeseg.datasets.split import Split

NAMES = ("quantize",)

QUANTIZED, TABLES = "quantized.onnx", "plan.json"


class Quantize:
    accepts: tuple[Kind, ...] = ("onnx",)
    produces: Kind = "qdq"
    settings = Settings

    def images(self, settings: Settings, context: Context) -> tuple[Split, ...]:
        """Those that calibrate, without their labels, and those that decide about the plan."""
        calibration = calibration_split(settings, context)
        unlabelled = replace(calibration, classes=(), ignore_index=None)
        if not settings.plan:
            return (unlabelled,)
        return unlabelled, held_out_split(settings, calibration, context)

    def run(self, parent: Bundle, settings: Settings, draft: BundleDraft, context: Context) -> Manifest:
        import onnx

        from edgeseg.datasets.pictures import Inputs
        from edgeseg.graph.editor import shape_of

        spec = parent.manifest.model
        _require_classes(settings.budget, spec)
        plain = onnx.load(str(parent.file(parent.manifest.graph)))
        source = plain.graph.input[0]
        images = calibration_split(settings, context)
        seen = context.seen(images, few=True)
        inputs = Inputs(seen, spec, context.camera_size, name=source.name, batch=int(shape_of(source)[0]))
        work = Work(plain, inputs, spec, settings, context)
        planned = None
        if settings.plan:
            calibrated, planned = make_plan(work, held_out_split(settings, images, context))
        else:
            calibrated = work.calibrate(work.network())
        result = apply(calibrated, planned.plan if planned else dict.fromkeys(settings.keep, "float"))
        onnx.save(plain, str(draft.path / GRAPH))
        onnx.save(result.model, str(draft.path / QUANTIZED))
        if planned:
            write_document(draft.path / TABLES, planned)
        plan: dict[str, NodePrecision] = {**planned.plan} if planned else precisions(calibrated, result)
        return Manifest(
            kind="qdq",
            name=f"{spec.name}-int8-{settings.scheme}",
            model=spec,
            graph=GRAPH,
            quantization=Quantization(
                graph=QUANTIZED,
                scheme=settings.scheme,
                plan=plan,
                calibration=planned.calibration if planned else _told(images),
                tables=TABLES if planned else "",
                scores=result.scores,
            ),
            step=StepRecord(name="quantize"),
            checks=parent.manifest.checks,
            notes=(
                *parent.manifest.notes,
                *((_replaced(plain, result.model),) if settings.swish == "hard" else ()),
                *result.notes,
                *((planned.verdict,) if planned else ()),
            ),
            tools=versions("onnx", "onnxruntime"),
        )


def step(name: str) -> Quantize:
    return Quantize()


def calibration_split(settings: Settings, context: Context) -> Split:
    """The images that calibrate.

    Raises:
        DataError: no data, no such split, a list that does not fit, or images that are also in the
            validation split.
    """
    from edgeseg.datasets.calibration import calibration_images

    if context.dataset is None:
        raise DataError(
            "int8 needs images to calibrate with, and no data was given",
            expected="--data, or a [data] section in the recipe",
            hint="images without labels do: --data images=FOLDER",
        )
    return calibration_images(
        context.dataset,
        context.train,
        validation_split(context),
        count=settings.images,
        listed=Path(settings.list) if settings.list else None,
        progress=context.progress,
    )


def _told(images: Split) -> str:
    return f"{len(images)} images of {images.dataset}/{images.name}"


def _require_classes(budget: Budget, spec: ModelSpec) -> None:
    """Raise InputError, listing the classes, when the budget names one the network does not have."""
    for name in budget.max_class_drop:
        if name not in spec.class_names:
            raise unknown(name, spec.class_names, noun="class", listing="edgeseg inspect BUNDLE")


def _replaced(plain: ModelProto, made: ModelProto) -> str:
    """What `swish = "hard"` did."""
    before, after = (sum(n.op_type == "HardSwish" for n in model.graph.node) for model in (plain, made))
    count = after - before
    return f"Swish behind {count} convolution{'s' * (count != 1)} became HardSwish, fitted per channel"


def precisions(calibrated: Calibrated, result: Quantized) -> dict[str, NodePrecision]:
    """What each node that could be int8 became.

    Raises:
        GraphError: nothing became int8.
    """
    stored = {node.output[0] for node in result.model.graph.node if node.op_type == "DequantizeLinear"}
    made = {n.name for n in result.model.graph.node if len(n.input) > 1 and n.input[1] in stored}
    names = [node for group in calibrated.groups for node in group.nodes]
    if not made.intersection(names):
        raise GraphError(
            "no layer of the network is int8 in this plan",
            expected="at least one convolution or matrix product with a constant weight in int8",
            hint="build a float target instead",
        )
    return {name: "int8" if name in made else "float" for name in names}
