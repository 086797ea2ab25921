"""What an embedding program uses.

    from edgeseg.runtime import load

    with load("bundles/mobile-unet-openvino-bf16", color="bgr") as session:  # frames of OpenCV
        mask = session(frame)                    # uint8 [H,W,3] -> uint8 [H,W]
        for mask in session.stream(camera):      # in order, at most 4 frames waiting
            ...

Needs NumPy, msgspec and the engine's own package.
"""

from edgeseg.runtime.session import Output, Session, load

__all__ = ["Output", "Session", "load"]
