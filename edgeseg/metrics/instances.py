"""The things of one image, labelled or found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.metrics.confusion import require_ids


class Instances(NamedTuple):
    """K things of one image.

    Attributes:
        boxes: float32 [K,4], x0, y0, x1, y1 in pixels.
        labels: int32 [K], class ids from 0, without background.
        scores: float32 [K], of what was found; of a label, nothing reads them.
        masks: bool [K,H,W]; None: boxes alone.
        crowd: bool [K], of a label: many things in one, which may be found any number of times and need not
            be found at all. None: no crowd.
        area: float [K], of a label, in square pixels: what its size is judged by. None: that of the mask,
            or of the box where there are no masks.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    masks: NDArray[np.bool_] | None = None
    crowd: NDArray[np.bool_] | None = None
    area: NDArray[Any] | None = None


def require_instances(name: str, things: Instances, classes: int, *, masks: bool) -> None:
    """Raise InputError for arrays that do not belong together, numbers that are none, boxes that end before
    they start, masks that are asked for and not there, and ids outside the classes."""
    count = len(things.labels)
    wanted = {
        "boxes": (count, 4),
        "labels": (count,),
        "scores": (count,),
        "crowd": (count,),
        "area": (count,),
    }
    for field, shape in wanted.items():
        values = getattr(things, field)
        if values is None:
            continue
        if np.shape(values) != shape:
            raise InputError(f"{field} of {name} are {list(np.shape(values))}", expected=f"{list(shape)}")
        if field in ("boxes", "scores", "area") and not np.isfinite(values).all():
            raise InputError(f"{field} of {name} hold NaN or infinity", expected="finite numbers")
    if (things.boxes[:, 2:] < things.boxes[:, :2]).any():
        raise InputError(f"a box of {name} ends before it starts", expected="x0, y0, x1, y1 in pixels")
    if things.masks is not None and (things.masks.ndim != 3 or len(things.masks) != count):
        raise InputError(f"masks of {name} are {list(things.masks.shape)}", expected=f"[{count},H,W]")
    if masks and things.masks is None:
        raise InputError(f"{name} has boxes alone", expected="a mask of each thing", hint="judge the boxes")
    if not np.issubdtype(np.asarray(things.labels).dtype, np.integer):
        raise InputError(f"labels of {name} are {np.asarray(things.labels).dtype}", expected="integers")
    require_ids(name, things.labels, classes)
