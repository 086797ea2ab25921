"""A run as data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import msgspec

from edgeseg.core.bounds import FITTING, MOST_CLASSES, fits
from edgeseg.core.model_ref import ModelRef
from edgeseg.core.names import require_name
from edgeseg.core.preprocess import Size
from edgeseg.core.tiles import Tiles


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the result may cost. None: no limit.

    Attributes:
        max_drop: loss of the metric of the task (mIoU, mean Dice, mask AP) against the FP32 network, in
            points of 0.01.
        max_class_drop: the same per class name.
        any_class: the same for every class that has no limit of its own, as far as the images show it.
        any_slice: the same on the images of each tag; `verify --tags` reads tags, a recipe does not.
        min_recall, min_precision: per class name, what the engine itself must have, in points: share of the
            pixels, or things, of the class that it finds; share of what it takes for the class that is of it.
        max_calibration_error: of the confidence that the engine itself returns, in points: how far it lies,
            in the mean, from the share of pixels that are right.
        max_p99_ms: 99th percentile of `host_ms`.
        max_size_mb: size of the engine's files in 10^6 bytes.
    """

    max_drop: float | None = None
    max_class_drop: dict[str, float] = {}
    any_class: float | None = None
    any_slice: float | None = None
    min_recall: dict[str, float] = {}
    min_precision: dict[str, float] = {}
    max_calibration_error: float | None = None
    max_p99_ms: float | None = None
    max_size_mb: float | None = None

    def __post_init__(self) -> None:
        names = (
            "max_drop", "any_class", "any_slice", "max_calibration_error", "max_p99_ms", "max_size_mb"
        )  # fmt: skip
        limits = {name: getattr(self, name) for name in names}
        limits |= {f"max_class_drop of '{name}'": limit for name, limit in self.max_class_drop.items()}
        for name, limit in limits.items():
            if limit is not None and not 0 <= limit < math.inf:
                raise ValueError(f"{name} is {limit:g}, expected 0 or more")

        for kind in ("min_recall", "min_precision"):
            for name, least in getattr(self, kind).items():
                if not 0 <= least <= 100:
                    raise ValueError(f"{kind} of '{name}' is {least:g}, expected 0 to 100")

    @property
    def classes(self) -> tuple[str, ...]:
        """Those that it names."""
        return tuple(dict.fromkeys((*self.max_class_drop, *self.min_recall, *self.min_precision)))

    @property
    def needs_labels(self) -> bool:
        """Whether there is a limit that only labelled images can be held against."""
        others = (self.any_slice, self.max_calibration_error)
        floors = bool(self.min_recall or self.min_precision)
        return self.limits_drops or floors or any(limit is not None for limit in others)

    @property
    def limits_drops(self) -> bool:
        """Whether there is a limit on what all images together lose against the FP32 network."""
        return self.max_drop is not None or self.any_class is not None or bool(self.max_class_drop)

    def class_limits(self, shown: Iterable[str]) -> dict[str, float]:
        """The limit of each class that has one of its own, and where there is `any_class`, of those shown."""
        every = {} if self.any_class is None else dict.fromkeys(shown, self.any_class)
        return {**every, **self.max_class_drop}


class ModelChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network, in the words of `edgeseg export`.

    Attributes:
        name: a zoo name, `file.py:factory`, `file.onnx` or `file.pt2`.
        weights: a checkpoint; relative paths are relative to the recipe.
        weights_key: which weights of a checkpoint that holds several, as in `ema`: its keys, joined by dots.
        task: `semantic` (one class per pixel), `multilabel` (one bit per class) or another of
            `edgeseg schema tasks`; None: `semantic`, but of a network that ends in a sigmoid over several
            channels the task must be stated.
        classes: how many, or the name of a dataset layout or a classes TOML that names them; None:
            the classes of the data, else of the network.
        options: zoo options such as `encoder`, or keywords of the factory.
        preprocess, postprocess: fields that differ from the network's defaults.
    """

    name: str
    weights: str = ""
    weights_key: str = ""
    task: str | None = None
    classes: int | str | None = None
    input_size: Size | None = None
    options: dict[str, Any] = {}
    preprocess: dict[str, Any] = {}
    postprocess: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _require_size("input_size", self.input_size)
        if isinstance(self.classes, int) and not 1 <= self.classes <= MOST_CLASSES:
            raise ValueError(f"classes is {self.classes}, expected 1 to {MOST_CLASSES}")

    @property
    def ref(self) -> ModelRef:
        return ModelRef.parse(self.name)


class DataChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Labelled images.

    Attributes:
        name: a dataset layout (`synthetic-streets`, `camvid`, `folders`, ...); empty: no data.
        root: its folder; empty for generated data.
        limit: use only the first N images; 0: all.
    """

    name: str = "synthetic-streets"
    root: str = ""
    train: str = "train"
    validation: str = "val"
    limit: int = 0

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError(f"limit is {self.limit}, expected 0 (all images) or more")


class StepChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step: the name of a file in `edgeseg/steps/`, and its settings."""

    use: str
    settings: dict[str, Any] = {}


class TargetChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An engine to build.

    Attributes:
        unmeasured: whether limits of the budget may stay without an answer where nothing can be measured,
            because the engine cannot run here or the data has no labels.
    """

    target: str
    unmeasured: Literal["refuse", "allow"] = "refuse"


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model, data, ordered steps, targets and budget. Read from TOML.

    Attributes:
        steps: what happens to the network before engines are built from its ONNX graph.
        targets: one engine bundle each: `trt-fp16@orin`, or a table, as in
            `{ target = "trt-fp16@orin", unmeasured = "allow" }`.
        camera_size: (height, width) of the frames; None: the frames of the data.
        tiles: how frames larger than the network sees are cut; None: they are resized to its input.
        batch: frames per call of the engines; with `tiles`, tiles.
        confidence: engines also return the probability of the class they chose.
        bench: measure latency as well as accuracy.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int
    name: str
    model: ModelChoice
    data: DataChoice = DataChoice()
    steps: tuple[StepChoice, ...] = (StepChoice(use="export"),)
    targets: tuple[str | TargetChoice, ...]
    camera_size: Size | None = None
    tiles: Tiles | None = None
    budget: Budget = Budget()
    batch: int = 1
    confidence: bool = False
    bench: bool = True

    def __post_init__(self) -> None:
        require_name(self.name, "the recipe name")
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}, expected 1 or more")
        _require_size("camera_size", self.camera_size, 1 if self.tiles else self.batch)
        _require_size("input_size", self.model.input_size, self.batch)
        if self.tiles:
            _require_size("the size of a tile", self.tiles.size, self.batch)
        _require_size("batch of frames", (1, 1), self.batch)
        if self.budget.any_slice is not None:
            raise ValueError(
                "the budget has any_slice, and a recipe reads no tags of images; hold its engines against it "
                "with verify --tags FILE.csv --max-drop-any-slice POINTS"
            )
        if self.budget.max_calibration_error is not None and not self.confidence:
            raise ValueError(
                "the budget has max_calibration_error, and the engines return no confidence; state "
                "confidence = true"
            )

    @property
    def cut(self) -> Tiles | None:
        """The tiles, with what all engines shall return."""
        return self.tiles and msgspec.structs.replace(self.tiles, confidence=self.confidence)

    @property
    def choices(self) -> tuple[TargetChoice, ...]:
        """The targets as tables."""
        return tuple(TargetChoice(target=t) if isinstance(t, str) else t for t in self.targets)


def _require_size(name: str, size: Size | None, batch: int = 1) -> None:
    if size is not None and not fits(size, batch):
        frames = f" for {batch} frames" if batch > 1 else ""
        raise ValueError(f"{name} is {list(size)}{frames}, expected {FITTING}")
