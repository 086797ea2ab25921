"""The worst frames of a verification, as pictures."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgeseg.core.documents import writable_folder
from edgeseg.core.model_spec import ModelSpec
from edgeseg.core.ports import Array
from edgeseg.datasets.drawing import difference, replace_picture, side_by_side
from edgeseg.datasets.tasks import labels_of
from edgeseg.evaluation.verification import WorstFrame


def rank(scores: Sequence[float], ids: Sequence[str], count: int) -> tuple[WorstFrame, ...]:
    """The `count` frames of the lowest scores, worst first. Frames without a score (NaN) are left out."""
    scored = (i for i, score in enumerate(scores) if not np.isnan(score))
    order = heapq.nsmallest(count, scored, key=lambda i: scores[i])
    return tuple(WorstFrame(id=ids[i], frame=i, score=float(scores[i])) for i in order)


def picture(image: Array, expected: Any, given: Any, spec: ModelSpec, ignore_index: int | None) -> Array:
    """frame | expected | engine | difference, over the class colours: uint8 [h,4*W,3].

    Args:
        expected: the label, or what the reference finds where there are no labels.
    """
    marks = labels_of(spec.task)
    panels = (
        image,
        *(marks.write(marks.paint(one, spec), one, spec) for one in (expected, given)),
        difference(image, expected, given, spec, ignore_index),
    )
    return side_by_side(panels, spec)


def save(folder: Path, place: int, worst: WorstFrame, drawn: Array) -> WorstFrame:
    """Write `worst-01-<id>.png`, number 1 being the worst of all."""
    name = re.sub(r"[^\w.-]+", "_", worst.id)[-80:]
    path = folder / f"worst-{place:02d}-{name}.png"
    writable_folder(folder)
    replace_picture(path, drawn)
    return msgspec.structs.replace(worst, picture=str(path))
