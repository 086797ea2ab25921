"""Q/DQ bundle -> the same Q/DQ graph with trained weights and scales; interrupted work resumes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edgeseg.core.bundle import Bundle, Kind, Manifest, StepRecord
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.versions import versions
from edgeseg.datasets.zoomed_crops import with_zoomed_crops
from edgeseg.errors import BundleError, InputError, RecipeError
from edgeseg.steps import Context, Outlook
from edgeseg.training.settings import TrainSettings

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from edgeseg.core.model_spec import ModelSpec
    from edgeseg.datasets.split import Split
    from edgeseg.metrics.tasks import MetricTask
    from edgeseg.quantization.qat.module import Trainable

NAMES = ("qat",)

AUTO = ("auto",)
CONFIDENCE = 0.95
"""With which a gain is said to be one."""


class Settings(TrainSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Training settings, with defaults for a network that is trained already, and:

    Attributes:
        features: nodes whose outputs the loss `features` compares with the float network's, by name; `auto`:
            those that `quantize.features.choose_features` takes.
        scales: `learn`: scales are trained with the weights; `keep`: they stay as calibrated.
        held_out: images at the end of the training split that choose the best weights and are not trained
            on, at most a quarter of it. The validation split is never read.
        zoomed_crops: an enlarged part of each of them is judged too, where int8 shows what it loses although
            the float network was trained on these images.
        labels: of the data, or what the float `network` finds. Images without labels have only those.
    """

    steps: int = 200
    batch: int = 4
    lr: float = 1e-4
    weight_decay: float = 0.0
    loss: str = "distil+features"
    schedule: Literal["poly", "cosine", "constant"] = "cosine"
    average: Literal["none", "ema", "swa"] = "ema"
    ema_decay: float = 0.97
    features: tuple[str, ...] = AUTO
    scales: Literal["learn", "keep"] = "learn"
    held_out: int = 40
    zoomed_crops: bool = True
    labels: Literal["data", "network"] = "data"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.half:
            raise InputError("half is true", expected="false: scales are smaller than float16 can hold")
        if self.held_out < 1:
            raise InputError(f"held_out is {self.held_out}", expected="at least 1")

    def training(self) -> TrainSettings:
        """What the training loop reads."""
        return TrainSettings(**{name: getattr(self, name) for name in TrainSettings.__struct_fields__})


class Qat:
    accepts: tuple[Kind, ...] = ("qdq",)
    produces: Kind = "qdq"
    settings = Settings

    def require(self, settings: Settings, outlook: Outlook) -> None:
        from edgeseg.training.losses import parse_loss
        from edgeseg.training.tasks import training_of

        if not outlook.data:
            raise RecipeError("the step 'qat' has no data", hint="add a [data] section to the recipe")
        parse_loss(settings.loss, training_of(outlook.task))

    def run(self, parent: Bundle, settings: Settings, draft: BundleDraft, context: Context) -> Manifest:
        import onnx

        made = parent.manifest.quantization
        if made is None:
            raise BundleError(
                f"{parent.path} has no Q/DQ graph",
                expected="a bundle of kind 'qdq', from the step 'quantize'",
            )
        self.require(settings, context.outlook(parent))
        plain, quantized = (onnx.load(str(parent.file(n))) for n in (parent.manifest.graph, made.graph))
        spec, images = parent.manifest.model, splits(settings, context)
        trained, notes = train_graph(plain, quantized, made.scheme, spec, settings, context, *images)
        shutil.copyfile(parent.file(parent.manifest.graph), draft.path / parent.manifest.graph)
        onnx.save(trained, str(draft.path / made.graph))
        if made.tables:
            shutil.copyfile(parent.file(made.tables), draft.path / made.tables)
        return Manifest(
            kind="qdq",
            name=f"{parent.manifest.name}-qat",
            model=spec,
            graph=parent.manifest.graph,
            quantization=made,
            step=StepRecord(name="qat"),
            checks=parent.manifest.checks,
            notes=(*parent.manifest.notes, *notes),
            tools=versions("torch", "accelerate", "onnx", "onnxruntime"),
        )


def step(name: str) -> Qat:
    return Qat()


def splits(settings: Settings, context: Context) -> tuple[Split, Split]:
    """The frames to train on, and those of the end of the training split that choose the weights.

    Raises:
        DataError: fewer than two images.
    """
    dataset = context.dataset
    assert dataset is not None
    name = context.train if context.train in dataset.splits() or dataset.classes else dataset.splits()[0]
    images, held_out = dataset.split(name).limit(context.limit).hold_out(settings.held_out)
    held_out = with_zoomed_crops(held_out) if settings.zoomed_crops else held_out
    return context.seen(images), context.seen(held_out)


def train_graph(
    plain: ModelProto,
    quantized: ModelProto,
    scheme: str,
    spec: ModelSpec,
    settings: Settings,
    context: Context,
    train: Split,
    held_out: Split,
) -> tuple[ModelProto, tuple[str, ...]]:
    """The Q/DQ graph after training, and what to tell about it. A graph that training does not improve for
    certain (95% interval over the held-out images) comes back as it was.

    Args:
        plain: the float graph, which teaches; `quantized`: made of it by `scheme`.

    Raises:
        InputError: settings that cannot work; see `training.loop.train`.
        GraphError: a graph that cannot be trained, a feature that is no node of it.
    """
    from edgeseg.graph.upsampling import merge_upsampling
    from edgeseg.metrics.tasks import metric_of
    from edgeseg.models.checkpoint import load_into, read_state_dict
    from edgeseg.quantization.planner.features import choose_features, tap
    from edgeseg.quantization.qat.module import write_back
    from edgeseg.quantization.schemes import scheme_named
    from edgeseg.training.evaluate import kept_of
    from edgeseg.training.loop import train as fit
    from edgeseg.training.pseudo_labels import pseudo_labelled

    original = merge_upsampling(plain) if scheme_named(scheme).merge_upsampling else plain
    student, learner, teacher = _networks(original, quantized, spec)
    names = choose_features(plain, quantized) if settings.features == AUTO else settings.features
    if learner is not student.module:
        names = _no_features(settings)
    if not names:
        settings = _without_features(settings)
    features = tap(student.module, names)
    if names:
        tap(teacher, names)
    if settings.scales == "keep":
        for name, parameter in student.module.named_parameters():
            parameter.requires_grad_(not name.endswith("log_scale"))
    _check_crop(learner, spec, settings)
    if settings.labels == "network" or not train.classes:
        train, held_out = (pseudo_labelled(split, teacher, spec) for split in (train, held_out))
    context.progress("scoring the graph before training")
    judges = range(len(held_out))
    before = kept_of(learner, held_out, spec, judges)
    result = fit(
        learner,
        train,
        held_out,
        spec,
        settings.training(),
        context.work,
        context.progress,
        resume=True,
        teacher=teacher,
        features=features,
    )
    load_into(learner, read_state_dict(result.weights), result.weights)
    after = kept_of(learner.eval(), held_out, spec, judges)
    metric = metric_of(spec, held_out.ignore_index)
    later, sooner = (_by_image(metric, kept, settings) for kept in (after, before))
    gain = metric.drop(later, sooner, held_out.sequences[: len(later)], confidence=CONFIDENCE)
    told = [f"{100 * metric.figures(kept).value:.2f}" for kept in (before, after)]
    note = (
        f"QAT, {result.steps} steps: {metric.metric} {told[0]} to {told[1]} on {held_out.name} "
        f"(95% interval of the gain {gain.low:.2f} to {gain.high:.2f}"
        f"{', ' if gain.caveat else ''}{gain.caveat})"
    )
    if not gain.low > 0:
        return quantized, (f"{note}; no gain for certain, so the graph stays as it was calibrated",)
    started = f"{student.masters} of {student.weights} int8 weights started from the float network"
    return write_back(student.module, quantized), (note, started)


def _networks(
    original: ModelProto, quantized: ModelProto, spec: ModelSpec
) -> tuple[Trainable, nn.Module, Any]:
    """The int8 network, the module that learns (a network of things answers with its heads), and the float
    one that teaches it."""
    from edgeseg.graph.heads import heads_of
    from edgeseg.quantization.qat.module import lift_outputs, prepare
    from edgeseg.quantization.qat.things import ThingNetwork, all_of, teacher_of

    if spec.postprocess.instances is None:
        outputs = [spec.postprocess.output] if spec.postprocess.output else []
        student = prepare(quantized, original, outputs=outputs)
        return student, student.module, lift_outputs(original, outputs)
    heads = heads_of(quantized)
    student = prepare(quantized, original, outputs=all_of(quantized, heads))
    names = tuple(output.name for output in quantized.graph.output)
    return student, ThingNetwork(student.module, names, heads), teacher_of(original)


def _no_features(settings: Settings) -> tuple[str, ...]:
    """Raise InputError for features of a network of things, whose heads are compared."""
    if settings.features != AUTO and settings.features:
        raise InputError(
            f"features is {', '.join(settings.features)}",
            expected="none: networks of things are compared by their heads",
            hint="leave the setting features out",
        )
    return ()


def _by_image(metric: MetricTask, kept: list[Any], settings: Settings) -> list[Any]:
    """What is kept of each held-out image: of it and of its enlarged part together."""
    half = len(kept) // 2
    return (
        [metric.together(pair) for pair in zip(kept[:half], kept[half:])] if settings.zoomed_crops else kept
    )


def _without_features(settings: Settings) -> Settings:
    """The same without the loss `features`, for a graph in which nothing is worth comparing."""
    terms = [term for term in settings.loss.split("+") if "features" not in term]
    return msgspec.structs.replace(settings, loss="+".join(terms) or "distil")


def _check_crop(module: nn.Module, spec: ModelSpec, settings: Settings) -> None:
    """Raise InputError when the network holds sizes that do not fit the crop."""
    import torch

    if settings.crop is None or settings.crop == spec.input_size:
        return
    try:
        with torch.no_grad():
            module(torch.zeros(1, spec.preprocess.channels, *settings.crop))
    except RuntimeError as fault:
        height, width = spec.input_size
        raise InputError(
            f"'{spec.name}' does not run on crops of {settings.crop[0]}x{settings.crop[1]}",
            expected=f"its input size, {height}x{width}",
            hint="leave the setting crop out",
        ) from fault
