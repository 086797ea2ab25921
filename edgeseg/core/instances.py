"""The things of one image, labelled or found, and what a network of them returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Instances(NamedTuple):
    """K things of one image.

    Attributes:
        boxes: float32 [K,4], x0, y0, x1, y1 in pixels.
        labels: int32 [K], class ids from 0, without background.
        scores: float32 [K], of what was found; those of a label are ones.
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

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The scores."""
        return self.scores

    def where(self, chosen: NDArray[Any]) -> Instances:
        """Those that are chosen: bool [K], or indices."""
        taken: Any = (None if values is None else values[chosen] for values in self)
        return Instances(*taken)

    def above(self, score: float) -> Instances:
        """Those of this score or more."""
        return self.where(self.scores >= score)


class InstanceOutputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a network of instances returns for an image, and what it did to get there.

    Attributes:
        kept: things per image, K: rows of all its outputs. Those that are none are zero and stand last.
        mask_size: (height, width) of a mask as the network gives it.
        mask_over: what a mask lies over: the box of its thing, or the whole network input.
        score_threshold: scores below it were left out.
        nms_threshold: of two boxes of a class that overlap by more (intersection over union) the lower score
            was left out; None: the network has no such step.
    """

    kept: int
    mask_size: tuple[int, int]
    mask_over: Literal["box", "image"] = "box"
    score_threshold: float = 0.05
    nms_threshold: float | None = None
