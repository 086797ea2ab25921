"""The first bundle of a run: a network with its weights, or the user's ONNX file as it came."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.core.bundle import Manifest, StepRecord
from edgeseg.core.documents import convert
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import ClassInfo, ModelSpec, Source, Weights, default_classes, with_ignored
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size, assumed_frame, assumed_normalisation, stated_preprocess
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.versions import versions
from edgeseg.errors import ModelError
from edgeseg.flow.data import Data
from edgeseg.runtime.tasks import task_named

if TYPE_CHECKING:
    from onnx import ModelProto

WEIGHTS = "weights.safetensors"
SOURCE_GRAPH = "source.onnx"
INSTANCE = "instance"
STRIDE_OF_UNKNOWN_NETWORKS = 32


def natural_input_size(choice: ModelChoice, camera: Size) -> Size | None:
    """The smallest input a frame of `camera` fits without resizing; None: the file decides."""
    from edgeseg.models import MODELS

    if choice.ref.kind in ("onnx", "pt2"):
        return None
    stride = STRIDE_OF_UNKNOWN_NETWORKS
    if choice.name in MODELS.names():
        stride = MODELS.load(choice.name).family(choice.name).stride
    height, width = (-(-side // stride) * stride for side in camera)
    return height, width


def load(choice: ModelChoice, data: Data, draft: BundleDraft, *, trust_file: bool) -> Manifest:
    """Write the first bundle of a run into `draft`.

    Raises:
        ModelError, CheckpointError, GraphError: see `edgeseg.models.load` and `edgeseg.graph.onnx_file`.
    """
    if choice.ref.kind == "onnx":
        return _load_onnx(choice, data, draft)
    from edgeseg.models.checkpoint import write_safetensors
    from edgeseg.models.load import resolve

    loaded = resolve(
        choice,
        classes=data.classes,
        ignore_index=data.ignore_index,
        frame=data.frame,
        trust_file=trust_file,
    )
    write_safetensors(draft.path / WEIGHTS, loaded.module)
    return Manifest(
        kind="torch",
        name=f"{loaded.spec.name}-torch",
        model=loaded.spec,
        weights=WEIGHTS,
        step=StepRecord(name="load"),
        notes=loaded.notes,
        tools=versions("torch", "timm", "segmentation-models-pytorch"),
    )


def _load_onnx(choice: ModelChoice, data: Data, draft: BundleDraft) -> Manifest:
    from edgeseg.graph.contract import resolve_output
    from edgeseg.graph.onnx_file import about, content_sha256, read_onnx, write_onnx
    from edgeseg.graph.own_instances import instance_contract, layout_of
    from edgeseg.graph.source import make_static
    from edgeseg.runtime.score_map import settled_task

    path = Path(choice.name)
    wanted = convert(choice.postprocess, Postprocess, where="postprocess")
    with about(path):
        static = make_static(read_onnx(path), input_size=choice.input_size, batch=1)
        layout = None if choice.task not in (None, INSTANCE) or wanted.output else layout_of(static)
        if layout is not None or choice.task == INSTANCE:
            task, scores = INSTANCE, (layout and layout.classes) or 0
            contract, notes = instance_contract(static, wanted, layout)
        else:
            contract, scores, notes = resolve_output(static, wanted, given=frozenset(choice.postprocess))
            task = settled_task(choice.task, contract, scores, path.name)
    channels = int(static.graph.input[0].type.tensor_type.shape.dim[1].dim_value)
    preprocess = stated_preprocess(choice.preprocess, frame=Frame.fitting(channels, data.frame))
    if preprocess.channels != channels:
        raise ModelError(
            f"{path.name} takes {channels} channel(s), the frame is {preprocess.frame}",
            expected=f"a frame of {channels} channel(s)",
            hint="state what the camera delivers, as in --set frame=gray or --set frame=r,g,b,depth:float32",
        )
    digest = content_sha256(path)
    spec = ModelSpec(
        name=path.stem,
        source=Source(kind="onnx", ref=path.name, sha256=digest),
        weights=Weights(file=path.name, sha256=digest),
        task=task,
        input_size=_input_size(static),
        classes=(_classes if task != INSTANCE else _things)(task, data, scores, path),
        ignore_index=data.ignore_index,
        preprocess=preprocess,
        postprocess=contract,
    )
    write_onnx(read_onnx(path), draft.path / SOURCE_GRAPH)
    return Manifest(
        kind="onnx",
        name=f"{spec.name}-source",
        model=spec,
        graph=SOURCE_GRAPH,
        step=StepRecord(name="load"),
        notes=(
            *assumed_frame(choice.preprocess, preprocess),
            *assumed_normalisation(choice.preprocess),
            *notes,
        ),
        tools=versions("onnx"),
    )


def _things(task: str, data: Data, told: int, path: Path) -> tuple[ClassInfo, ...]:
    """Classes without background: those of the data, or as many as the file tells."""
    if data.classes is None and not told:
        raise ModelError(
            f"{path.name} finds things, and does not tell of how many classes",
            expected="--classes: a number, a dataset's name or a classes .toml, without background",
        )
    if data.classes is not None and told not in (0, len(data.classes)):
        raise ModelError(
            f"{path.name} scores {told} class(es), the data (or --classes) has {len(data.classes)}",
            expected=f"--classes {told}, or data of as many",
        )
    return data.classes or default_classes(told + 1)[1:]


def _input_size(static: ModelProto) -> Size:
    dims = static.graph.input[0].type.tensor_type.shape.dim
    return dims[2].dim_value, dims[3].dim_value


def _classes(task: str, data: Data, channels: int, path: Path) -> tuple[ClassInfo, ...]:
    count = task_named(task).classes(channels)
    classes = with_ignored(data.classes, data.ignore_index, channels)
    if classes is None:
        return default_classes(count)
    if len(classes) != count:
        more = f"say --classes {count} if the last ones are never labelled"
        raise ModelError(
            f"{path.name} has an output of {channels} channel(s), the data has {len(classes)} classes",
            expected="one channel per class, or one channel for background and foreground",
            hint="name the output that counts with --set output=NAME, or "
            + (more if count > len(classes) else "use the data the network was trained for"),
        )
    return classes
