"""What an embedding program uses.

    from edgeseg.runtime import load

    with load("bundles/mobile-unet-openvino-bf16", color="bgr") as session:  # frames of OpenCV
        mask = session(frame)                    # uint8 [H,W,3] -> class ids, uint8 [H,W]
        for mask in session.stream(camera):      # in order, at most 4 frames waiting
            ...

Needs NumPy, msgspec and the engine's own package.
"""

from edgeseg.core.instances import Instances
from edgeseg.runtime.session import Session, load
from edgeseg.runtime.tasks import Result
from edgeseg.runtime.tasks.multilabel import BitMasks
from edgeseg.runtime.tasks.semantic import ClassMap

__all__ = ["BitMasks", "ClassMap", "Instances", "Result", "Session", "load"]
