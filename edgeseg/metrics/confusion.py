"""Confusion matrices: what everything about overlap is computed from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError

Labels = NDArray[Any]
Matrix = NDArray[np.int64]


def confusion(label: Labels, prediction: Labels, classes: int, ignore_index: int | None = None) -> Matrix:
    """Count pixels by class, int64 [C,C]: row = label, column = prediction.

    Args:
        label, prediction: class ids of any integer dtype and the same shape.
        ignore_index: pixels with this label are not counted, whatever was predicted there.

    Raises:
        InputError: shapes differ, or an id of a counted pixel is outside the classes.

    >>> confusion(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]), 2, ignore_index=255)
    array([[1, 1],
           [0, 1]])
    """
    flat, guess = counted(label, prediction, classes, ignore_index)
    joint = flat.astype(np.intp) * classes + guess
    return np.bincount(joint, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def counted(
    label: Labels, prediction: Labels, classes: int, ignore_index: int | None
) -> tuple[Labels, Labels]:
    """The ids of the pixels that count, [P] each; arguments and errors as of `confusion`."""
    require_same_shape(label, prediction, "label", "prediction")
    flat, guess = label.reshape(-1), prediction.reshape(-1)
    if ignore_index is not None:
        keep = flat != ignore_index
        flat, guess = flat[keep], guess[keep]
    require_ids("the label", flat, classes)
    require_ids("the prediction", guess, classes)
    return flat, guess


def require_ids(name: str, ids: Labels, classes: int) -> None:
    """Raise InputError for an id outside the classes."""
    if ids.size and (int(ids.max()) >= classes or int(ids.min()) < 0):
        outside = int(ids.max()) if int(ids.max()) >= classes else int(ids.min())
        raise InputError(f"{name} holds the class id {outside}", expected=f"ids 0-{classes - 1}")


def require_same_shape(a: Labels, b: Labels, name_a: str, name_b: str) -> None:
    """Raise InputError when two class maps differ in shape."""
    if a.shape != b.shape:
        raise InputError(
            f"{name_a} has the shape {list(a.shape)}, {name_b} has {list(b.shape)}", expected="the same shape"
        )
