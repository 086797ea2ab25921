"""A network with fewer channels, fine-tuned if wished; interrupted work resumes.

A torch bundle gives a torch bundle: the factory, what was taken, the weights that remain. An ONNX bundle
gives an ONNX bundle: the file is lifted, pruned and exported again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgeseg.core.bundle import Bundle, Check, Kind, Manifest, StepRecord, file_sha256
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.model_spec import ModelSpec, Weights
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.target import Target
from edgeseg.core.versions import versions
from edgeseg.device.measurable import require_measurable
from edgeseg.errors import RecipeError
from edgeseg.steps import GRAPH, SAME, Context, Outlook
from edgeseg.steps._pruning import Pruning, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgeseg.graph.lift import LiftedModule

NAMES = ("prune",)

WEIGHTS = "weights.safetensors"


class Prune:
    accepts: tuple[Kind, ...] = ("torch", "onnx")
    produces = SAME
    settings = Settings

    def require(self, settings: Settings, outlook: Outlook) -> None:
        from edgeseg.training.losses import parse_loss
        from edgeseg.training.tasks import training_of

        if (settings.finetune or settings.importance == "taylor") and not outlook.labelled:
            what = "fine-tunes" if settings.finetune else "ranks channels by 'taylor'"
            raise RecipeError(
                f"the step 'prune' {what} without labelled data", hint="add a [data] section to the recipe"
            )
        if settings.measures:
            require_measurable(Target.parse(settings.target), outlook.device.backend)
        if settings.finetune is None:
            return
        parse_loss(settings.finetune.loss, training_of(outlook.task))
        crop, size = settings.finetune.crop, outlook.input_size
        if outlook.kind == "onnx" and crop is not None and size is not None and crop != size:
            raise RecipeError(
                f"the step 'prune' fine-tunes an ONNX file on crops of {crop}",
                expected=f"its input size {size}, which is fixed in the file",
                hint="leave crop out",
            )

    def run(self, parent: Bundle, settings: Settings, draft: BundleDraft, context: Context) -> Manifest:
        from edgeseg.models.load import open_network

        kind, spec = parent.manifest.kind, parent.manifest.model
        self.require(settings, context.outlook(parent))
        if settings.measures and context.stopwatch is None:
            raise RecipeError(f"the step 'prune' measures {settings.target}, and nothing here measures")
        if kind == "onnx":
            module = _lifted(parent)
            named = tuple(module.fx_names.get(name, name) for name in settings.protect)
            settings = msgspec.structs.replace(settings, protect=named)
        else:
            module = open_network(parent, trusted=context.trusted)
        work = Pruning(module, spec, settings, context)
        notes = [work.round(number) for number in range(1, settings.rounds + 1)]
        file = draft.path / (GRAPH if kind == "onnx" else WEIGHTS)
        checks = (_write_onnx if kind == "onnx" else _write_weights)(file, module, spec, context)
        trained = spec.weights is not None or settings.finetune is not None
        return Manifest(
            kind=kind,
            name=f"{spec.name}-pruned",
            model=msgspec.structs.replace(
                spec,
                source=msgspec.structs.replace(spec.source, pruning=(*spec.source.pruning, *work.history)),
                weights=Weights(file=file.name, sha256=file_sha256(file)) if trained else None,
                postprocess=_contract(spec, kind),
            ),
            weights=file.name if kind == "torch" else "",
            graph=file.name if kind == "onnx" else "",
            step=StepRecord(name="prune"),
            checks=checks,
            notes=(*parent.manifest.notes, work.summary(), *filter(None, notes)),
            tools=versions("torch", "torch-pruning", "accelerate", "timm", "segmentation-models-pytorch"),
        )


def step(name: str) -> Prune:
    return Prune()


def _contract(spec: ModelSpec, kind: Kind) -> Postprocess:
    """Of the scores; a file that was lifted has no other output any more."""
    return msgspec.structs.replace(spec.postprocess, output="") if kind == "onnx" else spec.postprocess


def _lifted(parent: Bundle) -> LiftedModule:
    """The network of an ONNX bundle as a torch module that returns its scores."""
    from edgeseg.graph.fold import fold
    from edgeseg.graph.onnx_file import read_onnx
    from edgeseg.graph.simplify import simplify
    from edgeseg.graph.source import make_static
    from edgeseg.quantization.qat.module import lift_outputs

    spec = parent.manifest.model
    file = read_onnx(parent.file(parent.manifest.graph))
    static = make_static(file, input_size=spec.input_size, batch=1)
    wanted = spec.postprocess.output
    return lift_outputs(fold(simplify(static)), [wanted] if wanted else [])


def _write_weights(file: Path, module: nn.Module, spec: ModelSpec, context: Context) -> tuple[Check, ...]:
    from edgeseg.models.checkpoint import write_safetensors

    write_safetensors(file, module)
    return ()


def _write_onnx(file: Path, module: nn.Module, spec: ModelSpec, context: Context) -> tuple[Check, ...]:
    """Export the lifted network and compare the graph with it."""
    import onnx

    from edgeseg.graph.check import check_against_torch, check_images
    from edgeseg.graph.export import export_torch
    from edgeseg.graph.fold import fold

    graph = fold(export_torch(module, spec.input_shape))
    onnx.save(graph, str(file))
    inputs = check_images(context.frames.take(1), context.frames.kind, spec.preprocess, spec.input_size)
    return check_against_torch(graph, module, spec.input_shape, 1, inputs)
