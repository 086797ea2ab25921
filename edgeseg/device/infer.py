"""Frames through an engine on this device: class maps, and how right they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

from edgeseg.core.ports import Array, Progress, silent
from edgeseg.core.whole import replacing
from edgeseg.errors import InputError
from edgeseg.metrics import confusion, iou, known, labelled, mean_present
from edgeseg.runtime.session import Session

PART = 16
"""Frames that are in memory together."""


class DeviceScore(msgspec.Struct, frozen=True, kw_only=True):
    """How right the class maps of an engine are on frames with labels.

    Attributes:
        confusion: [C][C] pixels of all frames, row = label.
        class_iou: by name; None: no pixel is labelled so.
        miou: over the classes that are; None: there are none.
    """

    SCHEMA_VERSION: ClassVar[int] = 1

    schema_version: int = 1
    bundle_id: str
    frames: int
    confusion: list[list[int]]
    class_iou: dict[str, float | None]
    miou: float | None


def infer(session: Session, frames: Path, output: Path, progress: Progress = silent) -> tuple[int, ...]:
    """Class maps of a `.npy` of frames, written as a `.npy` that appears whole.

    Args:
        frames: [N,H,W,C], or of the layout of the bundle's frames.

    Returns:
        The shape of what was written: uint8 [N,H,W].

    Raises:
        InputError: a file that is no such array.
    """
    given = _frames(session, frames)
    shape = (len(given), *session.camera_size)
    with replacing(output) as draft:
        maps = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=shape)
        for start, found in _class_maps(session, given, progress):
            maps[start : start + len(found)] = found
        maps.flush()
        del maps
    return shape


def score(session: Session, frames: Path, labels: Path, progress: Progress = silent) -> DeviceScore:
    """
    Args:
        frames: a `.npy` as `infer` takes it; `labels`: class ids, uint8 [N,H,W].

    Raises:
        InputError: files that are no such arrays, ids that are no class, a network of bit masks.
    """
    spec = session.spec
    if spec.task != "semantic":
        raise InputError(
            f"{session.bundle.path} is a {spec.task} network", expected="one class per pixel, as labels have"
        )
    given = _frames(session, frames)
    truth = read_array(labels, (len(given), *session.camera_size))
    names, total = spec.class_names, np.zeros((len(spec.class_names),) * 2, np.int64)
    for start, found in _class_maps(session, given, progress):
        total += confusion(truth[start : start + len(found)], found, len(names), spec.ignore_index)
    overlap = iou(total, labelled(total))
    return DeviceScore(
        bundle_id=session.bundle.id,
        frames=len(given),
        confusion=total.tolist(),
        class_iou={name: known(value) for name, value in zip(names, overlap)},
        miou=known(mean_present(overlap)),
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
        found: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise InputError(f"{file} cannot be read: {fault}", expected=expected) from None
    fits = isinstance(found, np.ndarray) and found.dtype == dtype and len(found.shape) == len(shape)
    if not fits or any(side not in (None, have) for side, have in zip(shape, found.shape)) or not len(found):
        about = f"{found.dtype} {list(found.shape)}" if isinstance(found, np.ndarray) else "several arrays"
        raise InputError(f"{file} holds {about}", expected=expected)
    return found


def _class_maps(session: Session, frames: Array, progress: Progress) -> Iterator[tuple[int, Array]]:
    """The place of the first frame of each part, and its class maps."""
    count = max(PART, session.batch)
    for start in range(0, len(frames), count):
        progress("running the engine", start, len(frames))
        yield start, session(np.ascontiguousarray(frames[start : start + count]))
    progress("running the engine", len(frames), len(frames))
