"""Frames through an engine on this device: what it finds, and how right that is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from edgeseg.core.bundle import TensorInfo
from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.syntax import ONE_TREE
from edgeseg.core.whole import replacing
from edgeseg.errors import InputError
from edgeseg.metrics import known
from edgeseg.metrics.tasks import metric_of
from edgeseg.runtime.session import Session
from edgeseg.runtime.tasks import Outputs

PART = 16
"""Frames that are in memory together, where they are no larger than the network sees."""


class DeviceScore(msgspec.Struct, frozen=True, kw_only=True):
    """How right an engine is on frames with labels.

    Attributes:
        metric: name of the figure of its task, as in `mIoU`; `value`: over the classes that are labelled,
            0-1; None: there are none.
        classes: its terms by class name; None: nothing is labelled so.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    bundle_id: str
    frames: int
    metric: str
    value: float | None
    classes: dict[str, float | None]


def infer(
    session: Session, frames: Path, output: Path, progress: Progress = silent
) -> tuple[TensorInfo, ...]:
    """What an engine returns for a `.npy` of frames, written as a `.npy` that appears whole; of a task with
    several outputs as a `.npz`.

    Args:
        frames: [N,H,W,C], or of the layout of the bundle's frames.

    Returns:
        Name, dtype and shape of what was written, as in [N,H,W].

    Raises:
        InputError: a file that is no such array.
    """
    given = _frames(session, frames)
    infos = session.task.outputs(session.spec, len(given), session.camera_size)
    with replacing(output) as draft:
        arrays: dict[str, Any] = {}
        for info in infos:
            if len(infos) == 1:
                arrays[info.name] = np.lib.format.open_memmap(draft, "w+", info.dtype, info.shape)
            else:
                arrays[info.name] = np.empty(info.shape, info.dtype)
        for start, found in _outputs(session, given, progress):
            for name, array in arrays.items():
                array[start : start + len(found[name])] = found[name]
        if len(infos) > 1:
            with draft.open("wb") as file:
                np.savez_compressed(file, **arrays)
    return infos


def score(session: Session, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
    """
    Args:
        frames: a `.npy` as `infer` takes it.
        labels: a `.npy` as the engine returns it: class ids [N,H,W], or bit masks [N,H,W,B], in which the bit
            that is ignored may take a byte more.

    Raises:
        InputError: files that are no such arrays, values that are no class, a task whose outputs are no map.
    """
    spec, task = session.spec, metric_of(session.spec, session.spec.ignore_index)
    given = _frames(session, frames)
    info, *more = session.task.outputs(spec, len(given), session.camera_size)
    if more:
        raise InputError(
            f"{session.bundle.path} is a network of the task {spec.task}, whose labels are no .npy",
            expected="a task with one output, as labels have",
            hint="let `edgeseg verify` score it: it reads labels of every task, and asks the device",
        )
    shape = (*info.shape[:3], *(None for _ in info.shape[3:]))
    truth = read_array(labels, shape, info.dtype)
    kept = []
    for start, outputs in _outputs(session, given, progress):
        found = session.task.found(outputs, spec, session.camera_size)
        kept += [task.keep(truth[start + place], one) for place, one in enumerate(found)]
    figures = task.figures(kept)
    return DeviceScore(
        bundle_id=session.bundle.id,
        frames=len(given),
        metric=task.metric,
        value=known(figures.value),
        classes={name: known(value) for name, value in zip(spec.class_names, figures.classes)},
    )


def _frames(session: Session, file: Path) -> Array:
    return read_array(file, (None, *session.frame.shape(*session.camera_size)), session.frame.dtype)


def read_array(file: Path, shape: tuple[int | None, ...], dtype: str = "uint8") -> Array:
    """An array of a `.npy`, read as it is used. None: any length but 0.

    Raises:
        InputError: no such file, no array, or another dtype or shape.
    """
    expected = f"a .npy file of {dtype} {['N' if side is None else side for side in shape]}".replace("'", "")
    try:
        with ONE_TREE:
            found: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise InputError(f"{file} cannot be read: {fault}", expected=expected) from None
    fits = isinstance(found, np.ndarray) and found.dtype == np.dtype(dtype) and len(found.shape) == len(shape)
    if not fits or any(side not in (None, have) for side, have in zip(shape, found.shape)) or not len(found):
        about = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else "several arrays"
        raise InputError(f"{file} holds {about}", expected=expected)
    return found


def _outputs(session: Session, frames: Array, progress: Progress) -> Iterator[tuple[int, Outputs]]:
    """The place of the first frame of each part, and what the engine returns for it."""
    count = 1 if session.bundle.engine.tiles else max(PART, session.batch)
    for start in range(0, len(frames), count):
        progress("running the engine", start, len(frames))
        yield start, session.outputs(np.ascontiguousarray(frames[start : start + count]))
    progress("running the engine", len(frames), len(frames))
