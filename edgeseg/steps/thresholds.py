"""ONNX bundle -> the same with the threshold of each class that gives the best score on held-out images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from edgeseg.core.bundle import Bundle, Kind, Manifest, StepRecord
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.versions import versions
from edgeseg.errors import RecipeError
from edgeseg.steps import Context, Outlook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeseg.core.ports import Array
    from edgeseg.datasets.split import Split

NAMES = ("thresholds",)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Attributes:
        list: a list of the held-out images, as `edgeseg calibrate select` writes it; it must share no
            image with the validation split, which is never read. Empty: `held_out` images at the end of the
            training split, at most a quarter of it.
    """

    list: str = ""
    held_out: Annotated[int, msgspec.Meta(ge=1)] = 40


class Thresholds:
    accepts: tuple[Kind, ...] = ("onnx",)
    produces: Kind = "onnx"
    settings = Settings

    def require(self, settings: Settings, outlook: Outlook) -> None:
        from edgeseg.training.tasks import Tunes, training_of

        if not outlook.labelled:
            raise RecipeError(
                "the step 'thresholds' has no labelled data",
                hint="add a [data] section with labels to the recipe",
            )
        if not isinstance(training_of(outlook.task), Tunes):
            raise RecipeError(
                f"the step 'thresholds' has no threshold per class to choose for a {outlook.task} network",
                expected="a network whose classes overlap: task = 'multilabel'",
            )

    def run(self, parent: Bundle, settings: Settings, draft: BundleDraft, context: Context) -> Manifest:
        from edgeseg.datasets.split import require_task
        from edgeseg.training.tasks import Tunes, training_of

        self.require(settings, context.outlook(parent))
        spec, graph = parent.manifest.model, parent.manifest.graph
        images = _held_out(settings, context)
        require_task(images, spec)
        task = training_of(spec.task)
        assert isinstance(task, Tunes)
        placed = _placed(parent, images, context)
        chosen = task.thresholds(placed, spec, images.ignore_index)
        shutil.copyfile(parent.file(graph), draft.path / graph)
        least, most = min(chosen), max(chosen)
        return Manifest(
            kind="onnx",
            name=parent.manifest.name,
            model=msgspec.structs.replace(
                spec, postprocess=msgspec.structs.replace(spec.postprocess, threshold=chosen)
            ),
            graph=graph,
            step=StepRecord(name="thresholds"),
            checks=parent.manifest.checks,
            notes=(
                *parent.manifest.notes,
                f"thresholds per class of {least:g} to {most:g}, chosen on {len(images)} images of "
                f"{images.dataset}/{images.name}",
            ),
            tools=versions("onnx", "onnxruntime"),
        )


def step(name: str) -> Thresholds:
    return Thresholds()


def _held_out(settings: Settings, context: Context) -> Split:
    """The images at camera size. Raises DataError for a list that does not fit, or too few images."""
    from edgeseg.core.samples import require_disjoint
    from edgeseg.datasets.calibration import open_list

    dataset = context.dataset
    assert dataset is not None
    if not settings.list:
        _, images = dataset.split(context.train).limit(context.limit).hold_out(settings.held_out)
        return context.seen(images, few=True)
    images = open_list(Path(settings.list), dataset, context.progress)
    if context.validation in dataset.splits():
        validation = dataset.split(context.validation).sample_list(context.progress)
        require_disjoint(images.sample_list(context.progress), validation)
    return context.seen(images, few=True)


def _placed(parent: Bundle, images: Split, context: Context) -> Iterator[tuple[Any, Array]]:
    """The label of each image, and the scores [C,H,W] where it is decided, by the float graph."""
    import numpy as np
    import onnx

    from edgeseg.datasets.pictures import Inputs
    from edgeseg.graph.reference import run, session
    from edgeseg.runtime.tasks.maps import map_task

    spec = parent.manifest.model
    model = onnx.load(str(parent.file(parent.manifest.graph)))
    opened, source = session(model, keep=True), model.graph.input[0]
    batch = source.type.tensor_type.shape.dim[0].dim_value
    inputs = Inputs(images, spec, context.camera_size, name=source.name, batch=batch)
    task, place = map_task(spec), spec.preprocess.place(context.camera_size, spec.input_size)
    for number, feed in enumerate(inputs):
        context.progress("scores of the held-out images", number * batch, len(images))
        strips = task.placed(task.scores(run(opened, feed), spec), spec, place)
        scores = np.concatenate(list(strips), axis=2)
        for index in range(number * batch, min(len(images), (number + 1) * batch)):
            yield images.label(index), scores[index - number * batch]
