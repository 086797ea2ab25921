"""Steps: thin plug-ins that take a bundle and write the next one.

A plug-in file states `NAMES` and has `step(name) -> Step`. A step says which kinds of bundle it accepts and
what it produces, so a chain that cannot work is refused before any work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from edgeseg.core.bundle import Bundle, Kind, Manifest
from edgeseg.core.drafts import BundleDraft
from edgeseg.core.model_spec import DEFAULT_TASK
from edgeseg.core.plugins import PluginFolder
from edgeseg.core.ports import Array, Progress, Stopwatch, silent
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice
from edgeseg.core.region import Region
from edgeseg.core.tiles import Tiles
from edgeseg.devices import Device
from edgeseg.devices.local import LOCAL
from edgeseg.errors import RecipeError

if TYPE_CHECKING:
    from edgeseg.datasets import Dataset, Split

SAME: Literal["same"] = "same"
"""A step that produces what it was given."""

GRAPH = "graph.onnx"
"""The plain network in every bundle that has one."""
STEPS = PluginFolder("edgeseg.steps", "step", listing="edgeseg schema steps", error=RecipeError)


@dataclass(frozen=True)
class Frames:
    """Frames of the camera for checks, golden tensors and measured maxima.

    Attributes:
        kind: `real` (the user's images) or `synthetic`.
        take: gives the first n frames as [n,...], as `Preprocess.frame` says.
    """

    kind: str
    take: Callable[[int], Array]


@dataclass(frozen=True)
class Context:
    """What a step may use besides its parent bundle.

    Attributes:
        dataset: labelled images, or None when none were given.
        train, validation: names of the splits.
        camera_size: (height, width) of the pictures that the network sees: frames, or their tiles.
        tiles: how frames of `frame_size` are cut; None: they are not.
        region: what the network sees of a frame; None: all.
        work: folder for checkpoints that survive a kill; the runner empties it after the step.
        cache: folder for timing caches.
        trusted: the network that the user named, whose code may run.
        device: where engines are made, run and timed.
        stopwatch: for steps that choose by latency.
    """

    camera_size: Size
    frames: Frames
    work: Path
    cache: Path
    dataset: Dataset | None = None
    train: str = "train"
    validation: str = "val"
    limit: int = 0
    tiles: Tiles | None = None
    frame_size: Size | None = None
    region: Region | None = None
    trusted: ModelChoice | None = None
    device: Device = LOCAL
    stopwatch: Stopwatch | None = None
    progress: Progress = silent

    def seen(self, split: Split, *, few: bool = False) -> Split:
        """The images as frames of the camera, or tiles of them, with labels of what the network sees of each.

        Args:
            few: of many tiles only some of each image, where an answer does not need all of them.
        """
        from edgeseg.datasets.pictures import seen_by
        from edgeseg.datasets.tiles import tiles_of

        if self.tiles is None or self.frame_size is None:
            return seen_by(split, self.camera_size, self.region)
        return tiles_of(split, self.tiles, self.frame_size, few=few)

    def outlook(self, parent: Bundle) -> Outlook:
        """What a step on `parent` finds."""
        data = self.dataset is not None
        labelled = self.dataset is not None and bool(self.dataset.classes)
        spec = parent.manifest.model
        kind, size = parent.manifest.kind, spec.input_size
        return Outlook(kind, data, labelled, size, self.device, spec.task)


class Step(Protocol):
    """One kind of work.

    Attributes:
        accepts: kinds of the parent; `produces`: kind of the child, or `same` as the parent.
        settings: a msgspec.Struct type whose fields are the settings of a recipe.
    """

    accepts: tuple[Kind, ...]
    produces: Kind | Literal["same"]
    settings: type[Any]

    def run(self, parent: Bundle, settings: Any, draft: BundleDraft, context: Context) -> Manifest:
        """Write the child's files into `draft.path` and return its manifest, without `files` and `parent`."""
        ...


@dataclass(frozen=True)
class Outlook:
    """What a step will find, as far as it is known before any work.

    Attributes:
        kind: of its parent.
        data: there are images; `labelled`: with labels.
        input_size: (height, width) of the network; None: not known yet.
        device: where it will measure.
        task: what the network decides.
    """

    kind: str
    data: bool
    labelled: bool
    input_size: Size | None = None
    device: Device = LOCAL
    task: str = DEFAULT_TASK


@runtime_checkable
class Foreseeing(Protocol):
    """A step that can tell beforehand that it cannot work."""

    def require(self, settings: Any, outlook: Outlook) -> None:
        """Raise what `run` would raise, as far as this tells."""
        ...


@runtime_checkable
class Selective(Protocol):
    """A step whose result depends on some images only, not on whole splits."""

    def images(self, settings: Any, context: Context) -> tuple[Split, ...]:
        """These images. Raises what choosing them raises."""
        ...
