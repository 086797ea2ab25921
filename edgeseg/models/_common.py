"""What every source of networks shares: the result, classes, pixel contracts, first weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.bundle import file_sha256
from edgeseg.core.documents import convert
from edgeseg.core.frame import Frame
from edgeseg.core.model_spec import DEFAULT_TASK, ClassInfo, ModelSpec, Weights, default_classes
from edgeseg.core.postprocess import Postprocess
from edgeseg.core.preprocess import Size
from edgeseg.core.recipe import ModelChoice
from edgeseg.errors import ModelError
from edgeseg.runtime.tasks import task_named

if TYPE_CHECKING:
    from torch import nn

    from edgeseg.models.checkpoint import Checkpoint, State

DEFAULT_CLASS_COUNT = 19
DEFAULT_INPUT_SIZE: Size = (512, 512)
BINARY = (ClassInfo("background", (0, 0, 0)), ClassInfo("foreground", (255, 64, 64)))
NO_WEIGHTS = "no weights were given: the accuracy of this network is meaningless, its latency is not"


@dataclass(frozen=True)
class Held:
    """What the data, or `--classes`, says about the network.

    Attributes:
        classes: None: as many as the weights have, else 19.
        frame: what its images are.
    """

    classes: tuple[ClassInfo, ...] | None = None
    ignore_index: int | None = None
    frame: Frame | None = None


@dataclass(frozen=True)
class Loaded:
    """
    Attributes:
        module: in evaluation mode, float [N,C,H,W] to the scores that count.
        notes: what the user should know, one sentence each.
    """

    spec: ModelSpec
    module: nn.Module
    notes: tuple[str, ...] = ()


def class_count(choice: ModelChoice, classes: tuple[ClassInfo, ...] | None) -> int | None:
    if isinstance(choice.classes, int):
        return choice.classes
    return len(classes) if classes else None


def settle_classes(
    choice: ModelChoice,
    classes: tuple[ClassInfo, ...] | None,
    state: State | None,
    *,
    task: str | None,
    channels: int | None = None,
) -> tuple[int, tuple[ClassInfo, ...]]:
    """Output channels of the network, and what they mean. One semantic channel decides between two classes.

    Args:
        task: None is `semantic`.
    """
    from edgeseg.models.checkpoint import head_channels

    stored = channels or (head_channels(state) if state else None)
    wanted = class_count(choice, classes)
    if wanted == 2 and stored == 1:
        wanted = 1
    if wanted is not None and wanted < 1:
        raise ModelError(f"--classes is {wanted}", expected="at least 1")
    if wanted is not None and channels is not None and wanted != channels:
        raise ModelError(
            f"the network has {channels} output channel(s), --classes (or the data) says {wanted}",
            expected="one channel per class, or one channel for background and foreground",
            hint=f"use --classes {channels}" + ("" if channels > wanted else " with data of no more classes"),
        )
    count = wanted or stored or DEFAULT_CLASS_COUNT
    means = task_named(task or DEFAULT_TASK).classes(count)
    if classes and len(classes) == means:
        return count, classes
    return count, BINARY if means > count else default_classes(means)


def postprocess_of(choice: ModelChoice) -> Postprocess:
    return convert(dict(choice.postprocess), Postprocess, where="postprocess", error=ModelError)


def weights_of(file: Path | None, key: str = "") -> Weights | None:
    return Weights(file=file.name, sha256=file_sha256(file), key=key) if file else None


def checkpoint_of(choice: ModelChoice, shipped: Path | None = None) -> Checkpoint | None:
    """The weights the user named, else the shipped ones, else None.

    Raises:
        ModelError: `--weights-key` without `--weights`.
        CheckpointError: see `read_checkpoint`.
    """
    from edgeseg.models.checkpoint import read_checkpoint

    if choice.weights_key and not choice.weights:
        raise ModelError(
            f"--weights-key {choice.weights_key} without --weights", expected="a checkpoint beside it"
        )
    file = Path(choice.weights) if choice.weights else shipped
    return read_checkpoint(file, choice.weights_key) if file else None


def require_file(path: Path, expected: str) -> str:
    if not path.is_file():
        raise ModelError(f"{path} does not exist", expected=expected)
    return file_sha256(path)


def seeded(create: Callable[[], Any], seed: int = 0) -> nn.Module:
    """The same first weights in every run, without touching the caller's random state."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = create()
    return network
